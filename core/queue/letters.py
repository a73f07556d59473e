"""Reading what lies in a queue: strictly, since anyone who reaches the server can put anything there.

What Dramatiq's worker would stumble over (a name that is a list, a queue that is not the one it came from, options of
middleware that isn't there) ends here, as a reason that the dead letters can show.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from dramatiq import Message
from dramatiq.common import q_name

OPTIONS = (
    "key",
    "expires_at",
    "sender",
    "program",
)  # what a sender may say about its message; the rest is for middleware we don't run
FIELDS = frozenset(Message.__dataclass_fields__)
SHOWN = 200  # characters of hostile text in a reason


class Unreadable(Exception):
    """The message can't be run; `sender` is enough of it to answer, None when even that can't be read."""

    def __init__(self, reason: str, sender: Message[Any] | None = None, rule: str = "MS-101") -> None:
        super().__init__(reason[:SHOWN])
        self.sender, self.rule = sender, rule


def read(raw: bytes, queue: str, known: Collection[str]) -> Message[Any]:
    """Decode the message that lay in `queue` for one of the `known` actors; raises Unreadable."""
    fields = _fields(raw)
    sender = _sender(fields)
    if sender is None:
        raise Unreadable("the message's queue, name or id can't be read")
    if fields["queue_name"] != queue:
        raise Unreadable(f"it lay in the queue {queue!r} but names {sender.queue_name!r}", sender)
    if sender.actor_name not in known:
        raise Unreadable(f"there is no message named {sender.actor_name!r}", sender, "MS-104")
    shapes = {"args": list, "kwargs": dict, "options": dict}
    if set(fields) != FIELDS or not all(isinstance(fields[name], kind) for name, kind in shapes.items()):
        raise Unreadable("its fields are not those of a Dramatiq message", sender)
    given, wanted = fields["options"], (*OPTIONS, "eta") if queue != q_name(queue) else OPTIONS
    options = {name: given[name] for name in wanted if name in given}
    return Message(**{**fields, "args": tuple(fields["args"]), "options": options})


def _fields(raw: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Unreadable("it is not an object")
    return fields


def _sender(fields: dict[str, Any]) -> Message[Any] | None:
    names = [fields.get(name) for name in ("queue_name", "actor_name", "message_id")]
    try:
        "".join(names).encode()  # type: ignore[arg-type]  # that is the question
    except (TypeError, UnicodeEncodeError):
        return None
    return Message(str(names[0]), str(names[1]), (), {}, {}, message_id=str(names[2]))
