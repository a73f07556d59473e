"""What the screens share: the banner, the line of keys, the prompt line, and outages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tui.pump import Lost, Restored
from tui.view.kinds import KINDS
from tui.widgets.banner import Banner
from tui.widgets.prompt import PromptLine

if TYPE_CHECKING:
    from tui.app import Dashboard


class StudioScreen(Screen[Any]):
    """A screen of the dashboard. `keys_shown` is its line at the bottom, at most 78 characters."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "command", "command", show=False),
        Binding("escape", "back", "back", show=False),
        Binding("r", "again", "reload", show=False),
    ]
    keys_shown = ":command  ?help  esc back"

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        return self.app  # type: ignore[return-value]

    @property
    def banner(self) -> Banner:
        """The line on top."""
        return self.query_one(Banner)

    def bottom(self) -> list[Any]:
        """The widgets at the bottom."""
        return [PromptLine([*KINDS, "help", "quit"]), Static(Content(self.keys_shown), id="keys", markup=False)]

    def again(self) -> None:
        """Ask for everything that is shown."""

    def action_again(self) -> None:
        """r."""
        self.again()

    def action_back(self) -> None:
        """Escape."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()

    def action_command(self) -> None:
        """The command line."""
        self.query_one(PromptLine).open(":")

    def on_prompt_line_done(self, message: PromptLine.Done) -> None:
        """A command or a filter was entered, or the line left."""
        self.set_focus(None)
        self.focus_first()
        if message.mode == ":" and message.text:
            self.dashboard.obey(message.text)
        elif message.mode == "/":
            self.filtered(message.text or "")

    def filtered(self, text: str) -> None:
        """The filter is settled."""

    def focus_first(self) -> None:
        """Put the focus where the keys work."""

    def lost(self, message: Lost) -> None:
        """Say that the studio is away."""
        if self.is_mounted:
            self.banner.outage(message.reason or "no answer")

    def restored(self, message: Restored) -> None:
        """It is back: show what is true now."""
        if self.is_mounted:
            self.banner.outage("")
            self.again()
