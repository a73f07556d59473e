"""What mends a job that failed: to run it again, or one like it with what its failure asks for changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.types import FailureClass
from tui.view import words

F = FailureClass
LESS = (F.out_of_memory, F.killed)  # what asking for less helps against
BATCH, ACCUMULATION = "per_device_train_batch_size", "gradient_accumulation_steps"
SHORTEST = 64  # tokens below which rows are not cut further


@dataclass(frozen=True)
class Mend:
    """A way on: what it does, and what of the request it changes."""

    text: str
    fields: dict[str, Any] = field(default_factory=dict)


def checkpoint(happened: Sequence[Mapping[str, Any]]) -> int | None:
    """The step of the last checkpoint that the job's events tell of; None without one, or when it was freed since."""
    found: int | None = None
    for event in happened:
        data = event.get("data") or {}
        if event.get("type") == "CheckpointSaved" and isinstance(data.get("step"), int):
            found = data["step"]
        elif event.get("type") == "JobFilesFreed":
            found = None
    return found


def again(happened: Sequence[Mapping[str, Any]]) -> str:
    """What running it again comes to."""
    step = checkpoint(happened)
    return (
        "run it again from the beginning: it has no checkpoint"
        if step is None
        else f"run it again: it goes on from the checkpoint at step {step:,}"
    )


def clones(job: Mapping[str, Any]) -> list[Mend]:
    """Jobs like this one that may do better, the first one the surest."""
    error = job.get("error") or {}
    made = list(_less(job)) if error.get("kind") in set(LESS) else []
    if "diverged" in str(error.get("message")):
        made += _slower(job)
    return made


def _less(job: Mapping[str, Any]) -> Iterator[Mend]:
    """The same training in less memory: its effective batch stays."""
    arguments = _arguments(job)
    batch, steps = arguments.get(BATCH), arguments.get(ACCUMULATION) or 1
    if isinstance(batch, int) and isinstance(steps, int) and batch > 1:
        half = batch // 2
        changed = {BATCH: half, ACCUMULATION: -(-batch * steps // half)}
        yield Mend(
            f"half the batch: {half} rows at once, {changed[ACCUMULATION]} times a step", _with(arguments, changed)
        )
    if not arguments.get("gradient_checkpointing"):
        yield Mend(
            "gradient checkpointing: less memory, about a third slower",
            _with(arguments, {"gradient_checkpointing": True}),
        )
    length = job.get("max_length")
    if isinstance(length, int) and length >= 2 * SHORTEST:
        yield Mend(f"rows cut at {length // 2} tokens instead of {length}", {"max_length": length // 2})
    memory = job.get("num_memory")
    if isinstance(memory, int) and not job.get("num_gpu"):
        yield Mend(f"ask for {2 * memory} GiB of memory instead of {memory}", {"num_memory": 2 * memory})


def _slower(job: Mapping[str, Any]) -> list[Mend]:
    rate = job.get("learning_rate") or _arguments(job).get("learning_rate")
    if not isinstance(rate, int | float) or rate <= 0:
        return []
    return [
        Mend(f"a third of the learning rate: {words.number(rate / 3)}", {"learning_rate": float(f"{rate / 3:.2g}")})
    ]


def _arguments(job: Mapping[str, Any]) -> dict[str, Any]:
    try:
        known = json.loads(job.get("training_arguments_config") or "{}")
    except ValueError:
        return {}
    return known if isinstance(known, dict) else {}


def _with(arguments: Mapping[str, Any], changed: Mapping[str, Any]) -> dict[str, Any]:
    return {"training_arguments_config": json.dumps({**arguments, **changed})}
