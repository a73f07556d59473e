"""A consumer that wakes at once, and that no message can stall.

With nothing cached it blocks in BLMOVE of the queue's list onto itself, which moves nothing but returns as soon as
something is there; stock Dramatiq sleeps up to a second between looks. Fetching brings each message's slot and how often
its processing was begun, so that one that can't be decoded can still be buried, and the guard need not ask.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import redis
from dramatiq import Message
from dramatiq.broker import Consumer, MessageProxy
from dramatiq.errors import ConnectionClosed, DecodeError

if TYPE_CHECKING:
    from core.queue.broker import StudioBroker

BLOCK = 1.0  # seconds; also how often an idle consumer tells that it lives
FULL = 0.005  # seconds between looks while the worker has all it can hold
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
    out[#out + 1] = {slot, data, redis.call('hget', KEYS[5], slot) or '0'}
  end
end
return out
"""
_ACK = "if redis.call('srem',KEYS[1],ARGV[1])>0 then redis.call('hdel',KEYS[2],ARGV[1]) redis.call('hdel',KEYS[3],ARGV[1]) end"


class StudioConsumer(Consumer):  # type: ignore[misc]
    """Iterates over one queue's messages; None when there was nothing for a while."""

    def __init__(self, broker: StudioBroker, queue_name: str, prefetch: int, timeout: int) -> None:
        self.broker, self.queue, self.prefetch = broker, queue_name, prefetch
        self.cache: list[Any] = []
        self.held: set[str] = set()
        self.looked_after = 0.0
        ns = broker.namespace
        self.list_key, self.msgs_key, self.deliveries = f"{ns}:{queue_name}", f"{ns}:{queue_name}.msgs", f"{ns}:deliveries"
        self.fetch_keys = [f"{ns}:__heartbeats__", self.list_key, self.msgs_key, broker.acks_key(queue_name), self.deliveries]
        self.fetch = broker.client.register_script(_FETCH)
        self.acknowledge = broker.client.register_script(_ACK)

    def __next__(self) -> MessageProxy | None:
        try:
            self._maintain()
            return self._next()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None

    def _next(self) -> MessageProxy | None:
        while True:
            while self.cache:
                if (message := self._decode(*self.cache.pop(0))) is not None:
                    return message
            room = self.prefetch - len(self.held)
            if room <= 0:
                time.sleep(FULL)
                return None
            self.cache = self._fetch(room)
            if not self.cache and not self._await():
                return None

    def _fetch(self, room: int) -> list[Any]:
        found: list[Any] = self.fetch(keys=self.fetch_keys, args=[int(time.time() * 1000), self.broker.broker_id, room])
        return found

    def _await(self) -> bool:
        return self.broker.client.blmove(self.list_key, self.list_key, BLOCK, "LEFT", "LEFT") is not None

    def _decode(self, slot: bytes, raw: bytes, deliveries: bytes) -> MessageProxy | None:
        try:
            message = Message.decode(raw)
            message.options["redis_message_id"] = slot.decode()
            message.options["deliveries"] = int(deliveries)
        except (DecodeError, AttributeError, TypeError, ValueError) as error:
            self.broker.bury(self.queue, slot.decode("utf-8", "replace"), raw, f"can't be decoded: {error!s:.200}")
            return None
        if message.actor_name not in self.broker.actors or not isinstance(message.kwargs, dict):
            self._refuse(message, raw)
            return None
        self.held.add(slot.decode())
        return MessageProxy(message)

    def _refuse(self, message: Message[Any], raw: bytes) -> None:
        text = f"there is no message named {message.actor_name!r}"
        breach = {"rule": "MS-104", "field": "", "severity": "ERROR", "message": text}
        if isinstance(message.actor_name, str) and isinstance(message.message_id, str):
            self.broker.answer(message, {"ok": False, "code": "refused", "message": text, "breaches": [breach]})
        self.broker.bury(self.queue, message.options["redis_message_id"], raw, text)

    def _maintain(self) -> None:
        if time.monotonic() - self.looked_after >= MAINTENANCE:
            self.looked_after = time.monotonic()
            self.broker.do_maintain(self.queue)

    def ack(self, message: Any) -> None:
        """The message is done: forget it and how often it was begun."""
        slot = message.options["redis_message_id"]
        try:
            self.acknowledge(keys=[self.broker.acks_key(self.queue), self.msgs_key, self.deliveries], args=[slot])
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None
        finally:
            self.held.discard(slot)

    def nack(self, message: Any) -> None:
        """The message failed outside of what its handler answers: keep it among the dead letters."""
        slot = message.options["redis_message_id"]
        try:
            self.broker.bury(self.queue, slot, json.dumps(message.asdict()).encode(), "its handler failed")
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise ConnectionClosed(error) from None
        finally:
            self.held.discard(slot)

    def requeue(self, messages: Any) -> None:
        """Give fetched messages back that were not begun, at a graceful stop."""
        slots = [message.options["redis_message_id"] for message in messages]
        slots += [slot.decode() for slot, _, _ in self.cache]
        self.cache = []
        if slots:
            self.broker.do_requeue(self.queue, *slots)
