"""What the page Home costs: one question, whose answer is to take as long however many jobs there are.

    python benchmarks/overview.py [--rounds 100] [--stored 100000]

Three studios: an empty one, one whose jobs are over (one in ten failed, a thousand of them within the last day), and one in
which half of them wait. Milliseconds of the handler's processor time in one process (what the actors pay), in turn; the
targets are of the medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

from common import heading, percentile, studio, table, target

from actors import handlers
from actors.app import open_desk
from actors.desk import Desk
from actors.world import RealWorld
from core.messages.overview import GetOverview

SPEC = {"train": "x" * 3_000}  # as long as most are
BETWEEN = 86.4  # seconds between two jobs' ends: a thousand a day


def fill(desk: Desk, stored: int, queued: int) -> None:
    """Store that many jobs, the last ones waiting, as they would lie there."""
    from sqlalchemy import insert

    from core.store.tables import FineTuningJob, Job

    with desk.store.write() as unit:
        for begin in range(0, stored, 5_000):
            rows = list(_rows(range(begin, min(stored, begin + 5_000)), stored, queued))
            unit.session.execute(insert(Job), rows)
            names = [{"id": row["id"], "adapter_name": row["name"], "framework_type": "legacy"} for row in rows]
            unit.session.execute(insert(FineTuningJob), names)


def _rows(numbers: range, stored: int, queued: int) -> Iterator[dict[str, Any]]:
    now = time.time()
    for number in numbers:
        waits = number >= stored - queued
        status = "queued" if waits else "succeeded" if number % 10 else "failed"
        error = {"kind": "bug", "message": "it broke", "traceback": "x" * 4_000} if status == "failed" else None
        at = now - (stored - number) * BETWEEN
        yield {"id": f"{number:09}", "kind": "fine_tuning", "name": f"job-{number}", "engine": "legacy", "status": status,
               "spec": SPEC, "cpus": 1, "gpus": 0, "memory": 1, "created_at": at, "queued_at": at, "error": error,
               "failure_class": error and "bug", "finished_at": None if waits else at}  # fmt: skip


def ask(desk: Desk) -> float:
    """Milliseconds of processor time of one answer."""
    begun = time.process_time()
    with desk.store.read() as session:
        handlers.HANDLERS["GetOverview"](GetOverview(), session, RealWorld(desk, session)).model_dump_json()
    return (time.process_time() - begun) * 1_000


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--stored", type=int, default=100_000)
    given = parser.parse_args()
    with ExitStack() as stack:
        desks = {}
        for name, stored, queued in (
            ("empty", 0, 0),
            ("over", given.stored, 0),
            ("half wait", given.stored, given.stored // 2),
        ):
            desks[name] = open_desk(stack.enter_context(studio()).settings)
            stack.callback(desks[name].store.close)
            fill(desks[name], stored, queued)
        took: dict[str, list[float]] = {name: [] for name in desks}
        for number in range(given.rounds + 5):
            for name, desk in desks.items():
                milliseconds = ask(desk)
                if number >= 5:  # the first ones compile the statements
                    took[name].append(milliseconds)
    heading(f"the studio at a glance, {given.stored:,} jobs, {given.rounds} rounds")
    table(
        ["ms of processor time", "median", "p95", "most"],
        [[name, statistics.median(each), percentile(each, 0.95), max(each)] for name, each in took.items()],
    )
    for name, each in took.items():
        target(f"{name}, median ms", statistics.median(each), at_most=10)


if __name__ == "__main__":
    main()
