"""Messages on the wire, without Dramatiq's import: what a dashboard or a script pays for sending must stay small.

The layout is Dramatiq 2.2's (tests prove that its own workers read it). A send has a message id of its own, so that two
senders with one idempotency key don't overwrite each other in the queue or read each other's reply; the key is an option.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from core.queue.connect import LONGEST_BLOCK

if TYPE_CHECKING:
    import redis
    from redis.asyncio import Redis as AsyncRedis

# One step on the server: either the message is in the queue whole, or it is not; sent again, it is there once.
_ENQUEUE = "if redis.call('hset',KEYS[2],ARGV[1],ARGV[2])>0 then redis.call('rpush',KEYS[1],ARGV[1]) end"

_NOBODY: Mapping[str, Any] = {}


@dataclass(frozen=True)
class WireMessage:
    """An encoded message: `id` names its reply, `slot` its place in the queue's hash."""

    name: str
    queue: str
    id: str
    slot: str
    data: bytes


def new_message(
    name: str,
    queue: str,
    payload: dict[str, Any],
    *,
    key: str | None = None,
    expires_at: float | None = None,
    sender: Mapping[str, Any] = _NOBODY,
) -> WireMessage:
    """Encode a message; `expires_at` in unix seconds: what its sender gave up on is not run later.

    `sender` are the options that say who sends (core/sender.py).
    """
    id, slot = str(uuid4()), str(uuid4())
    options: dict[str, Any] = {"redis_message_id": slot, **sender}
    if key is not None:
        options["key"] = key
    if expires_at is not None:
        options["expires_at"] = int(expires_at * 1000)
    fields = {
        "queue_name": queue,
        "actor_name": name,
        "args": [],
        "kwargs": {"payload": payload},
        "options": options,
        "message_id": id,
        "message_timestamp": int(time.time() * 1000),
    }
    return WireMessage(name, queue, id, slot, json.dumps(fields, separators=(",", ":")).encode())


def reply_key(ns: str, message: WireMessage) -> str:
    """The key of the message's reply in the layout of Dramatiq's result backend."""
    return hashlib.md5(f"{ns}-results:{message.queue}:{message.name}:{message.id}".encode()).hexdigest()


def enqueue(client: redis.Redis, ns: str, message: WireMessage) -> None:
    """Put the message into its queue, in one round trip."""
    client.eval(_ENQUEUE, 2, f"{ns}:{message.queue}", f"{ns}:{message.queue}.msgs", message.slot, message.data)


def ask(client: redis.Redis, ns: str, message: WireMessage, timeout: float) -> dict[str, Any] | None:
    """Send the message and take its reply, both in one round trip; None when there is none in `timeout` seconds.

    The reply is taken off the server: kept for its ten minutes, a dashboard's replies would fill its memory.
    """
    key, deadline = reply_key(ns, message), time.monotonic() + timeout
    with client.pipeline(transaction=False) as pipe:
        pipe.eval(_ENQUEUE, 2, f"{ns}:{message.queue}", f"{ns}:{message.queue}.msgs", message.slot, message.data)
        pipe.blpop([key], _block(timeout))
        found: Any = pipe.execute()[1]
    while found is None and (left := deadline - time.monotonic()) > 0:
        found = client.blpop([key], _block(left))
    return None if found is None else json.loads(found[1])


async def ask_async(client: AsyncRedis, ns: str, message: WireMessage, timeout: float) -> dict[str, Any] | None:
    """The asyncio twin of `ask`."""
    key, deadline = reply_key(ns, message), time.monotonic() + timeout
    async with client.pipeline(transaction=False) as pipe:
        pipe.eval(_ENQUEUE, 2, f"{ns}:{message.queue}", f"{ns}:{message.queue}.msgs", message.slot, message.data)
        pipe.blpop([key], _block(timeout))
        found: Any = (await pipe.execute())[1]
    while found is None and (left := deadline - time.monotonic()) > 0:
        found = await client.blpop([key], _block(left))
    return None if found is None else json.loads(found[1])


def _block(seconds: float) -> float:
    return max(0.01, min(seconds, LONGEST_BLOCK))
