"""The studio's side of a runner, scripted: it answers reports from the queue with what a test has laid down.

Only the actors' rules are left out; the queue, its layout and the replies are the real ones.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis

from core.queue.stream import wake
from core.queue.wire import WireMessage, reply_key


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait for a condition; its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.005)
    return value


def spec_of(job_id: str, tmp: Path, **extra: Any) -> dict[str, Any]:
    """A specification as a runner gets it."""
    return {
        "kind": "fine_tuning",
        "job_id": job_id,
        "name": "n",
        "model": {"id": "m", "name": "m"},
        "dataset": {"id": "d", "name": "d", "type": "project_csv"},
        "prompt": {"id": "p", "name": "p", "prompt_template": "", "input_template": "", "completion_template": ""},
        "sampling": {},
        "training_arguments": {},
        "lora": {},
        "out_dir": str(tmp / "out"),
        "resources": {"cpus": 1, "gpus": 0, "memory": 1},
        **extra,
    }


def plan_of(job_id: str, tmp: Path) -> dict[str, Any]:
    """A plan's specification."""
    request = spec_of(job_id, tmp)
    return {name: request[name] for name in ("job_id", "name", "resources")} | {"kind": "plan", "request": request}


class Studio:
    """Answers RegisterRunner and ReportProgress; `jobs` are what the runner is told it has."""

    def __init__(self, client: redis.Redis, ns: str) -> None:
        self.client, self.ns = client, ns
        self.jobs: dict[tuple[str, int], dict[str, Any]] = {}
        self.records: dict[tuple[str, int], list[dict[str, Any]]] = {}
        self.ended: dict[tuple[str, int], dict[str, Any]] = {}
        self.registrations: list[dict[str, Any]] = []
        self.reports: list[dict[str, Any]] = []
        self.report_times: list[float] = []
        self.draining = False
        self.next_report_seconds = 5.0
        self.lose_replies = 0  # of the next reports
        self.delay = 0.0
        self.accepting = True
        self._closing = threading.Event()
        self._open = threading.Event()
        self._open.set()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._open.set()
        self._thread.join()

    def away(self) -> None:
        """Answer nobody until `back`."""
        self._open.clear()

    def back(self) -> None:
        self._open.set()

    def give(self, job_id: str, attempt: int, spec: dict[str, Any], **others: Any) -> None:
        """Assign a job and wake the runner."""
        self.jobs[job_id, attempt] = {"order": "run", "spec": spec, "accepted": 0, **others}
        self.records[job_id, attempt] = []
        self.wake()

    def order(self, job_id: str, attempt: int, order: str, **others: Any) -> None:
        """Say what is to be done with a job from now on: `order`, and any other field of a JobOrder."""
        self.jobs[job_id, attempt].update(order=order, **others)
        self.wake()

    def wake(self) -> None:
        wake(self.client, self.ns, "runner-1")

    def told(self, job_id: str, attempt: int) -> list[dict[str, Any]]:
        """Every entry about the attempt in the reports so far."""
        return [
            job
            for report in list(self.reports)
            for job in report["jobs"]
            if (job["job_id"], job["attempt"]) == (job_id, attempt)
        ]

    def dead(self, job_id: str, attempt: int) -> dict[str, Any] | None:
        """The entry that said that the child is dead, once all that it wrote was taken in."""
        return self.ended.get((job_id, attempt))

    def _serve(self) -> None:
        queue = f"{self.ns}:runners"
        while not self._closing.is_set():
            self._open.wait()
            found: Any = self.client.blpop([queue], timeout=0.1)
            if found is None:
                continue
            raw: Any = self.client.hget(f"{queue}.msgs", found[1])
            self.client.hdel(f"{queue}.msgs", found[1])
            message = json.loads(raw)
            if message["options"]["expires_at"] < time.time() * 1000 or not self._open.is_set():
                continue
            value = self._answer(message["actor_name"], message["kwargs"]["payload"])
            if value is not None:
                wire = WireMessage(message["actor_name"], "runners", message["message_id"], "", b"")
                self.client.rpush(reply_key(self.ns, wire), json.dumps({"ok": True, "value": value}))

    def _answer(self, name: str, payload: dict[str, Any]) -> dict[str, Any] | None:
        if name == "RegisterRunner":
            self.registrations.append(payload)
            return {
                "runner_id": "runner-1",
                "incarnation": len(self.registrations),
                "next_report_seconds": self.next_report_seconds,
            }
        if payload["incarnation"] != len(self.registrations):
            return {"known": False}
        time.sleep(self.delay)
        self.reports.append(payload)
        self.report_times.append(time.monotonic())
        for job in payload["jobs"]:
            self._take(job)
        if self.lose_replies:
            self.lose_replies -= 1
            return None
        held = {(job["job_id"], job["attempt"]) for job in payload["jobs"] if job.get("has_spec", True)}
        return {
            "known": True,
            "draining": self.draining,
            "next_report_seconds": self.next_report_seconds,
            "jobs": [self._order(key, job, key in held) for key, job in self.jobs.items()],
        }

    def _order(self, key: tuple[str, int], job: dict[str, Any], held: bool) -> dict[str, Any]:
        order = {"job_id": key[0], "attempt": key[1], **{name: job[name] for name in job if name != "spec"}}
        return order if held else order | {"spec": job["spec"]}

    def _take(self, told: dict[str, Any]) -> None:
        job = self.jobs.get((told["job_id"], told["attempt"]))
        if job is not None and told["offset"] == job["accepted"] and self.accepting:
            job["accepted"] = told["next_offset"]
            self.records[told["job_id"], told["attempt"]] += told.get("records", [])
            if told.get("alive") is False:
                self.ended[told["job_id"], told["attempt"]] = told
