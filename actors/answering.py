"""The way of a request: shape, rules, one unit of work, reply (docs/architecture.md). No step is visited twice.

Slow checks come before the transaction, which checks again what is cheap: the write lock is never held over a network
call. A command's reply is kept with its key in the transaction of its effect.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from actors.desk import Desk
from actors.handlers import HANDLERS
from actors.world import RealWorld
from core.errors import Conflict, Internal, Refused, StudioError, Unavailable
from core.messages import Command, Message, Query, parse
from core.messages.base import AsOf
from core.rules import ALL, CHEAP, Breach, Need, check, refusing
from core.store import inbox
from core.store.session import Unit, as_of

log = logging.getLogger("fts.actors")
SLOW = frozenset({Need.files, Need.network})
TRIES = 3  # how often a race for a unique name is run again


def answer(desk: Desk, name: str, payload: object, key: str | None = None) -> dict[str, Any]:
    """Do the message `name` and return its reply as JSON-ready data; never raises for what a sender can cause."""
    try:
        return _answer(desk, name, payload, key)
    except StudioError as error:
        return failure(error)
    except OperationalError as error:
        log.exception("the store can't be reached for %s", name)
        return failure(Unavailable(f"the store can't be reached just now: {error.orig}"))
    except Exception:
        log.exception("%s failed", name)
        return failure(Internal(f"{name} failed inside the studio; its actors' log has the traceback"))


def failure(error: StudioError) -> dict[str, Any]:
    """The reply that carries `error`."""
    breaches = [each.model_dump(mode="json") for each in error.breaches]
    return {"ok": False, "code": error.code.value, "message": error.message, "breaches": breaches}


def success(value: Any, breaches: Iterable[Breach], at: AsOf) -> dict[str, Any]:
    """The reply that carries a value and advisory breaches."""
    notes = [each.model_dump(mode="json") for each in breaches]
    return {"ok": True, "value": value.model_dump(mode="json"), "breaches": notes, "as_of": at.model_dump()}


def _answer(desk: Desk, name: str, payload: object, key: str | None) -> dict[str, Any]:
    message = parse(name, payload)
    if isinstance(message, Query):
        return _query(desk, message)
    for attempt in range(TRIES):
        try:
            return _write(desk, message, payload, key)
        except IntegrityError:
            if attempt == TRIES - 1:
                raise Conflict("someone else changed the same thing at the same moment; try again") from None
        except DBAPIError as error:
            if attempt == TRIES - 1 or getattr(error.orig, "sqlstate", None) not in ("40001", "40P01"):
                raise
    raise AssertionError("unreachable")


def _query(desk: Desk, message: Query[Any]) -> dict[str, Any]:
    with desk.store.read() as session:
        world = RealWorld(desk, session)
        breaches = check(message, world, ALL)
        if refusing(breaches):
            raise Refused.because(breaches)
        at = as_of(session)
        return success(HANDLERS[type(message).__name__](message, session, world), breaches, at)


def _write(desk: Desk, message: Message[Any], payload: object, key: str | None) -> dict[str, Any]:
    name, kept = type(message).__name__, isinstance(message, Command) and key is not None
    hash = inbox.payload_hash(payload) if kept else ""
    with desk.store.read() as session:
        if kept and (before := inbox.remembered(session, key or "", name, hash)) is not None:
            desk.publish()
            return before
        world = RealWorld(desk, session)
        slow = any(rule.need in SLOW for rule in type(message).rules)
        early = check(message, world, ALL) if slow else []
    with desk.store.write() as unit:
        if kept and (before := inbox.remembered(unit.session, key or "", name, hash)) is not None:
            return before
        reply = _effect(desk, message, unit, world, early)
        desk.store.log(unit)
        if reply["ok"] and unit.events:
            reply["as_of"]["event"] = unit.events[-1].id
        if kept:
            inbox.remember(unit, key or "", name, hash, reply)
    if unit.events:
        desk.publish()
    return reply


def _effect(desk: Desk, message: Message[Any], unit: Unit, world: RealWorld, early: list[Breach]) -> dict[str, Any]:
    """Check again what is cheap and do the work. A refusal is an effect too: it is remembered, and changes nothing else."""
    here = world.within(unit.session)
    slow = [each for each in early if each.rule in {rule.id for rule in type(message).rules if rule.need in SLOW}]
    breaches = _once([*check(message, here, CHEAP), *slow])
    if refusing(breaches):
        return failure(Refused.because(breaches))
    try:
        with unit.session.begin_nested():
            events = len(unit.events)
            value = HANDLERS[type(message).__name__](message, unit, here)
    except StudioError as error:
        del unit.events[events:], unit.afterwards[:]
        return failure(error)
    notes = here.findings.get("notes", [])
    return success(value, [*breaches, *notes], as_of(unit.session))


def _once(breaches: Iterable[Breach]) -> list[Breach]:
    return list(dict.fromkeys(breaches))
