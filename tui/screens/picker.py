"""A list to choose one from: what is typed leaves what holds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from core.text import plain
from tui.view.fit import cut

ROOM = 66  # cells of a line of the list
NOTHING = ""  # the value of the line that chooses none


class PickerScreen(ModalScreen[str | None]):
    """Answers the value, or None when it was left. `text` is what was typed before it opened."""

    CSS_PATH = "../styles/picker.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "leave"),
        Binding("down", "move('cursor_down')", "down", priority=True),
        Binding("up", "move('cursor_up')", "up", priority=True),
        Binding("pagedown", "move('page_down')", "a page down", priority=True),
        Binding("pageup", "move('page_up')", "a page up", priority=True),
        Binding("tab", "take", "take it", priority=True),
        Binding("ctrl+c", "app.quit", "quit"),
    ]

    def __init__(self, options: Sequence[tuple[str, str]], value: str, text: str = "") -> None:
        super().__init__()
        self.options, self.value, self.text = list(options), value, text

    def compose(self) -> ComposeResult:
        """What is typed, what is left, and how many."""
        with Vertical():
            yield Input(self.text, placeholder="type to find", select_on_focus=False, compact=True)
            yield OptionList(markup=False, compact=True)
            yield Static("", id="counted", markup=False)

    def on_mount(self) -> None:
        """On what is chosen now."""
        line = self.query_one(Input)
        line.value = self.text
        line.cursor_position = len(self.text)
        self.query_one(OptionList).can_focus = False
        self._show()

    def typed(self, character: str) -> None:
        """A letter that came before this screen took the keys."""
        self.text += character
        for line in self.query(Input):
            line.value = self.text
            line.cursor_position = len(self.text)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Typed."""
        self.text = event.value
        self._show()

    def _show(self) -> None:
        typed = self.text.casefold().strip()
        words = typed.split()
        found = [(text, value) for text, value in self.options if all(each in text.casefold() for each in words)]
        self.left = sorted(found, key=lambda each: _away(typed, each[0].casefold())) if words else found
        shown = self.query_one(OptionList)
        shown.clear_options()
        shown.add_options([Option(Content(cut(plain(text, limit=200), ROOM))) for text, _ in self.left])
        values = [value for _, value in self.left]
        if values:
            shown.highlighted = values.index(self.value) if self.value in values and not words else 0
        left, all_ = (sum(value != NOTHING for _, value in each) for each in (self.left, self.options))
        told = f"{left} of {all_}{'   enter takes it' if self.left else ''}   esc leaves"
        self.query_one("#counted", Static).update(Content(told))

    def action_move(self, how: str) -> None:
        """The arrows move in the list while one types."""
        getattr(self.query_one(OptionList), f"action_{how}")()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        self.action_take()

    def action_take(self) -> None:
        """Enter and tab take what is highlighted; where nothing is left they say so."""
        at = self.query_one(OptionList).highlighted
        if at is not None and at < len(self.left):
            self.dismiss(self.left[at][1])
        else:
            self.app.bell()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click."""
        self.dismiss(self.left[event.option_index][1])


def _away(typed: str, text: str) -> int:
    """What is called just so comes first, then what begins so: enter takes the first line."""
    return 0 if text == typed else 1 if text.startswith(typed) else 2
