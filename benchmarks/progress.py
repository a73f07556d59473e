"""How soon a number that the trainer writes is seen: at 1, 100 and 1,000 records a second.

    python benchmarks/progress.py [--seconds 10]

A child of the real daemon writes records with their times (gpu_runner.spool.Spool), as a trainer's callback does; the
daemon reports them to the actors, and they come out of a watcher (StudioClient.follow_job) and of the dashboard, a process
of its own on a pseudo-terminal, which is open on the job: a record is painted when the terminal was sent its number, or a
later one. Milliseconds from the write; every record must come to the watcher, once and in order.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time
from itertools import zip_longest
from pathlib import Path

from common import Studio, heading, percentile, studio, table, target, until
from terminal import Chunks, Terminal, screens

from core.client import StudioClient
from core.messages.runners import ListRunners
from core.settings import Settings

RATES = (1, 100, 1000)
LATEST = 60  # seconds after the last write in which what has not come is lost
_PAINTED = re.compile(r"(?<!eval )loss +(\d+)")


def begin_job(running: Studio, *, rate: float, records: int) -> subprocess.Popen[bytes]:
    """Start the daemon with a child that writes; returns the daemon once the job runs. The job's id is its rate."""
    from core.queue.connect import connect
    from core.queue.stream import wake
    from core.store.session import Store
    from core.store.tables import FineTuningJob, Job
    from tests.runner.studio import spec_of

    daemon = running.start(__file__, "--daemon")
    job_id, plan = f"{rate:g}", json.dumps({"rate": rate, "records": records})
    with StudioClient(running.settings) as client:
        runner = until(lambda: client.call(ListRunners()).runners, "a runner")[0]
    store, now = Store(running.settings), time.time()
    with store.write() as unit:
        asked = {"framework_type": "legacy", "dataset_fraction": 1.0, "train_test_split": 1.0, "num_epochs": 1}
        unit.session.add(FineTuningJob(id=job_id, adapter_name=f"rate-{job_id}", **asked))
        unit.session.add(
            Job(id=job_id, kind="fine_tuning", name=job_id, engine="legacy", status="queued", cpus=1, gpus=0, memory=1,
                spec=spec_of(job_id, running.home, user_config=plan), created_at=now, queued_at=now)
        )  # fmt: skip
    store.close()
    with connect(running.url) as redis:
        wake(redis, running.settings.namespace, runner.id)
    until((running.settings.artifacts_root / "jobs" / job_id / "1" / "events.jsonl").exists, "the job runs")
    return daemon


def write(line: str) -> None:
    """Be the job's process: write the numbers 1, 2, 3 … at the rate of the specification."""
    from gpu_runner.files import Files, write_json
    from gpu_runner.launch import Launch, enter
    from gpu_runner.spool import Spool

    launch = Launch.from_json(line)
    enter(launch)
    files = Files(Path(launch.attempt_dir))
    spool, plan = Spool(files.spool), json.loads(json.loads(files.spec.read_text())["user_config"])
    spool.write("started", pid=os.getpid(), device="cpu", total_steps=plan["records"])
    until((files.directory / "go").exists, "the watchers")
    begun = time.monotonic()
    for step in range(1, plan["records"] + 1):
        time.sleep(max(0.0, begun + step / plan["rate"] - time.monotonic()))
        spool.metrics(step, {"loss": step})
    time.sleep(1)
    spool.write("finished", outcome="succeeded")
    write_json(files.exit, {"outcome": "succeeded", "code": 0})


def run_daemon() -> None:
    """The real daemon, whose jobs are `write`."""
    from gpu_runner import launch

    def command(given: launch.Launch) -> list[str]:
        return [sys.executable, __file__, "--write", given.to_json()]

    vars(launch)["cold_command"] = command
    from gpu_runner import daemon  # late: it starts jobs with the command that was there when it was imported

    vars(daemon)["WARM_COMMAND"] = None
    daemon.main()


def watch(settings: Settings, job_id: str, records: int, seconds: float) -> list[tuple[int, float]]:
    """The steps in the order in which they came to a watcher, with the times."""
    came: list[tuple[int, float]] = []
    deadline = time.monotonic() + seconds
    with StudioClient(settings) as client:
        for entry in client.follow_job(job_id):
            now = time.time()
            came += [
                (record["step"], now) for record in (entry or {}).get("records", []) if record["type"] == "metrics"
            ]
            if (came and came[-1][0] >= records) or time.monotonic() > deadline:
                return came
    return came


def painted(chunks: Chunks) -> list[tuple[int, float]]:
    """The steps that the terminal showed, with the times, from what came to it."""
    found: list[tuple[int, float]] = []
    for now, screen in screens(chunks):
        found += [(int(step), now) for line in screen.display for step in _PAINTED.findall(line)]
    return found


def latencies(written: dict[int, float], seen: list[tuple[int, float]]) -> list[float]:
    """Milliseconds from each write until its step or a later one was seen; what never was is left out."""
    took, best = [], 0
    for step, now in seen:
        took += [1000 * (now - written[each]) for each in range(best + 1, step + 1) if each in written]
        best = max(best, step)
    return took


def measure(rate: int, records: int) -> tuple[list[float], list[float], int]:
    """Latencies to the watcher and to the terminal, and how many records were lost, doubled or out of order."""
    with studio() as running:
        running.actors("commands", "runners")
        running.actors("slow")
        begin_job(running, rate=rate, records=records)
        directory = running.settings.artifacts_root / "jobs" / str(rate) / "1"
        screen = Terminal(["-c", f"from tui.app import run; run('{rate}')"], running.environment)
        screen.open()
        screen.await_words("step 0/")
        time.sleep(2)  # it follows
        seen: list[tuple[int, float]] = []
        seconds = records / rate + LATEST
        watcher = threading.Thread(target=lambda: seen.extend(watch(running.settings, str(rate), records, seconds)))
        watcher.start()
        (directory / "go").touch()
        watcher.join()
        time.sleep(1)
        screen.close()
        lines = [json.loads(line) for line in (directory / "events.jsonl").read_text().splitlines()]
    written = {line["step"]: line["at"] for line in lines if line["type"] == "metrics"}
    wrong = sum(got != expected for got, expected in zip_longest([s for s, _ in seen], range(1, records + 1)))
    return latencies(written, seen), latencies(written, painted(screen.chunks)), wrong


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10, help="of writing at each rate; at least 20 records")
    parser.add_argument("--daemon", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--write", metavar="LAUNCH", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.daemon:
        return run_daemon()
    if given.write:
        return write(given.write)
    heading("from the trainer's write")
    rows, figures = [], []
    for rate in RATES:
        records = max(20, int(rate * given.seconds))
        watcher, terminal, wrong = measure(rate, records)
        for name, took in (("watcher", watcher), ("terminal", terminal)):
            rows.append([f"{rate}/s, {name}", len(took), *(percentile(took, share) for share in (0.5, 0.95, 0.99))])
        figures.append((rate, percentile(watcher, 0.95), percentile(terminal, 0.95), wrong))
    table(["rate", "records", "p50 ms", "p95 ms", "p99 ms"], rows)
    for rate, watched, shown, wrong in figures:
        target(f"{rate}/s to the watcher, p95 ms", watched, at_most=100)
        target(f"{rate}/s to the terminal, p95 ms", shown, at_most=200)
        target(f"{rate}/s lost, doubled or out of order", wrong, at_most=0)
    return None


if __name__ == "__main__":
    main()
