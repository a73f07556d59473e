"""Feedback: an issue's text, made of what one types and of the surroundings, to be copied or written to a file."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static, TextArea

from tui.screens.base import StudioScreen
from tui.view import feedback
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine
from tui.widgets.told import Told

ASKED = "What did you do, what did you expect, what happened? Or: what would help?"


class FeedbackScreen(StudioScreen):
    """Nothing is sent anywhere: the text goes to the clipboard or a file, and one sees all of it before."""

    CSS_PATH = "../styles/feedback.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "copy_issue", "copy it all, to be pasted into an issue", show=False, priority=True),
        Binding("ctrl+o", "write", "write it to a file", show=False, priority=True),
        Binding("tab", "app.focus_next", "next field", show=False, priority=True),
        Binding("shift+tab", "app.focus_previous", "field before", show=False, priority=True),
    ]
    keys_shown = "^s copy  ^o write to a file  tab next  esc leave  F1 all keys"

    def __init__(self) -> None:
        super().__init__()
        self.told: dict[str, Any] | None = None
        self.kept = ""  # the text that was copied or written last: it is not lost with the screen

    def compose(self) -> ComposeResult:
        """A title, a text, and what goes along with them."""
        yield Banner("Feedback")
        yield Static(Content(ASKED), id="asked", markup=False)
        yield Input(placeholder="in a line", id="title", compact=True)
        yield TextArea(id="text", compact=True, placeholder="and in full")
        yield Static(
            Content("What goes along with it: versions and numbers, no names, no paths."), id="along", markup=False
        )
        with VerticalScroll(id="about", can_focus=False):
            yield Told("surroundings")
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask for the numbers; what one types does not wait for them."""
        self._draw()
        self.focus_first()
        self.again()

    def focus_first(self) -> None:
        """The title."""
        self.query_one("#title").focus()

    def fetch(self) -> dict[str, Any]:
        """The studio in numbers."""
        found: dict[str, Any] = self.dashboard.studio.ask("GetOverview", {"events": 0}, timeout=10).value.model_dump(
            mode="json"
        )
        return found

    def got(self, found: dict[str, Any]) -> None:
        """Show them."""
        self.told = found
        self._draw()

    def on_resize(self) -> None:
        """The terminal's size is told too."""
        self._draw()

    @property
    def about(self) -> list[str]:
        """The surroundings, a line each."""
        size, environ = self.app.size, os.environ
        between = "tmux" if environ.get("TMUX") else "screen" if environ.get("STY") else ""
        terminal = {
            "size": f"{size.width}x{size.height}",
            "TERM": environ.get("TERM", "")[:40],
            "colours": self.colours,
            "in": between,
            "over": "SSH" if environ.get("SSH_CONNECTION") else "",
        }
        return feedback.surroundings(terminal, self.told)

    @property
    def colours(self) -> str:
        """How many the terminal is believed to have."""
        return str(self.app.console.color_system)

    @property
    def issue(self) -> str:
        """The whole text."""
        return feedback.issue(self.query_one("#title", Input).value, self.query_one("#text", TextArea).text, self.about)

    def _draw(self) -> None:
        self.query_one(Told).tell([("· ", ""), (line, "")] for line in self.about)

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    @property
    def unsaved(self) -> bool:  # type: ignore[override]
        """Whether something was typed that went nowhere yet."""
        typed = self.query_one("#title", Input).value + self.query_one("#text", TextArea).text
        return bool(typed.strip()) and typed != self.kept

    def _keep(self) -> None:
        self.kept = self.query_one("#title", Input).value + self.query_one("#text", TextArea).text

    def action_back(self) -> None:
        """Escape: what was typed is not lost by one key."""
        if self.unsaved:
            self.dashboard.confirm("Leave? What was typed was neither copied nor written.", super().action_back)
        else:
            super().action_back()

    def action_copy_issue(self) -> None:
        """ctrl+s."""
        self.dashboard.copy(self.issue, "the issue's text")
        self._keep()

    def action_write(self) -> None:
        """ctrl+o: ask for the file's name."""
        if self.dashboard.readonly:
            self.dashboard.say("this dashboard only looks, and writes no files: ctrl+s copies it", severity="warning")
            return
        name = time.strftime("feedback-%Y%m%d-%H%M.md")
        self.query_one(PromptLine).open(">", name, "a new file of the project")

    def entered(self, text: str) -> None:
        """The file's name is settled: it is made new, within the project."""
        from core.paths import inside_any
        from core.settings import settings

        try:
            path: Path = inside_any(settings().roots, text)
            with path.open("x", encoding="utf-8") as file:
                file.write(self.issue)
        except FileExistsError:
            self.dashboard.say("there is a file of that name: choose another one", severity="warning")
        except (OSError, ValueError) as error:
            self.dashboard.complain(error)
        else:
            self._keep()
            self.dashboard.say(f"written to {path}")
