"""A stand-in studio with a past: events, messages, dead letters, notifications, and how the queue was."""

from __future__ import annotations

from typing import Any

from core.errors import NotFound
from core.events import Event
from core.messages.events import EventsReply
from core.messages.letters import (
    Answered,
    DeadLetterDetails,
    DeadLetterReply,
    DeadLettersReply,
    DroppedReply,
    RequeuedReply,
)
from core.messages.notifications import NotificationMetadata, NotificationsReply, NotificationsRetriedReply
from core.messages.sent import MessageReply, MessagesReply, SentMessageDetails
from core.messages.then import JobThen, QueueThenReply, RunnerThen
from core.rules import Breach
from core.sender import who
from core.types import NotificationState
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE

NOW = 1_600_000_000.0  # of a year that is over: how a time is told depends on what day it is
CONFIG = {"type": "lora_config", "config": '{"r": 8}'}


class PastStudio(FakeStudio):
    """`happened`, `sent`, `letters` and `notes` are newest last, as they came; `then` is every moment."""

    def __init__(self) -> None:
        super().__init__()
        self.happened: list[Event] = []
        self.sent: list[SentMessageDetails] = []
        self.letters: list[DeadLetterDetails] = []
        self.notes: list[NotificationMetadata] = []
        self.then = QueueThenReply(at=NOW)

    def _value(self, message: Any) -> Any:
        answer = getattr(self, f"_{type(message).__name__}", None)
        return super()._value(message) if answer is None else answer(message)

    def _ListEvents(self, message: Any) -> EventsReply:
        wanted = [event for event in self.happened if message.before is None or event.id < message.before]
        wanted = [event for event in wanted if message.level in (None, event.level)]
        wanted = [event for event in wanted if (message.contains or "") in event.message]
        return EventsReply(events=wanted[-message.limit :], has_before=len(wanted) > message.limit)

    def _GetQueueAt(self, message: Any) -> QueueThenReply:
        if message.event is not None:
            event = next((each for each in self.happened if each.id == message.event), self.then.event)
            return self.then.model_copy(update={"event": event, "earlier": max(1, message.event - 1)})
        return self.then.model_copy(update={"at": NOW if message.at is None else message.at})

    def _ListMessages(self, message: Any) -> MessagesReply:
        wanted = [each for each in self.sent[::-1] if message.sender in (None, each.sender)]
        begin = next((i + 1 for i, each in enumerate(wanted) if each.id == message.after), 0)
        page = wanted[begin : begin + message.limit]
        return MessagesReply.model_validate(
            {"messages": [each.model_dump() for each in page], "has_more": len(wanted) > begin + message.limit}
        )

    def _GetMessage(self, message: Any) -> MessageReply:
        return MessageReply(message=next(each for each in self.sent if each.id == message.id))

    def _ListDeadLetters(self, message: Any) -> DeadLettersReply:
        rows = [each.model_dump() for each in self.letters[::-1]]
        return DeadLettersReply.model_validate({"letters": rows, "total": len(rows)})

    def _GetDeadLetter(self, message: Any) -> DeadLetterReply:
        for each in self.letters:
            if each.id == message.id:
                return DeadLetterReply(letter=each)
        raise NotFound(f"there is no dead letter with id {message.id!r}")

    def _RequeueDeadLetter(self, message: Any) -> RequeuedReply:
        self.letters = [each for each in self.letters if each.id != message.id]
        return RequeuedReply(id=message.id, name="AddConfig", queue="commands", key="k")

    def _DropDeadLetters(self, message: Any) -> DroppedReply:
        self.letters = [each for each in self.letters if each.id not in message.ids]
        return DroppedReply(dropped=len(message.ids))

    def _ListNotifications(self, message: Any) -> NotificationsReply:
        wanted = [each for each in self.notes[::-1] if message.state in (None, each.state)]
        begin = next((i + 1 for i, each in enumerate(wanted) if each.id == message.after), 0)
        page = wanted[begin : begin + message.limit]
        return NotificationsReply.model_validate(
            {"notifications": [each.model_dump() for each in page], "has_more": len(wanted) > begin + message.limit}
        )

    def _RetryNotifications(self, message: Any) -> NotificationsRetriedReply:
        now = {"state": NotificationState.waiting, "tries": 0}
        self.notes = [each.model_copy(update=now) if each.id == message.id else each for each in self.notes]
        return NotificationsRetriedReply(ids=[message.id])

    def _AddConfig(self, message: Any) -> Any:
        return type(message).REPLY.model_validate({"config": {"id": "new", "type": "lora_config", "config": "{}"}})


def event(id: int, text: str = "", **fields: Any) -> Event:
    """One that tells of a job."""
    known: dict[str, Any] = {"type": "JobStarted", "kind": "jobs", "resource_id": "run", "at": NOW + id}
    return Event(id=id, prev=id - 1, message=text or f"event {id}", **{**known, **fields})


def sent(id: int, **fields: Any) -> SentMessageDetails:
    """One that was done."""
    known: dict[str, Any] = {"name": "AddConfig", "queue": "commands", "sender": who(), "program": "fts"}
    known |= {"key": f"key-{id}", "at": NOW + id, "seconds": 0.012, "head": "type lora_config", "payload": CONFIG}
    known |= {"kind": "configs", "resource_id": "c1", "reply": {"config": {"id": "c1"}}}
    return SentMessageDetails(id=str(id), **{**known, **fields})


