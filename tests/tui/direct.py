"""A client that hands messages to the real handlers of a studio in this process, without a queue between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from actors.answering import answer
from actors.desk import Desk
from core.client import Answer
from core.errors import BY_CODE, Unavailable
from core.messages.base import Message, Reply


class Direct:
    """`asked` is what came."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.asked: list[Message[Any]] = []
        self.closed = threading.Event()

    def ask(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Answer[Any]:
        """What the handlers answer; raises what a client raises."""
        self.asked.append(message)
        payload = message.model_dump(mode="json", exclude_unset=True)
        reply = Reply.model_validate(answer(self.desk, type(message).__name__, payload, key))
        if not reply.ok:
            raise (BY_CODE[reply.code] if reply.code is not None else Unavailable)(reply.message, reply.breaches)
        return Answer(type(message).REPLY.model_validate(reply.value), reply.breaches, reply.as_of)

    def follow(self, after: Any = None) -> Iterator[Any]:
        """Nothing: a test asks again itself."""
        while not self.closed.wait(0.05):
            pass
        yield from ()

    def follow_job(self, job_id: str, records_id: str = "0-0", *, block: float = 1.0) -> Iterator[Any]:
        """Nothing."""
        yield from ()

    def close(self) -> None:
        """Let who follows go."""
        self.closed.set()
