"""What stands between the queue and a handler: expiry, and poison.

Dramatiq counts retries, but a message that kills its worker never gets that far and would come back for ever. Here the
beginning of each processing is counted. A message that was begun before runs alone in its process, and the count is
raised only once it is alone, so that the neighbours of a poison message are not blamed for its kills.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from dramatiq.middleware import Middleware, SkipMessage

KILLS = 3  # begun so often without an end: the next time it goes to the dead letters


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
        """Refuse what expired or killed three times; else take a place and count."""
        self._leave()  # of a message whose end could not be told to the queue
        expires_at = message.options.get("expires_at")
        if isinstance(expires_at, int | float) and expires_at < time.time() * 1000:
            broker.answer(message, _reply("expired", "it waited longer than its sender would; nothing was done"))
            raise SkipMessage(f"{message.actor_name} expired")
        deliveries = message.options.get("deliveries", 0)
        if deliveries >= KILLS:
            self._bury(broker, message)
        self.lock.take(alone=deliveries > 0)
        self.mine.alone = deliveries > 0
        try:
            broker.client.hincrby(f"{broker.namespace}:deliveries", message.options["redis_message_id"], 1)
        except BaseException:
            self._leave()
            raise

    def _bury(self, broker: Any, message: Any) -> None:
        text = f"its worker died {KILLS} times while running it; it is kept among the dead letters"
        broker.answer(message, _reply("internal", text))
        broker.bury(message.queue_name, message.options["redis_message_id"], message.encode(), text)
        raise SkipMessage(f"{message.actor_name} killed its worker {KILLS} times")

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


def _reply(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "message": message, "breaches": []}
