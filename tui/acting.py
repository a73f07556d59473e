"""The one way in which the dashboard sends what changes something: asked about first, told of after, kept as "what I did"."""

from __future__ import annotations

import re
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from core.errors import Refused, StudioError, Unavailable
from core.messages import Message
from core.text import counted, plain
from tui.view import words
from tui.view.kinds import KINDS

if TYPE_CHECKING:
    from tui.app import Dashboard

KEPT = 100  # acts that are remembered
NAMED = 5  # failures of many that are told one by one
IN_CODE = 20  # messages of many that are shown as code
Fields = dict[str, Any]


@dataclass
class Outcome:
    """What became of one message. `key` is its idempotency key: sent again with it, it is done once."""

    fields: Fields
    key: str
    answer: Any = None
    error: Exception | None = None

    @property
    def unknown(self) -> bool:
        """Whether it may have been done all the same: no answer came."""
        return isinstance(self.error, Unavailable)


@dataclass
class Act:
    """Something that was sent: one message, with other fields for each of many."""

    name: str
    outcomes: list[Outcome]
    at: float = field(default_factory=time.time)
    over: bool = False

    @property
    def failed(self) -> list[Outcome]:
        """Those that were not done, or of which nobody knows."""
        return [each for each in self.outcomes if each.error is not None]


Done = Callable[[list[Outcome]], None]


class Acts:
    """Sends for the dashboard, and remembers what it sent."""

    def __init__(self, dashboard: Dashboard) -> None:
        self.dashboard = dashboard
        self.made: deque[Act] = deque(maxlen=KEPT)

    def act(self, name: str, many: list[Fields], question: str, undo: bool, done: Done | None, quiet: bool) -> None:
        """See Dashboard.act."""
        if self.dashboard.readonly:
            self.dashboard.complain(self.dashboard.studio.refusal())
            return
        if not many:
            return
        if refusal := self.dashboard.connection.refusal():
            self._refuse(refusal, many, done, quiet)
            return

        def begin() -> None:
            act = Act(name, [Outcome(each, str(uuid4())) for each in many])
            if undo:
                self.dashboard.remove_later(act, lambda: self.send(act, done, quiet))
            else:
                self.send(act, done, quiet)

        if question:
            self.dashboard.confirm(question, begin, lambda: as_code(name, many))
        else:
            begin()

    def _refuse(self, refusal: str, many: list[Fields], done: Done | None, quiet: bool) -> None:
        """Send nothing, and say so to who would have been told what came of it: what was typed is not lost."""
        if not quiet or done is None:
            self.dashboard.say(refusal, severity="warning")
        if done is not None:
            done([Outcome(each, "", error=Refused(refusal)) for each in many])

    def send(self, act: Act, done: Done | None = None, quiet: bool = False) -> None:
        """Send what has no outcome yet, one after another in a thread; `done` gets all outcomes, in the app."""
        if act not in self.made:
            self.made.append(act)
        act.over = False

        def work() -> None:
            self.send_all(act)
            self.dashboard.from_thread(self._ended, act, done, quiet)

        self.dashboard.run_worker(work, thread=True, exit_on_error=False)

    def send_all(self, act: Act) -> None:
        """Send what has no outcome yet, one after another. Blocks."""
        away: Exception | None = None
        for each in act.outcomes:
            if each.answer is not None:
                continue
            each.error = away  # nobody answers: the others would wait for it one by one
            if away is None:
                away = self._send(act.name, each)
        act.over = True

    def _send(self, name: str, outcome: Outcome) -> Exception | None:
        """Send one; the error when it is no use to send the others."""
        try:
            outcome.answer = self.dashboard.studio.ask(name, outcome.fields, key=outcome.key)
        except Exception as error:
            outcome.error = error
            return error if isinstance(error, Unavailable) else None
        return None

    def finish(self) -> None:
        """Wait for what is being sent to many: it would end in the middle with the dashboard. Blocks."""
        for act in [each for each in self.made if not each.over and len(each.outcomes) > 1]:
            while not act.over:
                time.sleep(0.05)
            self.regret(act.name, act.failed)

    def regret(self, name: str, failed: list[Outcome]) -> None:
        """Tell on the terminal, once the dashboard is left, what was not done."""
        for each in failed:
            why = each.error or "the studio does not answer"
            text = f"{spoken(name)} {each.fields.get('id', '')} was not done: {why}"
            self.dashboard.last_words.append(plain(text, limit=300))

    def perform(self, message: Message[Any], key: str | None = None, timeout: float | None = None) -> Any:
        """Send one from a thread that waits for the answer, as the command line does. Raises core.errors."""
        if self.dashboard.readonly:
            raise self.dashboard.studio.refusal()
        fields = message.model_dump(mode="json", exclude_unset=True)
        act = Act(type(message).__name__, [Outcome(fields, key or str(uuid4()))])
        outcome = act.outcomes[0]
        self.made.append(act)
        try:
            outcome.answer = self.dashboard.studio.put(message, timeout, outcome.key)
        except Exception as error:
            outcome.error = error
            raise
        finally:
            act.over = True
        return outcome.answer

    def _ended(self, act: Act, done: Done | None, quiet: bool) -> None:
        if not quiet:
            self._tell(act)
        if done is not None:
            done(act.outcomes)

    def _tell(self, act: Act) -> None:
        failed = act.failed
        if len(act.outcomes) > 1:
            self.dashboard.say("\n".join(many_told(act)), severity="error" if failed else "information")
        elif failed and failed[0].error is not None:
            self.dashboard.complain(failed[0].error)
        else:
            self.dashboard.say(told(act.name, act.outcomes[0].answer))


