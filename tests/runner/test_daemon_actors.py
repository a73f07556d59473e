"""The daemon with the real actors and the real store; only the job trains nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis
from sqlalchemy import select

from core.queue import embedded
from core.queue.stream import wake
from core.settings import Settings
from core.store.session import Store
from core.store.tables import Job, Metric, Runner
from gpu_runner.files import Files
from tests.runner.conftest import Start
from tests.runner.studio import spec_of, until

Actors = Callable[[], "subprocess.Popen[bytes]"]


class Server:
    """A Valkey of the test's own, which it may kill."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.process = embedded.start(home)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="fts-") as directory:
        made = Server(Path(directory))
        yield made
        made.kill()


@pytest.fixture
def valkey_url(server: Server) -> str:
    return embedded.url(server.home)


@pytest.fixture
def actors(valkey_url: str, ns: str, tmp_path: Path) -> Iterator[Actors]:
    started: list[subprocess.Popen[bytes]] = []
    environment = {
        **os.environ,
        "FTS_HOME": str(tmp_path),
        "FTS_REDIS_URL": valkey_url,
        "FTS_NAMESPACE": ns,
        "FTS_LEASE_SECONDS": "6",
    }

    def run() -> subprocess.Popen[bytes]:
        with (tmp_path / "actors.log").open("ab") as printed:
            process = subprocess.Popen(
                [sys.executable, "-m", "actors.app", "commands", "runners"], env=environment, stderr=printed
            )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(Settings(home=tmp_path))
    yield made
    made.close()


def a_runner(store: Store, tmp_path: Path) -> str | None:
    if "ready" not in (tmp_path / "actors.log").read_text():
        return None
    with store.read() as session:
        return session.scalar(select(Runner.id))


def submit(store: Store, client: redis.Redis, ns: str, runner_id: str, tmp_path: Path, job_id: str, **how: Any) -> None:
    """Put a job into the store's queue and wake the runner."""
    now = time.time()
    spec = spec_of(job_id, tmp_path, user_config=json.dumps(how))
    with store.write() as unit:
        unit.session.add(
            Job(
                id=job_id,
                kind="fine_tuning",
                name=job_id,
                engine="legacy",
                status="queued",
                spec=spec,
                cpus=1,
                gpus=0,
                memory=1,
                created_at=now,
                queued_at=now,
            )
        )
    wake(client, ns, runner_id)


def status(store: Store, job_id: str) -> tuple[str, int]:
    with store.read() as session:
        job = session.get(Job, job_id)
        assert job is not None
        return job.status, job.attempt


def stored(store: Store, job_id: str) -> list[int]:
    with store.read() as session:
        asked = select(Metric.step).where(Metric.job_id == job_id, Metric.name == "loss").order_by(Metric.step)
        return list(session.scalars(asked))


def test_a_job_survives_the_death_of_the_daemon_of_the_actors_and_of_the_queue(
    server: Server, actors: Actors, start: Start, store: Store, client: redis.Redis, ns: str, tmp_path: Path
) -> None:
    first_actors, first_daemon = actors(), start()
    runner = until(lambda: a_runner(store, tmp_path), "a runner")
    submit(store, client, ns, runner, tmp_path, "j", records=300, rate=25)
    until(lambda: len(stored(store, "j")) > 5, "metrics")
    first_daemon.kill()
    first_daemon.wait()
    start()
    before = len(stored(store, "j"))
    until(lambda: len(stored(store, "j")) > before, "metrics from the adopted child")
    first_actors.kill()
    first_actors.wait()
    actors()
    before = len(stored(store, "j"))
    until(lambda: len(stored(store, "j")) > before, "metrics through the new actors")
    server.kill()
    server.process = embedded.start(server.home)
    until(lambda: status(store, "j")[0] == "succeeded", "the job's end", 60)
    assert status(store, "j") == ("succeeded", 1)
    assert stored(store, "j") == list(range(1, 301))
    assert a_runner(store, tmp_path) == runner


def test_a_killed_child_runs_again_and_a_stopped_daemon_loses_its_job(
    actors: Actors, start: Start, store: Store, client: redis.Redis, ns: str, tmp_path: Path
) -> None:
    actors()
    daemon = start()
    runner = until(lambda: a_runner(store, tmp_path), "a runner")
    submit(store, client, ns, runner, tmp_path, "j")
    until(lambda: stored(store, "j"), "metrics")
    attempts = tmp_path / "artifacts" / "jobs" / "j"
    os.kill(until(Files(attempts / "1").child, "the child").pid, signal.SIGKILL)
    second = until(Files(attempts / "2").child, "the second attempt's child")
    daemon.send_signal(signal.SIGSTOP)
    until(lambda: status(store, "j")[0] == "queued", "the lease's end", 60)
    assert psutil.pid_exists(second.pid)
    daemon.send_signal(signal.SIGCONT)
    until(lambda: not psutil.pid_exists(second.pid), "the stale child's end")
    until(Files(attempts / "3").child, "the third attempt's child")
    assert status(store, "j")[1] == 3
