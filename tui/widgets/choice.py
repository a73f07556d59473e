"""A field that is chosen, not typed: one line; enter, or the first letters, open the list of what there is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.events import Click, Key
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from core.text import plain
from tui.view.fit import cut

if TYPE_CHECKING:
    from tui.screens.picker import PickerScreen

Option = tuple[str, str]  # what is shown, the value
ARROW = "▾"


class Choice(Widget, can_focus=True):
    """Draws itself: a form has dozens of them. `value` is one of the options' or None, which `prompt` stands for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,space,down,up", "open", "choose", show=False),
        Binding("right", "step(1)", "next", show=False),
        Binding("left", "step(-1)", "before", show=False),
        Binding("delete,backspace", "clear", "choose nothing", show=False),
    ]
    value: reactive[str | None] = reactive(None, init=False)

    class Changed(Message):
        """Another value."""

        def __init__(self, choice: Choice, value: str | None) -> None:
            super().__init__()
            self.choice, self.value = choice, value

        @property
        def control(self) -> Choice:
            """The widget."""
            return self.choice

    def __init__(self, options: Sequence[Option], value: str | None, prompt: str, id: str, *, few: bool) -> None:
        super().__init__(id=id)
        self.options = list(options)
        self.prompt = prompt
        self.few = few  # an enumeration: the arrows go through it, and one is always chosen if one was at first
        self.set_reactive(Choice.value, value)
        self.picker: PickerScreen | None = None
        self.clearable = not few or value is None
        self.needed = False  # something has to be chosen
        self.letters = ""  # of what is being typed of a few

    def render(self) -> Content:
        """What is chosen, and that it can be."""
        room = max(1, self.size.width - 4)
        shown = cut(plain(self.called, limit=200), room)
        gap = " " * (room - cell_len(shown) + 1)
        style = "" if self.value is not None else "dim"
        return Content.assemble(" ", (shown, style), gap, ARROW)

    @property
    def called(self) -> str:
        """What is chosen, in words."""
        return next((text for text, value in self.options if value == self.value), self.value or self.prompt)

    def offer(self, options: Sequence[Option], prompt: str) -> None:
        """Let choose from these."""
        self.options, self.prompt = list(options), prompt
        self.refresh()

    def watch_value(self, value: str | None) -> None:
        """Tell of it."""
        self.post_message(self.Changed(self, value))

    def on_click(self, event: Click) -> None:
        """The mouse opens the list."""
        self.action_open()

    def on_key(self, event: Key) -> None:
        """Letters look for what is called so; y and n answer a question of yes and no."""
        letter = event.character
        if letter is None or not letter.isprintable() or (letter in " :?" and self.picker is None):
            return
        event.stop()
        event.prevent_default()
        if self.picker is not None:  # typed before the list that is opening takes the keys
            self.picker.typed(letter)
        elif not (self.few and (self._find(self.letters + letter) or self._find(letter))):
            self.action_open(letter)

    def on_blur(self) -> None:
        """What is typed next begins anew."""
        self.letters = ""

    def _find(self, letters: str) -> bool:
        """Choose the one that begins so, by its name or what it is called; whether there is just one."""
        wanted = letters.casefold()
        begun = [each[1] for each in self.options if any(name.casefold().startswith(wanted) for name in each)]
        if len(begun) == 1:
            self.value, self.letters = begun[0], letters
        return len(begun) == 1

    def action_step(self, step: int) -> None:
        """Left, right: through the few there are."""
        values = [value for _, value in self.options]
        if self.few and values:
            at = values.index(self.value) if self.value in values else (-1 if step > 0 else 0)
            self.value = values[(at + step) % len(values)]

    def action_clear(self) -> None:
        """Delete: none of them."""
        if self.clearable:
            self.value = None

    def action_open(self, text: str = "") -> None:
        """Enter: the list."""
        from tui.screens.picker import NOTHING, PickerScreen

        if self.picker is not None:
            return
        self.letters = ""
        if not self.options:
            self.app.bell()
            return
        nothing = [("none of them", NOTHING)] if self.clearable and not self.needed else []

        def chosen(value: str | None) -> None:
            self.picker = None
            if value is not None:
                self.value = None if value == NOTHING else value

        self.picker = PickerScreen([*nothing, *self.options], self.value or NOTHING, text)
        self.app.push_screen(self.picker, chosen)
