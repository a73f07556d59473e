"""A list of any length: a window on it, the filter and the order, which the studio applies to all rows, and the table that shows it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import DataTable

from tui.screens.jobkeys import JobKeysScreen
from tui.view.cells import Column, Row
from tui.view.kinds import Kind
from tui.widgets.prompt import PromptLine
from tui.widgets.table import StudioTable
from tui.window import Part, View, Window, moved

NEAR = 40  # rows before an end of the window at which it is moved
TYPED = 0.15  # seconds without a key after which a filter is asked for
COUNT = 10.0  # seconds after which rows are counted again

UP, DOWN = "↑", "↓"


class PagedScreen(JobKeysScreen):
    """The rows of a kind, as far as the window reaches."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter", show=False, priority=True),
    ]

    def __init__(self, kind: Kind) -> None:
        super().__init__()
        self.kind = kind
        self.window = Window()
        self.view = View()
        self.move = "top"
        self.to_end = ""  # "top" or "bottom": where the cursor goes when the window is there
        self.ordered: Column | None = None
        self.falling = False
        self.counted_at = 0.0
        self.total: int | None = None
        self.matching: int | None = None
        self.typing: Timer | None = None
        self.letters = letters(kind.columns)
        for letter, column in self.letters.items():
            self._bindings.bind(letter, f"order('{column.title}')", f"order by {column.title}", show=False)

    @property
    def rows(self) -> Sequence[Row]:
        """The rows of the window."""
        return self.window.rows

    @property
    def table(self) -> StudioTable:
        """The table."""
        return self.query_one(StudioTable)

    def made_table(self) -> StudioTable:
        """The table of the kind."""
        columns = self.kind.columns
        gives, shown = [column.gives for column in columns], {each.title: key for key, each in self.letters.items()}
        titles = [column.title for column in columns]
        return StudioTable(titles, "rows", self.kind.name_column, gives=gives, letters=shown, marks=True)

    def focus_first(self) -> None:
        """The table."""
        self.table.focus()

    # ─── rows ─────────────────────────────────────────────────────────────────────────────────────

    def fetch(self) -> tuple[View, str, Window]:
        """The window, moved where it is wanted."""
        view, move = self.view, self.move
        count = self.total is None or time.monotonic() - self.counted_at > COUNT

        def ask(**fields: Any) -> Part:
            nonlocal count
            rows, told = self.dashboard.studio.part(self.kind.message, self.kind.field, counts=count, **fields)
            count = False  # once is enough
            names = ("has_more", "has_before", "begins", "ends")
            part = Part(rows, **{name: told[name] for name in names if name in told})
            if told.get("total") is not None:
                self.total, self.matching, self.counted_at = told["total"], told["matching"], time.monotonic()
            return part

        return view, move, moved(ask, view, self.window, move)

    def got(self, found: tuple[View, str, Window]) -> None:
        """Draw the window, unless it is of another view than is wanted by now."""
        view, move, window = found
        if view != self.view:
            self.again()
            return
        self.window = window
        if self.move == move:
            self.move = ""
        arrived = bool(move) and self.to_end == move
        self.to_end = "" if arrived else self.to_end
        self.draw(at=(len(self.rows) if move == "bottom" else 0) if arrived else None)

    def draw(self, at: int | None = None) -> None:
        """Show the rows; the cursor goes to the line `at`, or stays on its row."""
        raise NotImplementedError

    def go(self, move: str) -> None:
        """Move the window."""
        if self.move in ("", "down", "up"):
            self.move = move
        self.again()

    def look(self, view: View) -> None:
        """Look at the list in another way, from its beginning."""
        if view != self.view:
            self.view, self.move, self.total, self.to_end = view, "top", None, "top"
            self.again()

    def on_studio_table_seen(self, message: StudioTable.Seen) -> None:
        """Near an end of the window it is moved."""
        if self.asking or self.move:
            return
        if self.window.more and message.last >= len(self.rows) - NEAR:
            self.go("down")
        elif self.window.start is not None and message.first < NEAR:
            self.go("up")

    def on_studio_table_ended(self, message: StudioTable.Ended) -> None:
        """g and G: the first and the last row of all."""
        if self.window.more if message.last else self.window.start is not None:
            self.move = self.to_end = "bottom" if message.last else "top"
            self.again()

    # ─── order and filter ─────────────────────────────────────────────────────────────────────────

    def action_order(self, title: str) -> None:
        """A letter: by that column; again: the other way; again: as the list comes by itself."""
        column = next(each for each in self.kind.columns if each.title == title)
        if self.ordered is not column:
            self.ordered, self.falling = column, False
        elif not self.falling:
            self.falling = True
        else:
            self.ordered, self.falling = None, False
        by = self.ordered.order if self.ordered else ""
        order, other_way = by.lstrip("-"), by.startswith("-")
        self.table.show_order(title if self.ordered else "", DOWN if self.falling else UP)
        self.look(View(self.view.contains, order, self.falling is not other_way))

    def on_data_table_header_selected(self, event: DataTable.HeaderSelected) -> None:
        """A click on a title orders by it."""
        if any(column.title == event.column_key.value for column in self.letters.values()):
            self.action_order(str(event.column_key.value))

    def action_filter(self) -> None:
        """/: only rows that hold what is typed."""
        self.query_one(PromptLine).open("/", self.view.contains, "words that a row must hold")

    def on_prompt_line_typed(self, message: PromptLine.Typed) -> None:
        """The filter works as it is typed."""
        if self.typing is not None:
            self.typing.stop()
        self.typing = self.set_timer(TYPED, lambda: self.filtered(message.text))

    def filtered(self, text: str) -> None:
        """The filter is settled; escape takes it away."""
        if self.typing is not None:
            self.typing.stop()
            self.typing = None
        self.look(View(" ".join(text.split()), self.view.order, self.view.descending))

    def action_back(self) -> None:
        """Escape: first the filter goes, then the list."""
        if self.view.contains:
            self.filtered("")
        else:
            super().action_back()


TAKEN = "ACDGTY"  # large letters that do something else


def letters(columns: tuple[Column, ...]) -> Mapping[str, Column]:
    """The large letters that order by a column: of its title the first one that is free."""
    found: dict[str, Column] = {}
    for column in columns:
        free = (each for each in column.title.upper() if each.isalpha() and each not in TAKEN and each not in found)
        if column.order and (letter := next(free, "")):
            found[letter] = column
    return found
