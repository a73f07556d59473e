"""The daemon with `--backend cml`: its children are stewards, whose work is at Cloudera's and goes on without them."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from gpu_runner.cml.book import Book
from gpu_runner.files import Files
from tests.cml.attempts import SCRIPT, TEMPLATE, until
from tests.cml.standin import StandIn
from tests.runner.studio import Studio, spec_of

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def studio(client: redis.Redis, ns: str, home: Path) -> Iterator[Studio]:
    whole = Studio(client, ns)
    whole.next_report_seconds = 0.5
    yield whole
    whole.close()


@pytest.fixture
def home(cloudera: StandIn) -> Path:
    made = cloudera.cloud.project / ".app"
    (made / "artifacts").mkdir(parents=True)
    (made / "artifacts" / ".fts-artifacts").write_text("marker\n")
    (cloudera.cloud.project / "fast.py").write_text(SCRIPT)
    cloudera.template(TEMPLATE, script="fast.py")
    return made


@pytest.fixture
def start(cloudera: StandIn, valkey_url: str, ns: str, home: Path) -> Iterator[Start]:
    """Start a daemon; all that it leaves is ended."""
    own = {"FTS_HOME": str(home), "FTS_REDIS_URL": valkey_url, "FTS_NAMESPACE": ns, "FTS_TRACKING": "false"}
    quick = {"FTS_CML_POLL": "0.1", "FTS_CML_SECONDS": "2"}
    started: list[subprocess.Popen[bytes]] = []

    def run(**more: str) -> subprocess.Popen[bytes]:
        with (home / "daemon.log").open("ab") as printed:
            command = [sys.executable, "-m", "gpu_runner.daemon", "--backend", "cml"]
            environment = {**os.environ, **own, **quick, **more}
            started.append(subprocess.Popen(command, stderr=printed, env=environment))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()
    for found in home.glob("artifacts/jobs/*/*/child.json"):
        kill(Files(found.parent))


def kill(files: Files) -> None:
    child = files.child()
    if child is not None and psutil.pid_exists(child.pid):
        os.kill(child.pid, signal.SIGKILL)


def files_of(home: Path, job_id: str, number: int = 1) -> Files:
    return Files(home / "artifacts" / "jobs" / job_id / str(number))


def plan(home: Path, job_id: str, resources: dict[str, int] | None = None, **how: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {"resources": resources} if resources else {}
    return spec_of(job_id, home, user_config=json.dumps(how), **extra)


def steps(studio: Studio, job_id: str, attempt: int = 1) -> list[int]:
    return [record["step"] for record in studio.records[job_id, attempt] if record["type"] == "metrics"]


def settled(home: Path, job_id: str, number: int = 1) -> bool:
    book = Book.read(files_of(home, job_id, number).directory)
    return book is not None and book.settled


def test_a_quota_is_offered_and_jobs_run_in_it_as_runs_of_cloudera_ml(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    start(FTS_CML_CPUS="6", FTS_CML_MEMORY="20", FTS_CML_GPUS="2", FTS_CML_GPU_MEMORY="40")
    until(lambda: studio.reports, "a report")
    (offered,) = studio.registrations
    assert (offered["kind"], offered["host"]) == ("cml", f"cml-{cloudera.project_id}")
    assert (offered["cpus"], offered["memory"], [gpu["memory"] for gpu in offered["gpus"]]) == (6, 20, [40, 40])
    assert {"legacy", "evaluation", "export", "comparison"} <= set(offered["engines"])
    assert "endpoint" not in offered["engines"]
    studio.give("j", 1, plan(home, "j", {"cpus": 2, "gpus": 1, "memory": 8}, records=30, rate=50))
    until(lambda: steps(studio, "j"), "a step")
    assert studio.reports[-1]["free"] == {"cpus": 4, "memory": 12, "gpus": 1, "jobs": 7}
    assert studio.reports[-1]["telemetry"] == {}
    dead = until(lambda: studio.dead("j", 1), "the end")
    assert (dead["exit_code"], steps(studio, "j")) == (0, list(range(1, 31)))
    assert [record["type"] for record in studio.records["j", 1]].count("placed") == 1
    assert dead["usage"] == []


@pytest.mark.nightly
def test_a_daemon_and_a_steward_that_are_killed_lose_nothing(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    daemon = start()
    studio.give("j", 1, plan(home, "j", records=150, rate=50))
    until(lambda: steps(studio, "j"), "a step")
    kill(files_of(home, "j"))
    seen = len(steps(studio, "j"))
    until(lambda: len(steps(studio, "j")) > seen + 10, "another steward")
    daemon.kill()
    daemon.wait()
    kill(files_of(home, "j"))
    start()
    assert until(lambda: studio.dead("j", 1), "the end")["exit_code"] == 0
    assert steps(studio, "j") == list(range(1, 151))
    assert [run["status"] for run in cloudera.runs("j")] == ["ENGINE_SUCCEEDED"]
    assert len(studio.registrations) == 2
    assert {each["host"] for each in studio.registrations} == {f"cml-{cloudera.project_id}"}


@pytest.mark.nightly
def test_a_daemon_that_lets_go_leaves_stewards_and_runs_alone(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    daemon = start()
    studio.give("j", 1, plan(home, "j", records=100_000))
    until(lambda: steps(studio, "j"), "a step")
    daemon.terminate()
    assert daemon.wait(30) == 0
    child = files_of(home, "j").child()
    assert child is not None and psutil.pid_exists(child.pid)
    start()
    until(lambda: len(studio.registrations) == 2 and studio.told("j", 1), "the next daemon")
    assert files_of(home, "j").child() == child
    studio.jobs["j", 1]["order"] = "cancel"
    studio.wake()
    until(lambda: studio.dead("j", 1), "the end")
    assert studio.records["j", 1][-1]["outcome"] == "cancelled"


def test_a_run_whose_attempt_is_taken_away_is_stopped(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    start()
    studio.give("j", 1, plan(home, "j", records=100_000, deaf=True))
    cloudera.cloud.delays.grace = 0.2
    until(lambda: steps(studio, "j"), "a step")
    studio.jobs.clear()
    studio.wake()
    until(lambda: not cloudera.active(), "its run is stopped")
    until(lambda: settled(home, "j"), "the book is closed")
    until(lambda: studio.reports[-1]["free"]["cpus"] == 16, "room")


def test_a_pod_that_died_without_a_word_is_told_as_dead_with_what_it_printed(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    start()
    studio.give("j", 1, plan(home, "j", mute=True, code=4))
    dead = until(lambda: studio.dead("j", 1), "the end")
    assert dead["exit_code"] is None
    assert "printed in the pod" in dead["log_tail"]
    assert any("left no last word" in line for line in dead["log_tail"])


@pytest.mark.nightly
def test_no_more_runs_at_once_than_are_wanted(cloudera: StandIn, studio: Studio, start: Start, home: Path) -> None:
    start(FTS_CML_JOBS="1")
    for job_id in ("a", "b", "c"):
        studio.give(job_id, 1, plan(home, job_id, records=20))
    for job_id in ("a", "b", "c"):
        until(lambda job_id=job_id: studio.dead(job_id, 1), "the end")  # type: ignore[misc]
        studio.jobs.pop((job_id, 1))
        studio.wake()
    runs = sorted(cloudera.runs(), key=lambda run: str(run["created_at"]))
    assert all(one["finished_at"] <= other["created_at"] for one, other in itertools.pairwise(runs))


@pytest.mark.nightly
def test_what_a_dead_daemon_left_running_and_the_studio_gave_away_is_stopped(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    daemon = start()
    studio.give("j", 1, plan(home, "j", records=100_000))
    until(lambda: steps(studio, "j"), "a step")
    daemon.kill()
    daemon.wait()
    kill(files_of(home, "j"))
    studio.jobs.clear()
    start()
    until(lambda: not cloudera.active(), "its run is stopped")
    until(lambda: settled(home, "j"), "the book is closed")


@pytest.mark.nightly
def test_of_two_daemons_of_a_project_one_works(cloudera: StandIn, studio: Studio, start: Start, home: Path) -> None:
    start()
    studio.give("j", 1, plan(home, "j", records=50))
    until(lambda: steps(studio, "j"), "a step")
    assert start().wait(60) == 1
    assert "already runs on this studio" in (home / "daemon.log").read_text()
    until(lambda: studio.dead("j", 1), "the end")
    assert len(cloudera.runs("j")) == 1


@pytest.mark.nightly
def test_two_daemons_that_both_think_a_job_is_theirs_make_one_run(
    cloudera: StandIn, studio: Studio, start: Start, home: Path
) -> None:
    start()
    studio.give("j", 1, plan(home, "j", records=200, rate=50))
    until(lambda: steps(studio, "j"), "a step")
    start(FTS_RUNNER_NAME="other")
    until(lambda: len(studio.registrations) == 2, "the other")
    kill(files_of(home, "j"))
    dead = until(lambda: studio.dead("j", 1), "the end")
    assert (dead["exit_code"], steps(studio, "j")) == (0, list(range(1, 201)))
    assert len(cloudera.runs("j")) == 1