# What can't be taken back, and what is said before it, where no list has words of its own for it.
DESTROYS = {
    "CancelJob": "Cancel the job {id}?",
    "EndComparison": "End the session {id}? Nobody can ask it anything after that.",
    "StopEndpoint": "Stop the endpoint {id}? Who calls it gets no answer any more.",
    "DrainRunner": "Drain the runner {id}? It saves checkpoints and gives its jobs back.",
    "ImportDatabase": "Import into this studio's database? What is there already stays.",
}


def question_of(message: Message[Any]) -> str:
    """What is asked before a message is sent that destroys; empty for the others."""
    name, fields = type(message).__name__, message.model_dump(mode="json")
    if name == "RetryJob" and fields.get("from_checkpoint") is False:
        return f"Run {fields['id']} again from the beginning? Its curve begins anew, and its checkpoints are not used."
    if (name == "DrainRunner" and not fields["draining"]) or fields.get("preview"):
        return ""
    if name in DESTROYS:
        return DESTROYS[name].format(**fields)
    if not name.startswith(("Remove", "Drop")):
        return ""
    remove = next((kind.remove for kind in KINDS.values() if kind.remove and kind.remove.message == name), None)
    about = fields.get("id") or fields.get("ids") or ""
    return f"Remove the {remove.noun} {about}? {remove.stays}" if remove else f"{spoken(name).capitalize()} {about}?"


def spoken(name: str) -> str:
    """A message's name as words: RemoveDataset is "remove dataset"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


def told(name: str, answer: Any) -> str:
    """What came of one message, in the reply's own words."""
    value = answer.value.model_dump(mode="json")
    about = [words.state(str(value["status"]))] if value.get("status") else []
    if value.get("priority") is not None and name == "SetJobPriority":
        about.append(f"priority {value['priority']}")
    if value.get("removed") is False:
        about.append("there was nothing to remove")
    if name == "RetryNotifications" and value["left"]:
        about.append(
            f"{counted(len(value['ids']), 'notification')} now, {value['left']:,} given up are left for the next time"
        )
    about += [breach.message for breach in answer.breaches]
    return f"{spoken(name)}: {'; '.join(about) or 'done'}"


def many_told(act: Act) -> Iterable[str]:
    """What came of many: how many were done, and what was wrong with each of the others."""
    failed = act.failed
    yield f"{spoken(act.name)}: {len(act.outcomes) - len(failed)} of {len(act.outcomes)} done"
    for each in failed[:NAMED]:
        yield plain(f"✗ {words.short(each.fields.get('id'))} {reason(each.error)}", limit=150)
    if len(failed) > NAMED:
        yield f"and {counted(len(failed) - NAMED, 'other')}; A tells all"


def reason(error: Exception | None) -> str:
    """Why it was not done, in a line."""
    if isinstance(error, StudioError) and error.breaches:
        return "; ".join(each.message for each in error.breaches)
    return str(error) or type(error).__name__


def as_code(name: str, many: list[Fields]) -> str:
    """The messages as CLI, Python and JSON, safe to show; of very many the first ones."""
    from tui import forms

    shown = "\n\n".join(forms.as_code(name, each) for each in many[:IN_CODE])
    more = f"\n\n… and {counted(len(many) - IN_CODE, 'more')}" if len(many) > IN_CODE else ""
    return plain(shown + more, limit=100_000, lines=True)
