"""Dead letters: messages that could not be run, to be looked at, sent again or dropped, one or many."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.text import counted, plain
from tui.acting import Outcome
from tui.screens.logbook import LogTable, at
from tui.screens.markedlog import MarkedLogScreen
from tui.view.cells import Cell, Column, Row, text
from tui.view.describe import size

NAMED = 3  # letters that a question names


def called(row: Row) -> Cell:
    """The message's name, where one could be read."""
    return plain(row.get("name") or "not readable", limit=32), "" if row.get("name") else "wait"


class LettersScreen(MarkedLogScreen):
    """The dead letters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "send", "send again as they are", show=False),
    ]
    heading = "Dead Letters"
    asks, field = "ListDeadLetters", "letters"
    empty = "No dead letters.\n\nA message that can't be read, or that ends its worker\nthree times, is kept here."
    hint = "words"
    keys_shown = "enter open, edit  s send again  ^d drop  space mark  * all  / filter  ? help"

    columns = (
        at(),
        Column("message", called),
        text("reason", 200),
        Column("size", lambda row: (size(int(row.get("bytes") or 0)), "dim")),
        text("queue", 16),
    )
    name_column = 2

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def page_told(self, page: dict[str, Any]) -> None:
        """How many there are."""
        self.total = page["total"]

    def got(self, found: tuple[str, list[Row], bool]) -> None:
        """Letters go: what is shown is what there is."""
        wanted, _, older = found
        if wanted == self.wanted and not older:
            self.rows = []
        super().got(found)

    def told(self) -> str:
        """How many there are, and how many are marked."""
        narrowed = f"   /{self.wanted}" if self.wanted else ""
        return f"{self.total:,}{self.marks_told}{narrowed}"

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def on_data_table_row_selected(self, event: LogTable.RowSelected) -> None:
        """Enter: all of it, and to edit it."""
        if (row := self.row) is not None:
            from tui.screens.letter import LetterScreen

            self.app.push_screen(LetterScreen(str(row["id"])))

    def _named(self, rows: list[Row]) -> str:
        names = [f"{plain(row.get('name') or 'one that is not readable', limit=40)}" for row in rows[:NAMED]]
        more = f" and {counted(len(rows) - NAMED, 'other')}" if len(rows) > NAMED else ""
        return ", ".join(names) + more

    def action_send(self) -> None:
        """s: send them again as they are."""
        rows = self.meant
        if not rows:
            return
        question = f"Send {counted(len(rows), 'dead letter')} again: {self._named(rows)}? Each goes out once."
        many = [{"id": str(row["id"])} for row in rows]
        self.dashboard.act("RequeueDeadLetter", many, question=question, done=self._done)

    def action_remove(self) -> None:
        """ctrl+d: drop them for good."""
        rows = self.meant
        if not rows:
            return
        question = (
            f"Drop {counted(len(rows), 'dead letter')} for good: {self._named(rows)}? Nobody can send them again then."
        )
        self.dashboard.act(
            "DropDeadLetters", [{"ids": [str(row["id"]) for row in rows]}], question=question, done=self._done
        )

    def _done(self, outcomes: list[Outcome]) -> None:
        """What went is shown no more."""
        gone = {id for each in outcomes if each.error is None for id in each.fields.get("ids", [each.fields.get("id")])}
        self.rows = [row for row in self.rows if row["id"] not in gone]
        self.again()
