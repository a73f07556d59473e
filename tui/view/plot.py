"""Curves in braille: two by four dots a cell, which is finer than a terminal's characters and costs next to nothing."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from tui.view.fit import cut

Series = Sequence[tuple[float, float]]  # (x, y), in order of x
Piece = tuple[str, str]  # text and what it is: a line's `what`, "" the frame, "cursor"

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
MARGIN = 9  # cells for the labels of the y axis
FORMS = (".3g", ".4g", ".5g", ".1e", ".0e")  # of the labels, one for all: the first that fits and tells them apart
LEVEL = 1e-6  # of a number: what it trembles by less than that is of no meaning
APART = 16  # cells between the marks of a line
Box = tuple[float, float, float, float]  # left, right, low, high
Cells = dict[tuple[int, int], int]  # (row, column) -> braille bits


@dataclass(frozen=True)
class Line:
    """A curve. Where a `mark` is given it stands on the curve here and there: curves are told apart without colours."""

    points: Series
    what: str = "0"
    mark: str = ""


def plot(
    lines: Sequence[Line],
    width: int,
    height: int,
    *,
    log: bool = False,
    window: tuple[float, float] | None = None,
    cursor: float | None = None,
    unit: str = "",
    note: str = "",
    told: Callable[[float], str] = "{:g}".format,
) -> list[list[Piece]]:
    """A chart of `width` x `height` cells as pieces, with labels at the left and the x axis below, whose ends `told` spells;
    a `note` stands in it.

    Of a `window` only what lies in it is drawn. Points that are not finite, or not positive on a log axis, are left out.
    With nothing to draw it says so.
    """
    shown = [Line(_shown(line.points, log, window), line.what, line.mark) for line in lines]
    shown = [line for line in shown if line.points]
    columns, rows = width - MARGIN, height - 1
    if not shown or columns < 4 or rows < 2:
        said = "nothing in this stretch" if any(line.points for line in lines) else "no numbers yet"
        return [[(said.center(max(0, width)) if row == height // 2 else "", "")] for row in range(height)]
    box = _box(shown, window)
    cells = [_dots(line.points, box, columns, rows) for line in shown]
    made = {
        place: (chr(0x2800 + bits), line.what)
        for line, drawn in zip(shown, cells, strict=True)
        for place, bits in drawn.items()
    }
    made |= _marks(shown, cells, columns)
    if cursor is not None and box[0] <= cursor <= box[1]:
        at = _across(cursor, box, columns) // 2
        made = {**{(row, at): ("│", "cursor") for row in range(rows)}, **made, **_read(shown, box, rows, cursor, at)}
    drawn = [[(_label(row, rows, box, log), ""), *_row(made, row, columns)] for row in range(rows)]
    return [*drawn, [(_foot(told(box[0]), told(box[1]), unit, note, width), "")]]


def nearest(points: Series, x: float) -> tuple[float, float] | None:
    """The point that is nearest to `x`; None without points."""
    place = bisect_left(points, (x,))
    return min(points[max(0, place - 1) : place + 1], key=lambda point: abs(point[0] - x), default=None)


def _shown(points: Series, log: bool, window: tuple[float, float] | None) -> Series:
    """What can be drawn, scaled; of a window also one point at either side, from where and to where the curve goes."""
    kept = points
    if window is not None:
        first, last = bisect_left(points, (window[0],)), bisect_left(points, (window[1], math.inf))
        if first == last and not 0 < first < len(points):
            return []
        kept = points[max(0, first - 1) : last + 1]
    return [(x, math.log10(y) if log else y) for x, y in kept if math.isfinite(y) and (y > 0 or not log)]


def _box(lines: Sequence[Line], window: tuple[float, float] | None) -> Box:
    xs = [x for line in lines for x, _ in line.points]
    left, right = window or (min(xs), max(xs))
    inside = [y for line in lines for x, y in line.points if left <= x <= right]
    ys = inside or [y for line in lines for _, y in line.points]
    return left, right, *_padded(min(ys), max(ys))


def _padded(low: float, high: float) -> tuple[float, float]:
    level = high - low <= abs(high) * LEVEL
    room = (abs(high) * 0.1 or 1.0) if level else (high - low) * 0.05
    return (max(0.0, low - room) if low >= 0 else low - room), high + room


def _across(x: float, box: Box, columns: int) -> int:
    share = (x - box[0]) / (box[1] - box[0]) if box[1] > box[0] else 0.5
    return round(share * (columns * 2 - 1))


def _down(y: float, box: Box, rows: int) -> int:
    return round((box[3] - y) / (box[3] - box[2]) * (rows * 4 - 1))


def _dots(points: Series, box: Box, columns: int, rows: int) -> Cells:
    """The points joined by straight lines; what lies outside of the box is left out."""
    cells: Cells = {}
    wide, tall = columns * 2, rows * 4
    before: tuple[int, int] | None = None
    for x, y in points:
        here = _across(x, box, columns), _down(y, box, rows)
        for column, row in _line(before or here, here, wide):
            if 0 <= column < wide and 0 <= row < tall:
                cell = (row // 4, column // 2)
                cells[cell] = cells.get(cell, 0) | _DOTS[row % 4][column % 2]
        before = here
    return cells


def _line(start: tuple[int, int], end: tuple[int, int], wide: int) -> list[tuple[int, int]]:
    """The dots from one to the other; of a line from far outside only as many as it has inside."""
    (left, top), (right, low) = start, end
    steps = max(abs(right - left), abs(low - top), 1)
    if steps == 1:
        return [start, end]
    from_, to = 0, steps
    if right - left > 2 * wide:
        from_, to = (max(0, (edge - left) * steps // (right - left)) for edge in (-2, wide + 2))
    return [
        (round(left + (right - left) * i / steps), round(top + (low - top) * i / steps))
        for i in range(from_, min(to, steps) + 1)
    ]


def _marks(lines: Sequence[Line], cells: Sequence[Cells], columns: int) -> dict[tuple[int, int], Piece]:
    """Where the lines' marks stand: each line's at places of its own."""
    marks: dict[tuple[int, int], Piece] = {}
    for index, (line, drawn) in enumerate(zip(lines, cells, strict=True)):
        if line.mark:
            rows = {column: row for row, column in drawn}
            begin = index * APART // max(1, len(lines))
            for wanted in range(begin, columns, APART):
                column = next((each for each in range(wanted, min(columns, wanted + 3)) if each in rows), None)
                if column is not None:
                    marks[rows[column], column] = (line.mark, line.what)
    return marks


def _read(lines: Sequence[Line], box: Box, rows: int, cursor: float, at: int) -> dict[tuple[int, int], Piece]:
    """Where the cursor meets the curves."""
    met: dict[tuple[int, int], Piece] = {}
    for line in lines:
        point = nearest(line.points, cursor)
        if point is not None and line.what != "raw":
            row = max(0, min(rows - 1, _down(point[1], box, rows) // 4))
            met[row, at] = (line.mark or "●", line.what)
    return met


def _row(made: dict[tuple[int, int], Piece], row: int, columns: int) -> list[Piece]:
    """The row's pieces; where curves cross, the last one is on top."""
    pieces: list[Piece] = []
    for column in range(columns):
        char, what = made.get((row, column), (" ", ""))
        if pieces and pieces[-1][1] == what:
            pieces[-1] = (pieces[-1][0] + char, what)
        else:
            pieces.append((char, what))
    return pieces


