"""The rules of StartFineTuningJob about memory: a job that no registered runner can hold is refused, with the arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from core.fits import GIB, Place, gib, nearest, places
from core.history import MEMORY_ERRORS
from core.memory import Parts, estimate, largest
from core.messages.choosing import a_worker, chosen, training_arguments
from core.messages.configs import ConfigTextError
from core.messages.fine_tuning import FineTuningRequest, StartFineTuningJob
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.shapes import Shape
from core.tuning import Tuning, tuning_of
from core.types import FineTuningFrameworkType, Severity

ERROR = MEMORY_ERRORS[-1]  # what reckoning may be off; a job is refused only when even less would be too much
A_TOKEN = (
    8  # bytes of a dataset's file for a token: twice what English takes, so that rows are rather taken for shorter
)
ENDLESS = 1 << 31  # no batch or rank is as large; what is reckoned from larger numbers may be beyond any float
SHORT = 64  # tokens of a row as long as nothing tells of its length


def tuning_for(message: FineTuningRequest, world: World) -> Tuning | None:
    """The settings that the job would train with, on rows that are rather too short; None when there are none to reckon with."""
    try:
        configs = {stem: each.content(world) or {} for stem, each in chosen(message, world).items()}
        arguments = training_arguments(configs["training_arguments_config"], message)
        made = tuning_of(
            arguments,
            configs["lora_config"],
            configs["model_bnb_config"] or configs["adapter_bnb_config"] or None,
            method=message.method,
            length=_length(message, world, int(arguments.get("per_device_train_batch_size", 8))),
            packing=message.packing,
            device="cuda" if a_worker(message)[1] else "cpu",
        )
    except (ConfigTextError, TypeError, ValueError, ArithmeticError):
        return None  # told by the rules about configs, and about the fields that a length is reckoned from
    sizes = (made.batch, made.accumulation, made.rank)
    return made if all(0 < each < ENDLESS for each in sizes) else None


def _length(message: FineTuningRequest, world: World, batch: int) -> int:
    """Tokens that a sequence has at least, as far as the dataset's size tells: nobody has counted them yet (a plan does).

    Rows that are packed fill sequences to max_length, if there are enough of them.
    """
    row = world.get("datasets", message.dataset_id) if message.dataset_id else None
    bytes, rows = (row.get("bytes") or 0, row.get("rows") or 0) if row is not None else (0, 0)
    whole = bytes / A_TOKEN * message.dataset_fraction
    typical = whole / batch if message.packing and whole else bytes / rows / A_TOKEN if rows else SHORT
    return max(1, min(message.max_length, round(typical) or SHORT))


def places_for(message: FineTuningRequest, runners: list[Mapping[str, Any]]) -> list[Place]:
    """The registered runners' hosts or GPUs that could take the job."""
    return list(places(runners, a_worker(message)[1], message.gpu_label_id, message.num_workers))


def shape_in(world: World, model_id: str) -> Shape | None:
    """The model's sizes as they were recorded."""
    row = world.get("models", model_id) if model_id else None
    told = row.get("shape") if row is not None else None
    return Shape.model_validate(told) if told else None


def told(parts: Parts) -> str:
    """The arithmetic in a line, without what hardly counts."""
    return " + ".join(f"{gib(size)} {name}" for name, size in largest(parts) if size > parts.total / 200)


def _own(message: StartFineTuningJob) -> bool:
    """Whether the studio's own training is asked for: what other engines take is theirs to know."""
    return message.framework_type == FineTuningFrameworkType.legacy and not message.user_script


def _reckoned(message: StartFineTuningJob, world: World) -> tuple[Shape, Tuning, list[Place]] | None:
    """What there is to reckon with; None for other engines, and as long as the model's sizes or the runners are unknown."""
    if not _own(message):
        return None
    shape, tuning = shape_in(world, message.base_model_id), tuning_for(message, world)
    if shape is None or tuning is None:
        return None
    return shape, tuning, places_for(message, [dict(row) for row in world.find("runners")])


