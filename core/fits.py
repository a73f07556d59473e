"""Where a training fits: its reckoned memory against what registered runners have, and the nearest settings that would fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from core import labels
from core.memory import estimate
from core.shapes import Shape
from core.tuning import Tuning

GIB = 1 << 30
OTHERS = 1.0  # GiB of a host that its system, the runner and what its jobs share take
USABLE = 0.97  # of a GPU's memory, as its driver tells it
SHORTEST = 128  # tokens: rows are not cut further to make room
SHOWN = 3


@dataclass(frozen=True)
class Place:
    """Where a job could run: a runner's host, or one of its GPUs. `bytes` is what a worker could have there at most, `whole`
    what there is, as the list of runners tells it."""

    runner_id: str
    host: str
    device: str  # cpu or cuda
    name: str
    bytes: float
    whole: float

    def __str__(self) -> str:
        return has(self.whole, self.bytes)


def has(whole: float, share: float) -> str:
    """What a place has, and how much of it a worker of the job could take."""
    return f"{gib(whole)} ({gib(share)} usable)" if gib(share) != gib(whole) else gib(whole)


def places(runners: Iterable[Mapping[str, Any]], gpus: int, label: int, workers: int = 1) -> Iterator[Place]:
    """The places that could take a job of so many GPUs a worker. A job's GPUs are as good as the largest that a runner has."""
    for row in runners:
        if not row.get("trusted", True) or "legacy" not in (row.get("engines") or ()):
            continue
        if not labels.serves(labels.told(row.get("labels")), str(label) if label >= 0 else None):
            continue
        if not gpus:
            memory = float(row["memory"])
            shared = max(0.0, memory - OTHERS) * GIB / max(1, workers)
            yield Place(row["id"], row["host"], "cpu", "memory", shared, memory * GIB)
        elif len(row.get("gpus") or ()) >= gpus > 0:
            largest = max(row["gpus"], key=lambda gpu: gpu.get("memory") or 0)
            size = float(largest.get("memory") or 0) * GIB
            if size:
                yield Place(row["id"], row["host"], "cuda", str(largest.get("name") or "GPU"), size * USABLE, size)


@dataclass(frozen=True)
class Change:
    """Settings that make a job smaller, by their names in its configs or fields, and the bytes that it takes then."""

    settings: Mapping[str, Any]
    bytes: float

    def __str__(self) -> str:
        told = ", ".join(f"{name} {_told(value)}" for name, value in self.settings.items())
        return f"{told} (about {gib(self.bytes)})"


def _told(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def gib(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / (1 << 20):.0f} MiB"


def nearest(shape: Shape, tuning: Tuning, available: float, factor: float = 1.0) -> list[Change]:
    """The smallest changes that make the job fit into so many bytes, the least harmful first; none of them contains another.

    First what changes nothing of the result (smaller micro-batches of the same effective batch, activations made again),
    then quantising, training an adapter only, and last cutting rows. `factor` is what is added to the reckoned bytes.
    """
    found: list[Change] = []
    for _, settings, changed in sorted(_candidates(tuning), key=lambda each: each[0]):
        needed = factor * estimate(shape, changed).total
        if needed <= available and not any(_within(known.settings, settings) for known in found):
            found.append(Change(settings, needed))
    return found[:SHOWN]


def _within(less: Mapping[str, Any], more: Mapping[str, Any]) -> bool:
    return set(less) <= set(more)


def _candidates(tuning: Tuning) -> Iterator[tuple[tuple[int, ...], dict[str, Any], Tuning]]:
    """(harm, settings, what they make) of every mixture of changes.

    Which kinds of change there are goes before how far each goes, which a few tokens more or less a row decide: so a start
    and a plan, which know the rows differently, propose in one order.
    """
    ways = (_smaller_batches(tuning), _checkpointing(tuning), _quantised(tuning), _shorter(tuning))
    for parts in product(*ways):
        settings = {name: value for _, named, _ in parts for name, value in named.items()}
        fields = {name: value for _, _, changed in parts for name, value in changed.items()}
        if settings:
            smaller, again, (bits, _, _), shorter = parts
            kinds = (bool(shorter[0]), bits, bool(again[0]), bool(smaller[0]))
            yield (*kinds, sum(cost for cost, _, _ in parts)), settings, replace(tuning, **fields)


Way = tuple[int, dict[str, Any], dict[str, Any]]  # harm, settings by their names, fields of Tuning
NO_CHANGE: Way = (0, {}, {})


def _smaller_batches(tuning: Tuning) -> list[Way]:
    made, batch, halvings = [NO_CHANGE], tuning.batch, 0
    while batch > 1:
        batch, halvings = batch // 2, halvings + 1
        steps = round(tuning.accumulation * tuning.batch / batch)
        settings = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": steps}
        made.append((halvings, settings, {"batch": batch, "accumulation": steps}))
    return made


def _checkpointing(tuning: Tuning) -> list[Way]:
    return (
        [NO_CHANGE]
        if tuning.checkpointing
        else [NO_CHANGE, (3, {"gradient_checkpointing": True}, {"checkpointing": True})]
    )


def _quantised(tuning: Tuning) -> list[Way]:
    """Fewer bits a weight; all weights can only be trained as they are."""
    fewer = [bits for bits in (8, 4) if tuning.bits is None or bits < tuning.bits]
    ways = [(10 + (8 - bits), {f"load_in_{bits}bit": True}, {"bits": bits}) for bits in fewer]
    if not tuning.full:
        return [NO_CHANGE, *ways]
    adapter: Way = (20, {"method": "lora"}, {"method": "lora"})
    return [
        NO_CHANGE,
        adapter,
        *((20 + cost, {"method": "lora", **named}, {"method": "lora", **made}) for cost, named, made in ways),
    ]


def _shorter(tuning: Tuning) -> list[Way]:
    made, length, halvings = [NO_CHANGE], tuning.length, 0
    while length > SHORTEST:
        length, halvings = max(SHORTEST, length // 2), halvings + 1
        made.append((40 * halvings, {"max_length": length}, {"length": length}))
    return made
