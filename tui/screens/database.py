"""Database Import and Export: all resources out to a file, and a file read, looked at row by row, and taken in."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from core.errors import Refused
from core.text import counted, plain
from tui.acting import Outcome
from tui.screens.base import StudioScreen
from tui.view import moved
from tui.widgets.banner import Banner
from tui.widgets.pathinput import PathInput
from tui.widgets.table import StudioTable

WANTED = "export.json"  # the name that an export is offered
ASKED = {"out": "write to ", "in": "read from "}


class FileLine(PathInput):
    """The line for a file's name: tab completes it, also before the candidates have come."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("tab", "complete", "complete a file's name", show=False)]

    def action_complete(self) -> None:
        """Tab."""
        self.take_soon()


class DatabaseScreen(StudioScreen):
    """`told` is what an import did or would do; while it is a preview, I takes the file in."""

    CSS_PATH = "../styles/database.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "file('out')", "export all resources to a file", show=False),
        Binding("i", "file('in')", "read a file, and see what it would bring", show=False),
        Binding("I", "take", "import what is shown", show=False),
        Binding("s", "strict", "strict: all rows or none", show=False),
        Binding("u", "guide", "export the guide's columns alone", show=False),
    ]
    keys_shown = "x export  i read a file  I import it  s strict  u columns  ? help"

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, Any] = {}
        self.path, self.asked_for = "", "in"
        self.looking: dict[str, Any] = {}  # the preview that is under way
        self.strict = self.guide = False

    def compose(self) -> ComposeResult:
        """What it did, the tables, their rows; the line for a file's name."""
        yield Banner("Database Import and Export")
        yield Static(Content(moved.EMPTY), id="headline", markup=False)
        yield StudioTable(moved.TABLES, "tables")
        yield StudioTable(moved.ROWS, "rows", name_column=4)
        path = FileLine("ImportDatabase", "", "path")
        path.display = False
        yield path
        yield from self.bottom()

    def on_mount(self) -> None:
        """Nothing is asked before one asks."""
        self._draw()

    def focus_first(self) -> None:
        """The rows, once there are some."""
        self.query_one("#rows", StudioTable).focus()

    # ─── a file ───────────────────────────────────────────────────────────────────────────────────

    def action_file(self, way: str) -> None:
        """x, i: ask for the file's name."""
        if self.dashboard.readonly:
            self.dashboard.complain(self.dashboard.studio.refusal())
            return
        self.asked_for = way
        line = self.query_one(PathInput)
        line.value = WANTED if way == "out" else self.path
        line.placeholder = "a .json file of the project   tab completes   esc leaves"
        line.border_title = ASKED[way]
        line.display = True
        self.set_focus(line)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Its name is settled."""
        if event.input.id != "path":
            return
        event.stop()
        name = event.value.strip()
        self._put_away()
        if name and self.asked_for == "out":
            self._write(name, overwrite=False)
        elif name:
            self._read(name)

    def _put_away(self) -> None:
        self.query_one(PathInput).display = False
        self.set_focus(None)
        self.focus_first()

    def action_back(self) -> None:
        """Escape: first the line goes, then what is shown, then the page."""
        if self.query_one(PathInput).display:
            self._put_away()
        elif self.told:
            self.told = {}
            self._draw()
        else:
            super().action_back()

    # ─── out ──────────────────────────────────────────────────────────────────────────────────────

    def _write(self, path: str, *, overwrite: bool) -> None:
        self._say(f"writing {path} …")

        def failed(error: Exception) -> None:
            if not overwrite and isinstance(error, Refused) and moved.only_there(error.breaches):
                self._say("")
                self.dashboard.confirm(f"Replace {path}?", lambda: self._write(path, overwrite=True))
            else:
                self._refused(error)

        fields = {"path": path, "overwrite": overwrite, "guide_columns": self.guide}
        self.dashboard.ask("ExportDatabase", fields, lambda answer: self._tell(moved.written(answer.value)), failed)

    # ─── in ───────────────────────────────────────────────────────────────────────────────────────

    def _read(self, path: str) -> None:
        self.path = path
        self._say(f"looking at {path} …")
        self._send(preview=True)

    def _send(self, *, preview: bool, question: str = "") -> None:
        fields = {"imported_json_path": self.path, "preview": preview, "strict": self.strict}
        if preview:
            self.looking = fields
        self.dashboard.act("ImportDatabase", [fields], question=question, done=self._came, quiet=True)

    def _came(self, outcomes: list[Outcome]) -> None:
        """What is shown is of the file that was named last: what I takes in must be what was looked at."""
        outcome = outcomes[0]
        if outcome.fields["preview"]:
            if outcome.fields is not self.looking or not self.is_attached:
                return
            self.looking = {}
        path = str(outcome.fields["imported_json_path"])
        if outcome.error is not None:
            self._refused(outcome.error)
            return
        told = outcome.answer.value.model_dump(mode="json")
        if self.is_attached:
            self.told, self.path = told, path
            self._draw()
        else:
            self._tell(moved.headline(told, path))

    def action_take(self) -> None:
        """I: import what the preview shows."""
        if self.told.get("preview"):
            self._send(preview=False, question=moved.question(self.told, self.path, strict=self.strict))
        elif not self.told:
            self.action_file("in")

    def action_strict(self) -> None:
        """s: import all rows or none."""
        self.strict = not self.strict
        self._draw()
        if self.looking or self.told.get("preview"):
            self._read(str(self.looking.get("imported_json_path", self.path)))

    def action_guide(self) -> None:
        """u: export what the guide's studio reads, or everything."""
        self.guide = not self.guide
        self._draw()

    # ─── drawing ──────────────────────────────────────────────────────────────────────────────────

    def _say(self, text: str) -> None:
        if self.is_attached:
            self.told = {}
            self._draw()
            if text:
                self.query_one("#headline", Static).update(Content(plain(text, limit=2_000, lines=True)))

    def _tell(self, text: str) -> None:
        """Say it here, or wherever whoever asked for it has gone."""
        if self.is_attached:
            self._say(text)
        else:
            self.dashboard.say(text)

    def _refused(self, error: Exception) -> None:
        self._tell(moved.refused(error))

    def _draw(self) -> None:
        self.query_one("#headline", Static).update(
            Content(plain(moved.headline(self.told, self.path), limit=4_000, lines=True))
        )
        for name, lines in (("#tables", moved.tables(self.told)), ("#rows", moved.rows(self.told))):
            table = self.query_one(name, StudioTable)
            table.display = bool(self.told)
            table.show(lines)
        self.banner.tell(
            f"strict {'on' if self.strict else 'off'}   columns {'of the guide' if self.guide else 'all'}"
            + (f"   {counted(len(self.told['rows']), 'row')}" if self.told else "")
        )
        if self.told:
            self.focus_first()

    def on_data_table_row_selected(self, event: StudioTable.RowSelected) -> None:
        """Enter: all that is to be said about a row."""
        key = event.row_key.value or ""
        row = next((each for each in self.told.get("rows", []) if moved.key(each) == key), None)
        if row is not None:
            self.dashboard.show_text(f"{row['table']} row {row['index']}", moved.whole(row))

    def copies(self) -> list[tuple[str, str]]:
        """The outcome of every row, as text."""
        return [("the outcome of every row", moved.report(self.told))] if self.told else []
