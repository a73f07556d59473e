"""A job's log as far as it is read: what is asked for anew joins what is here."""

from __future__ import annotations

from typing import Any

from tui.view.joblog import MOST, JobLog


def lines(*numbers: int, attempt: int = 1) -> list[dict[str, Any]]:
    return [
        {"attempt": attempt, "offset": number, "at": 0.0, "level": "info", "text": f"{number}"} for number in numbers
    ]


def record(number: int) -> dict[str, Any]:
    return {"type": "log", "at": 0.0, "level": "info", "text": f"{number}", "offset": number}


def texts(log: JobLog) -> list[str]:
    return [each.text.split()[-1] for each in log.said]


def test_lines_that_came_before_the_page_that_was_asked_for_stand_behind_it_once() -> None:
    log = JobLog()
    for number in (4, 5):
        log.take(1, record(number), number)
    log.renew(lines(2, 3, 4), page=3)
    assert texts(log) == ["2", "3", "4", "5"] and log.at_end and not log.at_start
    log.renew(lines(3, 4, 5, 6), page=9)
    assert texts(log) == ["2", "3", "4", "5", "6"]


def test_after_a_gap_only_the_newest_stay_and_another_attempt_follows_the_one_before() -> None:
    log = JobLog()
    log.renew(lines(1, 2), page=9)
    assert log.at_start
    log.renew(lines(8, 9), page=2)
    assert texts(log) == ["8", "9"] and not log.at_start
    log.renew([*lines(9), *lines(1, 2, attempt=2)], page=3)
    assert texts(log) == ["8", "9", "1", "2"]


def test_who_reads_elsewhere_stays_there() -> None:
    log = JobLog()
    log.replace(lines(1, 2), at_end=False, at_start=True)
    log.renew(lines(8, 9), page=2)
    assert log.take(1, record(10), 10) == [] and texts(log) == ["1", "2"]
    assert log.after(lines(3), at_end=True) and log.take(1, record(4), 4) and texts(log) == ["1", "2", "3", "4"]
    assert log.place(1, 3) == 2 and log.place(1, 7) is None


def test_a_log_that_grows_for_ever_takes_bounded_room_and_a_raised_line_is_marked() -> None:
    log = JobLog()
    for number in range(MOST + 100):
        log.take(1, record(number), number)
    assert len(log.said) <= MOST and texts(log)[-1] == str(MOST + 99) and not log.at_start
    (line,) = log.take(1, {"type": "warning", "at": 0.0, "text": "cut\x1b[2J", "offset": 10**6}, 10**6)
    assert "▲ cut\\x1b[2J" in line


def test_the_log_says_what_the_job_is_in_cloudera_ml() -> None:
    log = JobLog()
    log.take(1, {"type": "placed", "at": 0.0, "where": "cml", "job": "a1b2\x1b[2J", "name": "n"}, 1)
    assert texts(log) == [r"a1b2\x1b[2J"]
