"""A cluster of runners, and what its users ask of it: the mix that tests and benchmarks/scheduling.py simulate."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from actors.scheduling import Room, Shape
from tests.simulation import Coming, Machine

A_GPU = Room(4, 1, 16)  # with the cores and the memory that a job asks for beside one
SPREAD = 1.0  # of the logarithm of how long a job runs: one of forty runs seven times as long as in the middle, or more
PRIORITIES = ((0, 0.8), (1, 0.15), (10, 0.05))


@dataclass(frozen=True)
class Kind:
    """A kind of job: its shape, its share of all, how long it runs in the middle (seconds)."""

    name: str
    shape: Shape
    share: float
    seconds: float


KINDS = (
    Kind("1 GPU", Shape("legacy", A_GPU), 0.48, 900),
    Kind("2 GPUs", Shape("legacy", A_GPU.times(2)), 0.19, 1200),
    Kind("4 GPUs", Shape("legacy", A_GPU.times(4)), 0.11, 1500),
    Kind("8 GPUs", Shape("legacy", A_GPU.times(8)), 0.078, 1800),
    Kind("gang of 16", Shape("legacy", A_GPU, 16), 0.002, 1800),
    Kind("labelled", Shape("legacy", A_GPU, 1, "7"), 0.02, 900),
    Kind("CPU", Shape("legacy", Room(4, 0, 8)), 0.12, 600),
)


def cluster(number: int) -> list[Machine]:
    """Of ten runners six have eight GPUs (one of them a label of its own), two have four, two none."""
    sizes = [Room(64, 8, 512)] * 6 + [Room(32, 4, 256)] * 2 + [Room(32, 0, 128)] * 2
    return [
        Machine(f"{place:05}", sizes[place % 10], "7" if place % 10 == 0 else None, sizes[place % 10])
        for place in range(number)
    ]


def one_giant(number: int) -> list[Machine]:
    """The same cluster as one runner, which no job could be too large for: no schedule of many can do better."""
    all_of_it = Room(0, 0, 0)
    for each in cluster(number):
        all_of_it = all_of_it.plus(each.capacity)
    return [Machine("giant", all_of_it, "7", all_of_it)]


def jobs(runners: int, number: int, load: float, seed: int = 0) -> Iterator[Coming]:
    """So many jobs, which ask for `load` times what the GPUs of the cluster can do.

    They come at random (Poisson); how long they run is spread lognormally.
    """
    dice = random.Random(seed)
    gpus = sum(each.capacity.gpus for each in cluster(runners))
    mean = sum(kind.share * kind.shape.room.gpus * kind.seconds for kind in KINDS) * math.exp(SPREAD**2 / 2)
    now, shares = 0.0, [kind.share for kind in KINDS]
    priorities, weights = [priority for priority, _ in PRIORITIES], [share for _, share in PRIORITIES]
    for _ in range(number):
        now += dice.expovariate(load * gpus / mean)
        (kind,), (priority,) = dice.choices(KINDS, shares), dice.choices(priorities, weights)
        yield Coming(now, kind.name, kind.shape, priority, kind.seconds * dice.lognormvariate(0, SPREAD))
