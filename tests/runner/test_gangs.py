"""A job that two runners do together: two real daemons on this machine, the real actors, a tiny Llama."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from core.client import StudioClient
from core.events import Event
from core.messages.job_verbs import PauseJob, ResumeJob
from core.messages.jobs import CancelJob
from core.messages.runners import DrainRunner, ListRunners
from core.settings import Settings
from core.store.eventlog import events_after
from core.store.session import Store
from core.store.tables import FineTuningJob, Job, JobMember, Metric
from gpu_runner.files import Files
from gpu_runner.processes import started_at
from tests.runner.studio import until
from tests.runner.tiny import make_model, make_rows, tiny_spec

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]
STEPS = 120


class Cluster:
    """A studio whose two runners have one core each."""

    def __init__(self, home: Path, url: str, ns: str) -> None:
        self.home = home
        self.settings = Settings(home=home, namespace=ns, FTS_REDIS_URL=url)
        self.environment = {
            **os.environ,
            "FTS_HOME": str(home),
            "FTS_REDIS_URL": url,
            "FTS_NAMESPACE": ns,
            "FTS_LEASE_SECONDS": "20",
            "FTS_TRACKING": "false",
            "HF_HUB_OFFLINE": "1",
            "FTS_RUNNER_ADDRESS": "127.0.0.1",
            "FTS_RUNNER_CPUS": "1",
        }
        self.started: list[subprocess.Popen[bytes]] = []
        self.actors = self.run("actors", "actors.app", "commands", "runners")
        until(lambda: "ready" in (home / "actors.log").read_text(), "the actors", 60)
        self.daemons = {name: self.daemon(name) for name in ("a", "b")}
        self.client = StudioClient(self.settings)
        self.store = Store(self.settings)
        model = make_model(home / "base")
        self.spec = tiny_spec("", home, model, make_rows(home / "rows.jsonl", 24))
        self.spec["training_arguments"] |= {
            "per_device_train_batch_size": 2, "max_steps": STEPS, "save_steps": 10, "save_strategy": "steps", "learning_rate": 0.001
        }  # fmt: skip
        self.spec["lora"] |= {"lora_dropout": 0.1}
        self.spec["resources"] = {"cpus": 1, "gpus": 0, "memory": 1, "workers": 2}
        until(lambda: len(self.client.call(ListRunners()).runners) == 2, "both runners", 60)

    def run(self, name: str, module: str, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as printed:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                env=self.environment | variables,
                stdout=printed,
                stderr=printed,
            )
        self.started.append(process)
        return process

    def daemon(self, name: str) -> subprocess.Popen[bytes]:
        return self.run(f"daemon-{name}", "gpu_runner.daemon", FTS_RUNNER_NAME=name)

    def submit(self, id: str, steps: int = STEPS) -> None:
        now, spec = time.time(), self.spec | {"job_id": id}
        spec["training_arguments"] = self.spec["training_arguments"] | {"max_steps": steps}
        with self.store.write() as unit:
            unit.session.add(FineTuningJob(id=id, adapter_name=id, auto_add_adapter=False))
            unit.session.add(
                Job(id=id, kind="fine_tuning", name=id, engine="legacy", status="queued", spec=spec, cpus=1, gpus=0,
                    memory=1, workers=2, created_at=now, queued_at=now)
            )  # fmt: skip

    def job(self, id: str) -> Job:
        with self.store.read() as session:
            return session.get_one(Job, id)

    def members(self, id: str) -> list[JobMember]:
        with self.store.read() as session:
            return list(session.scalars(select(JobMember).where(JobMember.job_id == id).order_by(JobMember.rank)))

    def steps(self, id: str) -> list[int]:
        with self.store.read() as session:
            asked = select(Metric.step).where(Metric.job_id == id, Metric.name == "loss").order_by(Metric.step)
            return list(session.scalars(asked))

    def events(self, id: str) -> list[Event]:
        with self.store.read() as session:
            return events_after(session, 0, resource_id=id)

    def child(self, id: str, part: str) -> Any:
        return until(Files(self.home / "artifacts" / "jobs" / id / part).child, f"the child of {part}", 60)

    def at(self, id: str, step: int) -> None:
        until(lambda: (self.steps(id) or [0])[-1] >= step, f"step {step} of {id}", 120)

    def is_(self, id: str, status: str) -> Job:
        until(lambda: self.job(id).status == status, f"{id} is {status}", 120)
        return self.job(id)

    def close(self) -> None:
        self.client.close()
        self.store.close()
        for process in self.started:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        for found in (self.home / "artifacts").glob("jobs/*/*/child.json"):
            child = Files(found.parent).child()
            if child is not None and started_at(child.pid) == child.started:
                os.killpg(child.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("gang"), valkey_url, f"gang{os.getpid()}")
    yield made
    made.close()


def adapter(cluster: Cluster, id: str) -> bytes:
    path = Path((cluster.job(id).summary or {})["location"])
    return (path / "adapter_model.safetensors").read_bytes()


def test_two_runners_train_one_job_and_a_killed_part_is_as_if_it_had_not_been(cluster: Cluster) -> None:
    steps = 60  # it is killed at a quarter of them
    cluster.submit("spared", steps)
    cluster.at("spared", 1)
    first, second = cluster.members("spared")
    assert (first.workers, second.workers, first.rank, second.rank) == (1, 1, 0, 1)
    assert first.runner_id != second.runner_id and (first.rendezvous or "").startswith("127.0.0.1:")
    assert cluster.is_("spared", "succeeded").attempt == 1
    assert cluster.steps("spared") == list(range(1, steps + 1))
    assert cluster.members("spared") == []
    cluster.submit("struck", steps)
    cluster.at("struck", 15)
    other = cluster.child("struck", "1.1")
    os.kill(other.pid, signal.SIGKILL)
    assert cluster.is_("struck", "succeeded").attempt == 2
    assert cluster.steps("struck") == list(range(1, steps + 1))
    (resumed,) = [event for event in cluster.events("struck") if event.type == "JobResumed"]
    assert resumed.data["from_step"] in {10, 20}
    assert adapter(cluster, "struck") == adapter(cluster, "spared")
    assert not psutil.pid_exists(cluster.child("struck", "1").pid)


def test_pausing_draining_and_cancelling_reach_both(cluster: Cluster) -> None:
    cluster.submit("asked")
    cluster.at("asked", 3)
    cluster.client.call(PauseJob(id="asked"))
    cluster.is_("asked", "paused")
    until(
        lambda: all(runner.free["cpus"] == 1 for runner in cluster.client.call(ListRunners()).runners), "free runners"
    )
    cluster.client.call(ResumeJob(id="asked"))
    reached = cluster.steps("asked")[-1]
    cluster.at("asked", reached + 3)
    (_, second) = cluster.members("asked")
    cluster.client.call(DrainRunner(id=second.runner_id))
    cluster.is_("asked", "queued")
    cluster.client.call(DrainRunner(id=second.runner_id, draining=False))
    reached = cluster.steps("asked")[-1]
    cluster.at("asked", reached + 1)
    cluster.client.call(CancelJob(id="asked"))
    cluster.is_("asked", "cancelled")
    assert cluster.steps("asked") == list(range(1, cluster.steps("asked")[-1] + 1))


@pytest.mark.nightly
def test_a_runner_that_falls_silent_stops_the_other_and_the_job_goes_on_when_both_are_there(cluster: Cluster) -> None:
    cluster.submit("silent", steps=100_000)
    cluster.at("silent", 12)
    (_, second) = cluster.members("silent")
    names = {runner.id: runner.host for runner in cluster.client.call(ListRunners()).runners}
    daemon = cluster.daemons[names[second.runner_id]]
    daemon.send_signal(signal.SIGSTOP)
    until(lambda: "JobLost" in {event.type for event in cluster.events("silent")}, "the lease's end", 60)
    children = [cluster.child("silent", part) for part in ("1", "1.1")]
    daemon.send_signal(signal.SIGCONT)
    until(lambda: not any(psutil.pid_exists(child.pid) for child in children), "both children's end", 60)
    until(
        lambda: cluster.job("silent").attempt > 1 and cluster.job("silent").status == "running", "the next attempt", 60
    )
    reached = cluster.steps("silent")[-1]
    cluster.at("silent", reached + 1)
    (resumed,) = [event for event in cluster.events("silent") if event.type == "JobResumed"]
    assert resumed.data["from_step"] >= 10
    cluster.client.call(CancelJob(id="silent"))
    cluster.is_("silent", "cancelled")
    again = [step for step in cluster.steps("silent") if step > resumed.data["from_step"]]
    assert again == list(range(resumed.data["from_step"] + 1, again[-1] + 1))


@pytest.mark.nightly
def test_a_restarted_daemon_finds_its_part_again(cluster: Cluster) -> None:
    cluster.submit("adopted")
    cluster.at("adopted", 5)
    for name in ("a", "b"):
        cluster.daemons[name].kill()
        cluster.daemons[name].wait()
        cluster.daemons[name] = cluster.daemon(name)
    assert cluster.is_("adopted", "succeeded").attempt == 1
    assert cluster.steps("adopted") == list(range(1, STEPS + 1))
    assert json.loads((cluster.home / "artifacts/jobs/adopted/1.1/exit.json").read_text())["outcome"] == "succeeded"
