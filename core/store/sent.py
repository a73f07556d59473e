"""The log of what was sent: a line for each outcome, in the transaction of the effect where there is one."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.orm import Session

from core.masking import masked, masked_text, suspect
from core.store.tables import EventRow, MessageRow

LONGEST = 64 * 1024  # characters of a payload, as JSON
WORDS = 2_000  # characters of a reply's message
BREACHES = 50  # of a reply
NAME = 255  # characters of what a sender says of itself

# Every command comes by here: the statements are built once.
_NOTE = insert(MessageRow.__table__)  # type: ignore[arg-type]
_FIRST = select(func.min(MessageRow.id)).where(
    MessageRow.key == bindparam("its_key"),
    MessageRow.name == bindparam("its_name"),
    MessageRow.code == bindparam("its_code"),
)
_AGAIN = (
    update(MessageRow.__table__)  # type: ignore[arg-type]
    .where(MessageRow.id == _FIRST.scalar_subquery())
    .values(attempts=MessageRow.attempts + 1)
)


@dataclass(frozen=True)
class Sent:
    """How a command came: who says to have sent it, when by that one's clock, how often it was begun before."""

    sender: str = ""
    program: str = ""
    at: float | None = None
    deliveries: int = 0
    begun: float = field(default_factory=time.time)

    @classmethod
    def of(cls, options: Mapping[str, Any], timestamp: object) -> Sent:
        """As the options of a message tell it, whatever they hold; `timestamp` in milliseconds."""
        sender, program = (storable(options.get(name) or "", NAME) for name in ("sender", "program"))
        at = timestamp / 1000 if isinstance(timestamp, int | float) and 0 < timestamp < 1e14 else None
        deliveries = options.get("deliveries", 0)
        return cls(sender, program, at, deliveries if isinstance(deliveries, int) else 0)


def storable(value: object, limit: int) -> str:
    """Text that any database holds."""
    return str(value)[:limit].encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:limit]


@dataclass(frozen=True)
class Line:
    """What is noted of a command, but for its outcome. `secrets` are texts that may stand nowhere."""

    name: str
    queue: str
    key: str
    payload: object
    sent: Sent
    secrets: Sequence[str] = ()

    def note(self, session: Session, reply: Mapping[str, Any], events: Sequence[EventRow] = ()) -> None:
        """Write the line; the first of the command's events tells what it was about."""
        text = json.dumps(self.payload, ensure_ascii=False, separators=(",", ":"), default=str)
        fields = {
            "key": storable(self.key, NAME),
            "name": self.name,
            "queue": self.queue,
            "sender": self.sent.sender,
            "program": self.sent.program,
            "payload": self._kept(text),
            "bytes": len(text),
            "sent_at": self.sent.at,
            "at": self.sent.begun,
            "seconds": max(0.0, time.time() - self.sent.begun),
            "code": _code(reply),
            "message": storable(masked_text(str(reply.get("message") or ""), self.secrets), WORDS),
            "breaches": [self._breach(each) for each in reply.get("breaches", ())[:BREACHES]],
            "attempts": self.sent.deliveries + 1,
            **self._about(events),
        }
        session.execute(_NOTE, fields)

    def again(self, session: Session, reply: Mapping[str, Any]) -> None:
        """The same key came once more and was answered as before: it counts with the first line that tells that answer."""
        told = {"its_key": self.key, "its_name": self.name, "its_code": _code(reply)}
        session.execute(_AGAIN, told)

    def _kept(self, text: str) -> str | None:
        """The payload as JSON without secrets; None when it is too long."""
        if len(text) > LONGEST:
            return None
        if suspect(text, self.secrets):
            text = json.dumps(
                masked(self.payload, self.secrets), ensure_ascii=False, separators=(",", ":"), default=str
            )
        return text.encode("utf-8", "backslashreplace").decode()

    def _breach(self, breach: Mapping[str, Any]) -> dict[str, Any]:
        return {name: storable(masked_text(str(each), self.secrets), WORDS) for name, each in breach.items()}

    def _about(self, events: Sequence[EventRow]) -> dict[str, str]:
        for event in events:
            if event.resource_id:
                return {"kind": event.kind, "resource_id": event.resource_id}
        named = self.payload.get("id") if isinstance(self.payload, Mapping) else None
        return {"kind": "", "resource_id": storable(named, NAME) if isinstance(named, str) else ""}


def _code(reply: Mapping[str, Any]) -> str:
    return "" if reply["ok"] else str(reply["code"])
