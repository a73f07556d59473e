"""The form of any message: its fields, what is wrong at each, what would come of it, and the same request as code."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from core.errors import StudioError
from core.keys import hash_of, new_key
from core.messages import REGISTRY
from core.messages.base import faults
from core.rules import refusing
from core.text import counted, plain
from tui import drafts, forms
from tui.acting import Act, Outcome
from tui.choosing import offers
from tui.screens.formkeys import FormKeys
from tui.view import words
from tui.view.navigation import WIDE
from tui.view.opened import made_id, open_made
from tui.widgets.banner import Banner
from tui.widgets.beside import Beside
from tui.widgets.fieldbox import same
from tui.widgets.fieldset import Fieldset
from tui.widgets.panels import panel_of
from tui.widgets.pathinput import SHOWN, PathInput
from tui.widgets.told import drawn

AFTER_TYPING = 0.3  # seconds
BESIDE = 130  # columns beside the sidebar from which on there is room beside the form
OF_DATASET = {"selected_features", "train_splits", "eval_split"}  # fields that name something of the dataset
SOON = 2.0  # seconds until what is typed is kept as a draft


class FormScreen(FormKeys):
    """Checks as one types, sends with ctrl+s."""

    CSS_PATH = "../styles/form.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (BESIDE + WIDE, "-wide")]

    def __init__(self, message: str, values: dict[str, Any]) -> None:
        super().__init__()
        self.key: str | None = None  # of an endpoint that is started here
        self.message = message
        self.fields = Fieldset(message, values)
        self.asked = set(values)  # what whoever opened it wants
        self.sending: Act | None = None
        self.sent: tuple[dict[str, Any], Act] | None = None  # what may have been done: no answer came
        self.refused: dict[str, tuple[Any, list[str]]] = {}  # field -> the value that the studio refused, and why
        self.checking: Any = None
        self.drafting: Any = None
        self.draft: drafts.Draft | None = None
        self.filled = self.tried = False
        self.beside: Beside | None = panel_of(message)
        self.keys_shown = self.keys_line()

    def keys_line(self) -> str:
        """The line of keys: at most 78 characters."""
        plan = f"^p {self.beside.called}" if self.beside is not None else ""
        return "  ".join(filter(None, ["^s send", "tab next", plan, "^o as code", "esc leave", "F1 all keys"]))

    def compose(self) -> ComposeResult:
        """The fields, what would come of them beside or in a line, and the hint of the field that has the focus."""
        yield Banner(forms.title(REGISTRY[self.message]))
        with Horizontal(id="body"):
            yield self.fields
            if self.beside is not None:
                yield self.beside
        if self.beside is not None:
            yield Static("", id="beside-line", markup=False)
        yield Static("", id="status", markup=False)
        yield Static("", id="hint", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """The lists that fields choose from come after the frame."""
        self.focus_first()
        self.draft = drafts.kept(self.message) if self.keeps else None
        if self.draft is not None:
            ago = words.age(self.draft.at)
            what = counted(len(self.draft.values), "field")
            self.tell(f"You left this form {ago} ago with {what} typed: ctrl+r brings them back.")
        self._show_given_by_type()
        self.check_soon()
        self.call_after_refresh(self.fill)

    def on_screen_resume(self) -> None:
        """Back from a form that added what a field chooses from."""
        super().on_screen_resume()
        if self.filled:
            self.fill()

    def on_unmount(self) -> None:
        """Whatever ends the form, what was typed is kept."""
        self.keep()

    def focus_first(self) -> None:
        """The first field."""
        self.fields.focus_first()

    # ─── what to choose from ──────────────────────────────────────────────────────────────────────

    def fill(self) -> None:
        """Ask for the lists."""
        self.run_worker(self._fill, thread=True, exit_on_error=False)

    def _fill(self) -> None:
        try:
            for field, options in offers(self.dashboard.studio, self.fields.form):
                self.in_app(self.fields.offer, field, options)
        except Exception as error:
            self.in_app(self.tell, f"the lists can't be filled: {error}")
            return
        self.in_app(self._is_filled)

    def _is_filled(self) -> None:
        self.filled = True
        self.check_soon()
        field = self.fields.by_name("num_gpu")
        key = field.field.key if field is not None else ""
        if field is None or key in self.fields.given or key in self.fields.touched:
            return

        def got(answer: Any) -> None:
            """A machine without GPUs trains on its CPU."""
            most = max((len(runner.gpus) for runner in answer.value.runners), default=0)
            if most == 0 and self.there:
                self.fields.begin(key, "0")

        self.dashboard.ask("ListRunners", {}, got, lambda error: None)

    # ─── checking ─────────────────────────────────────────────────────────────────────────────────

    def on_fieldset_changed(self, message: Fieldset.Changed) -> None:
        """Look at it once typing rests. What gives others a default shows it where nothing was typed."""
        if message.by_hand and message.field.name in forms.GIVES:
            self._show_given(forms.GIVES[message.field.name])
        elif not message.by_hand:
            self._show_given_by_type()
        self.check_soon()
        if message.by_hand:
            if self.drafting is not None:
                self.drafting.stop()
            self.drafting = self.set_timer(SOON, self.keep)

    def _show_given_by_type(self) -> None:
        """What a type gives that the form began with, or that a draft brought."""
        if box := self.fields.boxes.get("type"):
            self._show_given(forms.given_by({"type": box.value}).keys() - self.asked)

    def _show_given(self, keys: Collection[str]) -> None:
        given = forms.given_by({key: box.value for key, box in self.fields.boxes.items() if key in forms.GIVES})
        for field in self.fields.form:
            value = given.get(field.key, field.default)
            alone = field.key in keys and field.key not in self.fields.touched
            if alone and not same(self.fields.boxes[field.key].value, value):
                self.fields.begin(field.key, value)

    def check_soon(self) -> None:
        """Check once typing rests."""
        if self.checking is not None:
            self.checking.stop()
        self.checking = self.set_timer(AFTER_TYPING, self.check)

    def check(self) -> bool:
        """Show what the local rules say of the fields that were touched, of all once it was to be sent; whether all is well."""
        made, wrong = self.fields.payload()
        breaches = faults(self.message, made)
        found = forms.by_field(self.fields.form, breaches)
        found |= {key: [text] for key, text in wrong.items()}
        touched = self.fields.touched
        self.fields.need({key for key, texts in found.items() if not texts[0].startswith(forms.NOTE)})
        self._show({key: texts for key, texts in found.items() if self.tried or key in touched})
        if self.beside is not None:
            self.beside.of(made, sound=not wrong and self.beside.sound(made))
        return not wrong and not refusing(breaches)

    def _show(self, found: dict[str, list[str]]) -> None:
        shown = dict(found)
        for key, (value, texts) in self.refused.items():
            if key not in shown and value == self.fields.boxes[key].value:
                shown[key] = texts
        self.fields.blame(shown)
        if rest := found.get("", []):
            self.tell("\n".join(rest))

    def tell(self, text: str) -> None:
        """Say something about the whole form."""
        box = self.query_one("#status", Static)
        box.display = bool(text)
        box.update(Content(plain(text, limit=600, lines=True)))

    def on_fieldset_entered(self, message: Fieldset.Entered) -> None:
        """What the field is for, in a place of its own: nothing jumps."""
        field = message.field
        kinds = self._accelerators() if field.name == "gpu_label_id" else ""
        self.hint(f"{field.told}{kinds}")
        dataset = self.fields.by_name("dataset_id")
        if field.name in OF_DATASET and dataset is not None and dataset.value:
            known = partial(self._tell_of_dataset, field)
            self.dashboard.ask("GetDataset", {"id": dataset.value}, known, lambda error: None)

    def _accelerators(self) -> str:
        """The labels that there are, in a workbench of Cloudera ML."""
        if (told := self.dashboard.bench_told) is None or not told["accelerators"]:
            return ""
        return "  ·  " + ", ".join(f"{each['id']} {each['name']}".rstrip() for each in told["accelerators"])

    def _tell_of_dataset(self, field: forms.Field, answer: Any) -> None:
        """What there is to name in a field, of the dataset that is chosen."""
        row = answer.value.dataset
        names = row.features if field.name == "selected_features" else list(row.splits or {})
        if self.there and names and self.fields.current is self.fields.boxes[field.key]:
            told = plain(", ".join(names), limit=200)
            self.hint(f"{field.hint}  {plain(row.name, limit=40)} has: {told}")

    def on_path_input_found(self, message: PathInput.Found) -> None:
        """The paths that what is typed may become."""
        if message.input is self.focused and message.paths == [message.input.value]:
            self.hint("that is there")
        elif message.input is self.focused:
            more = " …" if len(message.paths) > SHOWN else ""
            names = "  ".join(plain(each, limit=60) for each in message.paths[:SHOWN])
            missing = (
                "nothing below it" if message.input.value.endswith("/") else "nothing in the project begins like this"
            )
            self.hint(f"tab completes: {names}{more}" if names else missing)

    def on_beside_changed(self, message: Beside.Changed) -> None:
        """In a line what a narrow screen has no room for."""
        self.query_one("#beside-line", Static).update(drawn(message.line, dark=self.app.current_theme.dark))

    # ─── drafts ───────────────────────────────────────────────────────────────────────────────────

    def typed(self) -> dict[str, Any]:
        """What stands in the fields that were typed into."""
        return {key: self.fields.boxes[key].value for key in self.fields.touched}

    def keep(self) -> None:
        """Keep what was typed; not while it is sent, and not once it was."""
        if self.sending is None and self.fields.touched and self.keeps:
            drafts.keep(self.message, self.typed())

    def action_draft(self) -> None:
        """ctrl+r: what was typed before the form was left."""
        if self.draft is not None:
            self.fields.fill(self.draft.values, by_hand=True)
            self.draft = None
            self.tell("")
        else:
            self.tell("There is no draft of this form.")

    # ─── sending ──────────────────────────────────────────────────────────────────────────────────

    def _ask_about(self, doubt: dict[str, Any]) -> None:
        """Whether what would come to nothing is meant so, or is to be sent with what makes something of it."""
        from tui.screens.few import FewScreen

        asking = FewScreen(doubt)

        def answered(yes: bool | None) -> None:
            if yes and not asking.as_it_is:
                boxes = {name: self.fields.by_name(name) for name in doubt["settings"]}
                given = {box.field.key: doubt["settings"][name] for name, box in boxes.items() if box is not None}
                self.fields.fill(given, by_hand=True)
            if yes:
                self.action_send(sure=True)

        self.app.push_screen(asking, answered)

    def action_send(self, *, sure: bool = False) -> None:
        """ctrl+s: all fields are checked; what passes is sent, after a question where the panel beside doubts it."""
        if self.sending is not None:
            return
        self.tried = True
        if not self.check():
            self.fields.focus_breach()
            return
        made, _ = self.fields.payload()
        self.refused = {}
        if self.dashboard.readonly:
            self.tell(f"✗ {self.dashboard.studio.refusal()}")
            return
        if refusal := self.dashboard.connection.refusal():
            self.tell(f"✗ {refusal}")
            return
        doubt = self.beside.doubt(made) if self.beside is not None and not sure else None
        if doubt is not None:
            self._ask_about(doubt)
            return
        self.tell("sending …")
        if self.sent is not None and self.sent[0] == made:  # no answer came: the same key does it once
            self.sending = self.sent[1]
            self.dashboard.acting.send(self.sending, self._ended, quiet=True)
            return
        asked = made
        if self.message == "StartEndpoint" and made.get("auth", True):
            self.key = new_key()  # made here, it travels no further than to the screen
            made = {**made, "key_sha256": hash_of(self.key)}
        self.dashboard.act(self.message, [made], done=self._ended, quiet=True)
        self.sending = self.dashboard.acting.made[-1]
        self.sent = (asked, self.sending)

    def _ended(self, outcomes: list[Outcome]) -> None:
        self.sending = None
        outcome = outcomes[0]
        if outcome.error is None:
            self.sent = None
            drafts.forget(self.message)
            self.fields.touched.clear()
        elif not outcome.unknown:
            self.sent = None
        if outcome.error is None:
            self._done(outcome.answer)
        elif not self.is_attached:
            self.dashboard.complain(outcome.error)
        else:
            self._not_done(outcome.error, unknown=outcome.unknown)

    def _done(self, answer: Any) -> None:
        notes = "; ".join(breach.message for breach in answer.breaches)
        while self in self.app.screen_stack:  # it may have been left meanwhile, or help may lie over it
            self.app.pop_screen()
        below = self.app.screen
        if isinstance(below, FormKeys) and below.adding:
            below.added(made_id(answer.value))
        self.dashboard.say(words.made(self.message, answer.value.model_dump(mode="json"), notes))
        open_made(self.dashboard, self.message, answer.value, self.key)

    def _not_done(self, error: Exception, *, unknown: bool) -> None:
        self.keep()
        if isinstance(error, StudioError) and error.breaches:
            found = forms.by_field(self.fields.form, error.breaches)
            boxes = self.fields.boxes
            self.refused = {key: (boxes[key].value, texts) for key, texts in found.items() if key in boxes}
            self.tell("")
            self._show(found)
            if not self.fields.focus_breach() and not found.get(""):
                self.tell(f"✗ {error}")
        elif unknown:
            self.tell(f"✗ {error}. What you typed stays: ctrl+s sends it again, and it is done once.")
        else:
            self.tell(f"✗ {error}")
