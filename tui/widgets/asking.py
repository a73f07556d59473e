"""Where a prompt is typed: enter asks, what is pasted keeps its lines."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import TextArea


class AskArea(TextArea):
    """A text of some lines. ctrl+j makes a new one, since enter asks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "ask", "ask", show=False, priority=True),
        Binding("ctrl+j", "line", "new line", show=False, priority=True),
        Binding("escape", "leave", "leave", show=False),
    ]

    class Asked(Message):
        """The text is to be asked."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Left(Message):
        """The keys work elsewhere again."""

    def action_ask(self) -> None:
        """Enter."""
        if self.text.strip():
            self.post_message(self.Asked(self.text))

    def action_line(self) -> None:
        """ctrl+j."""
        self.insert("\n")

    def action_leave(self) -> None:
        """Escape."""
        self.post_message(self.Left())
