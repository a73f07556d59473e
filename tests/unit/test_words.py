"""How numbers, times and states are told."""

from __future__ import annotations

import time

import pytest

from tui.view import words
from tui.view.kinds import KINDS
from tui.view.plot import plot


def test_when_a_job_might_start_is_told_to_the_minute_and_with_the_day_when_that_is_another() -> None:
    now = time.mktime((2026, 3, 4, 14, 0, 0, 0, 0, -1))
    assert words.starts(now + 310, now) == "might start at 14:05"
    assert words.starts(now + 86_400, now) == "might start at 05 Mar 14:00"
    assert words.starts(None) == ""


@pytest.mark.parametrize(
    "told",
    [
        {"cpu_percent": None, "memory_used": "much", "gpus": [{"index": 0, "percent": [1], "memory_used": None}, 7]},
        {"cpu_percent": {}, "gpus": None},
        {"gpus": {"index": 0}},
    ],
)
def test_a_runner_may_say_anything_of_its_load_and_what_are_no_numbers_is_left_out(told: dict[str, object]) -> None:
    row = {"cpus": 2, "memory": 8, "free": {"cpus": 1}, "gpus": [{"index": 0, "name": "A100"}], "telemetry": told}
    shown = [column.show(row)[0] for column in KINDS["runners"].columns]
    assert {"1/2", "0.0/8.0", "A100 0%"} <= set(shown)


@pytest.mark.parametrize("most", [7.53, 0.0007, 1e-12, 123456.0])
def test_a_curves_axis_is_straight_and_begins_at_zero_where_the_curve_does(most: float) -> None:
    lines = ["".join(text for text, _ in line) for line in plot({"a": [(1.0, most), (2.0, 0.0)]}, 40, 9)]
    assert {next(at for at, char in enumerate(line) if char in "┤│└") for line in lines} == {8}
    assert lines[-2].split("┤")[0].strip() == "0"


def test_the_labels_of_a_curve_that_hardly_moves_can_be_told_apart() -> None:
    lines = ["".join(text for text, _ in line) for line in plot({"a": [(1.0, 4.8401), (2.0, 4.8431)]}, 40, 9)]
    assert [line.split("┤")[0].strip() for line in lines if "┤" in line] == ["4.843", "4.841", "4.84"]


def test_what_a_curve_is_of_stands_in_its_axis_and_under_it_only_where_it_has_no_room() -> None:
    def drawn(*names: str) -> list[str]:
        made = plot({name: [(1.0, 1.0), (40.0, 2.0)] for name in names}, 44, 9)
        return ["".join(text for text, _ in line) for line in made]

    assert drawn("entropy")[-1] == "        └1 ── entropy ────────────────────40"
    assert drawn("loss", "eval_loss")[-1] == "        └1 ── loss ── eval_loss ──────────40"
    long = drawn("sys.gpu.0.memory, GiB, over seconds")
    assert long[-2:] == [
        "        └1────────────────────────────────40",
        "          ── sys.gpu.0.memory, GiB, over seconds ",
    ]
    assert len(drawn("entropy")) == len(long) == 9 and {len(line) for line in drawn("loss")[:-1]} == {44}
