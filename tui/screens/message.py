"""One message of the log: what it said, what was answered, and how it is sent again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from core.masking import MASK, holds_mask
from core.text import plain
from tui.screens.base import StudioScreen
from tui.screens.opening import open_resource
from tui.view import words
from tui.view.describe import as_yaml, described, size
from tui.widgets.banner import Banner

TOLD = ("state", "message", "sender", "program", "queue", "key", "attempts", "kind", "resource_id")
UNREAD = 4  # bytes of a payload that is none: null
NO_FIELDS = "the log does not keep its fields: they were too long"


class MessageScreen(StudioScreen):
    """Shows a message; `again` asks at once whether it is to be sent again."""

    CSS_PATH = "../styles/past.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll(1)", "down", show=False),
        Binding("k,up", "scroll(-1)", "up", show=False),
        Binding("s", "send", "send again as it is", show=False),
        Binding("e", "edit", "send again with changes, in its form", show=False),
        Binding("o,enter", "resource", "open what it was about", show=False),
        Binding("ctrl+o", "code", "as CLI, Python, JSON", show=False),
    ]
    keys_shown = "s send again  e with changes  o what it is about  ^o as code  esc back  ? help"

    def __init__(self, id: str, *, again: bool = False) -> None:
        super().__init__()
        self.id_, self.send_again = id, again
        self.message: dict[str, Any] = {}

    def compose(self) -> ComposeResult:
        """The text."""
        yield Banner(f"Message {plain(self.id_, limit=20)}")
        with VerticalScroll():
            yield Static("", id="text", markup=False)
        yield from self.bottom()

    def on_mount(self) -> None:
        """Ask once the frame is out."""
        self.call_after_refresh(self.again)
        self.focus_first()

    def focus_first(self) -> None:
        """The text."""
        self.query_one(VerticalScroll).focus()

    def fetch(self) -> dict[str, Any]:
        """All of it."""
        value = self.dashboard.studio.ask("GetMessage", {"id": self.id_}, timeout=10).value
        message: dict[str, Any] = value.message.model_dump(mode="json")
        return message

    def got(self, found: dict[str, Any]) -> None:
        """Draw it."""
        self.message = found
        self.banner.name_it(f"{found['name']}, message {self.id_}")
        self.query_one("#text", Static).update(Content(plain("\n".join(_lines(found)), limit=200_000, lines=True)))
        if self.send_again:
            self.send_again = False
            self.action_send()

    def action_scroll(self, lines: int) -> None:
        """j and k."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    # ─── sending again ────────────────────────────────────────────────────────────────────────────

    @property
    def fields(self) -> dict[str, Any] | None:
        """The fields that were sent; None, with a word of why, when they are not known."""
        payload = self.message.get("payload")
        if isinstance(payload, dict):
            return payload
        if self.message:
            self.dashboard.say(NO_FIELDS, severity="warning")
        return None

    def action_send(self) -> None:
        """s: the same once more, with a key of its own."""
        fields = self.fields
        if fields is None:
            return
        if holds_mask(fields):
            self.dashboard.say(f"its secrets are not in the log: e opens its form, write what stands as {MASK}")
            return
        was = "It was done then: it is done once more." if self.message["state"] == "done" else "It was not done then."
        question = f"Send {self.message['name']} again, with a key of its own? {was}"
        self.dashboard.act(self.message["name"], [fields], question=question)

    def action_edit(self) -> None:
        """e: in its form, with these fields in it."""
        fields = self.fields
        if fields is not None:
            self.dashboard.show_form(self.message["name"], fields)

    def action_resource(self) -> None:
        """o: what it was about."""
        if self.message:
            open_resource(self.dashboard, self.message["kind"], self.message["resource_id"])

    def action_code(self) -> None:
        """ctrl+o: what was sent, as code."""
        from tui.forms import as_code

        fields = self.fields
        if fields is not None:
            code = plain(as_code(self.message["name"], fields), limit=200_000, lines=True)
            self.dashboard.show_text(f"{self.message['name']} as code", code)

    def copies(self) -> list[tuple[str, str]]:
        """The fields, the key, all of it."""
        if not self.message:
            return []
        from tui.forms import command_line

        fields, name = self.message.get("payload"), self.message["name"]
        line = [("it as a command", command_line(name, fields))] if isinstance(fields, dict) else []
        return [*line, ("its key", self.message["key"]), ("all of it", "\n".join(_lines(self.message)))]


def _lines(message: dict[str, Any]) -> Iterator[str]:
    """The message as text: how it went, what it said, what was answered."""
    took = f"{1000 * message['seconds']:.0f} ms"
    when = f"taken up {words.moment(message['at'])}, answered in {took}"
    waited = message["at"] - message["sent_at"] if message.get("sent_at") else 0
    yield when + (f", {words.duration(waited)} after it was sent" if waited >= 1 else "")
    yield ""
    yield described({name.replace("resource_id", "about"): message.get(name) for name in TOLD})
    if message.get("breaches"):
        yield "\n── What was wrong"
        yield from (f"{each['rule']} {each['field']}: {each['message']}" for each in message["breaches"])
    yield "\n── What was sent"
    payload = message.get("payload")
    if payload is None and message["bytes"] > UNREAD:
        yield f"{NO_FIELDS} ({size(message['bytes'])})"
    elif payload is None:
        yield "Its fields could not be read. What could not be run is among the dead letters."
    else:
        yield as_yaml(payload) if isinstance(payload, dict) and payload else plain(payload or "no fields", limit=50_000)
    if message.get("reply"):
        yield "── What was answered"
        yield described(message["reply"])
    elif message["state"] == "done":
        yield "── The reply is not kept any more"
