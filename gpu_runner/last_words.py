"""Why the workers of a job end: told in memory that they share with their agent, since a full disk may be the very reason."""

from __future__ import annotations

import json
import mmap
import time

from core.events import Failure

SLOT = 256 << 10  # bytes of each worker
LENGTH = 8  # bytes that say how long the words are: written last, and 0 until then
SHORT = 4_000  # characters of a failure's texts that always fit


class LastWords:
    """A slot for each of so many workers. The memory is that of all processes forked after it is made."""

    def __init__(self, workers: int) -> None:
        self._memory, self._workers = mmap.mmap(-1, workers * SLOT), workers

    def say(self, worker: int, failure: Failure) -> None:
        """Say why the worker ends; it is the only one that writes there."""
        told = _bytes(failure)
        if len(told) > SLOT - LENGTH:
            cut = {name: value[-SHORT:] for name, value in failure.model_dump().items() if isinstance(value, str)}
            told = _bytes(failure.model_copy(update={**cut, "log_tail": []}))
        start = worker * SLOT
        self._memory[start + LENGTH : start + LENGTH + len(told)] = told
        self._memory[start : start + LENGTH] = len(told).to_bytes(LENGTH, "little")

    def first(self) -> Failure | None:
        """The failure that a worker told first; that of the others is mostly that they missed it."""
        told = [json.loads(words) for place in range(self._workers) if (words := self._of(place))]
        first = min(told, key=lambda each: float(each["at"]), default=None)
        return None if first is None else Failure.model_validate(first["failure"])

    def _of(self, worker: int) -> bytes:
        start = worker * SLOT
        length = int.from_bytes(self._memory[start : start + LENGTH], "little")
        return self._memory[start + LENGTH : start + LENGTH + length]


def _bytes(failure: Failure) -> bytes:
    return json.dumps({"at": time.time(), "failure": failure.model_dump(mode="json")}).encode()
