"""A window on a list that may be long: some hundred rows, moved along it by asking for what comes before or after.

The studio orders, filters and counts; a window knows the place where it begins. A place stays when rows go or change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tui.view.cells import Row

PAGE = 100  # rows that are asked for at a time
MOST = 300  # rows that a window holds
TRIES = 5  # rows that are tried as the beginning of a window, should some have gone


@dataclass(frozen=True)
class View:
    """How a list is looked at."""

    contains: str = ""
    order: str = ""
    descending: bool = False

    def fields(self, *, backwards: bool = False) -> dict[str, Any]:
        """What a query is asked with."""
        told = {"contains": self.contains, "order": self.order, "descending": self.descending is not backwards}
        return {name: value for name, value in told.items() if value}


@dataclass(frozen=True)
class Part:
    """What the studio answers: rows and where they lie (core.messages.common.Page)."""

    rows: Sequence[Row]
    has_more: bool = False
    has_before: bool = False
    begins: str | None = None
    ends: str | None = None
    total: int | None = None
    matching: int | None = None


Ask = Callable[..., Part]  # with the fields of a query


@dataclass(frozen=True)
class Window:
    """Rows of a list, from the place `start` on (None: its beginning). `more` tells that there are rows behind them."""

    rows: Sequence[Row] = ()
    start: str | None = None
    more: bool = False
    total: int | None = None
    matching: int | None = None

    @property
    def whole(self) -> bool:
        """Whether these are all the rows."""
        return self.start is None and not self.more


def moved(ask: Ask, view: View, window: Window, move: str) -> Window:
    """The window as it is now, moved `down`, `up`, to the `top`, to the `bottom`, or to lie around the row `=id`. Raises core.errors."""
    if move == "top":
        return _at(ask, view, None, PAGE)
    if move == "bottom":
        return _back(ask, view, None, PAGE, 0)
    if move.startswith("="):
        part = ask(**view.fields(), around=move[1:], limit=PAGE)
        return _made(part, part.begins if part.has_before else None)
    size = len(window.rows)
    if move == "up" and window.start is not None:
        return _back(ask, view, window.start, PAGE, size)
    if move == "down" and size + PAGE > MOST:
        return _slid(ask, view, window)
    found = _at(ask, view, window.start, min(MOST, max(PAGE, size + PAGE * (move == "down"))))
    return found if found.rows or window.start is None else _back(ask, view, None, PAGE, 0)


def _at(ask: Ask, view: View, start: str | None, limit: int) -> Window:
    return _made(ask(**view.fields(), after=start, limit=limit), start)


def _back(ask: Ask, view: View, place: str | None, rows: int, kept: int) -> Window:
    """The window that begins so many rows before a place, or before the list's end; `kept` rows behind the place stay."""
    before = ask(**view.fields(backwards=True), after=place, limit=rows)
    start = before.ends if before.has_more else None
    return _at(ask, view, start, min(MOST, max(PAGE, len(before.rows) + kept)))


def _slid(ask: Ask, view: View, window: Window) -> Window:
    """The window a page further down: it begins behind one of its rows, one that is still there."""
    from core.errors import Refused

    for row in window.rows[PAGE - 1 : PAGE - 1 - TRIES : -1]:
        try:
            part = ask(**view.fields(), after=str(row["id"]), limit=MOST)
        except Refused:
            continue
        return _made(part, part.begins)
    return _at(ask, view, window.start, MOST)


def _made(part: Part, start: str | None) -> Window:
    return Window(part.rows, start, part.has_more, part.total, part.matching)