_SEVEN = {
    "parameters": 7_000_000_000, "hidden": 4096, "layers": 32, "heads": 32, "kv_heads": 32, "head_dim": 128,
    "intermediate": 11008, "vocab": 32000, "family": "LlamaForCausalLM", "stored": 2.0,
    "linears": [{"name": "q_proj", "inputs": 4096, "outputs": 4096, "count": 400}],
}  # fmt: skip


def _world(**runner: Any) -> NoWorld:
    known = {"id": "r", "host": "a", "cpus": 8, "memory": 64.0, "gpus": [], "engines": ["legacy"], "trusted": True}
    return NoWorld({"models": [{"id": "m", "shape": _SEVEN}], "runners": [{**known, **runner}]})


_SMALL, _LARGE = ([{"index": 0, "name": name, "memory": size}] for name, size in (("small", 12.0), ("A100", 80.0)))


@rule(
    StartFineTuningJob,
    "FT-131",
    "num_gpu",
    need=Need.store,
    passes=[{}, Example({}, _world(gpus=_LARGE)), Example({"num_gpu": 0, "num_memory": 40}, _world())],
    fails=[
        Example({"training_arguments_config": '{"per_device_train_batch_size": 8}'}, _world(gpus=_SMALL)),
        Example({"num_gpu": 0}, _world(memory=16.0)),
        Example({"method": "full"}, _world(gpus=_LARGE)),
    ],
)
def _fits(message: StartFineTuningJob, world: World) -> Iterator[Breach]:
    """a job whose memory no registered runner has is refused, with the arithmetic and the nearest settings that fit"""
    found = _reckoned(message, world)
    if found is None or not found[2]:
        return
    shape, tuning, able = found
    parts, most = estimate(shape, tuning), max(able, key=lambda place: place.bytes)
    if parts.total / (1 + ERROR) <= most.bytes:
        return
    where = f"the {most.name} of {most.host}" if tuning.device == "cuda" else most.host
    text = f"at least {gib(parts.total)} are needed ({told(parts)}), but {where} has {most}"
    changes = nearest(shape, tuning, most.bytes, 1 + ERROR)
    text += f"; what would fit: {'; or '.join(map(str, changes))}" if changes else "; no smaller settings would fit"
    yield Breach(rule="FT-131", field="num_gpu" if tuning.device == "cuda" else "num_memory", message=text)


@rule(
    StartFineTuningJob,
    "FT-132",
    "num_memory",
    severity=Severity.INFO,
    need=Need.store,
    passes=[{}, Example({"num_gpu": 0, "num_memory": 60}, _world())],
    fails=[Example({"num_gpu": 0, "num_memory": 16}, _world())],
)
def _asks_enough(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """a job on the CPU that will take more memory than it asks for is told so: others may be given what it needs"""
    found = _reckoned(message, world)
    if found is None or found[1].device != "cpu":
        return
    needed, asked = estimate(*found[:2]).total, a_worker(message)[2] * GIB
    if needed > asked:
        yield f"at least {gib(needed)} are needed, but num_memory asks for {gib(asked)}"


@rule(
    StartFineTuningJob,
    "FT-133",
    "base_model_id",
    severity=Severity.INFO,
    need=Need.store,
    passes=[{}, Example({}, _world()), Example({}, NoWorld({"models": [{"id": "m", "shape": None}]}))],
    fails=[Example({}, NoWorld({**_world(gpus=_LARGE).tables, "models": [{"id": "m", "shape": None}]}))],
)
def _unknown(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """whether a job fits the registered runners can't be told while the model's sizes are unknown; planning it finds them out"""
    if (
        not _own(message)
        or world.get("models", message.base_model_id) is None
        or shape_in(world, message.base_model_id)
    ):
        return
    if places_for(message, [dict(row) for row in world.find("runners")]):
        yield "whether it fits is not known: the model's files have not told its sizes yet (fts job plan finds them out)"
