"""The rules of comparisons: CP-101 to CP-108 of a session, CP-111 to CP-114 of a question."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from core.messages import asking
from core.messages.common import exists, filled, fitting, of_model, one_of_or_none
from core.messages.comparing import BASE, AskComparison, ListComparisons, StartComparison
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import ConfigType, JobStatus

LONGEST_IDLE = 7 * 86_400.0
CONFIGS = (
    ("generation_config", ConfigType.generation_config),
    ("model_bnb_config", ConfigType.bitsandbytes_config),
)
_PAIR = NoWorld({"models": [{"id": "m", "name": "x"}], "adapters": [{"id": "a", "name": "y", "model_id": "m"}]})
_FIT = {"datasets": [{"id": "d", "features": '["text"]'}], "prompts": [{"id": "p", "input_template": "{text}"}]}
_UNFIT = {**_FIT, "prompts": [{"id": "p", "input_template": "{other}"}]}


@rule(StartComparison, "CP-101", "base_model_id", passes=[{}], fails=[{"base_model_id": " "}])
def _model(message: StartComparison, world: World) -> Iterator[str]:
    """base_model_id is required"""
    yield from filled(message.base_model_id, "base_model_id")


@rule(StartComparison, "CP-101", "base_model_id", need=Need.store, passes=[Example({}, _PAIR)], fails=[{}])
def _model_exists(message: StartComparison, world: World) -> Iterator[str]:
    """base_model_id must exist"""
    yield from exists(world, "models", message.base_model_id, "model")


@rule(
    StartComparison,
    "CP-102",
    "adapter_ids",
    need=Need.store,
    passes=[Example({}, _PAIR)],
    fails=[{}, Example({}, NoWorld({"adapters": [{"id": "a", "name": "y", "model_id": "other"}]}))],
)
def _adapters_exist(message: StartComparison, world: World) -> Iterator[Breach]:
    """each adapter must exist, and belong to the base model"""
    for place, id in enumerate(message.adapter_ids):
        row = world.get("adapters", id) if id else None
        found = [*filled(id, "an adapter's id"), *exists(world, "adapters", id, "adapter")]
        found += of_model(world, row, message.base_model_id)
        yield from (Breach(rule="CP-102", field=f"adapter_ids.{place}", message=text) for text in found)


@rule(StartComparison, "CP-103", "adapter_ids", passes=[{}], fails=[{"adapter_ids": ["a", "b", "a"]}])
def _once(message: StartComparison, world: World) -> Iterator[str]:
    """an adapter is there once"""
    twice = {id for id in message.adapter_ids if message.adapter_ids.count(id) > 1}
    yield from (f"{id!r} is there {message.adapter_ids.count(id)} times" for id in sorted(twice))


@rule(
    StartComparison,
    "CP-104",
    "dataset_id",
    need=Need.store,
    passes=[{}, Example({"dataset_id": "d", "prompt_id": "p"}, NoWorld(_FIT))],
    fails=[{"dataset_id": "d"}, {"prompt_id": "p"}],
)
def _rows_exist(message: StartComparison, world: World) -> Iterator[Breach]:
    """dataset_id and prompt_id must exist, when they are given"""
    for name, table, what in (("dataset_id", "datasets", "dataset"), ("prompt_id", "prompts", "prompt")):
        found = exists(world, table, getattr(message, name), what)
        yield from (Breach(rule="CP-104", field=name, message=text) for text in found)


@rule(
    StartComparison,
    "CP-105",
    "prompt_id",
    need=Need.store,
    passes=[Example({"dataset_id": "d", "prompt_id": "p"}, NoWorld(_FIT))],
    fails=[Example({"dataset_id": "d", "prompt_id": "p"}, NoWorld(_UNFIT))],
)
def _prompt_fits(message: StartComparison, world: World) -> Iterator[str]:
    """the prompt may name only columns of the dataset"""
    yield from fitting(world, message.prompt_id, message.dataset_id)


@rule(StartComparison, "CP-106", "num_cpu", passes=[{}], fails=[{"num_cpu": 0}, {"num_gpu": -1}, {"num_memory": 0}])
def _resources(message: StartComparison, world: World) -> Iterator[Breach]:
    """num_cpu and num_memory must be greater than 0, num_gpu at least 0"""
    yield from asking.resources(message, "CP-106")


@rule(
    StartComparison,
    "CP-107",
    "generation_config",
    need=Need.store,
    passes=[{"generation_config": '{"max_new_tokens": 8}'}],
    fails=[{"generation_config": '{"max_tokens": 8}'}, {"model_bnb_config": "{"}, {"generation_config": "no-such-id"}],
)
def _configs(message: StartComparison, world: World) -> Iterator[Breach]:
    """configs are inline JSON objects of known keys, or ids of configs of the field's type"""
    for name, kind in CONFIGS:
        found = asking.config(world, kind, getattr(message, name))
        yield from (Breach(rule="CP-107", field=name, message=text) for text in found)


