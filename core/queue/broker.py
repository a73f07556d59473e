"""The broker: Dramatiq's, with maintenance by the clock and dead letters that keep what was sent.

Stock Dramatiq gives a killed worker's messages back by a dice roll of 0.1 % a command; here every queue is looked after
every 2 s, and a worker counts as dead after 10 s without a heartbeat.
"""

from __future__ import annotations

from typing import Any

import redis
from dramatiq.brokers.redis import RedisBroker
from dramatiq.middleware import Middleware, ShutdownNotifications
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from core.queue.connect import connect
from core.queue.consumer import StudioConsumer

HEARTBEAT_TIMEOUT = 10_000  # milliseconds
DEAD_LETTERS = 10_000  # newest dead letters kept

_BURY = """
redis.call('xadd', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'queue', ARGV[3], 'reason', ARGV[4], 'raw', ARGV[5])
redis.call('srem', KEYS[2], ARGV[2])
redis.call('hdel', KEYS[3], ARGV[2])
redis.call('hdel', KEYS[4], ARGV[2])
"""


class StudioBroker(RedisBroker):  # type: ignore[misc]
    """A broker on `url`; every key begins with `ns`."""

    def __init__(self, url: str, ns: str, middleware: list[Middleware]) -> None:
        client = connect(url)
        self.replies = RedisBackend(client=client, namespace=f"{ns}-results")
        middlewares = [ShutdownNotifications(), Results(backend=self.replies, store_results=True), *middleware]
        super().__init__(client=client, namespace=ns, heartbeat_timeout=HEARTBEAT_TIMEOUT, middleware=middlewares)
        self._bury = client.register_script(_BURY)

    @property
    def consumer_class(self) -> type[StudioConsumer]:
        """Ours, which wakes at once."""
        return StudioConsumer

    def _should_do_maintenance(self, command: str) -> int:
        return int(command == "maintain")

    def acks_key(self, queue: str) -> str:
        """The set of this process's fetched messages."""
        return f"{self.namespace}:__acks__.{self.broker_id}.{queue}"

    def bury(self, queue: str, slot: str, raw: bytes, reason: str) -> None:
        """Move a fetched message to the dead letters, with what was sent and why."""
        keys = [f"{self.namespace}:dead", self.acks_key(queue), f"{self.namespace}:{queue}.msgs", f"{self.namespace}:deliveries"]
        self._bury(keys=keys, args=[DEAD_LETTERS, slot, queue, reason, raw])

    def answer(self, message: Any, reply: dict[str, Any]) -> None:
        """Store a reply for a message that no handler answers; Results then stores none of its own."""
        message.options["store_results"] = False
        self.replies.store_result(message, reply, 600_000)


def dead_letters(client: redis.Redis, ns: str, limit: int = 100) -> list[dict[str, Any]]:
    """The newest dead letters first: id, at (unix seconds), queue, reason, raw."""
    found: Any = client.xrevrange(f"{ns}:dead", count=limit)
    return [
        {"id": id.decode(), "at": int(id.split(b"-")[0]) / 1000, **{name.decode(): value for name, value in fields.items()}}
        for id, fields in found
    ]
