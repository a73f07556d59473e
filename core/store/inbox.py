"""What was answered to each command's key: in the transaction of its effect, so that it is done once."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from core.errors import Conflict
from core.store.session import Unit
from core.store.tables import Inbox

# Every command comes by here: statements are built once, and rows are not made objects of.
_LOOK = select(Inbox.name, Inbox.payload_hash, Inbox.reply).where(Inbox.key == bindparam("key"))
_KEEP = insert(Inbox.__table__)  # type: ignore[arg-type]


def payload_hash(payload: object) -> str:
    """SHA-256 of the canonical JSON of a payload."""
    return hashlib.sha256(json.dumps(payload, sort_keys=True, default=str).encode()).hexdigest()


def remembered(session: Session, key: str, name: str, hash: str) -> dict[str, Any] | None:
    """The reply given to `key`, or None; raise Conflict when it was given to another message or payload."""
    row = session.execute(_LOOK, {"key": key}).one_or_none()
    if row is None:
        return None
    if (row.name, row.payload_hash) != (name, hash):
        raise Conflict(f"the key {key!r} was used for another {row.name}; a new request needs a new key")
    reply: dict[str, Any] = json.loads(row.reply)
    return reply


def remember(unit: Unit, key: str, name: str, hash: str, reply: dict[str, Any]) -> None:
    """Keep the reply; on a database with concurrent writers the second to do so fails with an IntegrityError."""
    fields = {"key": key, "name": name, "payload_hash": hash, "reply": json.dumps(reply), "at": unit.now}
    unit.session.execute(_KEEP, fields)
