"""A job's states: one table of transitions, and a log from which they can be folded."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.answering import answer
from actors.desk import Desk
from actors.jobs import LEGAL, Illegal, move
from core.queue import stream
from core.store.tables import Job
from core.types import JobStatus
from tests.handlers.work import Speaker, add_inputs, change, folded, job, say, spooled, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 20), max_size=8))
def test_any_legal_history_can_be_folded_from_the_log(desk: Desk, picks: list[int]) -> None:
    id = start(desk, f"job-{time.time_ns()}")
    for pick in picks:
        with desk.store.write() as unit:
            row = unit.session.get_one(Job, id)
            ways = sorted(LEGAL[JobStatus(row.status)])
            if ways:
                move(unit, row, ways[pick % len(ways)])
    assert folded(desk)[id] == job(desk, id).status


@pytest.mark.parametrize("status", list(JobStatus))
def test_what_the_table_does_not_have_is_not_done(desk: Desk, status: JobStatus) -> None:
    id = start(desk)
    change(desk, id, status=status.value)
    for to in set(JobStatus) - LEGAL[status]:
        with pytest.raises(Illegal), desk.store.write() as unit:
            move(unit, unit.session.get_one(Job, id), to)
    assert job(desk, id).status == status


def test_a_queued_job_is_cancelled_at_once_and_not_twice(desk: Desk) -> None:
    id = start(desk)
    assert say(desk, "CancelJob", id=id)["status"] == "cancelled"
    assert answer(desk, "CancelJob", {"id": id}, None)["code"] == "conflict"
    assert answer(desk, "CancelJob", {"id": "gone"}, None)["code"] == "not_found"
    assert Speaker(desk).report()["jobs"] == []


@pytest.mark.parametrize("outcome", ["cancelled", "paused", "failed"])
def test_a_running_job_is_cancelled_when_its_runner_has_stopped_it(desk: Desk, outcome: str) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    assert say(desk, "CancelJob", id=id)["status"] == "cancel_requested"
    assert stream.await_wake(desk.redis, desk.settings.namespace, a.id, 1)
    assert a.tell(id, begin=10)["order"] == "cancel"
    a.tell(id, {"type": "finished", "at": 1.0, "outcome": outcome}, begin=10)
    assert job(desk, id).status == ("failed" if outcome == "failed" else "cancelled")


def test_a_job_whose_child_dies_while_it_is_cancelled_is_not_run_again(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    say(desk, "CancelJob", id=id)
    a.tell(id, begin=10, alive=False)
    assert job(desk, id).status == "cancelled"


def test_a_series_keeps_its_ends_and_extremes_when_it_is_thinned(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    values = dict.fromkeys(range(1, 1001), 0.5) | {333: 9.0, 666: -9.0}
    records: list[dict[str, Any]] = [
        {"type": "metrics", "at": 1.0, "step": step, "values": {"loss": value}} for step, value in values.items()
    ]
    a.report({"job_id": id, "attempt": 1, **spooled(*records, begin=10)})
    for points in (2, 3, 10, 50):
        [series] = say(desk, "GetJobMetrics", id=id, points=points)["series"]
        assert len(series["steps"]) <= points
        assert (series["steps"][0], series["steps"][-1], series["total"]) == (1, 1000, 1000)
        assert series["steps"] == sorted(series["steps"])
        assert points < 10 or {9.0, -9.0} <= set(series["values"])


def test_a_log_is_read_from_its_end_or_from_a_place_over_all_attempts(desk: Desk) -> None:
    id = start(desk)
    assert say(desk, "GetJobLog", id=id)["lines"] == []
    for attempt in (1, 2):
        directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
        directory.mkdir(parents=True)
        lines = [f'{{"type": "log", "at": 1, "text": "{attempt}-{number}"}}\n' for number in range(50)]
        (directory / "events.jsonl").write_text(
            "".join(lines) + 'garbage\n{"type": ["log"]}\n{"type": "log", "text": "torn'
        )
    last = say(desk, "GetJobLog", id=id, limit=60)
    assert [line["text"] for line in last["lines"]] == [
        *(f"1-{n}" for n in range(40, 50)),
        *(f"2-{n}" for n in range(50)),
    ]
    page = say(desk, "GetJobLog", id=id, attempt=1, offset=0, limit=30)
    assert page["has_more"]
    page = say(desk, "GetJobLog", id=id, attempt=page["attempt"], offset=page["offset"], limit=30)
    assert [page["lines"][0]["text"], page["lines"][-1]["text"]] == ["1-30", "2-9"]
