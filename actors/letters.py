"""The handlers of dead letters, and what the log says of messages that no handler saw.

The queue's own part is core/queue/dead.py. A letter goes out in one step there, before the reply is kept in the store: a
second delivery after a kill in between finds the mark of the first, and answers the same.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.answering import note_alone
from actors.desk import Desk
from actors.handlers import handles
from actors.pages import nowhere
from actors.world import RealWorld
from core.errors import Conflict, NotFound, Refused
from core.masking import holds_mask, masked, masked_text, unmasked
from core.messages.base import Command, faults, find
from core.messages.letters import (
    Answered,
    DeadLetter,
    DeadLetterDetails,
    DeadLetterReply,
    DeadLettersReply,
    DropDeadLetters,
    DroppedReply,
    GetDeadLetter,
    ListDeadLetters,
    RequeueDeadLetter,
    RequeuedReply,
)
from core.messages.sent import DONE
from core.queue import dead, wire
from core.rules import Breach, refusing
from core.store.sent import Line, Sent, storable
from core.store.session import Unit
from core.store.tables import EventRow, Inbox

log = logging.getLogger("fts.actors")
SHOWN = 64 * 1024  # bytes of a letter that are shown, and the longest payload that is edited
HEAD = 300  # characters of one in a list
_NAME = re.compile(rb'"actor_name"\s*:\s*"([^"\\]{1,255})"')


@dataclass(frozen=True)
class Read:
    """What can be read of a letter. `payload` is None where it has none of the right form."""

    name: str = ""
    payload: dict[str, Any] | None = None
    key: str = ""
    sender: str = ""
    program: str = ""


def read(raw: bytes) -> Read:
    """As much of a letter as there is to read."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError):
        return Read(_name(raw))
    if not isinstance(fields, dict):
        return Read()
    options, kwargs = (each if isinstance(each := fields.get(name), dict) else {} for name in ("options", "kwargs"))
    payload = kwargs["payload"] if kwargs.keys() == {"payload"} and isinstance(kwargs["payload"], dict) else None
    texts = (options.get("key") or fields.get("message_id"), options.get("sender"), options.get("program"))
    key, sender, program = (storable(each, 255) if isinstance(each, str) else "" for each in texts)
    name = fields.get("actor_name")
    return Read(storable(name, 255) if isinstance(name, str) else "", payload, key, sender, program)


def _name(head: bytes) -> str:
    found = _NAME.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


@handles(ListDeadLetters)
def list_dead_letters(message: ListDeadLetters, session: Session, world: RealWorld) -> DeadLettersReply:
    """A page of them, newest first."""
    desk = world.desk
    if message.after is not None and not dead.is_id(message.after):
        raise nowhere("after", f"there is no place {message.after!r} among the dead letters to go on from")
    wanted = (message.contains or "").lower().split()
    shown = (_shown(desk, each) for each in dead.every(desk.redis, desk.settings.namespace, message.after))
    found = list(islice((each for each in shown if _has(each, wanted)), message.limit + 1))
    total = dead.count(desk.redis, desk.settings.namespace)
    return DeadLettersReply(letters=found[: message.limit], total=total, has_more=len(found) > message.limit)


def _has(letter: DeadLetter, words: list[str]) -> bool:
    text = f"{letter.id} {letter.queue} {letter.name} {letter.reason} {letter.head}".lower()
    return all(word in text for word in words)


def _shown(desk: Desk, letter: dead.Letter) -> DeadLetter:
    return DeadLetter(**_fields(desk, letter), name=_name(letter.raw))


def _fields(desk: Desk, letter: dead.Letter) -> dict[str, Any]:
    head = letter.raw.decode("utf-8", "backslashreplace")  # masked before it is cut: half a secret looks like none
    return {
        "id": letter.id,
        "at": letter.at,
        "queue": letter.queue,
        "reason": masked_text(letter.reason, desk.secrets),
        "bytes": letter.size,
        "head": masked_text(head[: dead.HEAD], desk.secrets)[:HEAD],
    }


@handles(GetDeadLetter)
def get_dead_letter(message: GetDeadLetter, session: Session, world: RealWorld) -> DeadLetterReply:
    """One letter, without secrets."""
    desk = world.desk
    letter = _there(desk, message.id)
    told = read(letter.raw)
    text = letter.raw[: SHOWN + 1024].decode("utf-8", "backslashreplace")  # half a secret looks like none
    editable = letter.size <= SHOWN and told.payload is not None
    details = {
        "name": told.name,
        "raw": masked_text(text, desk.secrets)[:SHOWN],
        "cut": letter.size > SHOWN,
        "payload": masked(told.payload, desk.secrets) if editable else None,
        "key": told.key,
        "sender": told.sender,
        "program": told.program,
        "answered": _answered(session, told.key),
    }
    return DeadLetterReply(letter=DeadLetterDetails(**_fields(desk, letter), **details))


def _answered(session: Session, key: str) -> Answered | None:
    row = session.get(Inbox, key) if key else None
    if row is None:
        return None
    reply = json.loads(row.reply)
    return Answered(state=DONE if reply["ok"] else reply["code"], message=reply.get("message") or "")


def _there(desk: Desk, id: str) -> dead.Letter:
    letter = dead.whole(desk.redis, desk.settings.namespace, id)
    if letter is None:
        raise NotFound(f"there is no dead letter with id {id!r}{_what_became(desk, id)}")
    return letter


