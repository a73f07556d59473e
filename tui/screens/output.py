"""What a command printed, or prints still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Log

from tui.commanding import Running
from tui.screens.base import StudioScreen
from tui.widgets.banner import Banner

EVERY = 0.1  # seconds between looks at what a command prints
LINES = 20_000  # that are shown
PIECE = 50_000  # characters that are written at once: keys are to work in between


class OutputScreen(StudioScreen):
    """Follows a command's output; lines that are too long go on in the next one, so that nothing is cut."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll(1)", "down", show=False),
        Binding("k", "scroll(-1)", "up", show=False),
        Binding("g", "top", "top", show=False),
        Binding("G", "bottom", "bottom", show=False),
        Binding("y", "copy", "copy all", show=False),
        Binding("x", "stop", "stop waiting for the command", show=False),
        Binding("e", "edit", "edit the command", show=False),
    ]
    keys_shown = "j k scroll  y copy  e edit the command  x stop it  esc back  ? help"

    def __init__(self, running: Running) -> None:
        super().__init__()
        self.running = running
        self.shown = 0  # characters of the output that are written
        self.column = 0
        self.ended = False

    def compose(self) -> ComposeResult:
        """The lines."""
        yield Banner("Command")
        yield Log(id="printed", max_lines=LINES, highlight=False, auto_scroll=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """What is there, and what comes."""
        self.banner.name_it(f":{self.running.line}")
        self.focus_first()
        self.call_after_refresh(self.look)
        self.set_interval(EVERY, self.look)

    def focus_first(self) -> None:
        """The lines."""
        self.query_one(Log).focus()

    def on_resize(self) -> None:
        """Lines are broken anew."""
        self.query_one(Log).clear()
        self.shown = self.column = 0
        self.ended = False
        self.look()

    def look(self) -> None:
        """Write what is new, a piece at a time; who is at the end stays there while the command runs."""
        if self.ended:
            return
        log, running = self.query_one(Log), self.running
        over, text = running.over, running.text
        if log.size.width and len(text) > self.shown:
            at_end = log.is_vertical_scroll_end
            piece = text[self.shown : self.shown + PIECE]
            log.write("".join(self._broken(piece, log.size.width - 1)))
            self.shown += len(piece)
            if not over and at_end:
                log.scroll_end(animate=False, x_axis=False)
        self._tell(over and self.shown >= len(text))

    def _tell(self, ended: bool) -> None:
        code = self.running.code
        if not ended:
            self.banner.tell("running …   x stops it" if code is None else "…")
        else:
            self.ended = True
            self.banner.tell("" if not code else "stopped" if code == 130 else f"✗ failed, exit code {code:d}")

    def _broken(self, text: str, width: int) -> Iterator[str]:
        """The text with lines of at most `width` cells; the last one may go on in the next piece."""
        for line in text.splitlines(keepends=True):
            if line.isascii() and self.column + len(line) <= width:
                yield line
                self.column = 0 if line.endswith("\n") else self.column + len(line)
            else:
                yield from self._cut(line, width)

    def _cut(self, line: str, width: int) -> Iterator[str]:
        for char in line:
            cells = 0 if char == "\n" else cell_len(char)
            if self.column + cells > width:
                yield "\n"
                self.column = 0
            yield char
            self.column = 0 if char == "\n" else self.column + cells

    def copies(self) -> list[tuple[str, str]]:
        """What it printed, and the command for a shell."""
        return [("what it printed", self.running.text), ("the command", f"fts {self.running.line}")]

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        self.query_one(Log).scroll_relative(y=lines, animate=False)

    def action_top(self) -> None:
        """g."""
        self.query_one(Log).scroll_home(animate=False)

    def action_bottom(self) -> None:
        """G."""
        self.query_one(Log).scroll_end(animate=False, x_axis=False)

    def action_stop(self) -> None:
        """x: what ctrl+c is in a shell."""
        if not self.running.over:
            self.running.stopped.set()

    def action_edit(self) -> None:
        """e: the command once more."""
        self.action_command(self.running.line)
