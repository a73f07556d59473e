"""What a training computes, told before it begins: its micro-batches, their tokens with padding, and its steps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpu_runner.sampling import EpochSampler

UNKNOWN = 8  # transformers' own per_device_train_batch_size


@dataclass(frozen=True)
class Workload:
    """An epoch's sequences (rows, or several packed into one), tokens as they are computed, and all steps of the job.

    `largest` are the tokens of the largest micro-batch, `scored` the most that are learned in one; `padded` tells whether
    any has rows of unequal lengths.
    """

    sequences: int
    computed: int
    largest: int
    scored: int
    padded: bool
    steps: int

    @property
    def a_step(self) -> float:
        """Tokens computed in a step, on average over the epochs that the steps take."""
        return self.computed / max(1, self.steps)


def workload(
    lengths: Sequence[int],
    arguments: Mapping[str, Any],
    *,
    packing: bool,
    learned: Sequence[int] | None = None,
    grouped: bool = False,
    workers: int = 1,
) -> Workload:
    """The work of all workers on sequences of these lengths in tokens, of which so many are learned (None: all).

    Of packed sequences padding is no part.
    """
    accumulation = int(arguments.get("gradient_accumulation_steps", 1))
    batches = list(_batches(lengths, arguments, accumulation, grouped))
    sizes = [[lengths[place] for place in places] for places in batches]
    computed = [sum(each) if packing else max(each) * len(each) for each in sizes]
    counted = lengths if learned is None else learned
    steps = total_steps(math.ceil(len(batches) / workers), accumulation, arguments)
    epochs = steps * accumulation * workers / max(1, len(batches))
    return Workload(
        sequences=len(lengths),
        computed=round(sum(computed) * epochs),
        largest=max(computed, default=0),
        scored=max((sum(counted[place] for place in places) for places in batches), default=0),
        padded=any(max(each) * len(each) != sum(each) for each in sizes),
        steps=steps,
    )


def _batches(
    lengths: Sequence[int], arguments: Mapping[str, Any], accumulation: int, grouped: bool
) -> Iterator[list[int]]:
    """The places of the sequences in each micro-batch of the first epoch, in the order that training takes them."""
    batch = int(arguments.get("per_device_train_batch_size", UNKNOWN))
    group = batch * accumulation if grouped else None
    order = list(EpochSampler(lengths, int(arguments.get("seed", 42)), group)) if lengths else []
    yield from (order[start : start + batch] for start in range(0, len(order), batch))


def total_steps(batches: int, accumulation: int, arguments: Mapping[str, Any]) -> int:
    """Optimiser steps of a worker that has so many micro-batches an epoch."""
    if (most := int(arguments.get("max_steps", -1))) > 0:
        return most
    a_epoch = max(1, math.ceil(batches / accumulation))
    return math.ceil(a_epoch * float(arguments.get("num_train_epochs", 3.0)))
