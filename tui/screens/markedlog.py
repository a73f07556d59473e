"""A log whose rows can be marked, to do one thing with many."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from core.text import counted
from tui.screens.logbook import LogScreen, LogTable
from tui.screens.marking import MARK, NONE
from tui.view.cells import Cell, Column, Row


class MarkedLogScreen(LogScreen):
    """Subclasses name their columns; a mark stands in the first one, as in lists."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
        Binding("asterisk", "mark_all", "mark all that are shown, or none", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.first, *others = self.columns
        self.columns = (Column(f" {self.first.title}", self._marked), *others)
        self.chosen: dict[str, None] = {}

    def _marked(self, row: Row) -> Cell:
        text, style = self.first.show(row)
        marked = str(row["id"]) in self.chosen
        return f"{MARK if marked else NONE}{text}", "" if marked else style

    def draw(self) -> None:
        """What is gone is not marked any more."""
        there = {str(row["id"]) for row in self.rows}
        self.chosen = {id: None for id in self.chosen if id in there}
        super().draw()

    @property
    def marks_told(self) -> str:
        """How many are marked, for the banner."""
        return f"   {counted(len(self.chosen), 'row')} marked" if self.chosen else ""

    @property
    def meant(self) -> list[Row]:
        """The marked rows, or the one under the cursor."""
        chosen = [row for row in self.rows if str(row["id"]) in self.chosen]
        return chosen or ([self.row] if self.row is not None else [])

    def action_mark(self) -> None:
        """Space: mark, and go to the next."""
        if (row := self.row) is not None:
            id = str(row["id"])
            if id in self.chosen:
                del self.chosen[id]
            else:
                self.chosen[id] = None
            self.draw()
            self.query_one(LogTable).action_cursor_down()

    def action_mark_all(self) -> None:
        """*: all that are shown, or none."""
        ids = [str(row["id"]) for row in self.rows]
        self.chosen = {} if len(self.chosen) == len(ids) else dict.fromkeys(ids)
        self.draw()
