"""Curves in braille: two by four dots a cell, which is finer than a terminal's characters and costs next to nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from rich.cells import cell_len

Series = Sequence[tuple[float, float]]  # (x, y)
Piece = tuple[str, str]  # text and the name of its series

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
MARGIN = 9  # cells for the labels of the y axis


def plot(series: Mapping[str, Series], width: int, height: int, *, log: bool = False) -> list[list[Piece]]:
    """Lines of (text, name) pieces: a chart of `width` x `height` cells, labels and names included; name "" is the frame.

    The names stand in the axis below, or under it where they have no room there.

    Points that are not finite, or not positive on a log axis, are left out. With nothing to draw it says so.
    """
    shown = {name: [(x, _scaled(y, log)) for x, y in points if _fits(y, log)] for name, points in series.items()}
    shown = {name: points for name, points in shown.items() if points}
    columns, foot = width - MARGIN, _foot(shown, width)
    rows = height - len(foot)
    if not shown or columns < 4 or rows < 2:
        return [
            [("no numbers yet".center(max(0, width)), "")] if row == height // 2 else [("", "")]
            for row in range(height)
        ]
    xs = [x for points in shown.values() for x, _ in points]
    ys = [y for points in shown.values() for _, y in points]
    box = (min(xs), max(xs), *_padded(min(ys), max(ys)))
    cells = {name: _dots(points, box, columns, rows) for name, points in shown.items()}
    lines = [[(_label(row, rows, box, log), ""), *_row(cells, row, columns)] for row in range(rows)]
    return [*lines, *foot]


def _fits(y: float, log: bool) -> bool:
    return math.isfinite(y) and (y > 0 or not log)


def _scaled(y: float, log: bool) -> float:
    return math.log10(y) if log else y


def _padded(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def _dots(
    points: Series, box: tuple[float, float, float, float], columns: int, rows: int
) -> dict[tuple[int, int], int]:
    """(row, column) -> braille bits, points joined by straight lines."""
    left, right, low, high = box
    wide, tall = columns * 2 - 1, rows * 4 - 1

    def place(x: float, y: float) -> tuple[int, int]:
        across = (x - left) / (right - left) if right > left else 0.5
        return round(across * wide), round((high - y) / (high - low) * tall)

    cells: dict[tuple[int, int], int] = {}
    before: tuple[int, int] | None = None
    for x, y in points:
        here = place(x, y)
        for column, row in _line(before or here, here):
            cell = (row // 4, column // 2)
            cells[cell] = cells.get(cell, 0) | _DOTS[row % 4][column % 2]
        before = here
    return cells


def _line(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * i / steps), round(start[1] + (end[1] - start[1]) * i / steps))
        for i in range(steps + 1)
    ]


def _row(cells: Mapping[str, Mapping[tuple[int, int], int]], row: int, columns: int) -> list[Piece]:
    """The row's pieces; where curves cross, the last one is on top."""
    pieces: list[Piece] = []
    for column in range(columns):
        owner = next((name for name in reversed(list(cells)) if (row, column) in cells[name]), "")
        char = chr(0x2800 + cells[owner][row, column]) if owner else " "
        if pieces and pieces[-1][1] == owner:
            pieces[-1] = (pieces[-1][0] + char, owner)
        else:
            pieces.append((char, owner))
    return pieces


def _label(row: int, rows: int, box: tuple[float, float, float, float], log: bool) -> str:
    if row not in (0, rows // 2, rows - 1):
        return " " * (MARGIN - 1) + "│"
    wide = MARGIN - 2
    for digits in (3, 4, 5):  # as few as tell the labels apart
        told = {at: _told(_value(at, rows, box, log), digits, wide) for at in (0, rows // 2, rows - 1)}
        if len(set(told.values())) == len(told):
            break
    return f"{told[row]:>{wide}} ┤"


def _value(row: int, rows: int, box: tuple[float, float, float, float], log: bool) -> float:
    share = row / max(1, rows - 1)
    at = box[3] * (1 - share) + box[2] * share  # at the ends just what they are: no -9e-16 for a zero
    return 10**at if log else at


def _told(value: float, digits: int, wide: int) -> str:
    return next(each for each in (f"{value:.{digits}g}", f"{value:.1e}", f"{value:.0e}") if len(each) <= wide)


def _foot(series: Mapping[str, Series], width: int) -> list[list[Piece]]:
    """The axis of steps with the curves' names in it; below it where they are too long."""
    xs = [x for points in series.values() for x, _ in points] or [0.0]
    left, right = " " * (MARGIN - 1) + f"└{min(xs):g}", f"{max(xs):g}"
    room = width - cell_len(left) - cell_len(right)
    names: list[Piece] = [(f"── {name} ", name) for name in series]
    taken = sum(cell_len(text) for text, _ in names) + 1
    if taken < room:
        return [[(f"{left} ", ""), *names, ("─" * (room - taken) + right, "")]]
    return [[(left + "─" * max(1, room) + right, "")], [(" " * (MARGIN + 1), ""), *names]]
