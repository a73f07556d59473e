"""What would come of the training that a form describes, planned again as it changes; a plan that is out of date is given up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Static

from core.errors import StudioError
from core.text import plain
from tui.theme import painted
from tui.view import planned

if TYPE_CHECKING:
    from tui.app import Dashboard

PAUSE = 0.8  # seconds without a change before a plan is asked for
LOOK = 0.3  # seconds between looks at it
# Fields that change nothing of what a plan tells.
INDIFFERENT = {"adapter_name", "out_dir", "auto_add_adapter", "priority"}
NEEDED = ("base_model_id", "dataset_id")


class Preflight(VerticalScroll):
    """The panel beside the form. `Changed` tells its short form, for screens that have no room for it."""

    class Changed(Message):
        """The plan in a line."""

        def __init__(self, line: planned.Line) -> None:
            super().__init__()
            self.line = line

    def __init__(self) -> None:
        super().__init__(id="preflight")
        self.asked: dict[str, Any] = {}  # what the plan that is made or shown is of
        self.ticket = 0  # counts plans: an answer to an older one is thrown away
        self.id_: str | None = None  # of the plan under way
        self.waiting: Timer | None = None
        self.lines: list[planned.Line] = [[("Choose a model and a dataset to see what would come of it.", "dim")]]
        self.plan: Mapping[str, Any] | None = None

    @property
    def dashboard(self) -> Dashboard:
        """The app."""
        return self.app  # type: ignore[return-value]

    def compose(self) -> ComposeResult:
        """One text."""
        yield Static("", id="planned", markup=False)

    def on_mount(self) -> None:
        """What is shown before there is a plan."""
        self._draw()

    def on_resize(self) -> None:
        """Histogram and examples fill the width."""
        if self.plan is not None and self.id_ is None:
            self.lines = self._whole(self.plan)
        self._draw()

    def on_unmount(self) -> None:
        """Whoever leaves the form needs no plan."""
        self._give_up()

    # ─── asking ───────────────────────────────────────────────────────────────────────────────────

    def of(self, payload: Mapping[str, Any], *, sound: bool) -> None:
        """The form says this now; `sound` tells whether it breaks none of its own rules. Planned once it stays so."""
        asked = {name: value for name, value in payload.items() if name not in INDIFFERENT}
        if asked == self.asked:
            return
        self._give_up()
        self.asked = asked
        if sound and all(asked.get(name) for name in NEEDED):
            self.waiting = self.set_timer(PAUSE, self._ask)

    def _give_up(self) -> None:
        """What is under way is of no use any more: the runner is told to stop, the answer will be thrown away."""
        self.ticket += 1
        if self.waiting is not None:
            self.waiting.stop()
        if self.id_ is not None:
            self._cancel(self.id_)
        self.id_ = None

    def _cancel(self, id: str) -> None:
        """Nobody waits for the answer; a plan that could not be cancelled ends by itself in seconds."""
        studio = self.dashboard.studio

        def work() -> None:
            with suppress(StudioError):
                studio.ask("CancelJob", {"id": id})

        self.dashboard.run_worker(work, thread=True, exit_on_error=False)

    def _ask(self) -> None:
        self._say("planning …")
        ticket = self.ticket
        got, failed = partial(self._got, ticket, first=True), partial(self._failed, ticket)
        self.dashboard.ask("PlanFineTuningJob", self.asked, got, failed)

    def _look(self) -> None:
        got, failed = partial(self._got, self.ticket), partial(self._failed, self.ticket)
        self.dashboard.ask("GetPlan", {"id": self.id_}, got, failed)

    def _got(self, ticket: int, answer: Any, *, first: bool = False) -> None:
        reply = answer.value
        if ticket != self.ticket or not self.is_mounted:
            if first:
                self._cancel(reply.id)  # it was given up before it had an id
            return
        if not reply.status.finished:
            self.id_ = reply.id
            self._say(
                f"planning: waiting for {reply.waiting_for}" if reply.waiting_for else f"planning: {reply.phase or '…'}"
            )
            self.waiting = self.set_timer(LOOK, self._look)
            return
        self.id_ = None
        if reply.plan is not None:
            self._show(reply.plan.model_dump(mode="json"))
        elif reply.error is not None:
            self._trouble([reply.error.message, reply.error.hint])
        else:
            self._trouble([f"the plan was {reply.status.value}"])

    def _failed(self, ticket: int, error: Exception) -> None:
        if ticket == self.ticket and self.is_mounted:
            breaches = error.breaches if isinstance(error, StudioError) else []
            self._trouble([each.message for each in breaches] or [str(error)])

    # ─── showing ──────────────────────────────────────────────────────────────────────────────────

    def _say(self, text: str) -> None:
        """Above what was planned before, which stays until there is something newer."""
        before = [] if self.plan is None else self._whole(self.plan)
        self._put([[(plain(text, limit=200), "busy")], *before])

    def _trouble(self, texts: list[str]) -> None:
        self.plan = None
        self._put([[("✗ ", "bad"), (plain(text, limit=400), "")] for text in texts if text])

    def _show(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan
        self._put(self._whole(plan), planned.brief(plan))

    def _whole(self, plan: Mapping[str, Any]) -> list[planned.Line]:
        return planned.whole(plan, max(20, self.size.width - 3))

    def _put(self, lines: list[planned.Line], brief: planned.Line | None = None) -> None:
        self.lines = lines
        self._draw()
        self.post_message(self.Changed(brief or lines[0]))

    def _draw(self) -> None:
        dark = self.app.current_theme.dark
        made = Text("\n").join(drawn(line, dark=dark) for line in self.lines)
        self.query_one("#planned", Static).update(made)


def drawn(line: planned.Line, *, dark: bool) -> Text:
    """A line in the theme's colours."""
    made = Text()
    for text, meaning in line:
        made.append_text(painted(text, meaning, dark=dark))
    return made
