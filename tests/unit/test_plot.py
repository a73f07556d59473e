"""Curves as characters: axes, stretches, the cursor, and how curves are told apart."""

from __future__ import annotations

import random
from typing import Any

import pytest

from core.curves import thinned
from tui.view.plot import Line, plot


def lines(*points: Any, width: int = 40, height: int = 9, **how: Any) -> list[str]:
    drawn = plot([each if isinstance(each, Line) else Line(each) for each in points], width, height, **how)
    return ["".join(text for text, _ in line) for line in drawn]


@pytest.mark.parametrize("most", [7.53, 0.0007, 1e-12, 123456.0])
def test_a_curves_axis_is_straight_and_begins_at_zero_where_the_curve_does(most: float) -> None:
    drawn = lines([(1.0, most), (2.0, 0.0)])
    assert {next(at for at, char in enumerate(line) if char in "┤│└") for line in drawn} == {8}
    assert drawn[-2].split("┤")[0].strip() == "0"


def test_the_labels_of_a_curve_that_hardly_moves_can_be_told_apart() -> None:
    drawn = lines([(1.0, 4.8401), (2.0, 4.8431)])
    assert [line.split("┤")[0].strip() for line in drawn if "┤" in line] == ["4.843", "4.841", "4.84"]


def test_the_labels_of_an_axis_are_written_alike() -> None:
    drawn = lines([(1.0, 0.00022), (2.0, 0.000173)])
    assert [line.split("┤")[0].strip() for line in drawn if "┤" in line] == ["2.2e-04", "1.9e-04", "1.7e-04"]


def test_a_constant_that_trembles_by_its_last_digits_is_drawn_level() -> None:
    drawn = lines([(float(x), 0.003 * (1 + x * 1e-9)) for x in range(100)], height=10)
    assert [line.split("┤")[0].strip() for line in drawn if "┤" in line] == ["0.0033", "0.003", "0.0027"]
    assert [at for at, line in enumerate(drawn) if any(ord(char) > 0x2800 for char in line)] == [4]


def test_the_axis_tells_its_ends_what_they_count_and_a_note_as_far_as_there_is_room() -> None:
    points = [(1.0, 1.0), (40.0, 2.0)]
    assert lines(points, unit="steps")[-1] == "        └1 ──────────────────── 40 steps"
    assert lines(points, note="at 7  log")[-1] == "        └1 ─────── at 7  log ──────── 40"
    assert "…" in lines(points, note="far too long a note for an axis")[-1]
    assert {len(line) for line in lines(points, unit="steps", note="at 7")} == {40}


def test_a_spike_of_one_step_in_a_million_is_seen() -> None:
    dice = random.Random(3)
    points = [(float(step), 1 + dice.random() / 10) for step in range(1_000_000)]
    points[654_321] = (654_321.0, 50.0)
    drawn = lines(thinned(points, 600), width=80, height=10)
    assert any(ord(char) > 0x2800 for char in drawn[0][9:]), "it is not at the top"
    assert not any(ord(char) > 0x2800 for line in drawn[2:4] for char in line[9:50]), "it stands alone"


def test_of_a_stretch_only_what_lies_in_it_is_drawn_with_the_way_in_and_out() -> None:
    points = [(float(x), float(x)) for x in range(101)]
    drawn = lines(points, window=(40.0, 60.0), unit="steps")
    assert drawn[0].split("┤")[0].strip() == "61" and drawn[-2].split("┤")[0].strip() == "39"
    assert "└40 " in drawn[-1] and " 60 steps" in drawn[-1]
    between = lines([(0.0, 0.0), (100.0, 100.0)], window=(40.0, 60.0))
    assert any(ord(char) > 0x2800 for char in "".join(between)), "the line goes through it"
    assert "nothing in this stretch" in "".join(lines(points, window=(200.0, 300.0)))
    assert "no numbers yet" in "".join(lines([]))


def test_what_is_not_positive_is_left_out_of_a_logarithmic_axis_and_what_is_no_number_of_any() -> None:
    points = [(1.0, 0.0), (2.0, 0.001), (3.0, 10.0), (4.0, float("nan")), (5.0, float("inf"))]
    drawn = lines(points, log=True)
    assert "└2 " in drawn[-1] and drawn[-1].endswith(" 3") and "6.3e-04" in drawn[-2]


def test_the_cursor_stands_at_its_point_on_every_curve() -> None:
    drawn = plot([Line([(0.0, 0.0), (10.0, 10.0)])], 40, 9, cursor=10.0)
    assert [line[-1] for line in drawn[1:-1]] == [("│", "cursor")] * 7
    assert drawn[0][-1][0].endswith("●") and drawn[0][-1][1] == "0"
    outside = plot([Line([(0.0, 0.0), (10.0, 10.0)])], 40, 9, cursor=11.0)
    assert not any(what == "cursor" for line in outside for _, what in line)


def test_curves_are_told_apart_by_marks_not_by_colour_alone() -> None:
    level = [[(0.0, float(y)), (100.0, float(y))] for y in range(3)]
    drawn = "".join(lines(*(Line(points, str(at), "●▲■"[at]) for at, points in enumerate(level)), width=80))
    assert all(drawn.count(mark) >= 3 for mark in "●▲■")
