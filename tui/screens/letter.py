"""One dead letter: why it died, what it says, an editor to mend it in with a check as one types, and the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static, TextArea

from core.masking import MASK
from core.text import plain
from tui.acting import Outcome
from tui.screens.base import StudioScreen
from tui.view import words
from tui.view.describe import size
from tui.widgets.banner import Banner

PAUSE = 0.2  # seconds after a key until what is typed is checked
KEYS = "e edit  s send again as it is  ^d drop  Y copy  esc back  ? help"
EDITING = "^s send  ^r as it was  esc stop editing"


class LetterScreen(StudioScreen):
    """Shows a letter; `e` edits it. What was typed stays until the screen is left."""

    CSS_PATH = "../styles/past.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "edit", show=False),
        Binding("s", "send", "send again as it is", show=False),
        Binding("ctrl+s", "send_edited", "send what was edited", show=False, priority=True),
        Binding("ctrl+r", "undo_all", "as it was", show=False, priority=True),
        Binding("ctrl+d", "remove", "drop", show=False),
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
    ]
    keys_shown = KEYS

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id_ = id
        self.letter: dict[str, Any] = {}
        self.checking: Timer | None = None

    def compose(self) -> ComposeResult:
        """What is known of it; below, hidden at first, the editor and its check."""
        yield Banner("Dead letter")
        yield Static("", id="told", markup=False)
        with VerticalScroll(id="raw"):
            yield Static("", id="text", markup=False)
        with Vertical(id="editing"):
            yield Input(placeholder="the message's name, such as AddDataset", id="name", compact=True)
            yield TextArea("", id="editor", show_line_numbers=False)
            yield Static("", id="check", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.query_one("#editing").display = False
        self.call_after_refresh(self.again)
        self.focus_first()

    def focus_first(self) -> None:
        """The text, or the editor."""
        self.query_one("#editor" if self.editing else "#raw").focus()

    @property
    def editing(self) -> bool:
        """Whether the editor is open."""
        return bool(self.query_one("#editing").display)

    @property
    def unsaved(self) -> bool:  # type: ignore[override]
        """What was typed would be lost with the screen."""
        return self.there and bool(self.letter) and self.typed not in ("", self._begins)

    @property
    def typed(self) -> str:
        """What stands in the editor."""
        return str(self.query_one("#editor", TextArea).text)

    @property
    def _begins(self) -> str:
        """What the editor begins with: the message's fields, laid out."""
        payload = self.letter.get("payload")
        text = json.dumps({} if payload is None else payload, indent=2, ensure_ascii=False)
        return "".join(char if char == "\n" or plain(char) == char else json.dumps(char)[1:-1] for char in text)

    def fetch(self) -> dict[str, Any] | None:
        """All of it; once, since letters don't change."""
        if self.letter:
            return None
        value = self.dashboard.studio.ask("GetDeadLetter", {"id": self.id_}, timeout=10).value
        letter: dict[str, Any] = value.letter.model_dump(mode="json")
        return letter

    def got(self, found: dict[str, Any]) -> None:
        """Draw it."""
        self.letter = found
        name = plain(found["name"] or "not readable", limit=60)
        self.banner.name_it(f"Dead letter: {name}")
        self.query_one("#told", Static).update(Content(plain("\n".join(_told(found)), limit=4_000, lines=True)))
        self.query_one("#text", Static).update(Content(plain(_laid_out(found), limit=100_000, lines=True)))

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        self.query_one("#raw", VerticalScroll).scroll_relative(y=lines, animate=False)

    def copies(self) -> list[tuple[str, str]]:
        """What was sent, its key, why it died."""
        found = self.letter
        return [("what was sent", found["raw"]), ("its key", found["key"]), ("why", found["reason"])] if found else []

    # ─── editing ──────────────────────────────────────────────────────────────────────────────────

    def action_edit(self) -> None:
        """e: open the editor on its fields."""
        if not self.letter:
            return
        if self.letter["payload"] is None and self.letter["cut"] and self.letter["name"]:
            self.dashboard.say("it is too long to be edited here; s sends it as it is", severity="warning")
            return
        if not self.typed:
            self._fill()
        self._show(editing=True)
        self._check()

    def _fill(self) -> None:
        self.query_one("#editor", TextArea).load_text(plain(self._begins, limit=200_000, lines=True))
        self.query_one("#name", Input).value = plain(self.letter["name"], limit=255)

    def _show(self, *, editing: bool) -> None:
        self.query_one("#editing").display = editing
        self.query_one("#raw").display = not editing
        self.query_one("#keys", Static).update(Content(EDITING) if editing else Content(KEYS))
        self.focus_first()

    def action_back(self) -> None:
        """Escape: out of the editor, then out of the letter; what was typed is asked about."""
        if self.editing:
            self._show(editing=False)
        elif self.unsaved:
            self.dashboard.confirm("Leave the letter? What was typed is lost.", super().action_back)
        else:
            super().action_back()

    def action_undo_all(self) -> None:
        """ctrl+r: as it was."""
        if self.editing:
            self._fill()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """What is typed is checked after a pause."""
        self._check_soon()

    def on_input_changed(self, event: Input.Changed) -> None:
        """So is the name."""
        if event.input.id == "name":
            self._check_soon()

    def _check_soon(self) -> None:
        if self.checking is not None:
            self.checking.stop()
        self.checking = self.set_timer(PAUSE, self._check)

    def _check(self) -> None:
        """Show what is wrong with it by the rules that need neither studio nor network."""
        if self.editing:
            _, wrong = self._read()
            fine = "✓ nothing is wrong with it as far as can be told here"
            if MASK in self.typed:
                fine = f"✓ what stands as {MASK} goes out as it is in the letter, and is checked there"
            shown = [f"✗ {each}" for each in wrong] or [fine]
            self.query_one("#check", Static).update(Content(plain("\n".join(shown), limit=2_000, lines=True)))

    def _read(self) -> tuple[dict[str, Any], list[str]]:
        """The fields of the command that sends what is typed, and what is wrong with it."""
        from core.messages.base import faults, find
        from core.rules import refusing

        name = self.query_one("#name", Input).value.strip()
        try:
            payload = json.loads(self.typed)
        except (ValueError, RecursionError) as error:
            return {}, [f"it is not JSON: {error}"]
        if not isinstance(payload, dict):
            return {}, ["a message's fields are an object: { … }"]
        if find(name) is None:
            return {}, [f"there is no message named {name!r}" if name else "give the message's name above"]
        own = {} if name == self.letter["name"] else {"name": name}
        secret = MASK in self.typed  # the letter has what stands there
        wrong = [] if secret else [str(each) for each in refusing(faults(name, payload))]
        return {"id": self.id_, "payload": payload, **own}, wrong

    # ─── acting ───────────────────────────────────────────────────────────────────────────────────

    def action_send_edited(self) -> None:
        """ctrl+s: send what is typed."""
        if not self.editing:
            return
        fields, wrong = self._read()
        if wrong:
            self._check()
            self.dashboard.say("it would only die again: see what is wrong with it", severity="warning")
            return
        question = f"Send this {self.query_one('#name', Input).value.strip()} instead of the letter? It goes out once."
        self.dashboard.act("RequeueDeadLetter", [fields], question=question, done=self._done)

    def action_send(self) -> None:
        """s: send it as it is."""
        if not self.letter:
            return
        done = (self.letter.get("answered") or {}).get("state")
        was = f" It was answered before ({done}), and will be answered so again: nothing is done twice." if done else ""
        question = f"Send this {self.letter['name'] or 'letter'} again as it is?{was}"
        self.dashboard.act("RequeueDeadLetter", [{"id": self.id_}], question=question, done=self._done)

    def action_remove(self) -> None:
        """ctrl+d: drop it for good."""
        if self.letter and not self.editing:
            question = "Drop this letter for good? Nobody can send it again then."
            self.dashboard.act("DropDeadLetters", [{"ids": [self.id_]}], question=question, done=self._done)

    def _done(self, outcomes: list[Outcome]) -> None:
        """It went: so does its screen."""
        if all(each.error is None for each in outcomes) and self.is_current:
            self.app.pop_screen()


def _told(letter: dict[str, Any]) -> Iterator[str]:
    """What stands above: why it died, when, whose it was, and whether its key was answered."""
    yield f"✗ {letter['reason']}"
    sender = f" from {letter['sender']}" if letter["sender"] else ""
    key = f", key {letter['key']}" if letter["key"] else ""
    yield f"{words.moment(letter['at'])} on {letter['queue']}{sender}, {size(letter['bytes'])}{key}"
    if letter.get("answered"):
        told = letter["answered"]
        yield f"▲ its key was answered before it died: {told['state']} {told['message']}"


def _laid_out(letter: dict[str, Any]) -> str:
    """What was sent: laid out where it is JSON, else as it is."""
    try:
        text = json.dumps(json.loads(letter["raw"]), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        text = letter["raw"] or "It is empty."
    return text + ("\n… there is more of it than is shown here" if letter["cut"] else "")
