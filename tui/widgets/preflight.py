"""What would come of the training that a form describes, planned again as it changes; a plan that is out of date is given up."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from core.errors import StudioError
from core.messages.base import faults
from core.rules import refusing
from core.text import plain
from tui import forms
from tui.view import planned
from tui.widgets.beside import Beside

LOOK = 0.3  # seconds between looks at it
# Fields that change nothing of what a plan tells.
INDIFFERENT = {"adapter_name", "out_dir", "auto_add_adapter", "priority"}
NEEDED = ("base_model_id", "dataset_id")


class Preflight(Beside):
    """The panel of a training. A runner makes the plan, as a job of seconds: it is looked at until it is there."""

    NOTHING = "Choose a model and a dataset to see what would come of it."
    called = "the plan"
    PAUSE = 0.8

    def __init__(self) -> None:
        super().__init__()
        self.id_: str | None = None  # of the plan under way
        self.plan: Mapping[str, Any] | None = None
        self.plan_of: dict[str, Any] = {}  # what the plan that is shown was made for

    def on_resize(self) -> None:
        """Histogram and examples fill the width."""
        if self.plan is not None and self.id_ is None:
            self.lines = self._whole(self.plan)
            self._draw()

    def on_unmount(self) -> None:
        """Whoever leaves the form needs no plan."""
        self.give_up()

    # ─── asking ───────────────────────────────────────────────────────────────────────────────────

    def wanted(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """All but what a plan does not depend on."""
        return {name: value for name, value in payload.items() if name not in INDIFFERENT}

    def sound(self, payload: Mapping[str, Any]) -> bool:
        """Nothing is planned before the form names what it takes, or while it breaks a rule."""
        return all(payload.get(name) for name in NEEDED) and not refusing(faults("PlanFineTuningJob", payload))

    def unsound(self, payload: Mapping[str, Any]) -> None:
        """What the plan waits for, once the form has begun to say what is trained."""
        if not all(payload.get(name) for name in NEEDED):
            return
        form = forms.fields("StartFineTuningJob")
        found = forms.by_field(form, refusing(faults("PlanFineTuningJob", payload)))
        said = [label for key in found for label in (each.label for each in form if each.key == key)]
        if said:
            self._say(f"The plan waits for: {', '.join(said)}")

    def give_up(self) -> None:
        """The runner is told to stop as well."""
        super().give_up()
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

    def ask(self) -> None:
        """Have it planned."""
        self._say("planning …")
        ticket = self.ticket
        got, failed = partial(self._got, ticket, first=True), partial(self.failed, ticket)
        self.dashboard.ask("PlanFineTuningJob", self.asked, got, failed)

    def _look(self, ticket: int) -> None:
        if ticket == self.ticket:
            got, failed = partial(self._got, ticket), partial(self.failed, ticket)
            self.dashboard.ask("GetPlan", {"id": self.id_}, got, failed)

    def _got(self, ticket: int, answer: Any, *, first: bool = False) -> None:
        reply = answer.value
        if ticket != self.ticket or not self.is_attached:
            if first:
                self._cancel(reply.id)  # it was given up before it had an id
            return
        if not reply.status.finished:
            self.id_ = reply.id
            self._say(
                f"planning: waiting for {reply.waiting_for}" if reply.waiting_for else f"planning: {reply.phase or '…'}"
            )
            self.waiting = self.set_timer(LOOK, partial(self._look, ticket))
            return
        self.id_ = None
        if reply.plan is not None:
            self._show(reply.plan.model_dump(mode="json"))
        elif reply.error is not None:
            self.trouble([reply.error.message, reply.error.hint])
        else:
            self.trouble([f"the plan was {reply.status.value}"])

    def doubt(self, payload: Mapping[str, Any]) -> dict[str, Any] | None:
        """A training of hardly any steps, with what it is now; None as long as that is not known."""
        if self.plan is None or not self.plan["longer"] or self.plan_of != self.wanted(payload):
            return None
        return {**self.plan["longer"], "few": self.plan["steps"]}

    # ─── showing ──────────────────────────────────────────────────────────────────────────────────

    def _say(self, text: str) -> None:
        """Above what was planned before, which stays until there is something newer."""
        before = [] if self.plan is None else self._whole(self.plan)
        self.put([[(plain(text, limit=200), "busy")], *before])

    def trouble(self, texts: list[str]) -> None:
        """There is no plan."""
        self.plan = None
        super().trouble(texts)

    def _show(self, plan: Mapping[str, Any]) -> None:
        self.plan, self.plan_of = plan, self.asked
        self.put(self._whole(plan), planned.brief(plan))

    def _whole(self, plan: Mapping[str, Any]) -> list[planned.Line]:
        return planned.whole(plan, max(20, self.size.width - 3))
