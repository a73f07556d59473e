"""A list of resources: jobs, datasets, models, and the others."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from core.text import counted, plain
from tui.pump import StudioChanged
from tui.screens.jobkeys import name_of, row_copies
from tui.screens.marking import MarkingScreen
from tui.view import kinds
from tui.view.cells import Cell, Row, of_runner
from tui.view.kinds import JOBS, Kind
from tui.widgets.banner import Banner
from tui.widgets.table import StudioTable
from tui.window import View, Window

if TYPE_CHECKING:
    from tui.acting import Outcome

COUNTED = 10_000  # rows that the studio counts (core.messages.common)

UNFINISHED = {"queued", "assigned", "running", "pausing", "cancel_requested"}  # these change by themselves


class ListScreen(MarkingScreen):
    """Rows of one kind; they change under the cursor without moving it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "new", show=False),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "yaml", show=False),
        Binding("e", "edit", "change name and description; a config: make another like it", show=False),
        Binding("l", "log", "log", show=False),
        Binding("D", "drain", "drain", show=False),
    ]

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.keys_shown = kind.keys
        self.asked = False

    def compose(self) -> ComposeResult:
        """Banner, table, and what an empty list says."""
        yield Banner(self.kind.title)
        yield self.made_table()
        yield Static(Content(self.kind.empty), id="empty", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out; live lists again every second while something runs."""
        self.banner.tell("asking the studio …")
        self.call_after_refresh(self.again)
        self.set_interval(1, self._live)
        self.focus_first()

    def on_screen_resume(self) -> None:
        """Coming back to a list shows it as it is now."""
        super().on_screen_resume()
        if self.asked:
            self.again()

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────

    def fetch(self) -> tuple[View, str, Window]:
        """The rows."""
        self.asked = True
        return super().fetch()

    def draw(self, at: int | None = None) -> None:
        """Show the rows of the window, those that are going struck through."""
        going = self.dashboard.going(self.kind.remove)
        self.seen_again(without=lambda row: self._goes(row, going) is not None)
        self.table.show([(str(row["id"]), self._cells(row, going)) for row in self.rows], at)
        empty = self.query_one("#empty", Static)
        empty.display, self.table.display = not self.rows, bool(self.rows)
        if not self.rows:
            empty.update(Content(self._nothing()))
        self.banner.tell(f"{self._counted()}{self._filter()}{self.marks_told}{self.dashboard.going_told}")

    def _cells(self, row: Row, going: Mapping[str, int]) -> list[Cell]:
        cells = self.with_mark(row, kinds.shown(self.kind, row))
        if (left := self._goes(row, going)) is None:
            return cells
        told = 0 if self.kind.name_column else 1
        return [
            (f"{text[:1]}goes in {left}s" if told == 0 else f"goes in {left}s", "wait")
            if index == told
            else (text, "dim strike")
            for index, (text, _) in enumerate(cells)
        ]

    def _goes(self, row: Row, going: Mapping[str, int]) -> int | None:
        """The seconds until the row goes."""
        return going.get(str(row[self.kind.remove.id])) if self.kind.remove and going else None

    def _nothing(self) -> str:
        if self.view.contains:
            return f"Nothing holds “{plain(self.view.contains, limit=60)}”.\n\nesc shows all again."
        return self.kind.empty

    def _counted(self) -> str:
        if self.window.whole:
            count = f"{len(self.rows):,}"
            return count if not self.view.contains or self.total is None else f"{count} of {_upto(self.total)}"
        if self.total is None or self.matching is None:
            return f"{len(self.rows):,}+"
        return _upto(self.matching) + (f" of {_upto(self.total)}" if self.view.contains else "")

    def _filter(self) -> str:
        return f"   /{self.view.contains}" if self.view.contains else ""

    def _live(self) -> None:
        """Once a second: what changes by itself."""
        busy = self.kind.name == "runners" or any(row.get("status") in UNFINISHED for row in self.rows)
        if self.kind.live and busy and self.is_current:
            self.again()

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened to what is shown."""
        if self.there and self.kind.events & message.tables:
            self.again()

    def removals_changed(self) -> None:
        """Something is going, or was taken back."""
        if self.there and self.asked:
            self.draw()

    @property
    def job_rows(self) -> list[Row]:
        """The jobs that the keys are for, on a list of jobs."""
        return self.targets if self.kind.name in JOBS else []

    @property
    def job_row(self) -> Row | None:
        """The job under the cursor, on a list of jobs."""
        return self.row if self.kind.name in JOBS else None

    def acted(self, outcomes: list[Outcome]) -> None:
        """What was done has its mark no longer; what was not keeps it."""
        failed = {str(each.fields.get("id")) for each in outcomes if each.error is not None}
        self.marked_rows = {
            id: row for id, row in self.marked_rows.items() if {id, str(row.get("parent_job_id"))} & failed
        }
        self.again()

    def names_taken(self) -> list[Any]:
        """Those of the rows."""
        return [row.get("adapter_name") for row in self.rows]

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def on_data_table_row_selected(self, event: StudioTable.RowSelected) -> None:
        """Enter opens."""
        row = self.row
        if row is None:
            return
        if self.kind.name == "jobs":
            self.dashboard.show_job(str(row["id"]))
        elif self.kind.name == "evaluations":
            self.dashboard.show_batch(str(row["parent_job_id"]))
        elif self.kind.name == "comparisons":
            self.dashboard.show_comparison(str(row["id"]))
        elif self.kind.name == "exports":
            self.dashboard.show_export(str(row["id"]))
        elif self.kind.name == "endpoints":
            self.dashboard.show_endpoint(str(row["id"]))
        elif self.kind.name == "datasets":
            self.dashboard.show_dataset(str(row["id"]))
        elif self.kind.name == "models":
            self.dashboard.show_model(str(row["id"]))
        elif self.kind.name == "prompts":
            self.dashboard.show_prompt(str(row["id"]))
        else:
            self.action_describe()

    def action_new(self) -> None:
        """n: the form that adds one."""
        if self.kind.add is not None:
            self.dashboard.show_form(self.kind.add)

    def action_describe(self) -> None:
        """d: everything about the row."""
        from tui.view.describe import described

        if (row := self.row) is not None:
            name = row.get("name") or row.get("adapter_name") or row.get("host") or row["id"]
            self.dashboard.show_text(f"{self.kind.title}: {name}", described(of_runner(row)))

    def action_yaml(self) -> None:
        """y: the row as YAML."""
        from tui.view.describe import as_yaml

        if (row := self.row) is not None:
            self.dashboard.show_text(f"{self.kind.title}: {row['id']}", as_yaml(row))

    def action_edit(self) -> None:
        """e: the form that changes what the row is called."""
        if (row := self.row) is not None:
            self.dashboard.edit(self.kind.name, row)

    def action_log(self) -> None:
        """l: a job's log."""
        if self.kind.name == "jobs" and (row := self.row) is not None:
            self.dashboard.show_job(str(row["id"]))

    def action_remove(self) -> None:
        """ctrl+d: remove what is marked, or the row under the cursor; what stands in the way is told before."""
        remove, rows = self.kind.remove, self.targets
        if remove is not None and rows:
            named = {str(row[remove.id]): name_of(row) for row in rows}
            self.dashboard.remove_rows(remove, named, self.acted)

    def action_drain(self) -> None:
        """D: drain a runner, or let it work again."""
        row = self.row
        if row is not None and self.kind.name == "runners":
            draining = row.get("status") != "draining"
            question = (
                f"Drain {row['host']}? It saves checkpoints and gives its jobs back."
                if draining
                else f"Let {row['host']} take work again?"
            )
            fields = {"id": str(row["id"]), "draining": draining}
            self.dashboard.act("DrainRunner", [fields], question=question, done=lambda outcomes: self.again())

    def copies(self) -> list[tuple[str, str]]:
        """The ids of what is marked; else the row's id, its name, all of it."""
        if not (rows := list(self.marked_rows.values())):
            return row_copies(self.row)
        ids = "\n".join(str(row["id"]) for row in rows)
        whole = json.dumps(rows, indent=2, ensure_ascii=False)
        return [(counted(len(rows), "id"), ids), (f"{counted(len(rows), 'row')} as JSON", whole)]


def _upto(count: int) -> str:
    return f"{COUNTED:,}+" if count > COUNTED else f"{count:,}"
