"""Times as people type them."""

from __future__ import annotations

from datetime import datetime

import pytest

from core.moments import NoMoment, moment, told

NOW = datetime(2026, 11, 26, 14, 30, 15).timestamp()  # a Thursday


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("03:10", (2026, 11, 26, 3, 10)),
        ("at 3:10", (2026, 11, 26, 3, 10)),
        ("23:00", (2026, 11, 25, 23, 0)),
        ("yesterday 22:00", (2026, 11, 25, 22, 0)),
        ("today 1:00:05", (2026, 11, 26, 1, 0, 5)),
        ("Monday 9:00", (2026, 11, 23, 9, 0)),
        ("last thursday 9:00", (2026, 11, 19, 9, 0)),
        ("2h ago", (2026, 11, 26, 12, 30, 15)),
        ("1h30m", (2026, 11, 26, 13, 0, 15)),
        ("90 minutes ago", (2026, 11, 26, 13, 0, 15)),
        ("2026-11-25", (2026, 11, 25)),
        ("2026-11-25T03:10:11", (2026, 11, 25, 3, 10, 11)),
        ("25 Nov 03:10", (2026, 11, 25, 3, 10)),
        ("31 dec 10:00", (2025, 12, 31, 10, 0)),
        ("now", (2026, 11, 26, 14, 30, 15)),
    ],
)
def test_a_time_is_the_last_one_of_its_kind(text: str, wanted: tuple[int, ...]) -> None:
    assert moment(text, NOW) == datetime(*wanted).timestamp()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    ["", "soon", "25:00", "3:61", "2 parsecs ago", "-5", "29 feb 10:00", "9" * 400, "1e9", "\0", "2026-11-25T03:10Z"],
)
def test_what_is_no_time_is_told_with_what_is(text: str) -> None:
    with pytest.raises(NoMoment, match="yesterday 22:00"):
        moment(text, NOW)


def test_unix_seconds_are_taken_and_what_was_understood_is_told_with_its_day_and_zone() -> None:
    assert moment("1700000000", NOW) == 1_700_000_000
    assert told(moment("03:10", NOW), NOW).startswith("03:10:00 ")
    assert told(moment("yesterday 22:00", NOW), NOW).startswith("25 Nov 22:00:00 ")
