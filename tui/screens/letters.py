"""Dead letters: messages that could not be run, to be looked at, sent again or dropped, one or many."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from core.text import counted, plain
from tui.acting import Outcome
from tui.screens.logbook import PAGE, LogScreen, LogTable
from tui.view import words
from tui.view.cells import Column, Row, text
from tui.view.describe import size

NAMED = 3  # letters that a question names
MARK = "▸"


class LettersScreen(LogScreen):
    """The dead letters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "mark", "mark", show=False),
        Binding("asterisk", "mark_all", "mark all that are shown, or none", show=False),
        Binding("s", "send", "send again as they are", show=False),
    ]
    heading = "Dead Letters"
    empty = "No dead letters.\n\nA message that can't be read, or that ends its worker three times, is kept here."
    hint = "words"
    keys_shown = "enter open, edit  s send again  ^d drop  space mark  * all  / narrow  ? help"

    def __init__(self) -> None:
        self.columns = (
            Column("", lambda row: (MARK if row["id"] in self.chosen else "", "bold")),
            Column("at", lambda row: (words.moment(row.get("at")), "dim")),
            Column(
                "message",
                lambda row: (plain(row.get("name") or "not readable", limit=32), "" if row.get("name") else "wait"),
            ),
            text("reason", 200),
            Column("size", lambda row: (size(int(row.get("bytes") or 0)), "dim")),
            text("queue", 16),
        )
        self.name_column = 3
        self.chosen: dict[str, None] = {}
        self.total = 0
        super().__init__()

    def rows_from(self, last: Row | None) -> tuple[list[Row], bool]:
        """The newest letters, or those before one."""
        place = {} if last is None else {"after": str(last["id"])}
        value = self.dashboard.studio.ask("ListDeadLetters", {"limit": PAGE, **place, **self.fields}, timeout=10).value
        self.total = value.total
        return [letter.model_dump(mode="json") for letter in value.letters], value.has_more

    def got(self, found: tuple[str, list[Row], bool]) -> None:
        """Letters go: what is shown is what there is."""
        wanted, _, older = found
        if wanted == self.wanted and not older:
            self.rows = []
        super().got(found)

    def draw(self) -> None:
        """What is gone is not marked any more."""
        there = {str(row["id"]) for row in self.rows}
        self.chosen = {id: None for id in self.chosen if id in there}
        super().draw()

    def told(self) -> str:
        """How many there are, and how many are marked."""
        marked = f"   {len(self.chosen):d} marked" if self.chosen else ""
        narrowed = f"   /{self.wanted}" if self.wanted else ""
        return f"{self.total:,}{marked}{narrowed}"

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def on_data_table_row_selected(self, event: LogTable.RowSelected) -> None:
        """Enter: all of it, and to edit it."""
        if (row := self.row) is not None:
            from tui.screens.letter import LetterScreen

            self.app.push_screen(LetterScreen(str(row["id"])))

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

    @property
    def meant(self) -> list[Row]:
        """The marked letters, or the one under the cursor."""
        chosen = [row for row in self.rows if str(row["id"]) in self.chosen]
        return chosen or ([self.row] if self.row is not None else [])

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
