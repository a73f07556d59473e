"""How numbers, times and states are told."""

from __future__ import annotations

import time

from tui.view import words


def test_when_a_job_might_start_is_told_to_the_minute_and_with_the_day_when_that_is_another() -> None:
    now = time.mktime((2026, 3, 4, 14, 0, 0, 0, 0, -1))
    assert words.starts(now + 310, now) == "might start at 14:05"
    assert words.starts(now + 86_400, now) == "might start at 05 Mar 14:00"
    assert words.starts(None) == ""