@rule(
    StartComparison,
    "CP-108",
    "idle_seconds",
    passes=[{"idle_seconds": 1}],
    fails=[{"idle_seconds": value} for value in (0, -1.0, float("inf"), LONGEST_IDLE + 1)],
)
def _idle(message: StartComparison, world: World) -> Iterator[str]:
    """a session ends when nobody has asked for some time, a week at most"""
    if not isfinite(message.idle_seconds) or not 0 < message.idle_seconds <= LONGEST_IDLE:
        yield f"idle_seconds must be greater than 0 and at most {LONGEST_IDLE:.0f}, not {message.idle_seconds}"


@rule(
    AskComparison,
    "CP-111",
    "prompt",
    passes=[{}, {"prompt": None, "random": True}],
    fails=[{"prompt": None}, {"random": True}, {"prompt": ""}],
)
def _either(message: AskComparison, world: World) -> Iterator[str]:
    """a question is a prompt, or a row drawn at random"""
    if message.random and message.prompt is not None:
        yield "a prompt and a random row were asked for: leave one out"
    elif not message.random and not message.prompt:
        yield "prompt is required and can't be empty, unless a random row is asked for"


_SESSION = {"comparisons": [{"id": "1", "dataset_id": "d", "prompt_id": "p"}]}
_VOICES = {**_SESSION, "comparison_adapters": [{"comparison_id": "1", "voice": "a", "name": "x"}]}


@rule(
    AskComparison,
    "CP-112",
    "voices",
    need=Need.store,
    passes=[Example({"voices": ["", "a"]}, NoWorld(_VOICES)), Example({"voices": ["b"]}, NoWorld())],
    fails=[Example({"voices": ["b"]}, NoWorld(_VOICES)), Example({"voices": []}, NoWorld(_VOICES))],
)
def _voices(message: AskComparison, world: World) -> Iterator[str]:
    """only what the session holds can answer"""
    if message.voices is None or world.get("comparisons", message.id) is None:
        return
    if not message.voices:
        yield "voices must name at least one that answers"
    adapters = world.find("comparison_adapters", comparison_id=message.id)
    names = {BASE: "the base model", **{row["voice"]: row["name"] for row in adapters}}
    there = ", ".join(f"{voice!r} ({name})" if name else repr(voice) for voice, name in names.items())
    for each in message.voices:
        if each not in names:
            yield f"adapter {each!r} is not in the session; there are: {there}"


@rule(
    AskComparison,
    "CP-113",
    "generation_config",
    passes=[{"generation_config": '{"max_new_tokens": 8}'}],
    fails=[{"generation_config": '{"max_tokens": 8}'}, {"generation_config": "{"}, {"generation_config": "an-id"}],
)
def _settings(message: AskComparison, world: World) -> Iterator[str]:
    """generation_config is an inline JSON object of known keys"""
    if message.generation_config is not None:
        yield from asking.content(ConfigType.generation_config, message.generation_config)


@rule(
    AskComparison,
    "CP-114",
    "random",
    need=Need.store,
    passes=[
        Example({"prompt": None, "random": True}, NoWorld(_SESSION)),
        Example({}, NoWorld({"comparisons": [{"id": "1", "dataset_id": None, "prompt_id": None}]})),
    ],
    fails=[
        Example(
            {"prompt": None, "random": True},
            NoWorld({"comparisons": [{"id": "1", "dataset_id": None, "prompt_id": None}]}),
        )
    ],
)
def _has_rows(message: AskComparison, world: World) -> Iterator[str]:
    """rows are drawn only where the session has a dataset"""
    row = world.get("comparisons", message.id)
    if message.random and row is not None and row["dataset_id"] is None:
        yield "the session has no dataset to draw a row of: type a prompt, or start one with dataset_id"


@rule(ListComparisons, "CP-125", "status", passes=[{}, {"status": "running"}], fails=[{"status": "done"}])
def _listed_status(message: ListComparisons, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.status, JobStatus, "status")
