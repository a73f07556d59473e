"""What jobs take of their hosts is kept as a curve of few points, apart from the training's own."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import func, select

from actors import records, usage
from actors.desk import Desk
from core.queue import stream
from core.store.tables import Metric
from tests.handlers.test_runners import metrics
from tests.handlers.work import Speaker, add_inputs, change, job, say, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


@pytest.fixture
def running(desk: Desk) -> tuple[str, Speaker, float]:
    """A job that runs since a while, its runner, and when it began."""
    id, a, began = start(desk), Speaker(desk), time.time() - 1000
    a.begin(id)
    change(desk, id, started_at=began)
    return id, a, began


def points(at: float, **values: float) -> dict[str, Any]:
    return {"at": at, "values": {f"sys.{name}": value for name, value in values.items()}}


def curves(desk: Desk, id: str) -> dict[str, list[tuple[int, float]]]:
    told = say(desk, "GetJobMetrics", id=id)["series"]
    return {each["name"]: list(zip(each["steps"], each["values"], strict=True)) for each in told}


def test_usage_is_a_curve_over_the_seconds_of_the_run_and_its_last_point_grows(
    desk: Desk, running: tuple[str, Speaker, float]
) -> None:
    id, a, began = running
    a.tell(id, begin=10, usage=[points(began + 16, cpu=90, memory=1.5), points(began + 31, cpu=95, memory=1.6)])
    a.tell(id, begin=10, usage=[points(began + 31, cpu=97, memory=1.7)])
    assert curves(desk, id) == {"sys.cpu": [(15, 90.0), (30, 97.0)], "sys.memory": [(15, 1.5), (30, 1.7)]}
    assert job(desk, id).last_metrics == {"sys.cpu": 97.0, "sys.memory": 1.7}
    entries = [each for _, each in stream.read_records(desk.redis, desk.settings.namespace, id, "0-0", 1)]
    assert entries[-1]["usage"] == [{"step": 30, "values": {"sys.cpu": 97.0, "sys.memory": 1.7}}]


def test_a_resume_cuts_the_trainings_curve_and_not_this_one(desk: Desk, running: tuple[str, Speaker, float]) -> None:
    id, a, began = running
    a.tell(id, metrics(7), metrics(8), begin=10, usage=[points(began + 600, cpu=90)])
    change(desk, id, attempt=2, accepted=0)
    a.tell(id, {"type": "resumed", "at": 1.0, "from_step": 7, "path": "x"}, attempt=2)
    assert [step for step, _ in curves(desk, id)["loss"]] == [7] and curves(desk, id)["sys.cpu"] == [(600, 90.0)]


def test_a_job_that_is_run_again_after_weeks_has_a_curve_as_fine_as_its_run_is_long(
    desk: Desk, running: tuple[str, Speaker, float]
) -> None:
    id, a, began = running
    a.tell(id, begin=10, usage=[points(began + second, memory=1) for second in (0, 15, 30)])
    again = began + 21 * 86_400
    change(desk, id, attempt=2, accepted=0)
    for seconds in ((0, 15), (15, 30), (45, 60)):
        told = [points(again + second, memory=2, cpu=9) for second in seconds]
        a.tell(id, attempt=2, usage=told)
    change(desk, id, attempt=3, accepted=0)
    a.tell(id, attempt=3, usage=[points(2 * again - began + second, memory=3) for second in (0, 15)])
    curve = curves(desk, id)
    assert curve["sys.memory"] == [
        (0, 1), (15, 1), (30, 1), (45, 2), (60, 2), (75, 2), (90, 2), (105, 2), (120, 3), (135, 3),
    ]  # fmt: skip
    assert [step for step, _ in curve["sys.cpu"]] == [45, 60, 75, 90, 105]


def test_of_a_stale_attempt_of_strange_names_and_before_the_start_nothing_is_kept(
    desk: Desk, running: tuple[str, Speaker, float]
) -> None:
    id, a, began = running
    strange = {"at": began + 5, "values": {"loss": 1.0, "sys.\0": 1.0, "sys." + "x" * 300: 1.0}}
    a.tell(id, begin=10, usage=[strange, points(began - 100, cpu=1), points(1e300, cpu=1)])
    a.report({"job_id": id, "attempt": 9, "offset": 0, "next_offset": 0, "usage": [points(began + 15, cpu=1)]})
    assert curves(desk, id) == {}


def test_what_is_told_last_has_a_bound_whatever_names_are_invented(
    desk: Desk, running: tuple[str, Speaker, float]
) -> None:
    id, a, began = running
    for number in range(8):
        a.tell(id, begin=10, usage=[points(began + 15 * number, **{f"x{number}-{each}": 1 for each in range(60)})])
    a.tell(id, metrics(1, loss=2.0), begin=10)
    for number in range(6):
        a.tell(
            id,
            metrics(2 + number, loss=1.0, **{f"y{number}-{each}": 1.0 for each in range(60)}),
            begin=20 + 10 * number,
        )
    told = job(desk, id).last_metrics or {}
    assert len(told) <= records.LAST and told["loss"] == 1.0 and {"y5-0", "y5-59"} <= told.keys()
    a.tell(id, begin=80, usage=[points(began + 200, memory=1)])
    told = job(desk, id).last_metrics or {}
    assert [name for name in told if name.startswith("sys.")] == ["sys.memory"] and told["loss"] == 1.0


def test_a_curve_of_months_has_a_bound(desk: Desk, running: tuple[str, Speaker, float]) -> None:
    id, a, began = running
    kept = {usage._step(float(second)) for second in range(0, 60 * 86_400, 15)}
    assert len(kept) < 12 * usage.MOST and 15 in kept
    a.tell(id, begin=10, usage=[points(began + second, cpu=1) for second in range(40_000, 50_000, 15)][:900])
    with desk.store.read() as session:
        assert (session.scalar(select(func.count()).select_from(Metric)) or 0) <= 10_000 / 30 + 1
