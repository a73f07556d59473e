"""Jobs and their runs: what is asked of them, and how runs advance."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tests.cml import pods
from tests.cml.cloud import RUNTIME, USER, Cloud, Row, new_id, page, stamp, text_of
from tests.cml.faults import Refused

ACTIVE = ("ENGINE_SCHEDULING", "ENGINE_STARTING", "ENGINE_RUNNING", "ENGINE_STOPPING")
OPEN = (
    "name",
    "script",
    "arguments",
    "cpu",
    "memory",
    "nvidia_gpu",
    "environment",
    "kernel",
    "paused",
    "schedule",
    "timezone",
)
LATER = (
    "timeout",
    "kill_on_timeout",
    "runtime_identifier",
    "runtime_addon_identifiers",
    "accelerator_label_id",
    "parent_id",
)
INTEGERS = ("timeout", "accelerator_label_id")  # int64: texts on the wire


class Jobs:
    """The calls about jobs and runs. `cloud.lock` is held by who calls."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud

    def list_jobs(self, query: dict[str, str], body: Row, project: str) -> Row:
        return page("jobs", self.cloud.state["jobs"].values(), query, self.job_shown)

    def create_job(self, query: dict[str, str], body: Row, project: str) -> Row:
        if not body.get("name") or not body.get("script"):
            raise Refused(400, "name and script are required")
        if not body.get("runtime_identifier"):
            raise Refused(400, "runtime_identifier must be set for a project of ML Runtimes")
        row = {"cpu": 1.0, "memory": 1.0, "nvidia_gpu": 0, "arguments": "", "environment": {}, "timeout": 0, "schedule": "",
               "kill_on_timeout": False, "kernel": "python3", "paused": False, "timezone": "America/Los_Angeles"}  # fmt: skip
        row |= self._checked(body)
        row |= {"id": new_id(), "created_at": stamp(), "updated_at": stamp()}
        self.cloud.state["jobs"][row["id"]] = row
        return self.job_shown(row)

    def _checked(self, body: Row) -> Row:
        if (body.get("nvidia_gpu") or 0) > self.cloud.site["max_gpu_per_engine"]:
            raise Refused(400, f"nvidia_gpu must not be greater than {self.cloud.site['max_gpu_per_engine']}")
        environment = body.get("environment")
        if isinstance(environment, str):
            body = {**body, "environment": json.loads(environment or "{}")}
        elif environment is not None and not all(isinstance(each, str) for each in environment.values()):
            raise Refused(400, "invalid value for string type: environment")
        return {name: body[name] for name in (*OPEN, *LATER) if body.get(name) is not None}

    def get_job(self, query: dict[str, str], body: Row, project: str, job: str) -> Row:
        return self.job_shown(self.cloud.get("jobs", job))

    def update_job(self, query: dict[str, str], body: Row, project: str, job: str) -> Row:
        row = self.cloud.get("jobs", job)
        row |= self._checked(body) | {"updated_at": stamp()}
        return self.job_shown(row)

    def delete_job(self, query: dict[str, str], body: Row, project: str, job: str) -> Row:
        self.cloud.get("jobs", job)
        if any(run["status"] in ACTIVE for run in self.runs_of(job)):
            raise Refused(400, f"job {job} has runs that are active")
        for run in self.runs_of(job):
            del self.cloud.state["runs"][run["id"]]
        del self.cloud.state["jobs"][job]
        return {}

    def job_shown(self, row: Row) -> Row:
        kind = "cron" if row["schedule"] else "dependent" if row.get("parent_id") else "manual"
        shown = {**row, "type": kind, "creator": USER, "owner": USER, "environment": text_of(row["environment"])}
        shown |= {name: str(row[name]) for name in INTEGERS if name in row}
        return shown | {"project": {"public_identifier": self.cloud.state["project"]["id"], "name": "fine-tuning"}}

    # Runs.

    def runs_of(self, job: str) -> list[Row]:
        return [run for run in self.cloud.state["runs"].values() if run["job_id"] == job]

    def list_job_runs(self, query: dict[str, str], body: Row, project: str, job: str) -> Row:
        self.cloud.get("jobs", job)
        seen = [run for run in self.runs_of(job) if self._visible(run)]
        return page("job_runs", reversed(seen), query, self.run_shown)

    def create_job_run(self, query: dict[str, str], body: Row, project: str, job: str) -> Row:
        of = self.cloud.get("jobs", job)
        for name in ("project_id", "job_id"):
            if body.get(name) not in (None, {"project_id": project, "job_id": job}[name]):
                raise Refused(400, f"{name} is not that of the path")
        own = self._checked({"environment": body.get("environment") or {}})["environment"]
        row = {
            "id": new_id(), "job_id": job, "project_id": project, "status": "ENGINE_SCHEDULING", "environment": own,
            "arguments": body.get("arguments") or of["arguments"], "created_at": stamp(), "scheduling_at": stamp(),
            "since": time.time(), "born": time.time(), "stop": None, "shown": None, "pod": None,
        }  # fmt: skip
        self.cloud.state["runs"][row["id"]] = row
        return self.run_shown(row)

    def get_job_run(self, query: dict[str, str], body: Row, project: str, job: str, run: str) -> Row:
        row = self.cloud.get("runs", run, job_id=job)
        if not self._visible(row):
            raise Refused(404, f"run {run} not found")
        return self.run_shown(row)

    def stop_job_run(self, query: dict[str, str], body: Row, project: str, job: str, run: str) -> Row:
        row = self.cloud.get("runs", run, job_id=job)
        if row["status"] not in ACTIVE:
            raise Refused(400, f"run {run} is not active")
        self.stop(row, "ENGINE_STOPPED")
        return self.run_shown(row)

    def _visible(self, run: Row) -> bool:
        return time.time() >= run["born"] + self.cloud.delays.visible

    def run_shown(self, row: Row) -> Row:
        of = self.cloud.state["jobs"][row["job_id"]]
        hidden = {"since", "born", "stop", "shown", "pod"}
        shown = {name: value for name, value in row.items() if name not in hidden}
        shown |= {name: of[name] for name in ("cpu", "memory", "nvidia_gpu", "kernel")}
        shown |= {"creator": USER, "runtime_identifier": of.get("runtime_identifier", RUNTIME)}
        environment = text_of({**of["environment"], **row["environment"]})
        return shown | {"environment": environment, "status": row["shown"] or row["status"]}

    # How runs advance.

    def stop(self, run: Row, end: str) -> None:
        """Stop a run; `end` is what it comes to."""
        if run["status"] == "ENGINE_STOPPING":
            return
        run["stop"] = end
        if run["pod"] is None:
            self._to(run, end)
            return
        pods.terminate(run["pod"])
        self._to(run, "ENGINE_STOPPING")

    def advance(self) -> bool:
        """Let time pass for every active run; whether something changed."""
        active = [run for run in self.cloud.state["runs"].values() if run["status"] in ACTIVE]
        changed = [self._advance(run, time.time() - run["since"]) for run in active]
        return any(changed)

    def _advance(self, run: Row, waited: float) -> bool:
        before = run["status"]
        if before == "ENGINE_SCHEDULING":
            if waited >= self.cloud.delays.scheduling and self._has_room():
                self._to(run, "ENGINE_STARTING")
        elif before == "ENGINE_STARTING":
            if waited >= self.cloud.delays.starting:
                self.start(run)
                self._to(run, "ENGINE_RUNNING")
        elif not pods.lives(run["pod"]):
            pods.kill(run["pod"])
            ended = pods.code(self.directory(run))
            self._to(run, run["stop"] or ("ENGINE_SUCCEEDED" if ended == 0 else "ENGINE_FAILED"))
        elif before == "ENGINE_STOPPING":
            if waited >= self.cloud.delays.grace:
                pods.kill(run["pod"])
        else:
            self._check_timeout(run, waited)
        return before != run["status"]

    def _check_timeout(self, run: Row, waited: float) -> None:
        of = self.cloud.state["jobs"][run["job_id"]]
        if 0 < int(of["timeout"]) <= waited and of["kill_on_timeout"]:
            self.stop(run, "ENGINE_TIMEDOUT")

    def _has_room(self) -> bool:
        runs = self.cloud.state["runs"].values()
        busy = sum(run["status"] in ACTIVE[1:] for run in runs)
        return self.cloud.room is None or busy < self.cloud.room

    def _to(self, run: Row, status: str) -> None:
        run["status"], run["since"] = status, time.time()
        if status in ACTIVE:
            run[f"{status.removeprefix('ENGINE_').lower()}_at"] = stamp()
        else:
            run["finished_at"] = stamp()
        run.pop("stopping_at", None)  # the API has no such field

    def directory(self, run: Row) -> Path:
        """Where a run's log and exit are kept."""
        return self.cloud.directory / "runs" / run["id"]

    def start(self, run: Row) -> None:
        """Start the job's script, as its kernel does."""
        of = self.cloud.state["jobs"][run["job_id"]]
        words = [str(pods.HERE / "kernel.py"), str(self.directory(run)), of["script"]]
        run["pod"] = pods.start(words, self.environment(run, of), self.cloud.project, self.directory(run))

    def environment(self, run: Row, of: Row) -> dict[str, Any]:
        """A run's environment: what is nearer wins."""
        return {
            **pods.base(),
            **self.cloud.environment(),
            **of["environment"],
            **run["environment"],
            "CDSW_ENGINE_ID": run["id"],
            "CDSW_ENGINE_TYPE": "job",
            "CDSW_CPU_MILLICORES": str(int(of["cpu"] * 1000)),
            "CDSW_MEMORY_MB": str(int(of["memory"] * 1024)),
            "JOB_ARGUMENTS": run["arguments"],
        }
