"""A studio whose every answer is made on the spot from what the reply declares, with the corpus in every text of it.

So whatever a screen asks for, also one that is yet to be written, it gets more than it wants to show.
"""

from __future__ import annotations

import enum
import itertools
import time
import types
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel

from core.client import Answer
from core.events import EVENT_TYPES, Event
from core.following import Away, Back
from core.messages.base import Message
from core.rules import Breach
from core.types import JobStatus

DEEP = 6  # levels of parts within parts
COUNTS = {"total_steps": 100, "step": 40, "total": 2, "matching": 2, "rows": 2}


class Maker:
    """Makes replies; the next text of `pieces` for each field that holds one."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.pieces = itertools.cycle(pieces)
        self.states = itertools.cycle(JobStatus)

    def reply(self, model: type[BaseModel], depth: int = 0) -> BaseModel:
        """An instance with all of its fields filled; nothing is checked, as nothing is by a studio gone bad."""
        hints = typing.get_type_hints(model, include_extras=False)
        made = {name: self.value(hints[name], name, depth + 1) for name in model.model_fields}
        return model.model_construct(**made)

    def value(self, kind: Any, name: str, depth: int) -> Any:
        """A value of a type."""
        origin, inner = typing.get_origin(kind), typing.get_args(kind)
        if origin is typing.Annotated:
            return self.value(inner[0], name, depth)
        if origin in (typing.Union, types.UnionType):
            return self.value(next(each for each in inner if each is not type(None)), name, depth)
        if origin is typing.Literal:
            return inner[0]
        if origin in (list, set, frozenset, tuple, Sequence):
            return [] if depth > DEEP else [self.value(inner[0] if inner else str, name, depth + 1) for _ in range(2)]
        if origin is dict or kind is dict:
            known = inner if len(inner) == 2 else (str, Any)
            return {} if depth > DEEP else {self.value(known[0], name, depth): self.value(known[1], name, depth + 1)}
        return self._simple(kind, name, depth)

    def _simple(self, kind: Any, name: str, depth: int) -> Any:
        if isinstance(kind, type):
            if issubclass(kind, BaseModel):
                return self.reply(kind, depth)
            if issubclass(kind, JobStatus):
                return next(self.states)
            if issubclass(kind, enum.Enum):
                return next(iter(kind))
            if issubclass(kind, bool):
                return name not in ("has_more",)
            if issubclass(kind, int):
                return COUNTS.get(name, 3)
            if issubclass(kind, float):
                return time.time() - 90 if name == "at" or name.endswith("_at") else 0.5
        return next(self.pieces)


class HostileStudio:
    """Answers everything. With `broken` it answers everything with that."""

    def __init__(self, pieces: Sequence[str]) -> None:
        self.maker = Maker(pieces)
        self.texts = itertools.cycle(pieces)
        self.broken: Exception | None = None
        self.asked: set[str] = set()

    def ask(self, message: Message[Any], *, key: str | None = None, timeout: float | None = None) -> Answer[Any]:
        """A made reply, with advice."""
        name = type(message).__name__
        self.asked.add(name)
        if self.broken is not None:
            raise self.broken
        advice = [Breach(rule="XX-001", field=next(self.texts), message=next(self.texts))]
        return Answer(self.maker.reply(type(message).REPLY), advice, None)

    def follow(self, after: Any = None) -> Iterator[Any]:
        """Events of every kind, and an outage with a reason of theirs; then silence."""
        for id, kind in enumerate(EVENT_TYPES, 1):
            data = {next(self.texts): next(self.texts)}
            text, about = next(self.texts), next(self.texts)
            yield Event(
                id=id, prev=id - 1, at=time.time(), type=kind, message=text, kind="jobs", resource_id=about, data=data
            )
        yield Away(next(self.texts))
        yield Back()
        while True:
            time.sleep(0.5)
            yield Event(id=99, prev=98, at=time.time(), type=next(self.texts), kind="x", message=next(self.texts))

    def follow_job(
        self, job_id: str, records_id: str = "0-0", *, block: float = 1.0
    ) -> Iterator[dict[str, Any] | None]:
        """Records of every kind that a job writes, and some that none does."""
        attempt, place = 3, 3  # where Maker's metrics end
        while True:
            for kind in ("log", "phase", "warning", "metrics", "progress", "held", "oom", next(self.texts)):
                text = next(self.texts)
                record = {"type": kind, "at": time.time(), "text": text, "name": text, "level": text, "step": place}
                record |= {"values": {text: 1.0}, "total_steps": 100, "reason": text, "offset": place + 1}
                yield {"attempt": attempt, "from": place, "to": place + 1, "records": [record]}
                place += 1
            time.sleep(0.2)
            yield None
