"""Marking rows of a list, to do one thing with many; marks stay while rows come, go, and leave the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.text import counted
from tui.screens.paged import PagedScreen
from tui.view.cells import Cell, Row
from tui.view.kinds import Kind

MANY = 1_000  # rows that `*` marks
MARK, NONE = "▌", " "


class MarkingScreen(PagedScreen):
    """A list whose rows can be marked."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
        Binding("asterisk", "mark_all", "mark all, or none", show=False, key_display="*"),
    ]

    def __init__(self, kind: Kind) -> None:
        super().__init__(kind)
        self.marked_rows: dict[str, Row] = {}

    @property
    def row(self) -> Row | None:
        """The row under the cursor."""
        key = self.table.cursor_key
        return next((row for row in self.rows if str(row["id"]) == key), None)

    @property
    def targets(self) -> list[Row]:
        """What the keys are for: the marked rows, else the one under the cursor."""
        if self.marked_rows:
            return list(self.marked_rows.values())
        return [] if (row := self.row) is None else [row]

    def action_mark(self) -> None:
        """space: mark the row, or take its mark away, and go to the next one."""
        if (row := self.row) is None:
            return
        id = str(row["id"])
        if self.marked_rows.pop(id, None) is None:
            self.marked_rows[id] = row
        self.draw()
        self.table.action_cursor_down()

    def action_mark_all(self) -> None:
        """*: all rows that the filter leaves; with marks: none."""
        if self.marked_rows:
            self.unmark()
            return
        if self.window.whole:
            self._mark(self.rows, False)
            return
        view = self.view

        def found(answer: Any) -> None:
            value = answer.value.model_dump(mode="json")
            if view == self.view:
                self._mark(value[self.kind.field], value["has_more"])

        self.dashboard.ask(self.kind.message, {**view.fields(), "limit": MANY}, found)

    def _mark(self, rows: Sequence[Row], more: bool) -> None:
        self.marked_rows = {str(row["id"]): row for row in rows}
        self.draw()
        if more:
            self.dashboard.say(f"only the first {MANY:,} are marked: a filter (/) leaves fewer", severity="warning")

    def unmark(self, ids: set[str] | None = None) -> None:
        """Take marks away: all, or those of these rows."""
        self.marked_rows = {id: row for id, row in self.marked_rows.items() if ids is not None and id not in ids}
        self.draw()

    def seen_again(self, without: Callable[[Row], bool]) -> None:
        """A marked row is known as it is now; of some the mark goes."""
        now = {str(row["id"]): row for row in self.rows}
        marked = {id: now.get(id, row) for id, row in self.marked_rows.items()}
        self.marked_rows = {id: row for id, row in marked.items() if not without(row)}

    def with_mark(self, row: Row, cells: list[Cell]) -> list[Cell]:
        """The cells, with room for a mark before them."""
        (text, style), *rest = cells
        return [(f"{MARK if str(row['id']) in self.marked_rows else NONE}{text}", style), *rest]

    @property
    def marks_told(self) -> str:
        """How many are marked, for the banner."""
        return f"   {counted(len(self.marked_rows), 'row')} marked" if self.marked_rows else ""

    def action_back(self) -> None:
        """Escape: first the marks go, then the filter, then the list."""
        if self.marked_rows:
            self.unmark()
        else:
            super().action_back()
