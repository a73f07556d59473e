"""The line at the bottom into which `:` and `/` are typed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import Suggester, SuggestionReady
from textual.widgets import Input

from core.text import plain

if TYPE_CHECKING:
    from tui.widgets.commandline import CommandHelp

LATE = 2.0  # seconds in which a focus that was asked for earlier may still come
WANTED = "a page or a command of fts: jobs, datasets, job cancel …"


class Ghost(Suggester):
    """Shows how a command would go on, behind what is typed of it."""

    def __init__(self, line: PromptLine) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self.line = line

    async def get_suggestion(self, value: str) -> str | None:
        """The whole line, as far as it is known."""
        return self.line.helper.ghost(value) if self.line.helper is not None else None


class PromptLine(Input):
    """Hidden until it is opened; enter submits, escape puts it away. For commands there is help above it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", show=False),
        Binding("tab", "complete(1)", "complete", show=False),
        Binding("shift+tab", "complete(-1)", "complete backwards", show=False),
        Binding("up", "remember(1)", "the line before", show=False),
        Binding("down", "remember(-1)", "the line after", show=False),
    ]

    class Done(Message):
        """Something was entered, or the line was put away (text None)."""

        def __init__(self, mode: str, text: str | None) -> None:
            super().__init__()
            self.mode, self.text = mode, text

    class Typed(Message):
        """The filter changed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def __init__(self) -> None:
        super().__init__(id="prompt", compact=True)
        self.mode = ":"
        self.display = False
        self.helper: CommandHelp | None = None
        self.own: str | None = None  # what completion or history put here, so that it is no typing
        self.begun = ""  # how the lines that are remembered begin
        self.back = 0  # how many lines one went back
        self.waiting = 0  # a tab that came before what it takes
        self.tabbed = ""  # what it was to complete
        self.entered = False  # and enter behind it
        self.opened = 0.0

    def open(self, mode: str, text: str = "", wanted: str = WANTED, wrong: str = "") -> None:
        """Show the line for a command (`:`) or a filter (`/`); while it is empty it tells what is `wanted`."""
        self.mode = mode
        self.suggester = None
        self.placeholder = plain(f"{mode} {wanted}", limit=200)
        self.select_on_focus = mode != ":"  # a filter is rather typed anew, a command rather mended
        self.value = text
        self.cursor_position = len(text)
        self.display = True
        self.opened = time.monotonic()
        self.screen.set_focus(self)  # at once: focus() would let the keys behind `:` go elsewhere
        self.own, self.back, self.waiting, self.entered = None, 0, 0, False
        if mode == ":":
            self.call_after_refresh(self._helped, wrong)

    async def _helped(self, wrong: str) -> None:
        """What stands above a command, made when one is first typed."""
        if not self.display or self.mode != ":":
            return
        if self.helper is None:
            from tui.widgets.commandline import CommandHelp

            self.helper = CommandHelp(self.app, self)  # type: ignore[arg-type]
            await self.screen.mount(self.helper)
        self.suggester = Ghost(self)
        self.helper.begin()
        self.helper.look(self.tabbed if self.waiting else self.value)
        if wrong:
            self.helper.fail(wrong)
        self.fresh()

    def on_input_changed(self, event: Input.Changed) -> None:
        """A filter works as it is typed, and what may come next is shown as a command is."""
        if self.mode == "/" and self.display:
            self.post_message(self.Typed(event.value))
        elif self.mode == ":" and self.display and self.helper is not None and event.value != self.own:
            self.own, self.back = None, 0
            self.helper.look(event.value)

    def on_blur(self) -> None:
        """Only a click elsewhere puts the line away: a focus that a screen asked for before it was opened comes too late."""
        if not self.display or not self.screen.is_current or not self.app.app_focus:
            return
        if time.monotonic() - self.opened < LATE:
            self.screen.set_focus(self)
        else:
            self._close(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter; behind a tab that waits it waits too."""
        if self.waiting:
            self.entered = True
        else:
            self._close(event.value)

    def action_leave(self) -> None:
        """Escape."""
        self._close(None)

    def _close(self, text: str | None) -> None:
        self.display = False
        if self.helper is not None:
            self.helper.display = False
        self.post_message(self.Done(self.mode, text))

    def action_complete(self, by: int) -> None:
        """Tab takes what may come next, one after another."""
        if self.mode == ":" and (self.helper is None or not self.helper.knows(self.value)):
            self.waiting, self.tabbed = by, self.value  # the parser is being made
        elif self.mode == ":" and self.helper is not None:
            self.put(self.helper.step(by))
            if len(self.helper.found) == 1:
                self.helper.look(self.value)
        else:
            self.action_cursor_right()

    def action_remember(self, by: int) -> None:
        """Up and down: the lines that were typed before and begin as this one does."""
        if self.mode != ":":
            return
        if not self.back:
            self.begun = self.value
        lines = self.app.commanding.history.beginning(self.begun)  # type: ignore[attr-defined]
        self.back = max(0, min(len(lines), self.back + by))
        back = self.back
        self.put(lines[back - 1] if back else self.begun)
        if self.helper is not None:
            self.helper.look(self.value)
        self.back = back

    def put(self, line: str) -> None:
        """Let the line be this, which nobody typed."""
        self.own = self.value = line
        self.cursor_position = len(line)
        self.screen.set_focus(self)

    def fresh(self) -> None:
        """More is known of what may come next."""
        if self.waiting and self.helper is not None and self.helper.knows(self.tabbed):
            self._catch_up(self.helper)
        elif self.helper is not None and (ghost := self.helper.ghost(self.value)) is not None:
            self.post_message(SuggestionReady(self.value, ghost))

    def _catch_up(self, helper: CommandHelp) -> None:
        """Complete what stood there when tab was pressed; what was typed behind it stays, and enter comes after."""
        by, self.waiting = self.waiting, 0
        behind = self.value.removeprefix(self.tabbed)
        helper.look(self.tabbed)
        self.put(helper.step(by).rstrip(" ") + behind if behind else helper.step(by))
        if self.entered:
            self._close(self.value)
        elif behind or len(helper.found) == 1:
            helper.look(self.value)
