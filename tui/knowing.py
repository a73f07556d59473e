"""What completion knows of names and files: asked for in threads, kept for some seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.messages.base import named
from tui.cli.references import Listing
from tui.completing import Named, entries, nameable

if TYPE_CHECKING:
    from tui.app import Dashboard

FRESH = 10.0  # seconds
ROWS = 100  # of a list that are looked at; of a longer one those that hold what was typed
REMEMBERED = 200  # answers


class Knowing:
    """Answers at once with what is known; `fresh` is called in the app when more is."""

    def __init__(self, dashboard: Dashboard, fresh: Callable[[], None]) -> None:
        self.dashboard, self.fresh = dashboard, fresh
        self.known: dict[
            Any, tuple[float, list[Any], bool]
        ] = {}  # what was asked -> (when, answer, whether there is more)
        self.asked: set[Any] = set()

    def names(self, listing: Listing, typed: str) -> Iterable[Named]:
        """Names of a listing's resources."""
        rows, more = self._get((listing, ""), lambda: self._rows(listing, ""))
        if more and typed:
            rows, _ = self._get((listing, typed), lambda: self._rows(listing, typed))
        return nameable(rows, listing)

    def files(self, directory: str, here: bool) -> Iterable[tuple[str, bool]]:
        """What is in a directory; nothing for a dashboard that only looks: who does may be a stranger."""
        if self.dashboard.readonly:
            return []
        return self._get((directory, here), lambda: (entries(_root(here) / directory), False))[0]

    def _rows(self, listing: Listing, typed: str) -> tuple[list[Any], bool]:
        taken = named(listing.message).model_fields
        fields: dict[str, Any] = {"limit": ROWS} if "limit" in taken else {}
        if typed and "name_contains" in taken and listing.names:
            fields["name_contains"] = typed
        return self.dashboard.studio.rows(listing.message, listing.many, **fields)

    def _get(self, what: Any, find: Callable[[], tuple[list[Any], bool]]) -> tuple[list[Any], bool]:
        at, answer, more = self.known.get(what, (0.0, [], False))
        if time.monotonic() - at > FRESH and what not in self.asked:
            self.asked.add(what)
            self.dashboard.run_worker(lambda: self._find(what, find), thread=True, exit_on_error=False)
        return answer, more

    def _find(self, what: Any, find: Callable[[], tuple[list[Any], bool]]) -> None:
        try:
            answer, more = find()
        except Exception:  # the studio is away: there is nothing to offer, and the next look asks again
            self.asked.discard(what)
            return
        self.dashboard.from_thread(self._keep, what, answer, more)

    def _keep(self, what: Any, answer: list[Any], more: bool) -> None:
        self.asked.discard(what)
        if len(self.known) >= REMEMBERED:
            self.known.clear()
        self.known[what] = time.monotonic(), answer, more
        self.fresh()


def _root(here: bool) -> Path:
    from core.settings import settings

    return Path() if here else settings().project
