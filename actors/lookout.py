"""Something of others that is asked for again and again by many: one question at a time, and who asks waits for a moment only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from core.errors import StudioError
from core.text import plain

FRESH = 30.0  # seconds that an answer is as good as a new one, and that one which did not come is not asked for again
T = TypeVar("T")


class Lookout(Generic[T]):
    """What `ask` told last. It is called in a thread of its own, which whatever it asks may hold up; times are monotonic."""

    def __init__(self, ask: Callable[[], T], fresh: float = FRESH) -> None:
        self.ask, self.fresh = ask, fresh
        self.known: T | None = None
        self.told_at: float | None = None  # when it was told, in unix seconds
        self.away = ""  # why the newest question was not answered
        self._asked_at = -fresh
        self._lock = threading.Lock()
        self._here = threading.Event()
        self._here.set()

    def look(self, fresh: float | None = None) -> None:
        """Ask, unless the answer is as fresh as that or a question is under way."""
        with self._lock:
            age = time.monotonic() - self._asked_at
            if not self._here.is_set() or age < (self.fresh if fresh is None else fresh):
                return
            self._here.clear()
        threading.Thread(target=self._look, name="lookout", daemon=True).start()

    def wait(self, until: float) -> T | None:
        """What is known at the latest at this time."""
        self._here.wait(max(0.0, until - time.monotonic()))
        return self.known

    @property
    def trouble(self) -> str:
        """Why what is known is not newer; empty when it is as new as it may be."""
        return self.away if self._here.is_set() else "no answer yet"

    def _look(self) -> None:
        try:
            self.known, self.away, self.told_at = self.ask(), "", time.time()
        except Exception as error:  # a StudioError that says why, or whatever a library throws
            self.away = plain(
                error if isinstance(error, StudioError) else f"{type(error).__name__}: {error}", limit=300
            )
        finally:
            with self._lock:
                self._asked_at = time.monotonic()
                self._here.set()
