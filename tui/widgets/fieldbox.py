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
from textual.widgets import Input, Select, SelectionList, Static, TextArea

from core.text import plain
from tui import labels
from tui.forms import Field
from tui.view import words
from tui.widgets.pathinput import PathInput
from tui.widgets.typed import SafeArea, SafeInput, safe

Option = tuple[str, str]  # what is shown, the value
MARKED, UNMARKED = "[x] ", "[ ] "
LABEL = 26  # cells


class Marks(SelectionList[str]):
    """A list to choose several from; what is chosen has an x, whatever the terminal's colours."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("space,enter", "select", "choose or not", show=False)]

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
        super().__init__(classes="field", id=f"field-{field.id}")
        self.message, self.field, self.unchosen = message, field, unchosen
        self.given = ("", "")  # what was written into it, as it is shown and as it was
        self.input = self._input(value)

    def compose(self) -> ComposeResult:
        """Label and input in a line; what is wrong below."""
        with Horizontal(classes="line"):
            yield Static(Content(f"  {self.field.label}"), classes="label", markup=False)
            yield self.input
        yield Static("", classes="breach", id=f"breach-{self.field.id}", markup=False)

    def _input(self, value: Any) -> Widget:
        id, kind = f"input-{self.field.id}", self.field.kind
        if kind in ("choice", "switch", "reference"):
            options, chosen = self._options(value)
            return Select(options, prompt=self.unchosen, value=chosen, id=id, compact=True)
        if kind in ("pairs", "several"):
            return Marks(id=id, compact=True)
        if kind in ("long", "lines"):
            return SafeArea(self._shown(value), id=id, tab_behavior="focus", compact=True)
        if kind == "path":
            return PathInput(self.message, self._shown(value), id=id)
        return SafeInput(self._shown(value), id=id, compact=True)

    def _shown(self, value: Any) -> str:
        """The value as text that can be shown; what it was is sent as long as nobody changes it."""
        whole = written(self.field, value)
        self.given = (safe(whole), whole)
        return self.given[0]

    def _options(self, value: Any) -> tuple[list[tuple[Content, str]], Any]:
        field = self.field
        options = [(Content(labels.choice(field.name, each)), each) for each in field.choices]
        if field.kind == "switch":
            options, value = [(Content("yes"), "yes"), (Content("no"), "no")], "yes" if value else "no"
        elif field.kind == "reference" and value:
            options = [(Content(words.short(value)), value)]  # until its list is there, it is sent as it is
        return options, value if value in [each for _, each in options] else Select.NULL

    @property
    def value(self) -> Any:
        """What stands in it."""
        widget = self.input
        if isinstance(widget, SelectionList):
            return " ".join(widget.selected)
        if isinstance(widget, Select):
            value = None if widget.value is Select.NULL else widget.value
            return value == "yes" if self.field.kind == "switch" else value
        text = widget.text if isinstance(widget, TextArea) else widget.value  # type: ignore[attr-defined]
        return self.given[1] if text == self.given[0] else text

    def put(self, value: Any) -> None:
        """Write or choose the value."""
        widget = self.input
        if isinstance(widget, SelectionList):
            widget.deselect_all()
            known = {option.value for option in widget.options}
            for each in str(value or "").split():
                if each in known:
                    widget.select(each)
        elif isinstance(widget, Select):
            if self.field.kind == "switch":
                widget.value = "yes" if value else "no"
            elif value and value not in [each for _, each in widget._options]:
                self.offer([*self._offered(), (words.short(str(value)), str(value))], value)
            else:
                widget.value = value or Select.NULL
        elif isinstance(widget, TextArea):
            widget.text = self._shown(value)
        else:
            widget.value = self._shown(value)  # type: ignore[attr-defined]

    def _offered(self) -> list[Option]:
        return [(str(text), str(each)) for text, each in self.input._options if each is not Select.NULL]  # type: ignore[attr-defined]

    def offer(self, options: Sequence[Option], wanted: Any) -> None:
        """Let choose from these; what is `wanted`, or was chosen, is chosen."""
        if isinstance(self.input, SelectionList):
            marked = str(wanted or "").split() or list(self.input.selected)
            self.input.clear_options()
            self.input.add_options([(Content(plain(name, limit=100)), id, id in marked) for name, id in options])
            return
        select: Any = self.input
        wanted = wanted or (None if select.value is Select.NULL else select.value)
        if wanted and wanted not in [id for _, id in options]:
            options = [*options, (words.short(str(wanted)), str(wanted))]
        select.prompt = self.unchosen if options else self.none_yet
        select.set_options([(Content(plain(name, limit=60)), id) for name, id in options])
        if wanted:
            select.value = wanted

    @property
    def none_yet(self) -> str:
        """What stands where there is nothing to choose from."""
        return "none yet; ctrl+n adds one"

    def blame(self, texts: Sequence[str]) -> None:
        """Show what is wrong with it."""
        box = self.query_one(".breach", Static)
        box.display = bool(texts)
        box.update(Content("\n".join(f"✗ {plain(text, limit=300)}" for text in texts)))

    @property
    def blamed(self) -> bool:
        """Whether something is wrong with it."""
        return bool(self.query_one(".breach").display)

    def need(self, needed: bool) -> None:
        """Say in the empty field that something has to stand there."""
        if isinstance(self.input, Input):
            self.input.placeholder = "needed" if needed else ""

    def focused_is(self, here: bool) -> None:
        """Point at the label of the field that has the focus."""
        self.set_class(here, "focused")
        self.query_one(".label", Static).update(Content(f"{'▸' if here else ' '} {self.field.label}"))


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
