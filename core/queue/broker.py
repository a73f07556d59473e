"""The broker: Dramatiq's, with maintenance by the clock and dead letters that keep what was sent.

Stock Dramatiq gives a killed worker's messages back by a dice roll of 0.1 % a command; here every queue is looked after
every 2 s, and a worker counts as dead after 10 s without a heartbeat.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from core.queue.connect import connect
from core.queue.consumer import Shelf, StudioConsumer

HEARTBEAT_TIMEOUT = 10_000  # milliseconds
REPLY_TTL = 600_000  # milliseconds
QUEUES = ("commands", "runners", "slow")
DEAD_LETTERS = 10_000  # newest dead letters kept

# Only what is still ours is buried: a worker that was paused may have lost its message to another one.
_BURY = """
if redis.call('srem', KEYS[1], ARGV[1]) == 0 then return end
local raw = redis.call('hget', KEYS[2], ARGV[1]) or ''
redis.call('hdel', KEYS[2], ARGV[1])
redis.call('del', KEYS[3])
redis.call('xadd', KEYS[4], 'MAXLEN', '~', ARGV[2], '*', 'queue', ARGV[3], 'reason', ARGV[4], 'raw', raw)
"""


class StudioBroker(RedisBroker):  # type: ignore[misc]
    """A broker on `url`; every key begins with `ns`."""

    def __init__(self, url: str, ns: str, middleware: list[Middleware]) -> None:
        client = connect(url)
        self.stopping = threading.Event()
        self.shelves: defaultdict[str, Shelf] = defaultdict(Shelf)
        self.replies = RedisBackend(client=client, namespace=f"{ns}-results")
        middlewares = [Results(backend=self.replies, store_results=True, result_ttl=REPLY_TTL), *middleware]
        super().__init__(client=client, namespace=ns, heartbeat_timeout=HEARTBEAT_TIMEOUT, middleware=middlewares)

    @property
    def consumer_class(self) -> type[StudioConsumer]:
        """Ours, which wakes at once."""
        return StudioConsumer

    def _should_do_maintenance(self, command: str) -> int:
        return int(command == "maintain")

    def acks_key(self, queue: str) -> str:
        """The set of this process's fetched messages."""
        return f"{self.namespace}:__acks__.{self.broker_id}.{queue}"

    def deliveries_key(self, slot: str) -> str:
        """How often the processing of the message in `slot` was begun; without a slot, what such keys begin with."""
        return f"{self.namespace}:deliveries:{slot}"

    def bury(self, queue: str, slot: str | bytes, reason: str) -> None:
        """Move a fetched message to the dead letters, with what was sent and why."""
        ns, name = self.namespace, slot if isinstance(slot, bytes) else slot.encode()
        keys = [self.acks_key(queue), f"{ns}:{queue}.msgs", self.deliveries_key("").encode() + name, f"{ns}:dead"]
        text = reason.encode("utf-8", "replace")
        self.client.eval(_BURY, len(keys), *keys, name, DEAD_LETTERS, queue, text)

    def refuse(self, message: Any, code: str, text: str, rule: str | None = None) -> None:
        """Store a reply for a message that no handler answers; Results then stores none of its own."""
        message.options["store_results"] = False
        breaches = [{"rule": rule, "field": "", "severity": "ERROR", "message": text}] if rule else []
        reply = {"ok": False, "code": code, "message": text, "breaches": breaches}
        self.replies.store_result(message, reply, REPLY_TTL)


def dead_letters(client: redis.Redis, ns: str, limit: int = 100) -> list[dict[str, Any]]:
    """The newest dead letters first: id, at (unix seconds), queue, reason, raw."""
    found: Any = client.xrevrange(f"{ns}:dead", count=limit)
    return [
        {
            "id": id.decode(),
            "at": int(id.split(b"-")[0]) / 1000,
            **{name.decode(): value for name, value in fields.items()},
        }
        for id, fields in found
    ]


def dead_count(client: redis.Redis, ns: str) -> int:
    """How many dead letters there are."""
    number: Any = client.xlen(f"{ns}:dead")
    return int(number)


def depths(client: redis.Redis, ns: str) -> dict[str, int]:
    """How many messages wait in each queue to be fetched."""
    return {name: int(client.llen(f"{ns}:{name}")) for name in QUEUES}
