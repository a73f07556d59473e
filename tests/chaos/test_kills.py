"""kill -9 of everything, each once, in the middle of a training: nothing is lost, nothing is doubled, nothing is changed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from core.events import fold_status
from core.messages.adapters import GetAdapter
from core.messages.events import ListEvents
from core.messages.fine_tuning import FineTuningJobMetadata
from core.messages.jobs import GetJobMetrics
from core.types import JobStatus
from tests.whole import Whole, until

ARGUMENTS = json.dumps(
    {
        "num_train_epochs": 20,  # long enough that the fastest machine is still at it when the last one is killed
        "per_device_train_batch_size": 4,
        "learning_rate": 0.001,
        "optim": "adamw_torch",
        "save_steps": 40,
        "save_strategy": "steps",
        "eval_strategy": "no",
        "logging_steps": 1,
    }
)


@pytest.fixture
def whole(tiny_model: Path) -> Iterator[Whole]:
    made = Whole(tiny_model)
    made.up()
    yield made
    made.down()


def weights(whole: Whole, job: FineTuningJobMetadata) -> str:
    location = whole.client.call(GetAdapter(id=job.adapter_id or "")).adapter.location or ""
    return hashlib.sha256((Path(location) / "adapter_model.safetensors").read_bytes()).hexdigest()


def losses(whole: Whole, id: str) -> tuple[list[int], list[float]]:
    (series,) = whole.client.call(GetJobMetrics(id=id, names=["loss"], points=100_000)).series
    return series.steps, series.values


def kill_child(whole: Whole, id: str, attempt: int) -> None:
    told = json.loads((whole.settings.artifacts_root / "jobs" / id / str(attempt) / "child.json").read_text())
    psutil.Process(told["pid"]).kill()


@pytest.mark.timeout(600)
def test_a_job_survives_the_death_of_everything_with_the_same_adapter(whole: Whole) -> None:
    ids = whole.resources()
    undisturbed = whole.end(whole.train("calm", ids, ARGUMENTS))
    assert undisturbed.status is JobStatus.succeeded, undisturbed.error

    id = whole.train("stormy", ids, ARGUMENTS)
    whole.step(id, 60)
    kill_child(whole, id, 1)
    for name in ("actors", "runner", "valkey"):
        whole.step(id, whole.job(id).step + 50)  # what died before is up again
        assert not whole.job(id).status.finished, f"{name} can't be killed in the middle of what has ended"
        os.kill(whole.pid(name), signal.SIGKILL)
    stormy = whole.end(id)

    assert stormy.status is JobStatus.succeeded, stormy.error
    assert stormy.attempt == 2
    assert weights(whole, stormy) == weights(whole, undisturbed)
    assert losses(whole, id) == losses(whole, undisturbed.id)
    assert losses(whole, id)[0] == list(range(1, (stormy.total_steps or 0) + 1))
    states: dict[str, JobStatus] = {}
    events = whole.client.call(ListEvents(limit=5000)).events
    for event in events:
        fold_status(states, event)
    assert states == {undisturbed.id: JobStatus.succeeded, id: JobStatus.succeeded}
    assert [event.id for event in events] == list(range(1, len(events) + 1))


@pytest.mark.timeout(200)
def test_a_supervisor_that_is_killed_leaves_what_the_next_one_takes_over(whole: Whole) -> None:
    before = {name: whole.pid(name) for name in ("valkey", "actors", "slow", "runner")}
    psutil.Process(whole.home.read()["pid"]).kill()
    until(lambda: not whole.home.supervised(), 60, "the supervisor is gone")
    assert whole.fts("status", check=False).returncode == 5
    whole.fts("up", "--detach")
    until(lambda: whole.fts("status", check=False).returncode == 0, 60, "all processes run")
    assert {name: whole.pid(name) for name in before} == before
    whole.fts("down")
    assert not whole.home.supervised()
    assert whole.left() == []
    assert not any(
        psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in before.values()
    )
