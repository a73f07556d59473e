"""A long curve comes out of the store with all that sticks out of it, whole or a stretch of it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from actors import curves
from actors.desk import Desk
from tests.handlers.work import add_inputs, say, start

LONG = text("""
    INSERT INTO metrics (job_id, name, step, value, at, attempt)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :steps)
    SELECT :id, 'loss', n, CASE n WHEN :up THEN 99.0 WHEN :down THEN -7.0 ELSE 1.0 + (n % 7) / 100.0 END, 1000.0 + n, 1
    FROM numbers
""")


def trained(desk: Desk, steps: int, up: int, down: int) -> str:
    """A job with so many numbers, two of which stick out."""
    add_inputs(desk.store)
    id = start(desk)
    with desk.store.write() as unit:
        unit.session.execute(LONG, {"id": id, "steps": steps, "up": up, "down": down})
    return id


def told(desk: Desk, id: str, **asked: Any) -> dict[int, tuple[float, float]]:
    """Step -> (value, time) of the loss, which must be in order and as few as asked for."""
    [series] = say(desk, "GetJobMetrics", id=id, **asked)["series"]
    assert series["steps"] == sorted(set(series["steps"])) and len(series["steps"]) <= asked.get("points", 300)
    return dict(zip(series["steps"], zip(series["values"], series["times"], strict=True), strict=True))


@pytest.mark.parametrize("steps", [25_000, pytest.param(1_000_000, marks=pytest.mark.nightly)])
def test_a_spike_of_one_step_is_told_of_a_long_training(desk: Desk, steps: int) -> None:
    assert steps > curves.LONG, "the database is to find it"
    id = trained(desk, steps, up=12_345, down=777)
    found = told(desk, id, points=100)
    assert {1: (1.01, 1001.0), 777: (-7.0, 1777.0), 12_345: (99.0, 13_345.0)}.items() <= found.items()
    assert steps in found and len(found) > 90
    assert say(desk, "GetJobMetrics", id=id)["series"][0]["total"] == steps


def test_a_stretch_of_a_long_training_is_told_step_by_step(desk: Desk) -> None:
    id = trained(desk, 25_000, up=12_345, down=777)
    assert list(told(desk, id, first_step=12_300, last_step=12_400)) == list(range(12_300, 12_401))
    wide = told(desk, id, first_step=1_000, last_step=24_000, points=50)
    assert min(wide) == 1_000 and max(wide) == 24_000 and 12_345 in wide
    assert say(desk, "GetJobMetrics", id=id, first_step=30_000)["series"] == []
    assert say(desk, "GetJobMetrics", id=id, names=["other"], first_step=1)["series"] == []


def test_what_hardly_changes_is_told_by_few_points(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "LONG", 10)
    id = trained(desk, 1, up=0, down=0)
    constant = "INSERT INTO metrics (job_id, name, step, value, at, attempt) VALUES (:id, 'rate', :step, 0.5, 1.0, 1)"
    with desk.store.write() as unit:
        unit.session.execute(text(constant), [{"id": id, "step": step} for step in range(1, 101)])
    [series] = say(desk, "GetJobMetrics", id=id, names=["rate"], points=20)["series"]
    assert series["total"] == 100 and series["steps"][0] == 1 and series["steps"][-1] == 100
    assert set(series["values"]) == {0.5} and 9 <= len(series["steps"]) <= 20
