"""A question before what can't be taken back, and what it does as code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.text import plain
from tui.widgets.keysline import KeysLine

READ = 0.4  # seconds until enter counts: the one that asked the question may still be held down


class ConfirmScreen(ModalScreen[bool]):
    """Asks; y and enter are yes, n and what leaves a screen is no."""

    CSS_PATH = "../styles/confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("enter", "enter", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
        Binding("ctrl+o", "code", "as CLI, Python, JSON"),
        Binding("j,down", "scroll(1)", "down"),
        Binding("k,up", "scroll(-1)", "up"),
        Binding("ctrl+c", "app.quit", "quit"),
    ]

    keys = "enter yes, after a moment   y yes   esc no"

    def __init__(self, question: str, code: Callable[[], str] | None = None) -> None:
        super().__init__()
        self.question = plain(question, limit=1_000, lines=True)
        self.code = code
        self.asked = time.monotonic()

    def compose(self) -> ComposeResult:
        """The question, the code once it is asked for, and the keys."""
        keys = self.keys + ("   ctrl+o as code" if self.code else "")
        with Vertical():
            yield Static(Content(self.question), id="question", markup=False)
            with VerticalScroll(id="code"):
                yield Static("", markup=False)
            yield KeysLine(keys, "answers")

    def on_mount(self) -> None:
        """The code is for who asks for it."""
        self.query_one("#code").display = False

    def action_answer(self, yes: bool) -> None:
        """The answer."""
        self.dismiss(yes)

    def action_enter(self) -> None:
        """Enter is yes once there was time to read."""
        if time.monotonic() - self.asked >= READ:
            self.dismiss(True)

    def action_code(self) -> None:
        """ctrl+o: what is to be done, as code, or the question alone."""
        box = self.query_one("#code", VerticalScroll)
        if self.code is not None:
            box.query_one(Static).update(Content(plain(self.code(), limit=100_000, lines=True)))
            box.display = not box.display

    def action_scroll(self, lines: int) -> None:
        """j and k: through the code."""
        self.query_one("#code", VerticalScroll).scroll_relative(y=lines, animate=False)
