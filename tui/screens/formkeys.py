"""The keys of a form: from field to field, the panel beside it, code, adding what a field chooses from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static, TextArea

from core.text import plain
from tui import forms
from tui.grouping import ADDED_BY
from tui.screens.base import StudioScreen
from tui.widgets.pathinput import PathInput
from tui.widgets.prompt import PromptLine

if TYPE_CHECKING:
    from tui.widgets.beside import Beside
    from tui.widgets.fieldbox import FieldBox
    from tui.widgets.fieldset import Fieldset


class FormKeys(StudioScreen):
    """Mixed into the form's screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "send it", show=False, priority=True),
        # Before the field that has the focus: what is typed at once behind a tab goes to the next one.
        Binding("tab", "next_field", "next field; in a path, complete it", show=False, priority=True),
        Binding("shift+tab", "previous_field", "field before", show=False, priority=True),
        Binding("pagedown", "group(1)", "next group of fields", show=False, priority=True),
        Binding("pageup", "group(-1)", "group of fields before", show=False, priority=True),
        Binding("ctrl+n", "add", "add what this field chooses from", show=False, priority=True),
        Binding("ctrl+p", "beside", "what would come of it, and back", show=False, priority=True),
        Binding("ctrl+o", "code", "the same as CLI, Python, JSON", show=False, priority=True),
        Binding("ctrl+r", "draft", "bring back what was typed before", show=False, priority=True),
    ]
    message: str
    fields: Fieldset
    beside: Beside | None
    adding = ""  # the field that is to choose what the form above this one adds
    left_at: FieldBox | None = None  # the field from which one went to the panel

    @property
    def keeps(self) -> bool:
        """Whether drafts are kept: not of a form about one resource, which the next one's must not begin with."""
        return not (self.dashboard.readonly or self.message.startswith("Edit"))

    def added(self, id: str) -> None:
        """The form above has added this: it is chosen."""
        box = self.fields.boxes.get(self.adding)
        self.adding = ""
        if box is not None and box.field.kind == "reference":
            self.fields.fill({box.field.key: id}, by_hand=True)
        elif box is not None and box.field.kind == "several":
            self.fields.fill({box.field.key: f"{box.value} {id}".strip()}, by_hand=True)

    def hint(self, text: str) -> None:
        """Show what helps just now."""
        self.query_one("#hint", Static).update(Content(plain(text, limit=400)))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the line for commands tab completes one; lists and texts have pages of their own."""
        if action in ("next_field", "previous_field"):
            return not isinstance(self.focused, PromptLine)
        if action == "group":
            long = isinstance(self.focused, OptionList) and self.focused.option_count > self.focused.size.height
            return not long and not isinstance(self.focused, TextArea)
        return super().check_action(action, parameters)

    def action_next_field(self) -> None:
        """tab, enter."""
        if isinstance(self.focused, PathInput) and self.focused.suggested:
            self.focused.take()
        else:
            self.focus_next()

    def action_previous_field(self) -> None:
        """shift+tab."""
        self.focus_previous()

    def on_input_submitted(self, event: Any) -> None:
        """Enter in a line goes on to the next field."""
        if not isinstance(event.input, PromptLine):
            self.focus_next()

    def action_group(self, step: int) -> None:
        """Page down, page up."""
        self.fields.focus_group(step)

    def action_add(self) -> None:
        """ctrl+n: the form that adds what the field chooses from; back from there it can be chosen."""
        box = self.fields.current
        if box is not None and box.field.name in ADDED_BY:
            message, values = ADDED_BY[box.field.name]
            self.adding = box.field.key
            self.dashboard.show_form(message, {**values, **self.handed_on(box.field.name)})

    def handed_on(self, field: str) -> dict[str, Any]:
        """What the form that adds a resource begins with: a prompt is for the dataset that is chosen here."""
        dataset = self.fields.by_name("dataset_id")
        if field == "prompt_id" and dataset is not None and dataset.value:
            return {"prompt.dataset_id": dataset.value}
        model = self.fields.by_name("base_model_id")
        return {"model_id": model.value} if field in ("adapter_id", "adapter_ids") and model and model.value else {}

    def action_beside(self) -> None:
        """ctrl+p: to the panel and back; a narrow screen shows it in the form's place."""
        if self.beside is None:
            return
        if self.has_class("-wide"):
            there = self.focused is self.beside
        else:
            there = not self.toggle_class("-beside").has_class("-beside")
        if there:
            back = self.left_at
            self.call_after_refresh(self.fields.focus_first if back is None else back.input.focus)
        else:
            self.left_at = self.fields.current
            self.beside.focus()
            self.hint(f"{self.beside.called}: arrows and page keys scroll, ctrl+p goes back to the fields")

    def action_code(self) -> None:
        """ctrl+o: the same request elsewhere."""
        made, _ = self.fields.payload()
        code = plain(forms.as_code(self.message, made), limit=20_000, lines=True)
        self.dashboard.show_text("The same request", code)

    def action_back(self) -> None:
        """Escape: an open panel first; what was typed is kept as a draft."""
        if self.has_class("-beside"):
            self.action_beside()
            return
        if self.fields.touched and self.keeps:
            self.dashboard.say("what was typed is kept: the form offers it when it is opened again")
        super().action_back()
