"""The way of a request: shape, rules, one unit of work, reply (docs/architecture.md). No step is visited twice.

Slow checks come before the transaction, which then checks what is cheap: the write lock is never held over a network
call. A command's reply is kept with its key in the transaction of its effect.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from actors.desk import Desk
from actors.handlers import HANDLERS
from actors.looking import is_text
from actors.world import RealWorld
from core.errors import Expired, Internal, Refused, StudioError, Unavailable
from core.messages import Command, Message, Query, parse
from core.messages.base import AsOf, find
from core.messages.common import LONGEST_NAME
from core.rules import ALL, CHEAP, SLOW, Breach, check, refusing, rules_of
from core.store import inbox
from core.store.sent import Line, Sent
from core.store.session import Unit, as_of

log = logging.getLogger("fts.actors")
TRIES = 3  # how often a unit of work that lost a race is run
RACES = frozenset({"40001", "40P01"})  # PostgreSQL: serialization failure, deadlock
NO_ROOM = ("disk is full", "no space left")  # SQLite, PostgreSQL
NOT_OF_THE_REQUEST = (Unavailable, Internal, Expired)  # what a key's reply may never be


def answer(desk: Desk, name: str, payload: object, key: str | None = None, sent: Sent | None = None) -> dict[str, Any]:
    """Do the message `name` and return its reply as JSON-ready data; never raises for what a sender can cause.

    Commands that come with a key are noted in the log of messages, with what is known of who `sent` them.
    """
    line = _line(desk, name, payload, key, sent)
    try:
        message = parse(name, payload)
        _check_key(key)
        return _query(desk, message) if isinstance(message, Query) else _command(desk, message, line)
    except StudioError as error:
        return _noted(desk, line, failure(error))
    except DataError:
        text = "a value is larger than the database can hold"
        return _noted(desk, line, failure(Refused.because([Breach(rule="MS-106", field="", message=text)])))
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        log.exception("the store can't be used for %s", name)
        why = (
            "has no room on its disk: nothing was changed, free some room"
            if _no_room(error)
            else "can't be used just now"
        )
        return failure(Unavailable(f"the store {why}; {_told(desk)}"))
    except Exception:
        log.exception("%s failed", name)
        return _noted(desk, line, failure(Internal(f"{name} failed inside the studio; {_told(desk)}")))


def _line(desk: Desk, name: str, payload: object, key: str | None, sent: Sent | None) -> Line | None:
    """What is noted of the message: of commands that have a key."""
    kind = find(name)
    if key is None or kind is None or not issubclass(kind, Command):
        return None
    return Line(name, kind.QUEUE, key, payload, sent or Sent(), desk.secrets)


def _noted(desk: Desk, line: Line | None, reply: dict[str, Any]) -> dict[str, Any]:
    """The reply, noted where no transaction of the message's own did: the log is for people, it keeps no answer back."""
    if line is not None:
        note_alone(desk, line, reply)
    return reply


def note_alone(desk: Desk, line: Line, reply: dict[str, Any]) -> None:
    """Note in a transaction of its own how a message was answered, if that can be done."""
    try:
        with desk.store.write() as unit:
            line.note(unit.session, reply)
    except Exception as error:  # whatever a sender put in, and whatever the store has
        log.warning("the log of messages lacks a %s: %s", line.name, error)


def _check_key(key: str | None) -> None:
    """Raise Refused when a database could not remember the key."""
    if key is not None and (len(key) > LONGEST_NAME or "\0" in key or not is_text(key)):
        text = f"the key must be text of {LONGEST_NAME} characters at most, without NUL"
        raise Refused.because([Breach(rule="MS-101", field="", message=text)])


def _no_room(error: BaseException | None) -> bool:
    """Whether the database says that it could not write for want of room.

    SQLite then rolls the whole transaction back: the savepoint within is missed, and that error hides the first one.
    """
    while error is not None:
        if any(words in str(error).lower() for words in NO_ROOM):
            return True
        error = error.__context__
    return False


def _told(desk: Desk) -> str:
    return f"the actors' log tells why ({desk.settings.root / 'logs'})"


def failure(error: StudioError) -> dict[str, Any]:
    """The reply that carries `error`."""
    breaches = [each.model_dump(mode="json") for each in error.breaches]
    return {"ok": False, "code": error.code.value, "message": error.message, "breaches": breaches}


