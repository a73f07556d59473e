"""A question before what can't be taken back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Static

from core.text import plain


class ConfirmScreen(ModalScreen[bool]):
    """Asks; y is yes, n and what leaves a screen is no. Enter is neither: it is pressed too easily."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer(True)", "yes"),
        Binding("n,escape,q", "answer(False)", "no"),
    ]

    def __init__(self, question: str) -> None:
        super().__init__()
        self.question = plain(question, limit=300)

    def compose(self) -> ComposeResult:
        """The question and its keys."""
        with Vertical():
            yield Static(Content(f"{self.question}\n\ny yes    n, esc no"), markup=False)

    def action_answer(self, yes: bool) -> None:
        """The answer."""
        self.dismiss(yes)
