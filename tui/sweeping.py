"""A dashboard that lasts keeps nothing of what was closed: a screen is one cycle of thousands of objects, and Textual's caches
hold widgets by their keys."""

from __future__ import annotations

import gc

from textual._styles_cache import StylesCache
from textual.app import App
from textual.timer import Timer

SOON = 3.0  # seconds from a screen's closing: what is closed meanwhile is swept with it
LATE = 35.0  # seconds from the last one's: limits of waiting that were called off hold widgets for 30 s all the same


class Sweeping(App[None]):
    """Sweeps some seconds after a screen was closed.

    It takes some 50 ms, as it is the oldest generation that a screen lives in. Left to itself the collector looks there when
    there are a quarter more objects than before: too late for the lines that it does not count.
    """

    def __init__(self) -> None:
        super().__init__()
        self.soon: Timer | None = None
        self.late: Timer | None = None

    def sweep_soon(self) -> None:
        """A screen was closed."""
        if not self.is_running:
            return
        if self.soon is None:
            self.soon = self.set_timer(SOON, self._sweep)
        if self.late is not None:
            self.late.stop()
        self.late = self.set_timer(LATE, self._sweep)

    def _sweep(self) -> None:
        self.soon = None
        StylesCache.get_inner_outer.cache_clear()  # a method: the key is the cache itself, with all lines of its widget
        gc.collect()
