"""A list in which all rows move, at the end of a line of 960 bytes a second: never much under way, a key before all else."""

from __future__ import annotations

import math
from collections.abc import Iterable

from rich.color import ColorSystem
from rich.segment import Segment
from rich.style import Style
from textual._compositor import LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tui.glass import Glass
from tui.pace import BEGIN, QUESTION, Pace
from tui.pen import drawn_as

RATE, FAR = 960, 0.05
WIDE, HIGH = 80, 24
TEXT, STATE, TIME = "#d0d0d0", "bold #5fafd7", "#929394"
GROUNDS = {"home": "#101010", "jobs": "#1b1d20"}


class Line:
    """A terminal that shows so many bytes a second and answers a question when it comes to it."""

    def __init__(self) -> None:
        self.now = self.empty_at = 0.0
        self.pace, self.glass = Pace(lambda: self.now), Glass()
        self.pace.answered()  # Textual's question at the start
        self.answers: list[float] = []
        self.sent = 0
        self.behind = 0.0  # the most seconds that it was behind, once it had answered

    def show(self, seconds: float, cursor: int, page: str) -> None:
        """Numbers move in all rows ten times a second; what there is room for is sent."""
        until = self.now + seconds
        while self.now < until:
            self.now += 0.1
            while self.answers and self.answers[0] <= self.now:
                self.answers.pop(0)
                self.pace.answered()
                if self.pace.sound():
                    self._write(len(QUESTION), asks=True)
            self.glass.take(listed(self.now, cursor, page), (WIDE, HIGH), ColorSystem.TRUECOLOR)
            if self.pace.free and (sent := self.glass.send(self.pace.room)):
                self._write(len(sent), asks=self.pace.send(len(sent)))

    def _write(self, size: int, *, asks: bool) -> None:
        self.sent += size
        self.empty_at = max(self.empty_at, self.now) + size / RATE
        if asks:
            self.answers.append(self.empty_at + FAR)
        if self.pace.known:
            self.behind = max(self.behind, self.empty_at - self.now)


def listed(now: float, cursor: int, page: str) -> LayoutUpdate:
    """A page of rows, on a ground of its own: a state, a name, a number, and how long ago it began."""
    lines: list[Iterable[Strip]] = []
    for y in range(HIGH):
        ground = "#2f4856" if y == cursor else GROUNDS[page]
        cells = [("● running", STATE), (f"   {page}-{y:04}   ", TEXT), (f"{now * 50 + y:12.0f}/1000000  ", TEXT)]
        line = [Segment(text, Style.parse(f"{colour} on {ground}")) for text, colour in [*cells, (f"{now:.0f}s", TIME)]]
        lines.append([Strip(line).adjust_cell_length(WIDE, Style.parse(f"{TEXT} on {ground}"))])
    return LayoutUpdate(lines, Region(0, 0, WIDE, HIGH))


def test_a_new_page_is_never_more_than_half_a_second_behind_and_a_key_does_not_wait_for_the_rest_of_it() -> None:
    line = Line()
    line.show(0.1, 2, "home")
    assert line.sent <= BEGIN
    line.show(20, 2, "home")
    line.show(1, 2, "jobs")
    for row in (3, 4, 15):
        left, before = line.glass.wanted_styles[row][:], line.sent
        while line.glass.styles[row] == left or row in line.glass.moved:
            line.show(0.1, row, "jobs")
            assert line.sent - before <= RATE  # a frame under way, and the rows that the cursor left and came to
    assert len(line.glass.moved) > 3  # all this before the page was there
    line.show(30, row, "jobs")
    assert not line.glass.moved and line.behind <= 0.5


def test_a_colour_costs_no_more_than_what_is_new_of_it() -> None:
    before, after = "1;38;2;95;175;215;48;2;27;29;32", "38;2;208;208;208;48;2;27;29;32"
    assert drawn_as("", before) == f"\x1b[0;{before}m"
    assert drawn_as(before, after) == "\x1b[22;38;2;208;208;208m"
    assert drawn_as(before, before) == "" and drawn_as(before, "") == "\x1b[0m"
    assert drawn_as("1;2;34", "2;34") == "\x1b[22;2m"
    assert drawn_as("1;39", "1") == drawn_as("1", "1;49") == ""  # other words for the same
    glass = Glass()
    glass.paint(listed(0, 2, "jobs"), (WIDE, HIGH), ColorSystem.TRUECOLOR)
    glass.take(listed(0, 3, "jobs"), (WIDE, HIGH), ColorSystem.TRUECOLOR)
    assert len(glass.send(math.inf)) < 2 * 220
