"""Frames wait for a slow line, and for nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from tui.pace import AWAY, FRAME, LATE, SILENT, Pace


class Line:
    """A terminal at the end of a line of `rate` bytes a second, `far` seconds away; frames of `size` bytes, as many as may go."""

    def __init__(self, rate: float, far: float = 0.02) -> None:
        self.now, self.rate, self.far, self.busy = 0.0, rate, far, 0.0
        self.pace = Pace(lambda: self.now)
        self.pace.answered()  # Textual's question at the start
        self.answers: list[float] = []
        self.drawn: list[float] = []

    def live(self, seconds: float, size: Callable[[float], float], every: float = 0.1) -> None:
        """Something changes ten times a second."""
        begun = self.now
        for tick in range(round(seconds / every)):
            due = begun + tick * every
            while self.answers and self.answers[0] <= due:
                self.now = self.answers.pop(0)
                self.pace.answered()
                if self.pace.sound():
                    self.answers.append(max(self.busy, self.now) + self.far)
            self.now = due
            if self.pace.free:
                self.drawn.append(self.now)
                sent = int(size(self.pace.room))
                self.busy = max(self.busy, self.now) + sent / self.rate
                if self.pace.send(sent):
                    self.answers.append(self.busy + self.far)


def test_a_terminal_that_answers_nothing_is_never_waited_for() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for _ in range(100):
        assert pace.free and pace.room == math.inf
        pace.send(10_000)
        now += 1


@pytest.mark.parametrize("far", [0.001, 0.02, 0.2])
def test_on_a_quick_line_every_frame_goes_whole(far: float) -> None:
    line = Line(10e6, far)
    line.live(20, lambda room: min(room, 5_000))
    assert len(line.drawn) >= 198 and line.pace.room == math.inf  # the first, of which it is asked, is waited for


@pytest.mark.parametrize("far", [0.02, 0.2, 2 * AWAY])
@pytest.mark.parametrize("rate", [960, 11_520])
def test_on_a_slow_line_no_more_is_under_way_than_it_takes_in_the_time_of_a_key(rate: float, far: float) -> None:
    line = Line(rate, far)
    line.live(10, lambda room: min(room, 2_000))  # until its speed is known
    behind: list[float] = []

    def size(room: float) -> float:
        behind.append(line.busy - line.now)
        return min(room, 2_000)

    line.live(30, size)
    assert max(behind) <= LATE + FRAME
    assert len(behind) >= 20 / (FRAME + far)  # it is used, too


def test_a_way_that_becomes_longer_is_not_a_slower_line_for_long() -> None:
    line = Line(10e6)
    line.live(5, lambda room: min(room, 2_000))
    line.far = 3 * AWAY
    line.live(30, lambda room: min(room, 2_000))
    assert line.pace.room >= 2_000


def test_a_terminal_that_comes_back_is_asked_nothing_before_it_answered_again() -> None:
    pace = Pace(lambda: 0.0)
    assert not pace.send(100)
    pace.answered()
    assert pace.send(100) and not pace.send(100)
    pace.resume()
    assert pace.free and not pace.send(100)
    pace.answered()
    assert pace.send(100)


def test_what_another_program_took_away_is_not_counted_as_arrived_when_a_slow_terminal_comes_back() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    pace.answered()
    assert pace.send(1_000)
    now += 1
    pace.answered()
    pace.send(200_000)  # it and its answer are lost
    pace.resume()
    pace.answered()
    assert pace.send(500)
    now += 0.9
    pace.answered()
    assert pace.rate is not None and pace.rate < 2_000


def test_a_far_terminal_on_a_quick_line_gets_a_frame_for_each_answer_at_least() -> None:
    line = Line(10e6, far=4 * AWAY)
    line.live(20, lambda room: min(room, 500))
    assert len(line.drawn) >= 18


def test_a_terminal_that_stops_to_answer_is_not_waited_for_any_more() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    pace.answered()
    pace.send(1_000)
    assert pace.asked_at == 0.0
    now = 1.0
    assert not pace.free
    now = SILENT + 1
    assert pace.free and pace.room == math.inf