def _label(row: int, rows: int, box: Box, log: bool) -> str:
    if row not in (0, rows // 2, rows - 1):
        return " " * (MARGIN - 1) + "│"
    wide = MARGIN - 2
    values = {at: _value(at, rows, box, log) for at in (0, rows // 2, rows - 1)}
    forms = [{at: f"{value:{form}}" if value else "0" for at, value in values.items()} for form in FORMS]
    fitting = [told for told in forms if all(len(each) <= wide for each in told.values())]
    apart = [told for told in fitting if len(set(told.values())) == len(told)]
    told = (apart or fitting)[0]
    return f"{told[row]:>{wide}} ┤"


def _value(row: int, rows: int, box: Box, log: bool) -> float:
    share = row / max(1, rows - 1)
    at = box[3] * (1 - share) + box[2] * share  # at the ends just what they are: no -9e-16 for a zero
    return 10**at if log else at


def _foot(left: str, right: str, unit: str, note: str, width: int) -> str:
    """The x axis with its ends, what they count, and a note in between."""
    begin = " " * (MARGIN - 1) + f"└{left} "
    end = f" {right} {unit}".rstrip() if unit else f" {right}"
    room = width - cell_len(begin) - cell_len(end)
    told = f" {cut(note, room - 4)} " if note and room > 8 else ""
    before = (room - cell_len(told)) // 2
    return begin + "─" * before + told + "─" * max(1 - before, room - cell_len(told) - before) + end
