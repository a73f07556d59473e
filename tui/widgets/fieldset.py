"""The fields of a form, group by group; which of them are asked for depends on what stands in others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content
from textual.events import DescendantFocus
from textual.message import Message
from textual.widgets import Input, SelectionList, Static, TextArea

from tui import forms
from tui.forms import Field
from tui.grouping import CONFIG_KINDS, LEFT_OUT, PROMPTS_OF
from tui.labels import unset
from tui.matching import Prompts
from tui.widgets.choice import Choice, Option
from tui.widgets.fieldbox import CHOOSE, FieldBox, same
from tui.widgets.pathinput import PathInput


class Fieldset(VerticalScroll):
    """All fields of a message's form. `touched` are those that somebody typed into."""

    class Changed(Message):
        """Somebody typed into a field, or it was filled in (`by_hand` tells)."""

        def __init__(self, field: Field, by_hand: bool) -> None:
            super().__init__()
            self.field, self.by_hand = field, by_hand

    class Entered(Message):
        """The focus is in another field."""

        def __init__(self, field: Field) -> None:
            super().__init__()
            self.field = field

    def __init__(self, message: str, values: Mapping[str, Any]) -> None:
        super().__init__(id="fields", can_focus=False)
        self.message, self.given = message, dict(values)
        self.form = forms.fields(message)
        self.touched: set[str] = set()
        self.prompts: dict[str, Prompts] = {}  # what fields that choose one choose from
        self.together: set[tuple[Any, Any]] = (
            set()
        )  # datasets and prompts that whoever opened or filled the form meant so
        self._mean(values)
        self.kept = {name: value for name, value in values.items() if name not in {each.key for each in self.form}}
        self.boxes = {
            field.key: FieldBox(message, field, values.get(field.key, field.default), self._unchosen(field))
            for field in self.form
        }
        self.group_of: dict[str, list[FieldBox]] = {}
        for field in self.form:
            self.group_of.setdefault(field.group, []).append(self.boxes[field.key])

    def compose(self) -> ComposeResult:
        """The groups."""
        for number, (group, boxes) in enumerate(self.group_of.items()):
            if group:
                yield Static(Content(group), classes="group", id=f"group-{number}", markup=False)
            yield from boxes

    def on_mount(self) -> None:
        """Only what is asked for."""
        self.ask_for()

    def _unchosen(self, field: Field) -> str:
        if field.name.removesuffix("_id") in self.kept:
            return "as the job had it"
        if field.kind in ("choice", "reference"):
            return unset(field.name) or ("the default" if field.name in CONFIG_KINDS else CHOOSE)
        return unset(field.name)

    # ─── values ───────────────────────────────────────────────────────────────────────────────────

    def values(self) -> dict[str, Any]:
        """What stands in the fields."""
        return {key: box.value for key, box in self.boxes.items()}

    def payload(self) -> tuple[dict[str, Any], dict[str, str]]:
        """(the message that the form says, what can't be read by field)."""
        from core.cloning import changed

        values = self.values()
        made, wrong = forms.payload(self.form, values)
        if self.message.startswith("Edit") and self.given.get("description") and not values["description"]:
            made["description"] = ""  # cleared: left out it would stay as it is
        return changed(self.kept, made) if self.kept else made, wrong

    def begin(self, key: str, value: Any) -> None:
        """What a field begins with once it is known: nobody typed it, and the rules look at it all the same."""
        self.given[key] = value
        self.boxes[key].put(value)
        self.ask_for()
        self.post_message(self.Changed(self.boxes[key].field, by_hand=False))

    def fill(self, values: Mapping[str, Any], *, by_hand: bool) -> None:
        """Put values into their fields; `by_hand` when they were typed once, as those of a draft."""
        self._mean(values)
        for key, value in values.items():
            if key in self.boxes:
                self.given[key] = value
                self.boxes[key].put(value)
                self.touched |= {key} if by_hand else set()
        self.kept |= {key: value for key, value in values.items() if key not in self.boxes}
        self.ask_for()
        self.post_message(self.Changed(self.form[0], by_hand=False))

    def offer(self, field: Field, options: list[Option] | Prompts) -> None:
        """Let a field choose from these; where there is but one, it is that one. Prompts are those of its dataset."""
        box = self.boxes[field.key]
        wanted = box.value if field.key in self.touched else self.given.get(field.key)
        if isinstance(options, Prompts):
            self.prompts[field.key] = options
            dataset = self._dataset_of(field)
            mine, options = options.own(dataset), options.offered(dataset, wanted)
        else:
            mine = [value for _, value in options]
        box.offer(options, wanted)
        alone = len(mine) == 1 and field.kind == "reference" and not box.value
        if alone and field.name not in {*CONFIG_KINDS, *LEFT_OUT}:
            self.begin(field.key, mine[0])

    def _dataset_of(self, field: Field) -> str | None:
        """The dataset that decides which prompts a field offers."""
        boxes = [box for name in PROMPTS_OF[field.name] if (box := self.by_name(name)) is not None]
        return next((box.value for box in boxes if box.value), None)

    def _mean(self, values: Mapping[str, Any]) -> None:
        """A prompt that comes with its dataset, as of an earlier job, stays with it."""
        for prompt, datasets in PROMPTS_OF.items():
            self.together |= {
                (values[each], values[prompt]) for each in datasets if values.get(each) and values.get(prompt)
            }

    def _match(self) -> None:
        """Another dataset was chosen: its prompts are offered, and one that is not for it goes, unless it was given with it."""
        for key, prompts in self.prompts.items():
            box = self.boxes[key]
            dataset = self._dataset_of(box.field)
            meant = (dataset, box.value) in self.together
            if box.value and not meant and not prompts.keeps(box.value, dataset):
                self.touched.discard(key)
                self.begin(key, None)
            self.offer(box.field, prompts)

    def by_name(self, name: str) -> FieldBox | None:
        """The box of the field of that name."""
        return next((box for box in self.boxes.values() if box.field.name == name), None)

    # ─── showing ──────────────────────────────────────────────────────────────────────────────────

    def ask_for(self) -> None:
        """Show the fields that are asked for, and the groups that have some."""
        values = self.values()
        for number, boxes in enumerate(self.group_of.values()):
            for box in boxes:
                box.display = box.field.asked(values)
            for title in self.query(f"#group-{number}"):
                title.display = any(box.display for box in boxes)
        for box in self.boxes.values():
            if isinstance(box.input, PathInput):
                box.input.of_kind(values.get("type"))

    def blame(self, found: Mapping[str, list[str]]) -> None:
        """Show what is wrong at its fields."""
        for key, box in self.boxes.items():
            box.blame(found.get(key, []))

    def need(self, keys: set[str]) -> None:
        """Say in the empty ones of these fields that something has to stand there."""
        for key, box in self.boxes.items():
            box.need(key in keys)

    @property
    def shown(self) -> Iterator[FieldBox]:
        """The fields that are asked for, from top to bottom."""
        return (box for box in self.boxes.values() if box.display)

    @property
    def current(self) -> FieldBox | None:
        """The field that has the focus."""
        return next((box for box in self.boxes.values() if box.has_focus_within), None)

    def focus_first(self) -> None:
        """The first field."""
        next(self.shown).input.focus()

    def focus_breach(self) -> bool:
        """The first field that something is wrong with; whether there is one."""
        found = next((box for box in self.shown if box.blamed), None)
        if found is not None:
            found.input.focus()
        return found is not None

    def focus_group(self, step: int) -> None:
        """The first field of the next group, or of the one before."""
        groups = [boxes for each in self.group_of.values() if (boxes := [box for box in each if box.display])]
        at = next((index for index, boxes in enumerate(groups) if self.current in boxes), 0)
        groups[max(0, min(len(groups) - 1, at + step))][0].input.focus()

    # ─── what happens in the fields ───────────────────────────────────────────────────────────────

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Point at the field that has the focus now."""
        for box in self.boxes.values():
            here = box in event.widget.ancestors
            if here != box.has_class("focused"):
                box.focused_is(here)
            if here:
                self.post_message(self.Entered(box.field))

    def on_input_changed(self, event: Input.Changed) -> None:
        """A field changed."""
        self._changed(event)

    def on_choice_changed(self, event: Choice.Changed) -> None:
        """A field changed."""
        self._changed(event)

    def on_selection_list_selected_changed(self, event: SelectionList.SelectedChanged[str]) -> None:
        """A field changed."""
        self._changed(event)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """A field changed."""
        self._changed(event)

    def _changed(self, event: Any) -> None:
        event.stop()
        box = next((each for each in self.boxes.values() if each.input is event.control), None)
        if box is None:
            return
        key = box.field.key
        if key not in self.touched and same(box.value, self.given.get(key, box.field.default)):
            return
        self.touched.add(key)
        self.ask_for()
        if any(box.field.name in names for names in PROMPTS_OF.values()):
            self._match()
        self.post_message(self.Changed(box.field, by_hand=True))
