"""Turns at a model that many threads answer with: first come, first served, and after every token the next one's."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Turns:
    """A lock that is fair. Who holds it passes it on as often as it can, and gets it back when all others had theirs."""

    def __init__(self) -> None:
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def held(self, who: object) -> Iterator[None]:
        """Wait for the turn, and give it up at the end."""
        with self._moved:
            self._line.append(who)
            self._wait(who)
        try:
            yield
        finally:
            with self._moved:
                self._line.popleft()
                self._moved.notify_all()

    def pass_on(self, who: object) -> bool:
        """Let the others have their turn, then take it again; False when there are no others. Only for who holds it."""
        with self._moved:
            if len(self._line) == 1:
                return False
            self._line.rotate(-1)
            self._moved.notify_all()
            self._wait(who)
            return True

    def _wait(self, who: object) -> None:
        self._moved.wait_for(lambda: self._line[0] is who)
