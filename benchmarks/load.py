"""A studio that is busy: a thousand jobs, some of which run and tell 1,000 records a second.

As a script it is the runner: it speaks the messages that the daemon speaks, and its jobs have no processes.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

from common import Studio, until

from core.client import StudioClient
from core.errors import Unavailable
from core.messages.runners import JobReport, RegisterRunner, ReportProgress
from core.settings import Settings

EVERY = 0.05  # seconds between reports, as of a daemon with much to tell
STEPS = 1_000_000
LINE = 160  # bytes of a record in the spool, about


def name(number: int) -> str:
    """The adapter's name of a job; 0 is the newest, which is the first of the list."""
    return f"adapter-{number:04}"


def add_jobs(settings: Settings, jobs: int, queued: int = 0) -> None:
    """Rows of jobs that are over, and of the newest ones that wait for a runner, put into the store as they would lie there."""
    from core.store.session import Store
    from core.store.tables import FineTuningJob, Job

    store, now = Store(settings), time.time()
    with store.write() as unit:
        for number in range(jobs):
            waits = number < queued
            times = {"created_at": now - number, "queued_at": now - number, "finished_at": None if waits else now}
            unit.session.add(FineTuningJob(id=f"{number:04}", adapter_name=name(number), framework_type="legacy"))
            unit.session.add(
                Job(id=f"{number:04}", kind="fine_tuning", name=name(number), engine="legacy", spec={"job": number},
                    status="queued" if waits else "succeeded", cpus=1, gpus=0, memory=1, **times)
            )  # fmt: skip
    store.close()


def begin(running: Studio, *, jobs: int, live: int, rate: int) -> None:
    """Fill a studio and start its actors and the runner; returns once the live jobs run and tell."""
    running.actors("commands", "runners")
    running.actors("slow")
    add_jobs(running.settings, jobs, live)
    said = len(running.said())
    running.start(__file__, "--live", str(live), "--rate", str(rate))
    until(lambda: b"telling" in running.said()[said:], "the jobs run")


def records(job: int) -> Iterator[dict[str, Any]]:
    """What a training writes, without an end: of ten records five are numbers, four tell the progress, one is a line of log."""
    for number in itertools.count(1):
        step, at = number // 2, round(time.time(), 6)
        if number % 10 == 0:
            yield {"type": "log", "at": at, "level": "info", "text": f"step {step} of job {job}: all is well"}
        elif number % 2:
            values = {"loss": 2 / math.log(step + 8), "grad_norm": 1.0, "learning_rate": 1e-3 / (step + 1)}
            yield {"type": "metrics", "at": at, "step": step, "epoch": None, "values": values}
        else:
            yield {"type": "progress", "at": at, "step": step, "total_steps": STEPS, "eta_seconds": 60.0 + step % 60,
                   "tokens_per_second": 900.0 + step % 100}  # fmt: skip


class Spool:
    """What one job wrote, and how far it was taken in."""

    def __init__(self, job_id: str, attempt: int) -> None:
        self.job_id, self.attempt, self.accepted, self.end = job_id, attempt, 0, 0
        self.waiting: list[dict[str, Any]] = []
        self.coming = records(int(job_id))
        self.add({"type": "started", "at": time.time(), "pid": 1, "device": "cpu", "total_steps": STEPS})

    def add(self, record: dict[str, Any]) -> None:
        """Append a record."""
        self.end += LINE
        self.waiting.append({**record, "offset": self.end})

    def told(self, accepted: int) -> None:
        """Up to there nothing is told again."""
        self.accepted = accepted
        self.waiting = [record for record in self.waiting if record["offset"] > accepted]

    def report(self) -> JobReport:
        """What waits."""
        return JobReport(
            job_id=self.job_id, attempt=self.attempt, offset=self.accepted, next_offset=self.end, records=self.waiting
        )


def run(live: int, rate: int) -> None:
    """Be the runner, until ended."""
    settings = Settings()
    marker = (settings.artifacts_root / ".fts-artifacts").read_text().strip()
    with StudioClient(settings) as client:
        offer = {"host": "bench", "cpus": live, "memory": 4.0 * live, "engines": ["legacy"]}
        known = client.call(RegisterRunner(**offer, marker=marker))
        me = {"runner_id": known.runner_id, "incarnation": known.incarnation}
        spools: dict[str, Spool] = {}
        until(lambda: _report(client, me, spools) >= live, "all jobs are given out")
        print("telling", flush=True)
        begun, written = time.monotonic(), 0
        while True:
            due = int((time.monotonic() - begun) * rate)
            for spool, _ in zip(itertools.cycle(spools.values()), range(due - written), strict=False):
                spool.add(next(spool.coming))
            written = due
            try:
                _report(client, me, spools)
            except Unavailable:
                time.sleep(1)
            time.sleep(max(0.0, EVERY - (time.monotonic() - begun) % EVERY))


def _report(client: StudioClient, me: dict[str, Any], spools: dict[str, Spool]) -> int:
    """One report, and what its reply says; how many jobs this runner has."""
    told = ReportProgress(**me, jobs=[each.report() for each in spools.values()])
    for order in client.call(told).jobs:
        if order.job_id not in spools:
            spools[order.job_id] = Spool(order.job_id, order.attempt)
        spools[order.job_id].told(order.accepted)
    return len(spools)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True)
    given = parser.parse_args()
    run(given.live, given.rate)