def letter(id: int, **fields: Any) -> DeadLetterDetails:
    """One that says what the studio understands."""
    raw = '{"actor_name": "AddConfig", "kwargs": {"payload": {"type": "lora_config", "config": "{}"}}}'
    known: dict[str, Any] = {"queue": "commands", "name": "AddConfig", "reason": "its worker died 3 times", "raw": raw}
    known |= {"bytes": len(raw), "head": raw, "payload": CONFIG, "key": f"key-{id}", "sender": "maria@gpu1"}
    return DeadLetterDetails(id=f"{id}-0", at=NOW + id, **{**known, **fields})


def note(id: int, **fields: Any) -> NotificationMetadata:
    """One that was sent."""
    known: dict[str, Any] = {"target": "webhook", "job_id": f"job-{id}", "text": f"tickets-{id} succeeded", "tries": 1}
    known |= {"state": "sent", "created_at": NOW + id, "told_at": NOW + id + 1}
    return NotificationMetadata(id=f"n{id}", **{**known, **fields})


def then(**fields: Any) -> QueueThenReply:
    """A moment with a job in every state."""
    job = {"kind": "fine_tuning", "attempt": 1, "changed_at": NOW - 90, "queued_at": NOW - 300}
    known: dict[str, Any] = {
        "at": NOW,
        "event": event(7, "tickets-2 runs on gpu1", at=NOW - 2),
        "earlier": 6,
        "later": 8,
        "oldest_at": NOW - 86_400,
        "counts": {"running": 1, "queued": 2, "paused": 1, "ended": 1, "unknown": 0},
        "held": [JobThen(id="run", name="tickets-2", status="running", runner="gpu1", **job)],
        "queued": [
            JobThen(id="q1", name="tickets-3", status="queued", place=0, priority=5, **job),
            JobThen(id="q2", name="tickets-4", status="queued", place=1, **job),
        ],
        "paused": [JobThen(id="p", name="tickets-0", status="paused", **job)],
        "ended": [JobThen(id="e", name="tickets-1", status="failed", **job)],
        "runners": [
            RunnerThen(id="r", host="gpu1", status="online", jobs=1),
            RunnerThen(id="s", host="gpu2", status="lost"),
        ],
    }
    return QueueThenReply(**{**known, **fields})


def filled() -> PastStudio:
    """Some of everything."""
    made = PastStudio()
    made.happened = [event(id) for id in range(1, 5)]
    made.happened.append(event(5, "tickets-1 failed: memory ran out", type="JobFailed", level="error"))
    wrong = Breach(rule="FT-002", field="adapter_name", message="letters, digits and hyphens")
    refused = {"state": "refused", "message": str(wrong), "breaches": [wrong], "reply": None, "program": "dashboard"}
    made.sent = [
        sent(1),
        sent(2, name="StartFineTuningJob", **refused),
        sent(3, sender="ci@build", program="", attempts=2),
        sent(4, name="StartEndpoint", sender="ada@studio", payload={"name": "support", "key_sha256": "••••••"}),
    ]
    broken = {
        "name": "",
        "payload": None,
        "raw": "\\xff{not json",
        "head": "\\xff{",
        "bytes": 11,
        "key": "",
        "sender": "",
    }
    made.letters = [
        letter(1, answered=Answered(state="done")),
        letter(2, reason="it is not JSON: Expecting value", **broken),
        letter(3, name="AddDataset", payload={"type": "tea"}),
    ]
    late = {"state": "waiting", "told_at": None, "next_at": NOW + 45, "tries": 2, "error": "it answered 503"}
    lost = {"state": "given_up", "told_at": None, "tries": 28, "error": "no answer within 10 s"}
    made.notes = [
        note(1, text="tickets-1 failed: memory ran out", **lost),
        note(2),
        note(3, target="command", **late),
        note(4, state="waiting", told_at=None, tries=0, next_at=NOW + 4),
    ]
    made.then = then()
    return made


def hostile() -> PastStudio:
    """Text from outside everywhere."""
    made = PastStudio()
    made.happened = [event(1, HOSTILE, resource_id=HOSTILE, type="JobFailed", level="error")]
    breach = Breach(rule="XX-001", field=HOSTILE, message=HOSTILE)
    told = {"name": HOSTILE, "sender": HOSTILE, "program": HOSTILE, "message": HOSTILE, "head": HOSTILE, "key": HOSTILE}
    made.sent = [sent(1, state="refused", payload={HOSTILE: [HOSTILE]}, breaches=[breach], reply=None, **told)]
    raw = {"name": HOSTILE, "raw": HOSTILE, "head": HOSTILE, "reason": HOSTILE, "queue": HOSTILE, "sender": HOSTILE}
    made.letters = [letter(1, payload={HOSTILE: HOSTILE}, answered=Answered(state="done", message=HOSTILE), **raw)]
    lost = {"job_id": HOSTILE, "target": HOSTILE, "text": HOSTILE, "error": HOSTILE, "state": "given_up"}
    made.notes = [note(1, **lost)]
    job = {"id": HOSTILE, "name": HOSTILE, "kind": HOSTILE, "status": HOSTILE, "runner": HOSTILE, "reason": HOSTILE}
    made.then = then(
        event=made.happened[0],
        held=[JobThen(**job)],
        queued=[],
        paused=[],
        ended=[],
        unknown=[JobThen(**{**job, "id": "u", "status": None})],
        counts={HOSTILE[:40]: 1, "unknown": 1},
        complete=False,
        runners=[RunnerThen(id="r", host=HOSTILE, status=HOSTILE)],
    )
    return made
