"""A small cluster under more work than it can do, by the studio's own choices: nobody is passed by for ever.

benchmarks/scheduling.py plays the same with 10,000 runners and 1,000,000 jobs; docs/scale.md holds what it showed.
"""

from __future__ import annotations

from functools import cache

import pytest

from tests.simulation import Figures, Policy, Simulation
from tests.users import PRIORITIES, cluster, jobs, one_giant

RUNNERS, JOBS = 40, 4000


@cache
def played(load: float, keeping: bool = True, giant: bool = False) -> Figures:
    machines = (one_giant if giant else cluster)(RUNNERS)
    return Simulation(machines, jobs(RUNNERS, JOBS, load), Policy(keeping=keeping, tick=30)).run()


def waits(figures: Figures, kind: str, priority: int = 0) -> list[float]:
    return sorted(figures.waits[kind, priority])


def late(figures: Figures, kind: str, priority: int = 0) -> float:
    """Nineteen of twenty jobs waited less (seconds)."""
    found = waits(figures, kind, priority)
    return found[int(0.95 * len(found))]


@pytest.mark.parametrize("load", [0.7, 1.1])
def test_every_job_ends_and_no_runner_is_given_more_than_it_has(load: float) -> None:
    figures = played(load)
    assert sum(map(len, figures.waits.values())) == figures.ended == JOBS
    assert figures.over == 0


def test_hardly_anybody_waits_where_there_is_room() -> None:
    assert late(played(0.7), "1 GPU") == late(played(0.7), "4 GPUs") == 0
    assert late(played(0.7), "8 GPUs") < 2 * Policy.patience


def test_large_jobs_wait_no_longer_than_small_ones_and_the_time_that_a_runner_takes_to_come_free() -> None:
    kept, passed_by = played(1.1), played(1.1, keeping=False)
    drain = sorted(kept.after_kept)[int(0.95 * len(kept.after_kept))]
    assert late(kept, "8 GPUs") <= late(kept, "1 GPU") + drain
    assert late(passed_by, "8 GPUs") > late(passed_by, "1 GPU") + drain  # they starve where no room is kept
    assert max(waits(kept, "8 GPUs")) < max(waits(passed_by, "8 GPUs")) / 1.5
    assert max(waits(kept, "gang of 16")) < late(kept, "1 GPU") + 2 * drain


def test_the_oldest_of_a_kind_goes_first_and_a_higher_priority_before_it() -> None:
    figures = played(1.1)
    assert figures.passed == 0
    found = {priority: list[float]() for priority, _ in PRIORITIES}
    for (_, priority), each in figures.waits.items():
        found[priority] += each
    mean = {priority: sum(each) / len(each) for priority, each in found.items()}
    assert mean[10] < mean[1] < mean[0] / 20


def test_what_keeping_room_costs_is_little() -> None:
    kept, passed_by, ideal = played(1.1), played(1.1, keeping=False), played(1.1, giant=True)

    def used(figures: Figures) -> float:
        busy = figures.used[len(figures.used) // 4 :]
        return sum(busy) / len(busy)

    assert used(kept) >= 0.97 * used(passed_by)
    assert used(kept) >= 0.93 * used(ideal)
