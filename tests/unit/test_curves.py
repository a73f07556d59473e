"""A curve of many points drawn with few keeps what sticks out."""

from __future__ import annotations

import random

from core.curves import thinned


def test_a_spike_of_one_step_in_a_million_stays_also_when_what_was_thinned_is_thinned_again() -> None:
    dice = random.Random(7)
    points = [(float(step), dice.random()) for step in range(1_000_000)]
    points[654_321] = (654_321.0, 5.0)
    points[123_456] = (123_456.0, -5.0)
    once = thinned(points, 600)
    again = thinned(once, 100)
    for kept, most in ((once, 600), (again, 100)):
        assert len(kept) <= most and kept == sorted(kept)
        assert {points[0], points[-1], points[654_321], points[123_456]} <= set(kept)


def test_few_points_stay_as_they_are_and_the_fewest_are_the_ends() -> None:
    points = [(float(step), 1.0) for step in range(50)]
    assert thinned(points, 50) == points
    assert thinned(points, 2) == [points[0], points[-1]]
    assert thinned([(1.0, 2.0)] * 5, 3)[0] == (1.0, 2.0)
    assert thinned([], 2) == []
