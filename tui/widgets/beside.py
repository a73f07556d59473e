"""A panel beside a form that tells what would come of it; a narrow screen has it in a line, and all of it at a key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.timer import Timer

from core.errors import StudioError
from core.text import plain
from tui.view import planned
from tui.widgets.told import Told

if TYPE_CHECKING:
    from tui.app import Dashboard

Line = planned.Line


class Beside(VerticalScroll):
    """`of` is called with what the form says now; what a subclass asks the studio in `ask` is shown by `lines`."""

    PAUSE = 0.4  # seconds without a change before the studio is asked
    NOTHING = "Nothing to show yet."
    called = "what comes of it"

    class Changed(Message):
        """The short form, for a narrow screen."""

        def __init__(self, line: Line) -> None:
            super().__init__()
            self.line = line

    def __init__(self, id: str = "beside") -> None:
        super().__init__(id=id)
        self.asked: dict[str, Any] = {}  # what the answer that is shown, or on its way, is of
        self.ticket = 0  # counts questions: an answer to an older one is thrown away
        self.waiting: Timer | None = None
        self.lines: list[Line] = [[(self.NOTHING, "dim")]]

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        """One text."""
        yield Told("told")

    def on_mount(self) -> None:
        """What is shown before anything is known."""
        self._draw()

    # ─── asking ───────────────────────────────────────────────────────────────────────────────────

    def wanted(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """What of the payload the answer depends on; None when it can't be asked yet."""
        raise NotImplementedError

    def sound(self, payload: Mapping[str, Any]) -> bool:
        """Whether what the form says can be asked about."""
        return True

    def of(self, payload: Mapping[str, Any], *, sound: bool) -> None:
        """The form says this now; `sound` tells whether it breaks none of its own rules. Asked once it stays so."""
        asked = self.wanted(payload)
        if asked == self.asked:
            return
        self.give_up()
        self.asked = asked or {}
        if asked is None:
            self.nothing()
        elif sound:
            self.waiting = self.set_timer(self.PAUSE, partial(self._due, self.ticket))
        else:
            self.unsound(payload)

    def _due(self, ticket: int) -> None:
        """The pause is over; a timer that had struck when it was stopped is one too many."""
        if ticket == self.ticket:
            self.ask()

    def give_up(self) -> None:
        """What is under way is of no use any more."""
        self.ticket += 1
        if self.waiting is not None:
            self.waiting.stop()

    def ask(self) -> None:
        """Ask the studio."""
        raise NotImplementedError

    def send(self, name: str, fields: dict[str, Any]) -> None:
        """Send a query; its answer comes to `got`, unless the form has changed meanwhile."""
        got, failed = partial(self._answered, self.ticket), partial(self.failed, self.ticket)
        self.dashboard.ask(name, fields, got, failed)

    def _answered(self, ticket: int, answer: Any) -> None:
        if ticket == self.ticket and self.is_attached:
            self.got(answer.value)

    def got(self, value: Any) -> None:
        """Show what was answered."""

    def failed(self, ticket: int, error: Exception) -> None:
        """Tell why there is nothing to see."""
        if ticket == self.ticket and self.is_attached:
            breaches = error.breaches if isinstance(error, StudioError) else []
            self.trouble([each.message for each in breaches] or [str(error)])

    def doubt(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is to be asked about before this is sent (core.messages.planning.Longer); None: nothing that is known."""
        return None

    # ─── showing ──────────────────────────────────────────────────────────────────────────────────

    def unsound(self, payload: Mapping[str, Any]) -> None:
        """What the form says can't be asked about: the fields tell why."""

    def nothing(self) -> None:
        """There is nothing to ask."""
        self.put([[(self.NOTHING, "dim")]])

    def trouble(self, texts: list[str]) -> None:
        """What is wrong, in the place of an answer."""
        self.put([[("✗ ", "bad"), (plain(text, limit=400), "")] for text in texts if text])

    def put(self, lines: list[Line], brief: Line | None = None) -> None:
        """Show lines; `brief` where there is room for one."""
        self.lines = lines
        self._draw()
        self.post_message(self.Changed(brief or (lines[0] if lines else [])))

    def _draw(self) -> None:
        for box in self.query("#told").results(Told):  # none while the form is coming or going
            box.tell(self.lines)
