"""A dashboard that lasts keeps nothing of what was closed: a screen is one cycle of thousands of objects, and Textual's caches
hold widgets by their keys."""

from __future__ import annotations

import gc
import time

from textual._styles_cache import StylesCache
from textual.app import App
from textual.timer import Timer

AFTER = 2.0  # seconds from a screen's closing: longer than a beat of its clocks, which hold it until they are due


class Sweeping(App[None]):
    """Sweeps some seconds after a screen was closed, and once more for what was closed meanwhile.

    It takes some 50 ms, as it is the oldest generation that a screen lives in. Left to itself the collector looks there when
    there are a quarter more objects than before: too late for the lines that it does not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.closed_at = 0.0  # the last screen, in seconds of the process's clock
        self.sweeper: Timer | None = None

    def sweep_soon(self) -> None:
        """A screen was closed.

        The timer is started by the app and not here: one that waits, or was called off, keeps the context that it was
        started in until it is due, and the context of a screen's closing is the screen.
        """
        self.closed_at = time.monotonic()
        if self.is_running:
            self.call_later(self._plan)

    def _plan(self) -> None:
        if self.sweeper is None:
            self.sweeper = self.set_timer(max(0.01, self.closed_at + AFTER - time.monotonic()), self._sweep)

    def _sweep(self) -> None:
        self.sweeper, began = None, time.monotonic()
        StylesCache.get_inner_outer.cache_clear()  # a method: the key is the cache itself, with all lines of its widget
        gc.collect()
        if began < self.closed_at + AFTER:
            self._plan()
