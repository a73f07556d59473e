"""Rows under their columns: fitted to a terminal, whole in a pipe.

A terminal shows what fits: ids are cut to their first eight characters, which commands take as well, and the last columns
go. What explains (a reason, a message) is wrapped, never cut.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from tui.cli import console
from tui.cli.console import say, warn
from tui.view.describe import line
from tui.view.fit import GAP, LEAST, cut, given_back
from tui.view.words import short

EMPTY: tuple[Any, ...] = (None, "", [], {})
PROSE = {"reasons", "reason", "message", "meaning"}
FIRST = 32  # cells that a column may take before the ones behind it have theirs
NARROW = 24  # cells below which prose goes on lines of its own
INDENT = "    "
MOST = 200  # characters of a cell in a pipe


def table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print rows under their columns; those that are empty everywhere are left out."""
    if not rows:
        warn("(none)")
        return
    names = [name for name in columns or list(rows[0]) if any(row.get(name) not in EMPTY for row in rows)]
    for text in lines(names, rows, console.room()):
        say(text)


def wide(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> int:
    """How many cells a line of the table takes when nothing is cut."""
    return _wide(_natural([list(names), *([cell(name, row.get(name)) for name in names] for row in rows)])) - GAP


def lines(names: Sequence[str], rows: Sequence[Mapping[str, Any]], room: int | None) -> Iterator[str]:
    """The table's lines in `room` cells, or as wide as they are when it is None."""
    prose = names[-1] if names and names[-1] in PROSE else None
    kept = [name for name in names if name != prose]
    cells = [kept, *([cell(name, row.get(name)) for name in kept] for row in rows)]
    fitted = _natural(cells)
    told = [prose or "", *(line(row.get(prose)) if prose else "" for row in rows)]
    if room is not None:
        if _wide(fitted) + (NARROW if prose else -GAP) > room:
            cells = [kept, *([_short(name, row.get(name)) for name in kept] for row in rows)]
            fitted = _natural(cells)
        fitted = _fitted(kept, fitted, room + GAP)
    for index, (line_of_cells, text) in enumerate(zip(cells, told, strict=True)):
        start = _joined(line_of_cells, fitted)
        if prose is None or not text:
            yield start.rstrip()
        else:
            yield from _with_prose(start, text, _wide(fitted), room, heading=index == 0)


def _fitted(names: Sequence[str], natural: Sequence[int], room: int) -> list[int]:
    """How wide each column is shown in `room` cells, 0 for not at all: the first ones first, ids uncut."""
    fitted = []
    left = room
    for name, width in zip(names, natural, strict=True):
        wanted = width if name.endswith("id") else min(width, FIRST)
        if wanted + GAP > left:
            wanted = left - GAP if left - GAP >= LEAST and not name.endswith("id") else 0
        fitted.append(wanted)
        left -= wanted + GAP if wanted else 0
    return given_back(natural, fitted, room)


def _natural(cells: Sequence[Sequence[str]]) -> list[int]:
    return [max(cell_len(line_of_cells[index]) for line_of_cells in cells) for index in range(len(cells[0]))]


def _wide(fitted: Sequence[int]) -> int:
    """How far the columns and the gaps behind them reach."""
    return sum(width + GAP for width in fitted if width)


def _joined(cells: Sequence[str], fitted: Sequence[int]) -> str:
    shown = [(cut(text, width), width) for text, width in zip(cells, fitted, strict=True) if width]
    return "".join(text + " " * (width - cell_len(text) + GAP) for text, width in shown)


def _with_prose(start: str, text: str, wide: int, room: int | None, *, heading: bool) -> Iterator[str]:
    """A line and its explanation: behind it where there is room, else below it."""
    if room is None or wide + min(NARROW, cell_len(text)) <= room:
        wrapped = [text] if room is None else textwrap.wrap(text, max(NARROW, room - wide))
        yield start + wrapped[0]
        yield from (" " * wide + each for each in wrapped[1:])
        return
    yield start.rstrip()
    if not heading:
        yield from textwrap.wrap(text, room, initial_indent=INDENT, subsequent_indent=INDENT)


def cell(name: str, value: Any) -> str:
    """A value as one line of safe text."""
    return line(value, name, limit=MOST)


def _short(name: str, value: Any) -> str:
    return short(cell(name, value)) if name.endswith("id") else cell(name, value)
