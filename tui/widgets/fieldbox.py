"""A field of a form: its label, what its value is typed or chosen in, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input, SelectionList, Static, TextArea

from core.text import plain
from tui import labels
from tui.forms import Field
from tui.view import words
from tui.widgets.choice import Choice, Option
from tui.widgets.line import Line
from tui.widgets.pathinput import PathInput

MARKED, UNMARKED = "[x] ", "[ ] "
CHOOSE = "choose one"
NONE_YET = "none yet; ctrl+n adds one"


class Marks(SelectionList[str]):
    """A list to choose several from; what is chosen has an x, whatever the terminal's colours."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,enter", "select", "choose or not", show=False)]

    def on_focus(self) -> None:
        """On the first, so that space does something at once."""
        if self.highlighted is None and self.option_count:
            self.highlighted = 0

    def _get_left_gutter_width(self) -> int:
        return len(MARKED)

    def render_line(self, y: int) -> Strip:
        """The mark before the option."""
        line = super().render_line(y)
        index = self.scroll_offset.y + y
        if index >= self.option_count:
            return line
        text = list(line)[4:]  # behind the button of its own, which tells by colour
        style = (text[0].style if text else None) or self.rich_style
        mark = MARKED if self.get_option_at_index(index).value in self._selected else UNMARKED
        return Strip([Segment(mark, style + Style(meta={"option": index})), *text])


class FieldBox(Vertical):
    """One field. `value` is what stands in it, as forms.payload reads it."""

    def __init__(self, message: str, field: Field, value: Any, unchosen: str) -> None:
        super().__init__(classes=f"field {field.kind}", id=f"field-{field.id}")
        self.message, self.field, self.unchosen = message, field, plain(unchosen, limit=200)
        self.breach: Static | None = None
        self.offered = field.kind != "reference"  # whether it is known what there is to choose from
        self.input = self._input(value)

    def compose(self) -> ComposeResult:
        """Label and input in a line; what is wrong comes below, when there is something."""
        with Horizontal(classes="line"):
            yield Static(Content(f"  {plain(self.field.label, limit=100)}"), classes="label", markup=False)
            yield self.input

    def _input(self, value: Any) -> Widget:
        id, kind = f"input-{self.field.id}", self.field.kind
        if kind in ("choice", "switch", "reference"):
            return Choice(*self._options(value), self.unchosen, id, few=kind != "reference")
        if kind in ("pairs", "several"):
            return Marks(id=id, compact=True)
        if kind in ("long", "lines"):
            return TextArea(written(self.field, value), id=id, tab_behavior="focus", compact=True, classes=kind)
        if kind == "path":
            return PathInput(self.message, written(self.field, value), id=id)
        return Line(written(self.field, value), placeholder=self.unchosen, id=id, compact=True)

    def _options(self, value: Any) -> tuple[list[Option], str | None]:
        field = self.field
        options = [(labels.choice(field.name, each), each) for each in field.choices]
        if field.kind == "switch":
            return [("yes", "yes"), ("no", "no")], "yes" if value else "no"
        if field.kind == "reference" and value:
            options = [(words.short(str(value)), str(value))]  # until its list is there, it is sent as it is
        return options, str(value) if value else None

    @property
    def value(self) -> Any:
        """What stands in it."""
        widget = self.input
        if isinstance(widget, SelectionList):
            return " ".join(widget.selected)
        if isinstance(widget, Choice):
            return widget.value == "yes" if self.field.kind == "switch" else widget.value
        return widget.text if isinstance(widget, TextArea) else widget.value  # type: ignore[attr-defined]

    def put(self, value: Any) -> None:
        """Write or choose the value."""
        widget = self.input
        if isinstance(widget, SelectionList):
            widget.deselect_all()
            known = {widget.get_option_at_index(at).value for at in range(widget.option_count)}
            for each in str(value or "").split():
                if each in known:
                    widget.select(each)
        elif isinstance(widget, Choice):
            switch = "yes" if value else "no"
            widget.value = switch if self.field.kind == "switch" else str(value) if value else None
        elif isinstance(widget, TextArea):
            widget.text = written(self.field, value)
        else:
            widget.value = written(self.field, value)  # type: ignore[attr-defined]

    def offer(self, options: Sequence[Option], wanted: Any) -> None:
        """Let choose from these; what is `wanted`, or was chosen, is chosen."""
        if isinstance(self.input, SelectionList):
            marked = str(wanted or "").split() or list(self.input.selected)
            self.input.clear_options()
            self.input.add_options([(Content(plain(name, limit=100)), id, id in marked) for name, id in options])
            if self.input.has_focus and options:
                self.input.highlighted = 0
        elif isinstance(self.input, Choice):
            value = wanted or self.input.value
            if value and value not in [id for _, id in options]:
                options = [*options, (words.short(str(value)), str(value))]
            self.offered = True
            self.input.offer(options, self.unchosen)
            self.input.value = str(value) if value else None

    def blame(self, texts: Sequence[str]) -> None:
        """Show what is wrong with it."""
        if self.breach is None and texts:
            self.breach = Static("", classes="breach", id=f"breach-{self.field.id}", markup=False)
            # Below a text that fills the screen nobody would see it.
            above = self.input if self.field.kind == "long" else None
            (self if above is None else self.query_one(".line")).mount(self.breach, before=above)
        if self.breach is not None:
            self.breach.display = bool(texts)
            self.breach.update(Content("\n".join(f"✗ {plain(text, limit=300)}" for text in texts)))

    @property
    def blamed(self) -> bool:
        """Whether something is wrong with it."""
        return self.breach is not None and bool(self.breach.display)

    def need(self, needed: bool) -> None:
        """Say in the empty field that something has to stand there."""
        if isinstance(self.input, Input):
            self.input.placeholder = "needed" if needed else self.unchosen
        elif isinstance(self.input, Choice):
            self.input.needed = self.input.needed or needed
            if not self.offered:
                self.input.prompt = "…"
            elif not self.input.options:
                self.input.prompt = NONE_YET if needed or self.unchosen == CHOOSE else self.unchosen
            else:
                self.input.prompt = f"{CHOOSE} (needed)" if needed else self.unchosen.replace(CHOOSE, "none")
            self.input.refresh()

    def focused_is(self, here: bool) -> None:
        """Point at the label of the field that has the focus."""
        self.set_class(here, "focused")
        self.query_one(".label", Static).update(Content(f"{'▸' if here else ' '} {plain(self.field.label, limit=100)}"))


def written(field: Field, value: Any) -> str:
    """A value as text: one line an item where there are several; nothing for nothing."""
    if value in (None, [], ""):
        return ""
    if isinstance(value, list):
        return ("\n" if field.kind == "lines" else " ").join(map(str, value))
    return str(value)


def same(one: Any, other: Any) -> bool:
    """Whether two values stand in a field alike; a 0 stands there, nothing does not."""
    texts = ["" if each in (None, "", []) or each is False else str(each) for each in (one, other)]
    return texts[0] == texts[1]
