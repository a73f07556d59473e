"""The broker: Dramatiq's, with maintenance by the clock and dead letters that keep what was sent.

Stock Dramatiq gives a killed worker's messages back by a dice roll of 0.1 % a command; here every queue is looked after
every 2 s, and a worker counts as dead after 10 s without a heartbeat.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import Any, Protocol

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from core.queue import dead
from core.queue.connect import connect
from core.queue.consumer import Shelf, StudioConsumer

HEARTBEAT_TIMEOUT = 10_000  # milliseconds
REPLY_TTL = 600_000  # milliseconds
QUEUES = ("commands", "runners", "slow")


class Ear(Protocol):
    """Who is told of messages that no handler saw; it raises nothing."""

    def refused(self, message: Any, reply: dict[str, Any]) -> None:
        """The message was answered without being run."""

    def buried(self, id: str, queue: str, reason: str) -> None:
        """A message became the dead letter `id`."""


class _Deaf:
    """Nobody listens."""

    def refused(self, message: Any, reply: dict[str, Any]) -> None:
        """Nothing."""

    def buried(self, id: str, queue: str, reason: str) -> None:
        """Nothing."""


class StudioBroker(RedisBroker):  # type: ignore[misc]
    """A broker on `url`; every key begins with `ns`. `ear` is told of what no handler sees."""

    def __init__(self, url: str, ns: str, middleware: list[Middleware], ear: Ear | None = None) -> None:
        client = connect(url)
        self.ear: Ear = ear or _Deaf()
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
        name = slot if isinstance(slot, bytes) else slot.encode()
        deliveries = self.deliveries_key("").encode() + name
        id = dead.bury(self.client, self.namespace, queue, self.acks_key(queue), deliveries, name, reason)
        if id is not None:
            self.ear.buried(id, queue, reason)

    def refuse(self, message: Any, code: str, text: str, rule: str | None = None) -> None:
        """Store a reply for a message that no handler answers; Results then stores none of its own."""
        message.options["store_results"] = False
        breaches = [{"rule": rule, "field": "", "severity": "ERROR", "message": text}] if rule else []
        reply = {"ok": False, "code": code, "message": text, "breaches": breaches}
        self.replies.store_result(message, reply, REPLY_TTL)
        self.ear.refused(message, reply)


def depths(client: redis.Redis, ns: str) -> dict[str, int]:
    """How many messages wait in each queue to be fetched."""
    return {name: int(client.llen(f"{ns}:{name}")) for name in QUEUES}
