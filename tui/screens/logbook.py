"""What the logs have in common: newest on top, narrowed by what is typed, paged back to the beginning as one scrolls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from core.text import plain
from tui.pump import StudioChanged
from tui.screens.base import StudioScreen
from tui.view import sought, words
from tui.view.cells import Column, Row
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine
from tui.widgets.table import StudioTable

PAGE = 200  # rows that are asked for at once
MOST = 1_000  # rows that are kept; beyond, the newest go until one comes back to them
ROOMY = 110  # cells from which on all columns are shown
NEAR = 20  # rows before the end at which the next page is asked for
PAUSE = 0.3  # seconds after a key until what is typed is looked for
LOOK = 2.0  # seconds between looks at what changes without an event


def at(field: str = "at") -> Column:
    """When it was."""
    return Column("at", lambda row: (words.moment(row.get(field)), "dim"))


class LogTable(StudioTable):
    """Its `g` goes to the newest row that there is, shown or not."""

    def action_scroll_top(self) -> None:
        """g."""
        self.screen.newest()  # type: ignore[attr-defined]


class LogScreen(StudioScreen):
    """Rows of a log. Subclasses say what is asked for and shown; `names` and `choices` are what a filter may name.

    `asks` is the message that has the rows in the `field` of its reply. What changes without an event is looked for now and
    then (`looks`).
    """

    CSS_PATH = "../styles/past.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter: words, name:value", show=False, priority=True),
        Binding("d", "describe", "describe", show=False),
        Binding("y", "yaml", "as YAML", show=False),
    ]
    heading = ""
    asks, field = "", ""
    looks = False
    empty = ""
    hint = "words"
    columns: tuple[Column, ...] = ()
    wide_only: frozenset[str] = frozenset()  # titles of columns that are shown where there is room for them
    name_column = 0
    names: ClassVar[Mapping[str, str]] = {}
    choices: ClassVar[Mapping[str, Iterable[str]]] = {}

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Row] = []
        self.wanted, self.fields = "", dict[str, Any]()
        self.older = False  # whether there are rows before the last one shown
        self.slid = False  # whether newer ones than the first one shown were let go
        self.going_back = False
        self.asked = False
        self.typing: Timer | None = None

    def compose(self) -> ComposeResult:
        """Banner, table, and what an empty log says."""
        yield Banner(self.heading)
        yield LogTable([column.title for column in self.columns], "rows", self.name_column)
        yield Static("", id="empty", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.banner.tell("asking the studio …")
        self.call_after_refresh(self.again)
        self.focus_first()
        if self.looks:
            self.set_interval(LOOK, self._look)

    def _look(self) -> None:
        if self.is_current and self.asked and not self.slid:
            self.again()

    def focus_first(self) -> None:
        """The table."""
        self.query_one(LogTable).focus()

    def on_screen_resume(self) -> None:
        """Coming back shows it as it is now."""
        super().on_screen_resume()
        if self.asked:
            self.again()

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────

    def rows_from(self, last: Row | None) -> tuple[list[Row], bool]:
        """In a thread: the newest rows, or those before `last`, newest first; and whether there are older ones."""
        place = {} if last is None else {"after": str(last["id"])}
        fields = {"limit": PAGE, **place, **self.narrowed, **self.fields}
        value = self.dashboard.studio.ask(self.asks, fields, timeout=10).value.model_dump(mode="json")
        self.page_told(value)
        return value[self.field], value["has_more"]

    @property
    def narrowed(self) -> dict[str, Any]:
        """What the rows are narrowed by beside what is typed."""
        return {}

    def page_told(self, page: dict[str, Any]) -> None:
        """In a thread: what a page told beside its rows."""

    def fetch(self) -> tuple[str, list[Row], bool]:
        """The newest page, with what it was narrowed by."""
        self.asked = True
        wanted = self.wanted
        return (wanted, *self.rows_from(None))

    def got(self, found: tuple[str, list[Row], bool]) -> None:
        """Lay the newest page over what is shown; where they don't meet, the log went on for more than a page."""
        wanted, page, older = found
        if wanted != self.wanted or self.slid:
            return
        ids = {row["id"] for row in page}
        meets = any(row["id"] in ids for row in self.rows)
        kept = self.rows[self._below(page) :] if meets and older else []
        self.rows, self.older = [*page, *kept], (self.older if kept else older)
        self.draw()

    def _below(self, page: Sequence[Row]) -> int:
        """Where what is shown goes on behind the last row of the page."""
        last = page[-1]["id"]
        return next((place + 1 for place, row in enumerate(self.rows) if row["id"] == last), len(self.rows))

    def on_data_table_row_highlighted(self, event: LogTable.RowHighlighted) -> None:
        """Near the end of what is shown the next page is asked for."""
        if self.older and not self.going_back and self.rows and event.cursor_row >= len(self.rows) - NEAR:
            self.going_back = True
            self.run_worker(self._go_back, thread=True, exit_on_error=False)

    def _go_back(self) -> None:
        wanted, last = self.wanted, self.rows[-1]
        try:
            found = self.rows_from(last)
        except Exception as error:
            self.in_app(self._not_back, error)
        else:
            self.in_app(self._back, wanted, last, *found)

    def _not_back(self, error: Exception) -> None:
        self.going_back = False
        self.dashboard.complain(error)

    def _back(self, wanted: str, last: Row, page: list[Row], older: bool) -> None:
        self.going_back = False
        if wanted != self.wanted or not self.rows or self.rows[-1]["id"] != last["id"]:
            return
        self.rows, self.older = [*self.rows, *page], older
        if len(self.rows) > MOST:
            self.rows, self.slid = self.rows[-MOST:], True
        self.draw()

    def newest(self) -> None:
        """g: to the newest row."""
        if self.slid:
            self.slid, self.rows = False, []
            self.again()
        self.query_one(LogTable).move_cursor(row=0, animate=False)

    def draw(self) -> None:
        """Show the rows."""
        table = self.query_one(LogTable)
        shown = [column for column in self.columns if self.room >= ROOMY or column.title not in self.wide_only]
        lines = {str(row["id"]): [column.show(row) for column in shown] for row in self.rows}
        table.show_as([column.title for column in shown], lines)
        empty = self.query_one("#empty", Static)
        empty.display, table.display = not self.rows, bool(self.rows)
        if not self.rows:
            empty.update(Content(plain(self.nothing(), limit=1_000, lines=True)))
        if self.rows and self.focused is None:  # it was hidden, and lost it
            self.focus_first()
        self.banner.tell(self.told())

    def on_resize(self) -> None:
        """Another width has room for other columns."""
        if self.as_of:
            self.draw()

    def nothing(self) -> str:
        """What stands in the place of rows, and the way to see some."""
        return f"Nothing fits “{plain(self.wanted, limit=60)}”.\n\nesc shows all again." if self.wanted else self.empty

    def told(self) -> str:
        """What stands beside the title."""
        number = f"{len(self.rows):,}" + (" and older ones" if self.older else "")
        newer = "   g newer ones" if self.slid else ""
        return f"{number}{newer}{f'   /{self.wanted}' if self.wanted else ''}"

    def studio_changed(self, message: StudioChanged) -> None:
        """Something happened."""
        if self.there and self.asked and not self.slid:
            self.again()

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        key = self.query_one(LogTable).cursor_key
        return next((row for row in self.rows if str(row["id"]) == key), None)

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def action_filter(self) -> None:
        """/: only rows that hold what is typed."""
        self.query_one(PromptLine).open("/", self.wanted, self.hint)

    def on_prompt_line_typed(self, message: PromptLine.Typed) -> None:
        """What is typed is looked for once there is a pause."""
        if self.typing is not None:
            self.typing.stop()
        self.typing = self.set_timer(PAUSE, lambda: self.narrow(message.text, quietly=True))

    def filtered(self, text: str) -> None:
        """The filter is settled; escape takes it away."""
        if self.typing is not None:
            self.typing.stop()
        self.narrow(text)

    def narrow(self, text: str, *, quietly: bool = False) -> None:
        """Ask anew for what the text leaves; `quietly` while it is still typed."""
        try:
            fields = sought.fields(text, self.names, self.choices)
        except sought.NotSought as error:
            if not quietly:
                self.dashboard.say(str(error), severity="warning")
            return
        self.wanted = text
        if fields != self.fields:
            self.fields, self.rows, self.slid = fields, [], False
            self.again()

    def action_describe(self) -> None:
        """d: everything about the row."""
        from tui.view.describe import described

        self._show(described)

    def action_yaml(self) -> None:
        """y: the row as YAML."""
        from tui.view.describe import as_yaml

        self._show(as_yaml)

    def _show(self, form: Callable[[Row], str]) -> None:
        if (row := self.row) is not None:
            self.dashboard.show_text(f"{self.heading}: {row['id']}", form(row))

    def copies(self) -> list[tuple[str, str]]:
        """The row's id, and all of it."""
        from tui.view.describe import described

        row = self.row
        return [] if row is None else [("the id", str(row["id"])), ("the row", described(row))]

    def action_back(self) -> None:
        """Escape: first the filter goes, then the log."""
        if self.wanted:
            self.narrow("")
        else:
            super().action_back()

    def open_resource(self, kind: str, id: str) -> None:
        """Go to what a row is about: a job's own screen, or everything about another resource."""
        from tui.screens.opening import open_resource

        open_resource(self.dashboard, kind, id)
