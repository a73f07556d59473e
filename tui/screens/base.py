"""What the screens share: the banner, the line of keys, the prompt line, and outages."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on
from textual._context import visible_screen_stack
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.screen import Screen
from textual.timer import Timer
from textual.widgets import Input

from tui.pump import Restored
from tui.view.navigation import WIDE
from tui.widgets.banner import Banner
from tui.widgets.keysline import KeysLine
from tui.widgets.nav import Nav
from tui.widgets.prompt import PromptLine
from tui.widgets.topbar import Menu, TopBar

AGAIN = 2.0  # seconds until a question that failed is asked again, at first
TAKEN = {("guide", ()), ("pane", ("numbers",))}  # what u does on some screens while nothing is going
NEXT = 5.0  # seconds in which Y once more copies the next thing

if TYPE_CHECKING:
    from tui.app import Dashboard


class StudioScreen(Screen[Any]):
    """A screen of the dashboard. `keys_shown` is its line at the bottom, at most 78 characters.

    What it shows comes from `fetch`, called in a thread, and is drawn by `got`. One question is under way at a time; what
    happens meanwhile leads to another one, so that the last state is never missed.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("colon", "command", "command", show=False, priority=True),
        Binding("escape", "back", "back", show=False),
        Binding("r", "again", "reload", show=False),
        Binding("Y", "copy", "copy; again for more of it", show=False),
    ]
    keys_shown = ":command  ?help  esc back"
    unsaved = False  # what was typed here would be lost with it

    def __init__(self) -> None:
        super().__init__()
        visible_screen_stack.set([])  # what it starts inherits it, and would keep what was drawn and is closed
        self.page = ""  # the page that this screen is; none where it lies over one
        self.asking = self.again_soon = self.stale = False
        self.as_of = 0.0  # when what is shown was answered, in unix seconds
        self.retry: Timer | None = None
        self.copied, self.copied_at = 0, -NEXT

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        return self.app  # type: ignore[return-value]

    @property
    def banner(self) -> Banner:
        """The line on top."""
        return self.query_one(Banner)

    @property
    def nav(self) -> Nav | TopBar:
        """The pages' names: the sidebar, or the bar on top."""
        return self.query_one("#nav")  # type: ignore[return-value]

    @property
    def there(self) -> bool:
        """Whether it has its widgets and is open; Textual's `is_mounted` stays true of what was closed."""
        return self.is_mounted and self.is_attached

    @property
    def room(self) -> int:
        """Cells from left to right that the sidebar leaves."""
        return self.app.size.width - (WIDE if self.dashboard.nav_beside else 0)

    def on_unmount(self) -> None:
        """What it leaves is swept up."""
        self.dashboard.sweep_soon()

    def bottom(self) -> list[Any]:
        """The widgets around what a screen shows: the sidebar, the line of keys, the one that one types into."""
        bar = TopBar()
        return [
            *([bar, Menu(bar)] if self.dashboard.composable else [Nav(shown=self.dashboard.nav_beside)]),
            PromptLine(),
            KeysLine(self.keys_shown),
        ]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """`:` and `/` come before everything, so that what is typed at once behind them reaches their line, but are
        letters like others where text is typed; u takes a removal back wherever one is by then."""
        if (action, parameters) in TAKEN:
            return not self.dashboard.going_told
        if action not in ("command", "filter"):
            return True
        areas = sys.modules.get("textual.widgets._text_area")  # not imported for this: no area, nobody types into one
        return not isinstance(self.focused, (Input, areas.TextArea) if areas is not None else Input)

    def _compositor_refresh(self) -> None:
        """Draws nothing while the line to the terminal is busy: what is to be drawn stays so, and goes together."""
        if not self.is_current or self.dashboard.may_draw():
            super()._compositor_refresh()

    def fetch(self) -> Any:
        """What is shown, asked for in a thread; None when there is nothing to ask."""

    def got(self, found: Any) -> None:
        """Draw what was fetched."""

    def again(self) -> None:
        """Ask for everything that is shown. A screen that lies below another one asks when it is seen again: what it drew
        meanwhile nobody would see, and yet the terminal would be sent all that lies above it anew."""
        if not self.is_active:
            self.stale = True
            return
        if self.asking:
            self.again_soon = True
            return
        if self.retry is not None:
            self.retry.stop()
        self.asking, self.again_soon = True, False
        self.run_worker(self._ask, thread=True, exit_on_error=False)

    def _ask(self) -> None:
        try:
            found = self.fetch()
        except Exception as error:  # whatever it is, it is shown and asked again
            self.in_app(self._failed, error)
        else:
            self.in_app(self._fetched, found)

    def _fetched(self, found: Any) -> None:
        self.asking = False
        self.as_of = time.time()
        self.dashboard.reached()
        if self.dashboard.connection.part:
            self.lost()
        else:
            self.banner.outage("")
        if found is not None:
            self.got(found)
        if self.again_soon:
            self.retry = self.set_timer(0.1, self.again)

    def _failed(self, error: Exception) -> None:
        from core.errors import NotFound, Unavailable

        self.asking = False
        if isinstance(error, Unavailable):
            self.dashboard.unreached(error.part or "store", str(error))
        else:
            self.banner.outage(str(error) or type(error).__name__)
        if not isinstance(error, NotFound):
            self.retry = self.set_timer(max(AGAIN, self.dashboard.connection.pause), self.again)

    def in_app(self, do: Any, *values: Any) -> None:
        """Call from a thread; nothing when the screen has gone."""
        if self.app.is_running and self.there:
            self.app.call_from_thread(do, *values)

    def action_again(self) -> None:
        """r."""
        self.again()

    def action_back(self) -> None:
        """Escape: what lies below; home from a page."""
        if len(self.app.screen_stack) > 2:
            self.app.pop_screen()
        elif self.page != "home":
            self.dashboard.go("home")

    def copies(self) -> list[tuple[str, str]]:
        """What Y copies: (what it is, the text), what is wanted most first."""
        return []

    def action_copy(self) -> None:
        """Y: what is marked, else what the screen offers; soon after, the next thing that it offers."""
        if marked := self.dashboard.marked:
            self.dashboard.copy(marked)
            self.clear_selection()
        elif offered := self.copies():
            soon = time.monotonic() - self.copied_at < NEXT
            self.copied, self.copied_at = (self.copied + 1 if soon else 0) % len(offered), time.monotonic()
            what, text = offered[self.copied]
            more = f"   (Y again: {offered[(self.copied + 1) % len(offered)][0]})" if len(offered) > 1 else ""
            self.dashboard.copy(text, what + more)

    def action_command(self, text: str = "", wrong: str = "") -> None:
        """The command line, with a text in it, and what was wrong with that."""
        self.query_one(PromptLine).open(":", text, wrong=wrong)

    def fit_nav(self) -> None:
        """Show the sidebar where it has its place, and give what it took or left to the rest."""
        if self.nav.fit():
            self.post_message(Resize(self.size, self.size))

    async def _on_resize(self, event: Resize) -> None:
        """Another width has room for it, or none; screens have an on_resize of their own beside this."""
        self.fit_nav()

    def on_screen_resume(self) -> None:
        """The sidebar was shown or hidden on another screen, and what is shown may be old."""
        self.fit_nav()
        if self.stale:
            self.stale = False
            self.again()

    def on_prompt_line_done(self, message: PromptLine.Done) -> None:
        """A command or a filter was entered, or the line left."""
        self.set_focus(None)
        self.focus_first()
        if message.mode == ":" and message.text:
            self.dashboard.obey(message.text)
        elif message.mode == "/":
            self.filtered(message.text or "")
        elif message.mode == ">" and message.text:
            self.entered(message.text)

    def filtered(self, text: str) -> None:
        """The filter is settled."""

    def entered(self, text: str) -> None:
        """A file's name was entered."""

    def focus_first(self) -> None:
        """Put the focus where the keys work."""

    def bench_told(self) -> None:
        """More is known of the workbench: its load stands in the sidebar."""
        if self.there:
            self.nav.refresh()

    def lost(self) -> None:
        """Say what of the studio is away."""
        if self.there:
            self.banner.outage(self.dashboard.connection.told(self.banner.size.width - 2, self.as_of))

    @on(Resize)
    def retell(self) -> None:
        """What is away is told in as many words as there is room for."""
        if self.dashboard.connection.part:
            self.lost()

    def restored(self, message: Restored) -> None:
        """It is back: show what is true now."""
        if self.there:
            self.banner.outage("")
            self.again()
