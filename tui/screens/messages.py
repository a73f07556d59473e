"""Messages: what was sent to change something, by whom, and how it was answered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from core.messages.sent import STATES
from core.sender import who
from core.text import plain
from tui.screens.logbook import LogScreen, LogTable, at
from tui.view import words
from tui.view.cells import Cell, Column, Row, text

MARKS = {"done": ("✓", "good"), "expired": ("◌", "wait"), "unavailable": ("▲", "wait")}


def state(row: Row) -> Cell:
    """How it was answered, with its sign."""
    told = str(row.get("state") or "")
    sign, style = MARKS.get(told, ("✗", "bad"))
    return f"{sign} {plain(told.replace('_', ' '), limit=16)}", style


def sender(row: Row) -> Cell:
    """Who sent it."""
    if row.get("program") == "runner":
        return "a runner", "dim"
    if row.get("sender") == who():
        return "you", ""
    return plain(row.get("sender") or "another service", limit=32), "dim"


def about(row: Row) -> Cell:
    """Why it was not done, or what it said."""
    if row.get("message"):
        return plain(row["message"], limit=200), ""
    return plain(row.get("head") or "", limit=200), "dim"


class MessagesScreen(LogScreen):
    """The log of messages."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("m", "mine", "mine, everybody's", show=False),
        Binding("s", "send", "send again", show=False),
        Binding("o", "resource", "open what it was about", show=False),
    ]
    heading = "Messages"
    asks, field = "ListMessages", "messages"
    looks = True  # what is refused is no event
    empty = "Nothing was sent yet.\n\nWhat adds, starts, changes or removes something\nis kept here, with its answer."
    hint = "words  name:AddDataset  state:refused  from:maria@gpu1  key:…  since:2h  until:03:10"
    keys_shown = "enter open  o what it is about  s send again  m mine  / filter  ? help"
    columns = (
        at(),
        Column("answer", state),
        text("name", 32, "message"),
        Column("said", about),
        Column("from", sender),
        Column("with", lambda row: (plain(row.get("program") or "", limit=12), "dim")),
        Column("tries", lambda row: (words.number(row["attempts"]) if row.get("attempts", 1) > 1 else "", "wait")),
        Column("took", lambda row: (f"{1000 * float(row.get('seconds') or 0):.0f} ms", "dim")),
    )
    wide_only = frozenset({"from", "with", "tries", "took"})
    name_column = 2
    names: ClassVar[Mapping[str, str]] = {
        "name": "name",
        "state": "state",
        "from": "sender",
        "key": "key",
        "since": "since",
        "until": "until",
    }
    choices: ClassVar[Mapping[str, Iterable[str]]] = {"state": STATES}

    def __init__(self) -> None:
        super().__init__()
        self.mine = False

    @property
    def narrowed(self) -> dict[str, Any]:
        """By whose they are."""
        return {"sender": who()} if self.mine else {}

    def nothing(self) -> str:
        """Of one's own, m shows everybody's."""
        return "You sent nothing yet.\n\nm shows everybody's." if self.mine and not self.wanted else super().nothing()

    def told(self) -> str:
        """With whose they are."""
        return super().told() + ("   mine" if self.mine else "")

    def action_mine(self) -> None:
        """m: only one's own, or everybody's."""
        self.mine = not self.mine
        self.rows, self.slid = [], False
        self.again()

    def on_data_table_row_selected(self, event: LogTable.RowSelected) -> None:
        """Enter: all of it."""
        if (row := self.row) is not None:
            from tui.screens.message import MessageScreen

            self.app.push_screen(MessageScreen(str(row["id"])))

    def action_send(self) -> None:
        """s: send it again, after a look."""
        if (row := self.row) is not None:
            from tui.screens.message import MessageScreen

            self.app.push_screen(MessageScreen(str(row["id"]), again=True))

    def action_resource(self) -> None:
        """o: what it was about."""
        if (row := self.row) is not None:
            self.open_resource(str(row.get("kind") or ""), str(row.get("resource_id") or ""))
