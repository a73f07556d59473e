"""Choosing jobs: type to narrow the list, space marks several, enter takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static

from core.text import plain
from tui.theme import painted
from tui.view import words
from tui.view.cells import Row

AFTER = 0.2  # seconds after the last letter in which all jobs are searched for it
Search = Callable[[str, Callable[[list[Row]], None]], None]  # a text, and who is given the jobs that hold it


class Wanted(Input):
    """What is typed narrows the list; a blank is left to the screen, where it marks: no job's name has one."""

    def check_consume_key(self, key: str, character: str | None) -> bool:
        """Whether a key is text here."""
        return key != "space" and super().check_consume_key(key, character)


class PickJobsScreen(ModalScreen[list[Row] | None]):
    """Offers jobs, at most `most` at once; None when it is left."""

    CSS_PATH = "../styles/job.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "leave"),
        Binding("down,ctrl+n", "move(1)", "down"),
        Binding("up,ctrl+p", "move(-1)", "up"),
        Binding("pagedown", "move(10)", "further down"),
        Binding("pageup", "move(-10)", "further up"),
        Binding("enter", "take", "take", priority=True),
        Binding("space", "mark", "mark", priority=True),
        Binding("ctrl+c", "app.quit", "quit"),
    ]

    def __init__(self, title: str, rows: list[Row], most: int, marked: list[str], search: Search) -> None:
        """`rows` are the newest ones; what is typed is searched for among all."""
        super().__init__()
        self.search = search
        self.waiting: Timer | None = None
        self.heading, self.rows, self.most = plain(title), rows, most
        self.marked = list(marked)
        self.had = bool(marked)
        self.at = 0

    def compose(self) -> ComposeResult:
        """The title, what is typed, the jobs."""
        mark = "space marks   " if self.most > 1 else ""
        with Vertical():
            yield Static(Content(self.heading), id="picking", markup=False)
            yield Wanted(placeholder="type to narrow the list", compact=True)
            yield Static("", id="offered", markup=False)
            yield Static(Content(f"↑ ↓ move   {mark}enter take   esc leave"), id="answers", markup=False)

    def on_mount(self) -> None:
        """Typing narrows at once."""
        self.query_one(Wanted).focus()
        self._draw()

    def on_resize(self) -> None:
        """Other room for other jobs."""
        self._draw()

    @property
    def shown(self) -> list[Row]:
        """What is left by what was typed."""
        wanted = self.query_one(Wanted).value.lower().split()
        return [row for row in self.rows if all(word in _told(row).lower() for word in wanted)]

    def on_input_changed(self) -> None:
        """The list narrows as one types; older jobs that hold the text come a moment later."""
        self.at = 0
        self._draw()
        if self.waiting is not None:
            self.waiting.stop()
        if text := self.query_one(Wanted).value.strip():
            self.waiting = self.set_timer(AFTER, lambda: self.search(text, self._more))

    def _more(self, rows: list[Row]) -> None:
        """Jobs that were found: those that are not here yet come last, they are older."""
        known = {row["id"] for row in self.rows}
        self.rows += [row for row in rows if row["id"] not in known]
        if self.is_attached:
            self._draw()

    def _draw(self) -> None:
        rows = self.shown
        self.at = max(0, min(self.at, len(rows) - 1))
        room = max(3, self.size.height - 10)
        first = max(0, min(self.at - room // 2, len(rows) - room))
        made, dark = Text(), self.app.current_theme.dark
        for index, row in enumerate(rows[first : first + room], first):
            mark = ("◉ " if row["id"] in self.marked else "○ ") if self.most > 1 else ""
            line = f"{'▸' if index == self.at else ' '} {mark}{_told(row)}"
            made.append("\n" if index > first else "")
            made.append_text(
                painted(line, "bold" if index == self.at else words.style(str(row.get("status"))), dark=dark)
            )
        nothing = "there is no other job" if not self.rows else "no job holds that"
        self.query_one("#offered", Static).update(made if rows else Content(nothing))

    def action_move(self, step: int) -> None:
        """Up and down."""
        self.at += step
        self._draw()

    def action_mark(self) -> None:
        """space: this one too, or no longer."""
        rows = self.shown
        if self.most < 2 or not rows:
            return
        id = str(rows[self.at]["id"])
        if id in self.marked:
            self.marked.remove(id)
        elif len(self.marked) < self.most:
            self.marked.append(id)
        else:
            self.app.bell()
        self._draw()

    def action_take(self) -> None:
        """enter: those that are marked (none, when one took away all marks there were), else the one under the cursor."""
        if self.most > 1 and (self.marked or self.had):
            self.dismiss([row for row in self.rows if row["id"] in self.marked])
        else:
            rows = self.shown[self.at : self.at + 1]
            self.dismiss(rows or None)

    def action_leave(self) -> None:
        """escape: as it was."""
        self.dismiss(None)


def _told(row: Row) -> str:
    """A job in a line."""
    loss = (row.get("last_metrics") or {}).get("loss")
    told = [words.state(str(row.get("status"))), plain(row.get("adapter_name") or row.get("name") or "", limit=40)]
    told += [
        f"loss {words.number(loss)}" if loss is not None else "",
        words.age(row.get("created_at")),
        words.short(row.get("id")),
    ]
    return f"{told[0]:<18} {told[1]:<28} " + "  ".join(filter(None, told[2:]))
