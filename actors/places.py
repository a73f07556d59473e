"""Places in a list: between which rows a page begins and ends, told so that they stay when rows come, go or change.

A place is the row's part of the list, its values of what the list is ordered by, and the side of it. It travels as text
that says nothing to those who carry it.
"""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from sqlalchemy import ColumnElement, and_, literal, or_, tuple_

from core.messages.base import unstorable

SIGN = "@"  # what the text of a place begins with; ids don't


@dataclass(frozen=True)
class Key:
    """A column that a list is ordered by; `down`: the largest first."""

    column: Any
    down: bool = False


@dataclass(frozen=True)
class Place:
    """A place before or `behind` a row, as the list goes when nothing turns it round."""

    order: str
    part: int
    values: tuple[Any, ...]
    behind: bool

    def text(self) -> str:
        """The place as it is told."""
        told = json.dumps([self.order, self.part, self.values, self.behind], separators=(",", ":"))
        return SIGN + urlsafe_b64encode(told.encode()).decode()


def read(text: str, order: str, keys: Sequence[Key], parts: int) -> Place | None:
    """The place that was told as `text`; None when it is none of a list in that order."""
    try:
        told, part, values, behind = json.loads(urlsafe_b64decode(text.removeprefix(SIGN).encode()))
    except (ValueError, TypeError, RecursionError):
        return None
    fits = (
        told == order
        and type(part) is int
        and 0 <= part < parts
        and type(behind) is bool
        and isinstance(values, list)
        and len(values) == len(keys)
        and all(_fits(value, key.column) for value, key in zip(values, keys, strict=True))
        and not any(unstorable(values))
    )
    return Place(order, part, tuple(values), behind) if fits else None


def _fits(value: Any, column: Any) -> bool:
    kind = column.type.python_type
    return value is None or type(value) is kind or (kind is float and type(value) is int)


def beyond(keys: Sequence[Key], values: Sequence[Any], *, backwards: bool, with_it: bool) -> ColumnElement[bool] | None:
    """What lies behind the row of these values on the way through the list, or is that row when it is to be `with_it`.

    Columns that go the same way are compared as one, which an index answers; None: everything lies there.
    """
    if not keys:
        return None
    run = list(takewhile(lambda key: key.down is keys[0].down, keys))
    rest = beyond(keys[len(run) :], values[len(run) :], backwards=backwards, with_it=with_it)
    here = tuple_(*(key.column for key in run))
    there = tuple_(*(literal(value, key.column.type) for key, value in zip(run, values, strict=False)))
    falls = run[0].down is not backwards
    strictly, at_most = (here < there, here <= there) if falls else (here > there, here >= there)
    if rest is not None:
        return and_(at_most, or_(strictly, rest))
    return at_most if with_it else strictly
