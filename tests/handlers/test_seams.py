"""A curve has no hole where an attempt went on unheard for a while: what it wrote is read from its spool."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from actors import logs, seams
from actors.desk import Desk
from actors.ticking import tick
from core.store.tables import Meta
from gpu_runner.spool import Spool
from tests.handlers.test_runners import loss, metrics
from tests.handlers.work import STARTED, Speaker, add_inputs, change, say, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)
    desk.mark_artifacts()


def spooled(desk: Desk, id: str, attempt: int, steps: range, value: float = 0.0) -> None:
    """The spool of an attempt: numbers of each step, and lines between them."""
    directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
    directory.mkdir(parents=True)
    spool = Spool(directory / "events.jsonl")
    for step in steps:
        spool.metrics(step, {"loss": value or 1.0 / step, "\0": 1.0})
        spool.log(f"step {step}")


def resumed(desk: Desk, from_step: int) -> str:
    """A job whose first attempt told three steps, and whose second goes on from a later one."""
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, *map(metrics, (1, 2, 3)), begin=10)
    change(desk, id, attempt=2, accepted=0)
    again: list[dict[str, Any]] = [STARTED, {"type": "resumed", "at": 1.0, "from_step": from_step, "path": "x"}]
    a.tell(id, *again, metrics(from_step + 1), attempt=2)
    return id


def notes(desk: Desk) -> list[str]:
    with desk.store.read() as session:
        return list(session.scalars(select(Meta.key).where(Meta.key.startswith(seams.NOTE))))


@pytest.mark.parametrize("look", [64, 1 << 18])
def test_what_an_attempt_wrote_unheard_before_the_checkpoint_is_on_the_curve_and_nothing_behind_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    monkeypatch.setattr(seams, "LOOK", look)
    id = resumed(desk, 7)
    spooled(desk, id, 1, range(1, 20))
    tick(desk)
    assert loss(desk) == {step: 1.0 / step for step in range(1, 9)} and notes(desk) == []
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["step"] == 8, "the job is where it is"


def test_a_curve_without_a_hole_is_left_alone_and_no_file_is_read(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "whole", lambda *place: pytest.fail("a spool is read"))
    id = resumed(desk, 3)
    spooled(desk, id, 1, range(1, 20), value=9.0)
    tick(desk)
    assert loss(desk) == {step: 1.0 / step for step in range(1, 5)}


def test_a_hole_waits_for_artifacts_that_are_away_and_goes_with_its_job(desk: Desk) -> None:
    id = resumed(desk, 7)
    spooled(desk, id, 1, range(1, 20))
    root: Path = desk.settings.artifacts_root
    away = root.rename(root.with_name("away"))
    tick(desk)
    assert notes(desk) == [f"{seams.NOTE}{id}"] and 5 not in loss(desk)
    away.rename(root)
    tick(desk)
    assert 5 in loss(desk)
    with desk.store.write() as unit:
        unit.session.merge(Meta(key=f"{seams.NOTE}gone", value="[1, 5, 2]"))
    shutil.copytree(root / "jobs" / id, root / "jobs" / "gone")
    tick(desk)
    assert notes(desk) == [] and len(say(desk, "GetJobMetrics", id=id)["series"]) == 1
