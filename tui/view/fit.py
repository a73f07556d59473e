"""Columns that fit the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

LEAST = 13  # cells that a column keeps when room is short
GAP = 2  # cells that a table puts around a column
HANG = 2  # cells that what a long line goes on with is put in


def widths(natural: Sequence[int], room: int, name: int = 0, gives: Sequence[int] = ()) -> list[int]:
    """How wide columns of these widths are shown in `room` cells: the widest give way first, then columns go (0).

    Those that `gives` tells a number of go before any is cut, the highest first, of equal ones the last. The column `name`
    tells the rows apart: it gives way when nothing behind it can, and stays.
    """
    fitted = list(natural)
    while fitted and sum(fitted) + GAP * sum(width > 0 for width in fitted) > room:
        widest = max((width, -index) for index, width in enumerate(fitted) if index != name or len(fitted) == 1)
        narrow = fitted[name] <= LEAST
        going = [(gives[index] if gives else 0, index) for index in _going(fitted, name, narrow)]
        if going and max(going)[0]:
            fitted[max(going)[1]] = 0
        elif widest[0] > LEAST:
            fitted[-widest[1]] -= 1
        elif going:
            fitted[max(going)[1]] = 0
        elif not narrow:
            fitted[name] -= 1
        else:
            break
    return given_back(natural, fitted, room)


def _going(fitted: Sequence[int], name: int, narrow: bool) -> list[int]:
    """The columns that may go: those before the name only when that is as narrow as it gets."""
    return [index for index, width in enumerate(fitted) if width and index != name and (index > name or narrow)]


def given_back(natural: Sequence[int], fitted: list[int], room: int) -> list[int]:
    """What a column that went left over goes to those that gave way, the first one first."""
    left = room - sum(fitted) - GAP * sum(width > 0 for width in fitted)
    for index, width in enumerate(fitted):
        more = min(left, natural[index] - width) if width else 0
        if more > 0:
            fitted[index] += more
            left -= more
    return fitted


def cut(text: str, width: int) -> str:
    """Text in `width` cells; an ellipsis where it was longer."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"


def cut_left(text: str, width: int) -> str:
    """The end of a text in `width` cells, as of a path; an ellipsis where it began earlier."""
    if cell_len(text) <= width:
        return text
    while text and cell_len(text) >= width:
        text = text[1:]
    return "…" + text


def wrapped(line: str, width: int, hang: int = HANG) -> list[tuple[int, int]]:
    """From where to where of a line each row of `width` cells goes; broken at blanks where there are some.

    What goes on in further rows is put in by `hang` cells, which it has not to itself.
    """
    if len(line) <= width and (line.isascii() or cell_len(line) <= width):
        return [(0, len(line))]
    rows, begin = list[tuple[int, int]](), 0
    while begin < len(line):
        room = width - (hang if begin else 0)
        end = begin + _fitting(line[begin : begin + room], room)
        if end < len(line) and (blank := line.rfind(" ", begin + room // 2, end)) > begin:
            end = blank + 1
        rows.append((begin, end))
        begin = end
    return rows


def _fitting(text: str, room: int) -> int:
    """How many of the characters have room."""
    return len(text) if text.isascii() or cell_len(text) <= room else max(1, len(set_cell_size(text, room).rstrip()))
