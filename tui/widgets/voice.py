"""One who answers: a name, the answer as it grows, and how it ended."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.messages.comparing import Answer
from core.text import plain
from tui.theme import painted
from tui.view.cells import Cell


class Voice(Vertical):
    """A column. It stays at the end of its text while that grows, unless someone scrolled up."""

    def __init__(self, voice: str, name: str) -> None:
        super().__init__()
        self.voice, self.called = voice, name
        self.answer: Answer | None = None  # what the text was made of
        self.wanted: tuple[str, Cell] | None = None
        self.shown: tuple[str, Cell] | None = None

    def compose(self) -> ComposeResult:
        """Name, text, ending."""
        yield Static(Content(plain(self.called, limit=100)), classes="voice", markup=False)
        with VerticalScroll(classes="said", can_focus=False):
            yield Static("", classes="text", markup=False)
        yield Static("", classes="ending", markup=False)

    def on_mount(self) -> None:
        """What it was told to show before it was there."""
        self._draw()

    def show(self, text: str, ending: Cell) -> None:
        """Show an answer; `text` is safe already."""
        self.wanted = (text, ending)
        if self.is_mounted:
            self._draw()

    def _draw(self) -> None:
        if self.wanted is None or self.shown == self.wanted:
            return
        text, ending = self.wanted
        scroll = self.query_one(VerticalScroll)
        at_end = scroll.is_vertical_scroll_end
        if self.shown is None or self.shown[0] != text:
            self.query_one(".text", Static).update(Content(plain(text, limit=1_000_000, lines=True)))
        self.query_one(".ending", Static).update(painted(*ending, dark=self.app.current_theme.dark))
        self.shown = self.wanted
        if at_end:
            scroll.scroll_end(animate=False)

    def scroll(self, lines: int) -> None:
        """Up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
