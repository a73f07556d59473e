"""A consumer that wakes at once, that no message can stall, and that strands nothing when the connection breaks.

It blocks in BLMOVE of the queue's list onto itself, which moves nothing but returns as soon as something is there (stock
Dramatiq sleeps up to a second between looks), and fetches in the same round trip. A fetch brings each message's slot and
how often its processing was begun, so that one that can't be read can still be buried, and the guard need not ask.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import redis
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.common import q_name
from dramatiq.errors import ConnectionClosed

from core.queue.letters import Unreadable, read

if TYPE_CHECKING:
    from core.queue.broker import StudioBroker

log = logging.getLogger("fts.queue")
MAINTENANCE = 2.0  # seconds between looks after dead workers' messages

_FETCH = """
redis.call('zadd', KEYS[1], ARGV[1], ARGV[2])
local out = {}
for i = 1, tonumber(ARGV[3]) do
  local slot = redis.call('lpop', KEYS[2])
  if not slot then break end
  local data = redis.call('hget', KEYS[3], slot)
  if data then
    redis.call('sadd', KEYS[4], slot)
    out[#out + 1] = {slot, data, redis.call('get', KEYS[5] .. slot) or '0'}
  end
end
return out
"""
_ACK = "if redis.call('srem',KEYS[1],ARGV[1])>0 then redis.call('hdel',KEYS[2],ARGV[1]) redis.call('del',KEYS[3]) end"


@dataclass
class Shelf:
    """What this process has fetched of one queue and not finished; it outlives a consumer, which dies with its connection."""

    held: set[str] = field(default_factory=set)
    freed: threading.Event = field(default_factory=threading.Event)

    def free(self, slot: str) -> None:
        """The message of `slot` is no longer ours."""
        self.held.discard(slot)
        self.freed.set()


@contextmanager
def _dramatiq_errors() -> Iterator[None]:
    """Dramatiq's threads live through its own errors only."""
    try:
        yield
    except redis.RedisError as error:
        raise ConnectionClosed(error) from None


class StudioConsumer(Consumer):  # type: ignore[misc]
    """Iterates over one queue's messages; None when there was nothing for `timeout` milliseconds."""

    def __init__(self, broker: StudioBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.broker, self.queue, self.prefetch, self.block = broker, queue_name, prefetch, max(timeout, 10) / 1000
        self.shelf = broker.shelves[queue_name]
        self.cache: list[Any] = []
        self.looked_after = 0.0
        self.list_key = f"{broker.namespace}:{queue_name}"
        self.fetch_keys = [
            f"{broker.namespace}:__heartbeats__",
            self.list_key,
            f"{self.list_key}.msgs",
            broker.acks_key(queue_name),
            broker.deliveries_key(""),
        ]
        with _dramatiq_errors():
            self._reclaim()

    def _reclaim(self) -> None:
        """Put back what the server believes to be ours and no thread has: a fetch's reply was lost on the way."""
        if self.queue != q_name(self.queue):
            self.shelf.held.clear()  # Dramatiq forgets its delayed messages when a connection breaks
        ours: Any = self.broker.client.smembers(self.broker.acks_key(self.queue))
        if stranded := [slot for slot in ours if slot.decode("utf-8", "replace") not in self.shelf.held]:
            self.broker.do_requeue(self.queue, *stranded)

    def __next__(self) -> MessageProxy | None:
        with _dramatiq_errors():
            if time.monotonic() - self.looked_after >= MAINTENANCE:
                self.looked_after = time.monotonic()
                self.broker.do_maintain(self.queue)
            if not self.cache:
                self._fill()
            while self.cache:
                if (message := self._read(*self.cache.pop(0))) is not None:
                    return message
            return None

    def _fill(self) -> None:
        self.shelf.freed.clear()
        room = self.prefetch - len(self.shelf.held)
        if room <= 0:
            self.shelf.freed.wait(self.block)
            return
        with self.broker.client.pipeline(transaction=False) as pipe:
            pipe.blmove(self.list_key, self.list_key, self.block, "LEFT", "LEFT")
            pipe.eval(_FETCH, 5, *self.fetch_keys, int(time.time() * 1000), self.broker.broker_id, room)
            self.cache = pipe.execute()[1]

    def _read(self, slot: bytes, raw: bytes, deliveries: bytes) -> MessageProxy | None:
        try:
            message = read(raw, self.queue, self.broker.actors)
            name = slot.decode()
        except UnicodeDecodeError:
            self.broker.bury(self.queue, slot, "its slot in the queue is not text")
            return None
        except Unreadable as error:
            if error.sender is not None:
                self.broker.refuse(error.sender, "refused", str(error), error.rule)
            self.broker.bury(self.queue, slot, str(error))
            return None
        message.options.update(redis_message_id=name, deliveries=int(deliveries))
        self.shelf.held.add(name)
        return MessageProxy(message)

    def ack(self, message: Any) -> None:
        """The message is done: forget it and how often it was begun."""
        slot = message.options["redis_message_id"]
        keys = [self.broker.acks_key(self.queue), f"{self.list_key}.msgs", self.broker.deliveries_key(slot)]
        with self._finishing(slot):
            self.broker.client.eval(_ACK, 3, *keys, slot)

    def nack(self, message: Any) -> None:
        """The message won't be run (again): answer its sender and keep it among the dead letters."""
        slot, reason = message.options["redis_message_id"], message.options.get("given_up", "its handler failed")
        with self._finishing(slot):
            self.broker.refuse(message, "internal", f"{reason}; it is kept among the dead letters")
            self.broker.bury(self.queue, slot, reason)

    @contextmanager
    def _finishing(self, slot: str) -> Iterator[None]:
        """Dramatiq repeats what fails here until it succeeds; at a stop without a server that would be for ever."""
        try:
            yield
        except redis.RedisError as error:
            if not self.broker.stopping.is_set():
                raise ConnectionClosed(error) from None
            log.warning("stopping without the queue: a message that is done will come again (%s)", error)
        self.shelf.free(slot)

    def requeue(self, messages: Any) -> None:
        """Give fetched messages back that were not begun, at a graceful stop."""
        slots = [message.options["redis_message_id"] for message in messages]
        unread = [slot for slot, _, _ in self.cache]
        self.cache = []
        if slots or unread:
            with _dramatiq_errors():
                self.broker.do_requeue(self.queue, *slots, *unread)
        for slot in slots:
            self.shelf.free(slot)
