"""The handlers of the log of messages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.pages import Shelf, by, equal, nowhere, page
from actors.places import SIGN, Key
from actors.world import RealWorld
from core.errors import NotFound
from core.masking import masked
from core.messages.sent import (
    DONE,
    GetMessage,
    ListMessages,
    MessageReply,
    MessagesReply,
    SentMessage,
    SentMessageDetails,
)
from core.store.tables import Inbox, MessageRow

HEAD = 200  # characters of a payload in a list
LARGEST = 2**31 - 1  # that an id can be
TOLD = ("key", "name", "queue", "sender", "program", "sent_at", "at", "seconds", "message", "kind", "resource_id")
SEEN = ("name", "payload", "message", "resource_id", "key", "sender", "program", "code")
SHELF = Shelf(
    select(MessageRow),
    MessageRow.id,
    own=(Key(MessageRow.at, down=True),),
    orders={**by(MessageRow, "name", "sender", "at", "seconds"), "state": MessageRow.code},
    seen=tuple(getattr(MessageRow, name) for name in SEEN),
    what="message",
)


@handles(ListMessages)
def list_messages(message: ListMessages, session: Session, world: RealWorld) -> MessagesReply:
    """A page of the log, newest first."""
    for field in ("after", "around"):
        place = getattr(message, field)
        is_place = field == "after" and place is not None and place.startswith(SIGN)
        if place is not None and not is_place and _number(place) is None:
            raise nowhere(field, f"there is no message with id {place!r} to go on from")
    told = page(session, SHELF, message, _filtered(message))
    return MessagesReply(messages=[SentMessage(**_fields(row)) for row in told.rows], **told.told)


def _filtered(message: ListMessages) -> Select[Any]:
    state = "" if message.state == DONE else message.state
    columns = (MessageRow.sender, MessageRow.name, MessageRow.code, MessageRow.key)
    values = (message.sender, message.name, state, message.key)
    query: Select[Any] = equal(SHELF.query, *zip(columns, values, strict=True))
    if message.since is not None:
        query = query.where(MessageRow.at >= message.since)
    return query if message.until is None else query.where(MessageRow.at < message.until)


def _number(id: str) -> int | None:
    """The number that an id is; None when it can't be one."""
    return int(id) if id.isascii() and id.isdigit() and len(id) < 12 and int(id) <= LARGEST else None


def brief(payload: str | None) -> str:
    """The beginning of a payload as people read it: name value, name value."""
    if payload is None:
        return ""
    told = json.loads(payload) if len(payload) < 4 * HEAD else None  # of a long one the beginning is enough
    if not isinstance(told, dict):
        return payload[:HEAD]
    return ", ".join(_parts(told))[:HEAD]


def _parts(told: Mapping[str, Any]) -> Iterator[str]:
    for name, value in told.items():
        if isinstance(value, dict):
            yield from _parts(value)
        elif value is not None:
            yield f"{name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"


def _fields(row: MessageRow) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in (*TOLD, "attempts")}
    return {**told, "id": str(row.id), "state": row.code or DONE, "head": brief(row.payload)}


@handles(GetMessage)
def get_message(message: GetMessage, session: Session, world: RealWorld) -> MessageReply:
    """One line of the log, with the reply as long as its key is remembered."""
    number = _number(message.id)
    row = None if number is None else session.get(MessageRow, number)
    if row is None:
        raise NotFound(f"there is no message with id {message.id!r}")
    kept = session.get(Inbox, row.key)
    reply = None
    if kept is not None and not row.code:
        reply = masked(json.loads(kept.reply).get("value"), world.desk.secrets)
    details = {
        "payload": None if row.payload is None else masked(json.loads(row.payload), world.desk.secrets),
        "bytes": row.bytes,
        "breaches": row.breaches,
        "reply": reply,
    }
    return MessageReply(message=SentMessageDetails(**_fields(row), **details))