def _what_became(desk: Desk, id: str) -> str:
    told = dead.became(desk.redis, desk.settings.namespace, id)
    return f": it was sent again as {told['name']} with the key {told['key']}" if told else ""


@handles(RequeueDeadLetter)
def requeue_dead_letter(message: RequeueDeadLetter, unit: Unit, world: RealWorld) -> RequeuedReply:
    """Put it into its queue in one step; who asks again for the same is answered the same."""
    desk, asked = world.desk, _asked(message)
    told = dead.became(desk.redis, desk.settings.namespace, message.id)
    if told is None:
        letter = _there(desk, message.id)
        sent, name, key = _message(desk, message, letter)
        told = dead.requeue(
            desk.redis, desk.settings.namespace, message.id, sent, {"asked": asked, "name": name, "key": key}
        )
    if told is None:  # someone dropped it in between
        raise NotFound(f"there is no dead letter with id {message.id!r}")
    if told["asked"] != asked:
        raise Conflict(
            f"the letter {message.id} was sent again already, otherwise: as {told['name']} with the key {told['key']}"
        )
    name, key = told["name"], told["key"]
    if not _told(unit.session, message.id):
        unit.emit("LetterRequeued", "letters", message.id, f"a dead {name} was sent again", name=name, key=key)
    return RequeuedReply(id=message.id, name=name, queue=_queue(name), key=key)


def _told(session: Session, id: str) -> bool:
    """Whether the log says already that the letter went out: whoever sent it may have died before that was written."""
    query = select(EventRow.id).where(EventRow.resource_id == id, EventRow.type == "LetterRequeued").limit(1)
    return session.scalar(query) is not None


def _asked(message: RequeueDeadLetter) -> str:
    """What tells one wish for a letter from another: how it is to go out."""
    text = json.dumps([message.name, message.payload], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def _queue(name: str) -> str:
    kind = find(name)
    return kind.QUEUE if kind is not None else ""


def _message(desk: Desk, message: RequeueDeadLetter, letter: dead.Letter) -> tuple[wire.WireMessage, str, str]:
    """The letter as it goes out: the message, its name and key; raises Refused where it would only die again.

    Unchanged it keeps its key: if it was done before it died, it is done no second time.
    """
    told = read(letter.raw)
    name = message.name or told.name
    payload = told.payload if message.payload is None else unmasked(message.payload, told.payload, desk.secrets)
    if breaches := refusing(_wrong(name, payload)):
        safe = [each.model_copy(update={"message": masked_text(each.message, desk.secrets)}) for each in breaches]
        raise Refused.because(safe)
    same = payload == told.payload and name == told.name and told.key
    key = told.key if same else f"letter-{letter.id}"
    sender = {"sender": told.sender, "program": told.program}
    sender = {option: value for option, value in sender.items() if value}
    return wire.new_message(name, _queue(name), payload or {}, key=key, sender=sender), name, key


def _wrong(name: str, payload: dict[str, Any] | None) -> list[Breach]:
    """What stands against sending it again."""
    if find(name) is None:
        text = f"there is no message named {name!r}" if name else "the letter tells no message's name that can be read"
        return [Breach(rule="DL-103", field="name", message=f"{text}: give name and payload")]
    if payload is None:
        text = "the letter has no fields that can be read: give the payload"
        return [Breach(rule="DL-103", field="payload", message=text)]
    if holds_mask(payload):
        text = "•••••• stands for a secret that is not in the letter at that place: write the value itself"
        return [Breach(rule="DL-104", field="payload", message=text)]
    return [
        each.model_copy(update={"field": f"payload.{each.field}" if each.field else "payload"})
        for each in faults(name, payload)
    ]


@handles(DropDeadLetters)
def drop_dead_letters(message: DropDeadLetters, unit: Unit, world: RealWorld) -> DroppedReply:
    """Forget letters."""
    ids = list(dict.fromkeys(message.ids))
    number = dead.drop(world.desk.redis, world.desk.settings.namespace, ids)
    if number:
        text = "a dead letter was dropped" if number == 1 else f"{number:,} dead letters were dropped"
        unit.emit("LettersDropped", "letters", ids[0] if number == 1 else "", text, number=number)
    return DroppedReply(dropped=number, gone=len(ids) - number)


class Listener:
    """Tells the logs of messages that no handler saw (core.queue.broker.Ear)."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def refused(self, message: Any, reply: dict[str, Any]) -> None:
        """A command that expired, or that killed its worker, is in the log of messages as well."""
        kind = find(message.actor_name)
        if kind is None or not issubclass(kind, Command):
            return
        key = str(message.options.get("key") or message.message_id)
        sent = Sent.of(message.options, message.message_timestamp)
        line = Line(kind.__name__, kind.QUEUE, key, message.kwargs.get("payload"), sent, self.desk.secrets)
        note_alone(self.desk, line, reply)

    def buried(self, id: str, queue: str, reason: str) -> None:
        """A new dead letter is an event, so that whoever watches sees it."""
        text = masked_text(storable(reason, 200), self.desk.secrets)
        try:
            with self.desk.store.write() as unit:
                told = f"a message in the queue {queue} could not be run: {text}"
                unit.emit("MessageBuried", "letters", id, told, level="error", queue=queue, reason=text)
            self.desk.publish()
        except Exception as error:  # the letter is there, whoever hears of it
            log.warning("the log lacks that a message was buried: %s", error)
