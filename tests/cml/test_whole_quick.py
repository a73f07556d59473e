"""A studio on Cloudera ML that is killed at every step, and an API that fails in every way: each job is run, once, and none is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from core.messages.fine_tuning import FineTuningJobMetadata
from core.messages.runners import ListRunners
from core.types import JobStatus
from gpu_runner.files import Files
from tests.cml import quick
from tests.cml.conftest import workbench
from tests.cml.troubles import killing
from tests.cml.workshop import Workshop
from tests.whole import until


@pytest.fixture(scope="module")
def running(valkey_url: str, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workshop]:
    with workbench(tmp_path_factory.mktemp("workbench")) as cloudera:
        (cloudera.cloud.project / "quick.py").write_text(quick.SCRIPT)
        for row in cloudera.cloud.state["jobs"].values():
            row["script"] = "quick.py"
        made = Workshop(cloudera, valkey_url, f"t{uuid4().hex[:12]}", tiny_model)
        made.up()
        made.ids = made.resources()
        yield made
        made.down()


@pytest.fixture
def workshop(running: Workshop) -> Iterator[Workshop]:
    """The studio with one daemon at work, a healthy API and pods that are done soon."""
    quick.plan(running.project)
    if "daemon" not in running.processes:
        running.start("daemon")
    yield running
    running.cloudera.heal()
    if "other" in running.processes:
        running.end_process("other", signal.SIGTERM)


def train(workshop: Workshop, name: str) -> str:
    return workshop.train(name, workshop.ids, "{}")


def begun(workshop: Workshop, id: str) -> list[str]:
    """The runs that a pod has begun for a job."""
    directory = workshop.settings.artifacts_root / "jobs" / id
    assert not list(directory.glob("*/twice.txt")), "two pods at once"
    return [line for path in directory.glob("*/begun.txt") for line in path.read_text().split()]


def well(workshop: Workshop, job: FineTuningJobMetadata) -> None:
    """The job has succeeded, by one run, of which nothing is left."""
    assert job.status is JobStatus.succeeded, (job.error, workshop.logs())
    workshop.rests()
    runs = workshop.cloudera.runs(job.id)
    assert [run["status"] for run in runs] == ["ENGINE_SUCCEEDED"], workshop.logs()
    assert (job.attempt, begun(workshop, job.id)) == (1, [runs[0]["id"]])


def test_a_job_is_run_once_whatever_the_api_answers_meanwhile(workshop: Workshop) -> None:
    cloudera = workshop.cloudera
    quick.plan(workshop.project, hold=3)
    cloudera.fail(500, where="GET .*/jobs$")
    cloudera.fail(429, where="GET .*/jobs$", retry_after=0.2)
    cloudera.lose(where="POST .*/jobs$")
    cloudera.lose(where="POST .*/runs$")
    id = train(workshop, "away")
    workshop.step(id, 3)
    cloudera.fail(500, where="GET .*/runs")
    cloudera.fail(429, where="GET .*/runs", retry_after=0.3)
    cloudera.slow(0.5, where="GET .*/runs")
    cloudera.never(times=1000, where="GET .*/runs")
    until(lambda: len(cloudera.faults.coming) == 1, 60, "the API has failed in all ways")
    quick.plan(workshop.project, steps=8)
    workshop.step(id, 8)  # what a pod does is seen though the API is away
    cloudera.heal()
    well(workshop, workshop.end(id))


def test_daemon_and_steward_are_killed_at_every_call_of_a_jobs_life(workshop: Workshop) -> None:
    quick.plan(workshop.project, hold=2)
    with killing(workshop) as done:
        id = train(workshop, "killed")
        workshop.step(id, 2)
        quick.plan(workshop.project)
        job = workshop.end(id)
    well(workshop, job)
    assert {"POST jobs before", "POST jobs after", "POST runs before", "POST runs after"} <= done


def test_the_daemon_lets_go_and_the_next_one_finds_the_run_and_its_steward_at_work(workshop: Workshop) -> None:
    quick.plan(workshop.project, hold=2)
    id = train(workshop, "kept")
    workshop.step(id, 2)
    steward = workshop.steward(id)
    workshop.end_process("daemon", signal.SIGTERM)
    quick.plan(workshop.project, hold=4)
    workshop.start("daemon")
    workshop.step(id, 4)
    assert steward.is_running() and workshop.steward(id).pid == steward.pid
    quick.plan(workshop.project)
    well(workshop, workshop.end(id))


def test_a_run_that_is_stopped_in_clouderas_own_pages_is_cancelled_here(workshop: Workshop) -> None:
    quick.plan(workshop.project, hold=2, deaf=True)
    id = train(workshop, "stopped")
    workshop.step(id, 2)
    workshop.cloudera.stop(workshop.cloudera.runs(id)[0]["id"])
    job = workshop.end(id)
    assert job.status is JobStatus.cancelled, (job.error, workshop.logs())
    assert len(begun(workshop, id)) == 1
    workshop.rests()


def test_two_daemons_in_one_project_run_each_job_once(workshop: Workshop) -> None:
    workshop.start("daemon", "other", FTS_RUNNER_NAME="other")
    until(lambda: len(workshop.client.call(ListRunners()).runners) == 2, 60, "both register")
    quick.plan(workshop.project, hold=2)
    ids = [train(workshop, f"job-{n}") for n in range(6)]  # of which each has room for three
    until(lambda: sum(run["status"] == "ENGINE_RUNNING" for run in workshop.cloudera.active()) == 6, 60, "all run")
    quick.plan(workshop.project)
    jobs = [workshop.end(id) for id in ids]
    for job in jobs:
        well(workshop, job)
    who = [Files(workshop.settings.artifacts_root / "jobs" / job.id / "1").child() for job in jobs]
    assert len({each.runner_id for each in who if each}) == 2


@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_what_a_daemon_that_never_comes_back_left_is_stopped_by_another(workshop: Workshop) -> None:
    quick.plan(workshop.project, hold=2, deaf=True)
    id = train(workshop, "left")
    workshop.step(id, 2)
    first, steward = workshop.cloudera.runs(id)[0]["id"], workshop.steward(id)
    workshop.end_process("daemon", signal.SIGKILL)
    steward.kill()
    workshop.start("daemon", "other", FTS_RUNNER_NAME="other")
    until(lambda: workshop.job(id).attempt == 2, 90, "another attempt begins")
    until(lambda: workshop.cloudera.row(first)["status"] == "ENGINE_STOPPED", 120, "the first run is stopped")
    quick.plan(workshop.project)
    assert workshop.end(id).status is JobStatus.succeeded
    workshop.rests()
