"""How numbers, times and states are told."""

from __future__ import annotations

import time

import pytest

from tui.view import words
from tui.view.kinds import KINDS


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
