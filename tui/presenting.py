"""How a command's outcome comes to who typed it: a word where that is all, its line again when it was wrong, else a screen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.timer import Timer

from core.text import plain
from tui.commanding import Running
from tui.screens.base import StudioScreen
from tui.widgets.prompt import PromptLine

if TYPE_CHECKING:
    from tui.app import Dashboard
    from tui.screens.output import OutputScreen

EVERY = 0.05  # seconds between looks
PATIENCE = 0.8  # seconds in which most commands are done: until then nothing is opened for them
SHORT = 6  # lines of a mistake that have room above the line


class Presenting:
    """Looks after one command until it has ended."""

    def __init__(self, dashboard: Dashboard, running: Running) -> None:
        self.dashboard, self.running = dashboard, running
        self.begun = time.monotonic()
        self.screen: OutputScreen | None = None
        self.timer: Timer = dashboard.set_interval(EVERY, self.look)

    def look(self) -> None:
        """What is to be done now."""
        if self.running.over:
            self.timer.stop()
            self._end()
        elif self.running.asking:
            self.begun = time.monotonic()
        elif self.screen is None and time.monotonic() - self.begun > PATIENCE:
            self._open()

    def _open(self) -> None:
        from tui.screens.output import OutputScreen

        self.screen = OutputScreen(self.running)
        self.dashboard.push_screen(self.screen)

    def _end(self) -> None:
        running, text = self.running, self.running.text.strip()
        if running.landing is not None and not running.code:
            self._land(text)
        elif self.screen is not None:
            self.screen.look()
        elif not running.code and len(text.splitlines()) <= (SHORT if running.done else 1):
            self.dashboard.say(running.done or text or f"{running.line}: done")
        elif running.code and len(text.splitlines()) <= SHORT and self._again(text):
            return
        else:
            self._open()

    def _land(self, text: str) -> None:
        if self.screen is not None and self.screen.is_current:
            self.dashboard.pop_screen()
        if text:
            self.dashboard.say(text)
        assert self.running.landing is not None
        self.running.landing()

    def _again(self, text: str) -> bool:
        """The line once more, with what was wrong; False when something else is typed by now."""
        screen = self.dashboard.screen
        if not isinstance(screen, StudioScreen):
            return False
        if screen.query_one(PromptLine).display or isinstance(screen.focused, PromptLine):
            self.dashboard.say(plain(text, limit=1_000, lines=True), severity="error")
        else:
            screen.action_command(self.running.line, text or f"exit code {self.running.code}")
        return True