def success(value: Any, breaches: Iterable[Breach], at: AsOf) -> dict[str, Any]:
    """The reply that carries a value and advisory breaches."""
    notes = [each.model_dump(mode="json") for each in breaches]
    return {"ok": True, "value": value.model_dump(mode="json"), "breaches": notes, "as_of": at.model_dump()}


def _query(desk: Desk, message: Query[Any]) -> dict[str, Any]:
    with desk.store.read() as session:
        world = RealWorld(desk, session)
        breaches = check(message, world, ALL)
        if refusing(breaches):
            raise Refused.because(breaches)
        value = _handler(message)(message, session, world)
        return success(value, breaches, as_of(session))


@dataclass(frozen=True)
class Letter:
    """A request that changes something. Without a line (what runners say again and again) nothing is remembered."""

    message: Message[Any]
    line: Line | None
    hash: str

    def answered(self, session: Session) -> dict[str, Any] | None:
        """What was replied to its key before."""
        if self.line is None:
            return None
        return inbox.remembered(session, self.line.key, type(self.message).__name__, self.hash)

    def remember(self, unit: Unit, reply: dict[str, Any]) -> None:
        """Keep the reply, when it has a key, without the secrets in it: who asks again is not told them again."""
        if self.line is not None:
            once: frozenset[str] = getattr(self.message.REPLY, "ONCE", frozenset())
            value = {name: each for name, each in (reply.get("value") or {}).items() if name not in once}
            kept = {**reply, "value": value} if reply.get("value") and once else reply
            inbox.remember(unit, self.line.key, type(self.message).__name__, self.hash, kept)
            self.line.note(unit.session, reply, unit.events)

    def again(self, unit: Unit, reply: dict[str, Any]) -> None:
        """Its key came once more, and was answered as before."""
        if self.line is not None:
            self.line.again(unit.session, reply)


def _command(desk: Desk, message: Message[Any], line: Line | None) -> dict[str, Any]:
    letter = Letter(message, line, inbox.payload_hash(line.payload) if line is not None else "")
    slow = any(rule.need in SLOW for rule in rules_of(type(message)))
    reply = _before(desk, letter) if slow else None
    if reply is None:
        with ExitStack() as held:
            with desk.store.read() as session:
                world = RealWorld(desk, session, held=held)
                early = check(message, world, SLOW)
            return _in_turn(desk, letter, world, early)
    desk.publish()
    return reply


def _before(desk: Desk, letter: Letter) -> dict[str, Any] | None:
    """The reply to a second delivery, before anything slow is looked at again."""
    with desk.store.read() as session:
        reply = letter.answered(session)
    if reply is not None:
        with desk.store.write() as unit:
            letter.again(unit, reply)
    return reply


def _in_turn(desk: Desk, letter: Letter, world: RealWorld, early: list[Breach]) -> dict[str, Any]:
    """Run the unit of work, and again when another was faster: then its rules or the inbox see what the other did."""
    for _ in range(TRIES - 1):
        try:
            return _unit(desk, letter, world, early)
        except IntegrityError:
            continue
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in RACES:
                raise
    return _unit(desk, letter, world, early)


def _unit(desk: Desk, letter: Letter, world: RealWorld, early: list[Breach]) -> dict[str, Any]:
    with desk.store.write(in_turn=isinstance(letter.message, Command)) as unit:
        before = letter.answered(unit.session)
        reply = before or _effect(desk, letter.message, unit, world.within(unit.session), early)
        if before is None:
            letter.remember(unit, reply)
        else:
            letter.again(unit, before)
    if before is not None:
        desk.publish()  # whoever did it may have died before this
    elif reply["ok"]:
        desk.publish_unit(reply["as_of"]["epoch"], unit)
    return reply


def _effect(desk: Desk, message: Message[Any], unit: Unit, world: RealWorld, early: list[Breach]) -> dict[str, Any]:
    """Check what is cheap and do the work. A refusal is an effect too: it is remembered, and changes nothing else."""
    breaches = [*check(message, world, CHEAP), *early]
    if refusing(breaches):
        return failure(Refused.because(breaches))
    try:
        with unit.session.begin_nested():
            value = _handler(message)(message, unit, world)
    except NOT_OF_THE_REQUEST:
        raise
    except StudioError as error:
        unit.events.clear()
        unit.afterwards.clear()
        return failure(error)
    desk.store.log(unit)  # events last: on PostgreSQL this takes the lock over their ids
    return success(value, breaches, as_of(unit.session))


def _handler(message: Message[Any]) -> Any:
    return HANDLERS[type(message).__name__]
