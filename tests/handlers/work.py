"""A studio with something to train, and a runner that speaks by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from actors.answering import answer
from actors.desk import Desk
from core.events import fold_status
from core.store.eventlog import events_after
from core.store.session import Store
from core.store.tables import Dataset, Job, Meta, Model, Prompt
from core.types import JobStatus

STARTED = {"type": "started", "at": 1.0, "pid": 1, "total_steps": 10}
SUCCEEDED = {"type": "finished", "at": 2.0, "outcome": "succeeded"}


def add_inputs(store: Store) -> None:
    """A model, a dataset and a prompt."""
    with store.write() as unit:
        unit.session.add(Model(id="m", type="project", name="tiny", location="m", files={"w": "1"}))
        unit.session.add(
            Dataset(id="d", type="project_csv", name="t", location="d.csv", features=json.dumps(["q", "a"]), sha256="2")
        )
        unit.session.add(
            Prompt(
                id="p",
                type="in_place",
                name="p",
                dataset_id="d",
                prompt_template="{q}{a}",
                input_template="{q}",
                completion_template="{a}",
            )
        )


def say(desk: Desk, name: str, /, **payload: Any) -> dict[str, Any]:
    """The value answered to a message that is done."""
    reply = answer(desk, name, payload, None)
    assert reply["ok"], reply
    value: dict[str, Any] = reply["value"]
    return value


def start(desk: Desk, name: str = "tickets", **payload: Any) -> str:
    """Queue a job for one CPU core; its id."""
    asked = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}
    job = say(desk, "StartFineTuningJob", adapter_name=name, **{**asked, **payload})["fine_tuning_job"]
    return str(job["id"])


def write_script(desk: Desk, name: str, text: str = "") -> Path:
    """A script that jobs may run."""
    path = desk.settings.scripts_root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def job(desk: Desk, id: str) -> Job:
    """The job's row as it is now."""
    with desk.store.read() as session:
        return session.get_one(Job, id)


def change(desk: Desk, id: str, **values: Any) -> None:
    """Set columns of a job's row."""
    with desk.store.write() as unit:
        for name, value in values.items():
            setattr(unit.session.get_one(Job, id), name, value)


def types(desk: Desk, id: str) -> list[str]:
    """The types of the job's events, in order."""
    with desk.store.read() as session:
        return [event.type for event in events_after(session, 0, resource_id=id)]


def folded(desk: Desk) -> dict[str, JobStatus]:
    """What the log alone says of the jobs' states."""
    states: dict[str, JobStatus] = {}
    with desk.store.read() as session:
        for event in events_after(session, 0, 100_000):
            fold_status(states, event)
    return states


def spooled(*records: dict[str, Any], begin: int = 0) -> dict[str, Any]:
    """The part of a report that tells the records, each ten bytes long."""
    placed = [{**each, "offset": begin + 10 * number} for number, each in enumerate(records, 1)]
    return {"offset": begin, "next_offset": begin + 10 * len(placed), "records": placed}


@dataclass
class Speaker:
    """A runner on the level of messages."""

    desk: Desk
    host: str = "a"
    cpus: int = 2
    memory: float = 16.0
    engines: list[str] = field(default_factory=lambda: ["legacy", "evaluation"])
    extra: dict[str, Any] = field(default_factory=dict)
    id: str = ""
    incarnation: int = 0

    def __post_init__(self) -> None:
        self.register()

    def register(self) -> None:
        with self.desk.store.read() as session:
            marker = session.get_one(Meta, "marker").value
        offer = {"host": self.host, "cpus": self.cpus, "memory": self.memory, "engines": self.engines, "marker": marker}
        known = {"runner_id": self.id} if self.id else {}
        reply = say(self.desk, "RegisterRunner", **{**offer, **known, **self.extra})
        self.id, self.incarnation = reply["runner_id"], reply["incarnation"]

    def report(self, *jobs: dict[str, Any], **fields: Any) -> dict[str, Any]:
        payload = {"runner_id": self.id, "incarnation": self.incarnation, "jobs": list(jobs), **fields}
        return say(self.desk, "ReportProgress", **payload)

    def tell(
        self, job_id: str, *records: dict[str, Any], attempt: int = 1, begin: int = 0, **fields: Any
    ) -> dict[str, Any]:
        """Report records of one attempt; the order that comes back for it."""
        told = {"job_id": job_id, "attempt": attempt, **spooled(*records, begin=begin), **fields}
        orders = {(each["job_id"], each["attempt"]): each for each in self.report(told)["jobs"]}
        found: dict[str, Any] = orders[job_id, attempt]
        return found

    def begin(self, job_id: str) -> None:
        """Get the job, and say that its child runs."""
        assert [each["job_id"] for each in self.report()["jobs"] if each["spec"]] == [job_id]
        attempt = job(self.desk, job_id).attempt
        assert self.tell(job_id, STARTED, attempt=attempt)["order"] == "run"
