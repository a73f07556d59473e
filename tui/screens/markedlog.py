"""A log whose rows can be marked, to do one thing with many."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from tui.screens.logbook import LogScreen, LogTable
from tui.view.cells import Column, Row

MARK = "▸"


class MarkedLogScreen(LogScreen):
    """Subclasses name their columns; the marks stand before them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
        Binding("asterisk", "mark_all", "mark all that are shown, or none", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.columns = (Column("", lambda row: (MARK if row["id"] in self.chosen else "", "bold")), *self.columns)
        self.name_column += 1
        self.chosen: dict[str, None] = {}

    def draw(self) -> None:
        """What is gone is not marked any more."""
        there = {str(row["id"]) for row in self.rows}
        self.chosen = {id: None for id in self.chosen if id in there}
        super().draw()

    @property
    def marks_told(self) -> str:
        """How many are marked, for the banner."""
        return f"   {len(self.chosen):d} marked" if self.chosen else ""

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
