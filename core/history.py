"""What finished jobs teach about the next one on the same runner: how far the reckoned memory was off, and how fast it computes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# How much more or less it may be, by how alike the jobs are that tell it: the same model and settings, the same model, the
# same device and number of bits, the same device; last without any. Of memory the last is what benchmarks/estimate.py finds.
MEMORY_ERRORS = (0.05, 0.08, 0.15, 0.15, 0.15)
TIME_ERRORS = (0.25, 0.35, 0.5, 0.8, 2.0)
UNTRIED = 0.4  # of the pace of large products, what a training of small ones was seen to reach, where none has run yet
RATIOS = (0.5, 2.0)  # beyond these what was measured is no correction, but another job than was reckoned with


@dataclass(frozen=True)
class Kind:
    """What makes trainings alike."""

    model: str
    device: str
    precision: str = "fp32"
    method: str = "lora"
    bits: int | None = None
    checkpointing: bool = False
    packing: bool = False

    def likeness(self, other: Kind) -> int | None:
        """0 for the same, up to 3; None when one tells nothing about the other."""
        if self == other:
            return 0
        if self.device != other.device:
            return None
        if self.model == other.model and self.method == other.method:
            return 1
        return 2 if self.bits == other.bits else 3


@dataclass(frozen=True)
class Past:
    """A finished job: bytes at its peak and as reckoned, operations and seconds a step, and seconds around its steps."""

    kind: Kind
    peak: float | None = None
    reckoned: float | None = None
    operations: float | None = None
    seconds: float | None = None
    overhead: float | None = None


@dataclass(frozen=True)
class Band:
    """A value with what it may be at least and at most, and how many jobs tell it."""

    low: float
    mid: float
    high: float
    jobs: int = 0

    @classmethod
    def around(cls, mid: float, error: float, jobs: int = 0) -> Band:
        """`error` more at most, and as much less in proportion."""
        return cls(mid / (1 + error), mid, mid * (1 + error), jobs)


def past_of(summary: Mapping[str, Any], spec: Mapping[str, Any]) -> Past:
    """What a job's summary and specification tell."""
    bnb = spec.get("model_bnb") or spec.get("adapter_bnb") or {}
    arguments = spec.get("training_arguments") or {}
    kind = Kind(
        model=str((spec.get("model") or {}).get("id")),
        device=str(summary.get("device", "cpu")),
        precision=str(summary.get("precision", "fp32")),
        method=str(spec.get("method", "lora")),
        bits=4 if bnb.get("load_in_4bit") else 8 if bnb.get("load_in_8bit") else None,
        checkpointing=bool(arguments.get("gradient_checkpointing")),
        packing=bool(spec.get("packing")),
    )
    names = (
        "peak_memory_bytes",
        "estimated_memory_bytes",
        "operations_per_step",
        "seconds_per_step",
        "overhead_seconds",
    )
    return Past(kind, *(_positive(summary.get(name)) for name in names))


def _positive(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and value > 0 else None


def memory(reckoned: float, kind: Kind, past: Iterable[Past]) -> Band:
    """Bytes that a job of that kind will take, which reckoning alone says of it."""
    ratios = [(each.kind, each.peak / each.reckoned) for each in past if each.peak and each.reckoned]
    told, likeness = _closest(kind, [(of, ratio) for of, ratio in ratios if RATIOS[0] < ratio < RATIOS[1]])
    if likeness > 1:  # of other models it tells no more than that reckoning is as good as measured elsewhere
        return Band.around(reckoned, MEMORY_ERRORS[likeness])
    middle = statistics.median(told)
    return Band.around(reckoned * middle, max(MEMORY_ERRORS[likeness], _spread(told, middle)), len(told))


def step_seconds(operations: float, kind: Kind, past: Iterable[Past], rate: float | None) -> Band | None:
    """Seconds a step of so many operations takes; `rate` is what the processor did when asked, operations a second."""
    rates = [(each.kind, each.operations / each.seconds) for each in past if each.operations and each.seconds]
    told, likeness = _closest(kind, rates)
    if not told:
        return None if rate is None else Band.around(operations / (UNTRIED * rate), TIME_ERRORS[likeness])
    middle = statistics.median(told)
    error = TIME_ERRORS[likeness] * (1 + 1 / len(told))  # one job tells little: what else ran then is not known
    return Band.around(operations / middle, max(error, _spread(told, middle)), len(told))


def overhead(kind: Kind, past: Iterable[Past]) -> float | None:
    """Seconds that jobs took around their steps: starting, reading, evaluating, saving."""
    told, _ = _closest(kind, [(each.kind, each.overhead) for each in past if each.overhead])
    return statistics.median(told) if told else None


def _closest(kind: Kind, told: Sequence[tuple[Kind, float]]) -> tuple[list[float], int]:
    """What the jobs say that are most alike, and how alike they are; 4 with none."""
    for level in range(4):
        if found := [value for of, value in told if kind.likeness(of) == level]:
            return found, level
    return [], 4


def _spread(values: Sequence[float], middle: float) -> float:
    return max((max(each / middle, middle / each) - 1 for each in values), default=0.0)
