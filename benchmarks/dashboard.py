"""What opening the dashboard costs, and what the actors' process does.

    python benchmarks/dashboard.py [--rounds 10]

A bare Textual app (one Static) and the dashboard on a studio with 40 jobs, each a process of its own on a pseudo-terminal
of 120 x 36, in turn: seconds from the process's start to its first frame, to the frame that shows the jobs' rows, and its
resident memory then. Ratios are of the medians, both against the bare app's first frame.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from typing import Any

import psutil
from common import MIB, Studio, heading, milliseconds, stop, studio, table, target
from terminal import Terminal

from core.settings import Settings

JOBS = 40
NAME = "benched-adapter"

_BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("here")
Bare().run()
"""


def add_jobs(settings: Settings) -> None:
    """Rows of finished jobs, put into the store as they would lie there."""
    from core.store.session import Store
    from core.store.tables import FineTuningJob, Job

    store = Store(settings)
    with store.write() as unit:
        for number in range(JOBS):
            times = {"created_at": time.time() - number, "queued_at": time.time() - number, "finished_at": time.time()}
            name = f"{NAME}-{number}"
            unit.session.add(FineTuningJob(id=str(number), adapter_name=name, framework_type="legacy"))
            unit.session.add(
                Job(id=str(number), kind="fine_tuning", name=name, engine="legacy", status="succeeded", spec={},
                    cpus=1, gpus=0, memory=1, **times)
            )  # fmt: skip
    store.close()


def measure(running: Studio, rounds: int) -> dict[str, list[float]]:
    """Seconds and MiB of each round; the first round fills the disk's cache and does not count."""
    took: dict[str, list[float]] = {name: [] for name in ("bare", "first frame", "rows", "bare MiB", "MiB")}
    for number in range(rounds + 1):
        (bare,), bare_resident = Terminal(["-c", _BARE], running.environment).run("here")
        (first, rows), resident = Terminal(["-m", "tui"], running.environment).run("Jobs", f"{NAME}-{JOBS // 4}")
        if number:
            for name, value in zip(took, (bare, first, rows, bare_resident, resident), strict=True):
                took[name].append(value)
    return took


def actors(running: Studio, starts: int) -> tuple[float, float, float]:
    """Median start in seconds, then MiB resident at rest and after 200 requests; the last one keeps running."""
    from core.client import StudioClient
    from core.messages.configs import AddConfig

    seconds = []
    for number in range(starts):
        process, took = running.actors("commands", "runners")
        seconds.append(took)
        if number < starts - 1:
            stop(process)
    rest = psutil.Process(process.pid).memory_info().rss / MIB
    with StudioClient(running.settings) as client:
        for number in range(200):
            milliseconds(lambda: client.call(AddConfig(type="custom", config=json.dumps({"n": number}))))  # noqa: B023
    return statistics.median(seconds[1:]), rest, psutil.Process(process.pid).memory_info().rss / MIB


def report(took: dict[str, list[float]]) -> None:
    """Print the medians, the spread, and what was promised."""
    middle = {name: statistics.median(each) for name, each in took.items()}
    rows: list[list[Any]] = [[name, middle[name], min(each), max(each)] for name, each in took.items()]
    table(["s or MiB", "median", "least", "most"], rows)
    target("first frame / bare", middle["first frame"] / middle["bare"], at_most=1.5)
    target("rows shown / bare", middle["rows"] / middle["bare"], at_most=2.5)
    target("resident MiB", middle["MiB"], at_most=80)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    with studio() as running:
        heading("the actors of commands and runners")
        seconds, rest, used = actors(running, 4)
        running.actors("slow")
        target("start, seconds", seconds, at_most=1.5)
        target("resident MiB at rest", rest, at_most=150)
        target("resident MiB after 200 requests", used, at_most=150)
        add_jobs(running.settings)
        heading(f"dashboard, {given.rounds} rounds")
        report(measure(running, given.rounds))


if __name__ == "__main__":
    main()
