"""What stands between the queue and a handler: expiry, and poison.

Dramatiq counts retries, but a message that kills its worker never gets that far and would come back for ever. Here the
beginning of each processing is counted. A message that was begun before runs alone in its process, and the count is
raised only once it is alone, so that the neighbours of a poison message are not blamed for its kills.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import Any

import redis
from dramatiq.middleware import Middleware, SkipMessage

log = logging.getLogger("fts.queue")
KILLS = 3  # begun so often without an end: the next time it goes to the dead letters
REMEMBERED = 86_400  # seconds; so a counter whose message vanished goes too


class Shared:
    """A readers-writer lock that writers don't starve on: many ordinary messages, or one suspect."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.readers, self.writing, self.waiting = 0, False, 0

    def take(self, *, alone: bool) -> None:
        """Wait for a place: alone, or beside others."""
        with self.changed:
            if not alone:
                self.changed.wait_for(lambda: not self.writing and not self.waiting)
                self.readers += 1
                return
            self.waiting += 1
            self.changed.wait_for(lambda: not self.writing and not self.readers)
            self.waiting -= 1
            self.writing = True

    def give(self, *, alone: bool) -> None:
        """Leave the place."""
        with self.changed:
            if alone:
                self.writing = False
            else:
                self.readers -= 1
            self.changed.notify_all()


class Guard(Middleware):  # type: ignore[misc]
    """Middleware of every studio process that runs handlers."""

    def __init__(self) -> None:
        self.lock = Shared()
        self.mine = threading.local()

    def before_process_message(self, broker: Any, message: Any) -> None:
        """Refuse what killed three times or expired; else take a place and count. Raises SkipMessage."""
        self._leave()  # of a message whose end could not be told to the queue
        deliveries = message.options["deliveries"]
        if deliveries >= KILLS:
            self._give_up(message, f"its worker died {KILLS} times while running it")
            raise SkipMessage(f"{message.actor_name} killed its worker {KILLS} times")
        self.lock.take(alone=deliveries > 0)
        self.mine.alone = deliveries > 0
        expires_at = message.options.get("expires_at")
        if isinstance(expires_at, int | float) and expires_at < time.time() * 1000:
            self._expire(broker, message)
        self._count(broker, message)

    def _expire(self, broker: Any, message: Any) -> None:
        # Dramatiq runs a message when anything but SkipMessage is raised here, so a failed reply must not get out.
        with suppress(redis.RedisError):
            broker.refuse(message, "expired", "it waited longer than its sender would; nothing was done")
        raise SkipMessage(f"{message.actor_name} expired")

    def _count(self, broker: Any, message: Any) -> None:
        key = broker.deliveries_key(message.options["redis_message_id"])
        try:
            with broker.client.pipeline(transaction=False) as pipe:
                pipe.incr(key)
                pipe.expire(key, REMEMBERED)
                pipe.execute()
        except redis.RedisError as error:
            log.warning("%s runs uncounted, the queue is away: %s", message.actor_name, error)

    def after_process_message(self, broker: Any, message: Any, *, result: Any = None, exception: Any = None) -> None:
        """A handler that raised is answered for, and its message kept; Dramatiq without retries would drop both."""
        if exception is not None:
            self._give_up(message, f"its handler raised {type(exception).__name__}")

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        """Let the end of what runs be told once more, but not be waited for without a server."""
        broker.stopping.set()

    def _give_up(self, message: Any, reason: str) -> None:
        message.options["given_up"] = reason
        message.fail()  # so that the consumer's nack buries it, again and again until the queue has heard

    def after_ack(self, broker: Any, message: Any) -> None:
        """Give the place back, not before the queue knows that the message is done: a kill in between would blame it."""
        self._leave()

    def after_nack(self, broker: Any, message: Any) -> None:
        """Give the place back."""
        self._leave()

    def _leave(self) -> None:
        alone = getattr(self.mine, "alone", None)
        if alone is not None:
            self.mine.alone = None
            self.lock.give(alone=alone)
