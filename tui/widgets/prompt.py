"""The line at the bottom into which `:` and `/` are typed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.suggester import SuggestFromList
from textual.widgets import Input

from core.text import plain


class PromptLine(Input):
    """Hidden until it is opened; enter submits, escape puts it away."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "back", show=False),
        Binding("tab", "complete", "complete", show=False),
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

    def __init__(self, commands: Iterable[str]) -> None:
        super().__init__(id="prompt", compact=True)
        self.commands = SuggestFromList(sorted(commands), case_sensitive=False)
        self.mode = ":"
        self.display = False

    def open(self, mode: str, text: str = "", wanted: str = "jobs, datasets, models …   tab completes") -> None:
        """Show the line for a command (`:`) or a filter (`/`); while it is empty it tells what is `wanted`."""
        self.mode = mode
        self.suggester = self.commands if mode == ":" else None
        self.placeholder = plain(f"{mode} {wanted}", limit=200)
        self.value = text
        self.display = True
        self.screen.set_focus(self)  # at once: focus() would let the keys behind `:` go elsewhere

    def on_input_changed(self, event: Input.Changed) -> None:
        """A filter works as it is typed."""
        if self.mode == "/" and self.display:
            self.post_message(self.Typed(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        self.display = False
        self.post_message(self.Done(self.mode, event.value))

    def action_complete(self) -> None:
        """Tab takes what is suggested."""
        self.action_cursor_right()

    def action_leave(self) -> None:
        """Escape."""
        self.display = False
        self.post_message(self.Done(self.mode, None))
