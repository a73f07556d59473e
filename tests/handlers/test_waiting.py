"""What is told of a job that waits, and the room that is kept for one that others pass by."""

from __future__ import annotations

import time
from typing import Any

import pytest

from actors.desk import Desk
from actors.making_room import make_room
from actors.ticking import tick
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, change, job, say, start, types


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def told(desk: Desk, id: str) -> dict[str, Any]:
    found: dict[str, Any] = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    return found


def progress(eta: float) -> dict[str, Any]:
    return {"type": "progress", "at": 1.0, "step": 1, "total_steps": 9, "eta_seconds": eta}


def test_a_job_says_for_what_it_waits_behind_whom_and_when_it_might_start(desk: Desk) -> None:
    a = Speaker(desk, cpus=1)
    running = start(desk, "running")
    a.begin(running)
    first, second, urgent = start(desk, "first"), start(desk, "second"), start(desk, "urgent", priority=5)
    assert told(desk, first)["might_start_at"] is None  # nothing says when what runs will end
    a.tell(running, progress(600), begin=10)
    now = time.time()
    assert told(desk, urgent)["waiting_for"] == "room on a"
    assert told(desk, first)["waiting_for"] == "room on a; 1 job is ahead of it"
    assert told(desk, second)["waiting_for"] == "room on a; 2 jobs are ahead of it"
    assert told(desk, urgent)["might_start_at"] == pytest.approx(now + 600, abs=5)
    assert told(desk, first)["might_start_at"] is None  # no job has ended yet: nobody knows how long one takes
    change(desk, running, started_at=now - 100)
    a.tell(running, SUCCEEDED, begin=20)
    change(desk, running, finished_at=now)
    a.tell(urgent, STARTED, progress(50))
    assert told(desk, first)["might_start_at"] == pytest.approx(now + 50, abs=5)
    assert told(desk, second)["might_start_at"] == pytest.approx(now + 150, abs=5)
    assert told(desk, urgent)["waiting_for"] is None and told(desk, urgent)["might_start_at"] is None
    listed = {each["id"]: each for each in say(desk, "ListFineTuningJobs")["fine_tuning_jobs"]}
    assert listed[second]["might_start_at"] == pytest.approx(now + 150, abs=5)


def test_what_others_can_not_take_does_not_count_as_ahead(desk: Desk) -> None:
    Speaker(desk, cpus=2)
    start(desk, "elsewhere", num_gpu=1, priority=9)
    id = start(desk)
    assert told(desk, id)["waiting_for"] == "room on a"


def test_many_runners_are_told_as_a_number(desk: Desk) -> None:
    for number in range(5):
        Speaker(desk, host=f"h{number}")
    assert told(desk, start(desk))["waiting_for"] == "room on one of 5 runners"


def filled(desk: Desk) -> tuple[Speaker, list[str], str]:
    """A runner of two cores with two small jobs, and a large one that waits."""
    a = Speaker(desk)
    small = [start(desk, f"small-{number}") for number in range(2)]
    a.report()
    for id in small:
        a.tell(id, STARTED)
    return a, small, start(desk, "large", num_cpu=2)


def test_a_job_that_is_passed_by_too_long_has_room_kept_and_smaller_ones_wait_behind_it(desk: Desk) -> None:
    a, small, large = filled(desk)
    now = time.time()
    make_room(desk, now + desk.settings.patience_seconds - 1)
    assert told(desk, large)["waiting_for"] == "room on a"
    for _ in range(2):
        make_room(desk, now + desk.settings.patience_seconds + 1)
    assert types(desk, large).count("RoomKept") == 1
    assert told(desk, large)["waiting_for"] == "room on a, where it is kept for it"
    assert say(desk, "ListRunners")["runners"][0]["kept_for"] == large
    later, urgent = start(desk, "later"), start(desk, "urgent", priority=1)
    a.tell(small[0], SUCCEEDED, begin=10)
    assert (job(desk, urgent).status, job(desk, later).status, job(desk, large).status) == (
        "assigned",
        "queued",
        "queued",
    )
    a.tell(urgent, STARTED, SUCCEEDED)
    a.tell(small[1], SUCCEEDED, begin=10)
    assert (job(desk, later).status, job(desk, large).status) == ("queued", "assigned")
    assert say(desk, "ListRunners")["runners"][0]["kept_for"] is None


@pytest.mark.parametrize("how", ["cancelled", "drained", "lost", "elsewhere"])
def test_room_is_not_kept_in_vain(desk: Desk, how: str) -> None:
    a, small, large = filled(desk)
    now = time.time() + desk.settings.patience_seconds + 1
    make_room(desk, now)
    if how == "cancelled":
        say(desk, "CancelJob", id=large)
    elif how == "drained":
        say(desk, "DrainRunner", id=a.id)
        say(desk, "DrainRunner", id=a.id, draining=False)
    elif how == "lost":
        for second in range(40):
            tick(desk, time.time() + second)
    else:
        assert [each["job_id"] for each in Speaker(desk, host="b").report()["jobs"]] == [large]
    later = start(desk, "later")
    a.report(
        {"job_id": small[0], "attempt": 1, "offset": 10, "next_offset": 20, "records": [SUCCEEDED | {"offset": 20}]}
    )
    assert job(desk, later).status == ("queued" if how == "lost" else "assigned")
    assert say(desk, "ListRunners")["runners"][0]["kept_for"] is None
