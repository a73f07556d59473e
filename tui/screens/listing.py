"""A list of resources: jobs, datasets, models, and the others."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from tui.pump import StudioChanged
from tui.screens.jobkeys import JobKeysScreen, row_copies
from tui.view import kinds
from tui.view.cells import Row
from tui.view.kinds import JOBS, Kind
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine
from tui.widgets.table import StudioTable

PAGE = 200
MOST = 1_000  # rows that a table shows
UNFINISHED = {"queued", "assigned", "running", "pausing", "cancel_requested"}  # these change by themselves


class ListScreen(JobKeysScreen):
    """Rows of one kind; they change under the cursor without moving it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", show=False, priority=True),
        Binding("n", "new", "new", show=False),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "yaml", show=False),
        Binding("e", "edit", "change name and description; a config: make another like it", show=False),
        Binding("l", "log", "log", show=False),
        Binding("D", "drain", "drain", show=False),
        Binding("right_square_bracket", "more", "more", show=False),
    ]

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.keys_shown = kind.keys
        self.rows: list[Row] = []
        self.wanted = ""
        self.limit = PAGE
        self.more = False
        self.asked = False

    def compose(self) -> ComposeResult:
        """Banner, table, and what an empty list says."""
        yield Banner(self.kind.title)
        yield StudioTable([column.title for column in self.kind.columns], "rows", self.kind.name_column)
        yield Static(Content(self.kind.empty), id="empty", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out; live lists again every second while something runs."""
        self.banner.tell("asking the studio …")
        self.call_after_refresh(self.again)
        if self.kind.live:
            self.set_interval(1, self._live)
        self.focus_first()

    def focus_first(self) -> None:
        """The table."""
        self.query_one(StudioTable).focus()

    def on_screen_resume(self) -> None:
        """Coming back to a list shows it as it is now."""
        if self.asked:
            self.again()

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────

    def fetch(self) -> tuple[list[dict[str, Any]], bool]:
        """The rows, and whether there are more."""
        fields: dict[str, Any] = {} if self.kind.name == "runners" else {"limit": self.limit}
        self.asked = True
        return self.dashboard.studio.rows(self.kind.message, self.kind.field, **fields)

    def got(self, found: tuple[list[Row], bool]) -> None:
        """As the studio orders them."""
        self.rows, self.more = found
        self.draw()

    def draw(self) -> None:
        """Show the rows that the filter leaves."""
        shown = [row for row in self.rows if not self.wanted or kinds.matches(self.kind, row, self.wanted)]
        self.query_one(StudioTable).show([(str(row["id"]), kinds.shown(self.kind, row)) for row in shown])
        self.query_one("#empty").display = not self.rows
        self.query_one(StudioTable).display = bool(self.rows)
        counted = f"{len(shown)} of {len(self.rows)}" if self.wanted else str(len(self.rows))
        self.banner.tell(counted + ("+   ] more" if self.more else "") + (f"   /{self.wanted}" if self.wanted else ""))

    def _live(self) -> None:
        busy = self.kind.name == "runners" or any(row.get("status") in UNFINISHED for row in self.rows)
        if busy and self.is_current:
            self.again()

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened to what is shown."""
        if self.is_mounted and self.kind.events & message.tables:
            self.again()

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        key = self.query_one(StudioTable).cursor_key
        return next((row for row in self.rows if str(row["id"]) == key), None)

    @property
    def job_row(self) -> Row | None:
        """The job under the cursor, on a list of jobs."""
        return self.row if self.kind.name in JOBS else None

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
            self.dashboard.show_text(
                f"{self.kind.title}: {row.get('name') or row.get('adapter_name') or row['id']}", described(row)
            )

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
        """ctrl+d: remove what the row is about; what depends on it is told by the studio, which refuses then."""
        row, remove = self.row, self.kind.remove
        if row is None or remove is None:
            return
        name = row.get("name") or row.get("adapter_name") or row.get("description") or row["id"]
        self.dashboard.act(
            remove.message,
            [{"id": str(row[remove.id])}],
            question=f"Remove the {remove.noun} {name}? {remove.stays}",
            undo=True,
            done=lambda outcomes: self.again(),
        )

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
        """The row's id, its name, all of it."""
        return row_copies(self.row)

    def action_more(self) -> None:
        """]: more rows."""
        if self.more and self.limit < MOST:
            self.limit = min(MOST, self.limit + PAGE)
            self.again()

    def action_filter(self) -> None:
        """/: only rows that hold what is typed."""
        self.query_one(PromptLine).open("/", self.wanted, "words that a row must hold")

    def on_prompt_line_typed(self, message: PromptLine.Typed) -> None:
        """The filter works as it is typed."""
        self.wanted = message.text
        self.draw()

    def filtered(self, text: str) -> None:
        """The filter is settled; escape takes it away."""
        self.wanted = text
        self.draw()

    def action_back(self) -> None:
        """Escape: first the filter goes, then the list."""
        if self.wanted:
            self.filtered("")
        else:
            super().action_back()
