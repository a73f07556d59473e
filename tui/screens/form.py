"""The form of any message: its fields, breaches at their fields, and the same request as CLI, Python and JSON."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Select, SelectionList, Static, TextArea

from core import presets
from core.cloning import changed
from core.errors import StudioError
from core.keys import hash_of, new_key
from core.messages import REGISTRY
from core.messages.base import faults
from core.rules import refusing
from core.text import plain
from tui import forms
from tui.cli.references import REFERENCES
from tui.forms import CONFIG_KINDS, LEFT_OUT, Field
from tui.screens.base import StudioScreen
from tui.view import words
from tui.view.navigation import WIDE
from tui.widgets.banner import Banner
from tui.widgets.preflight import Preflight, drawn
from tui.widgets.prompt import PromptLine

AFTER_TYPING = 0.3  # seconds
BESIDE = 130  # columns beside the sidebar from which on the plan has room beside the form


class FormScreen(StudioScreen):
    """Checks as one types, sends with ctrl+s."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "send", "send", show=False, priority=True),
        Binding("ctrl+o", "code", "as code", show=False, priority=True),
        Binding("ctrl+p", "plan", "what would come of it", show=False, priority=True),
        # Before the field that has the focus: what is typed at once behind a tab goes to the next one.
        Binding("tab", "next_field", "next field", show=False, priority=True),
        Binding("shift+tab", "previous_field", "previous field", show=False, priority=True),
    ]
    keys_shown = "ctrl+s send  tab next field  ctrl+o as CLI, Python, JSON  esc leave"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (BESIDE + WIDE, "-wide")]

    def __init__(self, message: str, values: dict[str, Any]) -> None:
        super().__init__()
        self.key: str | None = None  # of an endpoint that is started here
        self.message = message
        self.values = values
        self.form = forms.fields(message)
        shown = {field.key for field in self.form}
        self.kept = {name: value for name, value in values.items() if name not in shown}  # sent along as they are
        self.touched: set[str] = set()
        self.sending = False
        self.refused: dict[str, tuple[Any, list[str]]] = {}  # field -> the value that the studio refused, and why
        self.checking: Any = None
        self.preflight = Preflight() if message == "StartFineTuningJob" else None
        if self.preflight is not None:
            self.keys_shown = "ctrl+s send  tab next field  ctrl+p the plan  ctrl+o as code  esc leave"

    def compose(self) -> ComposeResult:
        """The fields, group by group."""
        yield Banner(forms.title(REGISTRY[self.message]))
        with Horizontal(id="body"):
            with VerticalScroll(id="fields"):
                group = ""
                for field in self.form:
                    if field.group != group:
                        group = field.group
                        yield Static(Content(group), classes="group", markup=False)
                    yield self._field(field)
            if self.preflight is not None:
                yield self.preflight
        if self.preflight is not None:
            yield Static("", id="plan-line", markup=False)
        yield Static("", id="status", markup=False)
        yield from self.bottom()

    def _field(self, field: Field) -> Widget:
        label = Static(Content(field.name.removesuffix("_id").replace("_", " ")), classes="label", markup=False)
        line = Horizontal(label, self._input(field), classes="line")
        hint = Static(Content(plain(field.hint)), classes="hint" if field.hint else "hint empty", markup=False)
        breach = Static("", classes="breach", id=f"breach-{_id(field)}", markup=False)
        return Vertical(line, breach, hint, classes="field", id=f"field-{_id(field)}")

    def _input(self, field: Field) -> Widget:
        value = self.values.get(field.key, field.default)
        id = f"input-{_id(field)}"
        if field.kind in ("choice", "switch", "reference"):
            options = [(Content(text), text) for text in field.choices]
            if field.kind == "reference" and value:
                options = [(Content(words.short(value)), value)]  # until its list is there, it is sent as it is
            if field.kind == "switch":
                options, value = [(Content("yes"), "yes"), (Content("no"), "no")], "yes" if value else "no"
            chosen = value if value in [option for _, option in options] else Select.NULL
            return Select(
                options,
                prompt=self._unchosen(field),
                allow_blank=True,
                value=chosen,
                id=id,
                compact=True,
            )
        if field.kind in ("pairs", "several"):
            return SelectionList[str](id=id, compact=True)
        text = "" if value in (None, []) else " ".join(value) if field.many else str(value)
        if field.kind == "long":
            return TextArea(text, id=id, tab_behavior="focus")
        return Input(text, id=id, compact=True)

    def _unchosen(self, field: Field) -> str:
        if field.name.removesuffix("_id") in self.kept:
            return "as the job had it"
        if field.name in LEFT_OUT:
            return "the training's own"
        return "the default" if field.name in CONFIG_KINDS else "choose one"

    def on_mount(self) -> None:
        """The lists that fields choose from come after the frame."""
        self.query("Input, Select, TextArea, SelectionList").first().focus()
        self.call_after_refresh(lambda: self.run_worker(self._fill, thread=True, exit_on_error=False))

    @property
    def unsaved(self) -> bool:  # type: ignore[override]
        """Whether something was typed."""
        return bool(self.touched) and not self.sending

    def action_back(self) -> None:
        """Escape, q: what was typed is not lost by one key."""
        if self.unsaved:
            self.dashboard.confirm("Leave the form? What was typed is lost.", super().action_back)
        else:
            super().action_back()

    def focus_first(self) -> None:
        """The first field."""
        self.query("Input, Select, TextArea, SelectionList").first().focus()

    # ─── what to choose from ──────────────────────────────────────────────────────────────────────

    def _fill(self) -> None:
        studio = self.dashboard.studio
        for field in self.form:
            if field.kind not in ("reference", "several", "pairs"):
                continue
            try:
                if field.kind == "pairs":
                    options = self._pairs()
                elif field.name in CONFIG_KINDS:
                    rows, _ = studio.rows("ListConfigs", "configs", type=CONFIG_KINDS[field.name], limit=500)
                    options = [(row["description"] or row["config"], row["id"]) for row in rows]
                else:
                    listing = REFERENCES[field.name][0]
                    rows, _ = studio.rows(listing.message, listing.many, limit=500)
                    options = [(row[listing.names[0]] or row["id"], row["id"]) for row in rows]
            except Exception as error:
                self.in_app(self._tell, f"the lists can't be filled: {error}")
                return
            self.in_app(self._offer, field, options)
        self.in_app(self._gpus, None)

    def _pairs(self) -> list[tuple[str, str]]:
        """Every base model, and below it its adapters, as (what is shown, "model:adapter")."""
        models, _ = self.dashboard.studio.rows("ListModels", "models", limit=500)
        adapters, _ = self.dashboard.studio.rows("ListAdapters", "adapters", limit=500)
        return [
            choice
            for model in models
            for choice in (
                (f"{model['name']}  (the base model)", f"{model['id']}:"),
                *(
                    (f"{model['name']} + {each['name']}", f"{model['id']}:{each['id']}")
                    for each in adapters
                    if each["model_id"] == model["id"]
                ),
            )
        ]

    def _offer(self, field: Field, options: list[tuple[str, str]]) -> None:
        if field.kind in ("pairs", "several"):
            pairs = self.query_one(f"#input-{_id(field)}", SelectionList)
            marked = str(self.values.get(field.key) or "").split()  # as they are read from the list
            pairs.add_options([(Content(plain(name, limit=100)), pair, pair in marked) for name, pair in options])
            return
        select = self.query_one(f"#input-{_id(field)}", Select)
        wanted = self.values.get(field.key)
        if wanted and wanted not in [id for _, id in options]:
            options = [*options, (words.short(wanted), wanted)]
        select.set_options([(Content(plain(name, limit=60)), id) for name, id in options])
        if wanted:
            select.value = wanted
        elif len(options) == 1 and field.name not in {*CONFIG_KINDS, *LEFT_OUT}:
            self._begin(field, select, options[0][1])

    def _begin(self, field: Field, widget: Any, value: str) -> None:
        """What a field begins with once it is known: nobody typed it, and the rules look at it all the same."""
        self.values[field.key] = widget.value = value
        self._check_soon()

    def _gpus(self, _: None) -> None:
        """num_gpu begins with what the runners have: a machine without GPUs trains on its CPU."""
        field = next((each for each in self.form if each.name == "num_gpu"), None)
        if field is None or "num_gpu" in self.values or field.key in self.touched:
            return

        def got(answer: Any) -> None:
            most = max((len(runner.gpus) for runner in answer.value.runners), default=0)
            if most == 0 and self.is_mounted:
                self._begin(field, self.query_one(f"#input-{_id(field)}", Input), "0")

        self.dashboard.ask("ListRunners", {}, got, lambda error: None)

    # ─── checking ─────────────────────────────────────────────────────────────────────────────────

    def on_input_changed(self, event: Input.Changed) -> None:
        """A field changed."""
        self._changed(event.input.id)

    def on_select_changed(self, event: Select.Changed) -> None:
        """A field changed. A preset shows what it gives the fields that were not touched."""
        self._changed(event.select.id)
        if event.select.id == "input-preset":
            self._show_preset(presets.values(None if event.value is Select.NULL else str(event.value)))

    def _show_preset(self, given: dict[str, Any]) -> None:
        for field in self.form:
            if field.key in self.touched or field.key not in forms.PRESET_FIELDS:
                continue
            value = self.values[field.key] = given.get(field.key, field.default)
            widget = self.query_one(f"#input-{_id(field)}")
            if isinstance(widget, Input | Select):
                widget.value = ("yes" if value else "no") if field.kind == "switch" else str(value)

    def on_selection_list_selected_changed(self, event: SelectionList.SelectedChanged[str]) -> None:
        """A field changed."""
        self._changed(event.selection_list.id)

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """A field changed."""
        self._changed(event.text_area.id)

    def on_descendant_focus(self, event: Any) -> None:
        """The hint of the field that has the focus is shown."""
        for box in self.query(".field"):
            box.set_class(box.id == f"field-{(event.widget.id or '').removeprefix('input-')}", "focused")

    def _changed(self, id: str | None) -> None:
        field = next((each for each in self.form if f"input-{_id(each)}" == id), None)
        if field is None or (
            field.key not in self.touched
            and _text(self._value(field)) == _text(self.values.get(field.key, field.default))
        ):
            return
        self.touched.add(field.key)
        self._check_soon()

    def _check_soon(self) -> None:
        if self.checking is not None:
            self.checking.stop()
        self.checking = self.set_timer(AFTER_TYPING, self._check)

    def _value(self, field: Field) -> Any:
        widget = self.query_one(f"#input-{_id(field)}")
        if isinstance(widget, SelectionList):
            return " ".join(widget.selected)
        if isinstance(widget, Select):
            value = None if widget.value is Select.NULL else widget.value
            return value == "yes" if field.kind == "switch" else value
        return widget.text if isinstance(widget, TextArea) else widget.value  # type: ignore[attr-defined]

    def _payload(self) -> tuple[dict[str, Any], dict[str, str]]:
        made, wrong = forms.payload(self.form, {field.key: self._value(field) for field in self.form})
        return changed(self.kept, made) if self.kept else made, wrong

    def _check(self, *, all_fields: bool = False) -> bool:
        """Show what the local rules say of the fields that were touched, or of all; whether nothing is wrong."""
        made, wrong = self._payload()
        breaches = faults(self.message, made)
        found = forms.by_field(self.form, breaches)
        for key, text in wrong.items():
            found[key] = [text]
        shown = {key: texts for key, texts in found.items() if all_fields or key in self.touched}
        self._show(shown)
        if self.preflight is not None:
            plannable = not wrong and not refusing(faults("PlanFineTuningJob", made))
            self.preflight.of(made, sound=plannable)
        return not wrong and not refusing(breaches)

    def _show(self, found: dict[str, list[str]]) -> None:
        for field in self.form:
            value, refused = self.refused.get(field.key, (None, []))
            texts = found.get(field.key, []) or (refused if value == self._value(field) else [])
            box = self.query_one(f"#breach-{_id(field)}", Static)
            box.display = bool(texts)
            box.update(Content("\n".join(f"✗ {plain(text, limit=300)}" for text in texts)))
        self._tell("\n".join(plain(text, limit=300) for text in found.get("", [])))

    def _tell(self, text: str) -> None:
        self.query_one("#status", Static).update(Content(plain(text, limit=600, lines=True)))

    # ─── keys ─────────────────────────────────────────────────────────────────────────────────────

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """In the line for commands, tab completes one."""
        if action in ("next_field", "previous_field"):
            return not isinstance(self.focused, PromptLine)
        return super().check_action(action, parameters)

    def action_next_field(self) -> None:
        """tab."""
        self.focus_next()

    def action_previous_field(self) -> None:
        """shift+tab."""
        self.focus_previous()

    def on_preflight_changed(self, message: Preflight.Changed) -> None:
        """In a line what a narrow screen has no room for."""
        self.query_one("#plan-line", Static).update(drawn(message.line, dark=self.app.current_theme.dark))

    def action_plan(self) -> None:
        """ctrl+p: to the plan and back; a narrow screen shows it in the form's place."""
        if self.preflight is None:
            return
        if self.has_class("-wide"):
            there = self.focused is self.preflight
        else:
            there = not self.toggle_class("-plan").has_class("-plan")
        if there:
            self.focus_first()
        else:
            self.preflight.focus()

    def action_send(self) -> None:
        """ctrl+s: all fields are checked; what passes is sent."""
        if self.sending:
            return
        if not self._check(all_fields=True):
            self._first_breach()
            return
        made, _ = self._payload()
        self.sending, self.refused = True, {}
        self._tell("sending …")
        if self.message == "StartEndpoint" and made.get("auth", True):
            self.key = new_key()  # made here, it travels no further than to the screen
            made = {**made, "key_sha256": hash_of(self.key)}
        self.dashboard.ask(self.message, made, self._done, self._refused)

    def _first_breach(self) -> None:
        for field in self.form:
            if self.query_one(f"#breach-{_id(field)}").display:
                self.query_one(f"#input-{_id(field)}").focus()
                return

    def _done(self, answer: Any) -> None:
        self.sending = False
        if not self.is_mounted:
            return
        notes = "; ".join(breach.message for breach in answer.breaches)
        self.dashboard.notify(plain(f"done. {notes}", limit=300) if notes else "done", markup=False)
        self.app.pop_screen()
        if self.message == "StartFineTuningJob":
            self.dashboard.show_job(answer.value.fine_tuning_job.id)
        elif self.message == "StartEvaluationJob":
            self.dashboard.show_batch(answer.value.parent_job_id)
        elif self.message == "StartComparison":
            self.dashboard.show_comparison(answer.value.comparison.id)
        elif self.message == "ExportModel":
            self.dashboard.show_export(answer.value.export_job.id)
        elif self.message == "StartEndpoint":
            self.dashboard.show_endpoint(answer.value.endpoint.id, self.key)

    def _refused(self, error: Exception) -> None:
        self.sending = False
        if not self.is_mounted:
            return
        if isinstance(error, StudioError) and error.breaches:
            found = forms.by_field(self.form, error.breaches)
            self.refused = {field.key: (self._value(field), found.get(field.key, [])) for field in self.form}
            self._show(found)
            self._first_breach()
        else:
            self._tell(f"✗ {error}")

    def action_code(self) -> None:
        """ctrl+o: the same request elsewhere."""
        made, _ = self._payload()
        self.dashboard.show_text("The same request", plain(forms.as_code(self.message, made), limit=20_000, lines=True))


def _text(value: Any) -> str:
    """A value as it stands in its field; a 0 stands there, nothing does not."""
    return "" if value in (None, "", []) or value is False else str(value)


def _id(field: Field) -> str:
    return "-".join(field.path)
