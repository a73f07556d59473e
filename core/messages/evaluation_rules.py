"""The rules of StartEvaluationJob: the guide's EV-001 to EV-008, and ours from EV-101 on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from math import isfinite

from core.messages import asking
from core.messages.common import exists, filled, fitting, of_model, one_of, prompting
from core.messages.evaluation import FIGURES, Pair, StartEvaluationJob
from core.rules import Breach, Example, Need, NoWorld, Row, World, rule
from core.types import ConfigType, EvaluationJobType

BNB_AND_GENERATION: tuple[tuple[str, ConfigType], ...] = (
    ("model_bnb_config", ConfigType.bitsandbytes_config),
    ("adapter_bnb_config", ConfigType.bitsandbytes_config),
    ("generation_config", ConfigType.generation_config),
)
TASK = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # a path would be a file of rows and code of anybody's
_BOTH = NoWorld({"models": [{"id": "m", "name": "x"}], "adapters": [{"id": "a", "name": "y", "model_id": "m"}]})


@rule(
    StartEvaluationJob, "EV-001", "model_adapter_combinations", passes=[{}], fails=[{"model_adapter_combinations": []}]
)
def _combinations(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """model_adapter_combinations must not be empty"""
    if not message.model_adapter_combinations:
        yield "model_adapter_combinations must name at least one base model"


@rule(
    StartEvaluationJob,
    "EV-101",
    "model_adapter_combinations",
    passes=[{}],
    fails=[{"model_adapter_combinations": [{"base_model_id": "m"}, {"base_model_id": "m", "adapter_id": ""}]}],
)
def _no_twins(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """a combination is scored once"""
    seen: set[tuple[str, str | None]] = set()
    for number, each in enumerate(message.model_adapter_combinations, 1):
        pair = (each.base_model_id, each.adapter_id or None)
        if pair in seen:
            yield f"combination {number} repeats base model {pair[0]!r} with adapter {pair[1]!r}"
        seen.add(pair)


@rule(StartEvaluationJob, "EV-002", "dataset_id", passes=[{}], fails=[{"dataset_id": ""}])
def _dataset(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """dataset_id is required"""
    yield from filled(message.dataset_id, "dataset_id")


def _taught(chat_template: bool) -> NoWorld:
    return NoWorld(
        {
            "datasets": [{"id": "d", "is_chat": True}],
            "adapters": [{"id": "a", "fine_tuning_job_id": "j"}],
            "fine_tuning_jobs": [{"id": "j", "chat_template": chat_template}],
        }
    )


@rule(
    StartEvaluationJob,
    "EV-003",
    "prompt_id",
    need=Need.store,
    passes=[{}, Example({"prompt_id": ""}, _taught(True))],
    fails=[{"prompt_id": " "}, Example({"prompt_id": ""}, _taught(False))],
)
def _prompt(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """prompt_id is required, but for conversations that are asked with the chat template, as they were taught"""
    dataset = world.get("datasets", message.dataset_id)
    taught = [job for pair in message.model_adapter_combinations if (job := _own_job(pair, world)) is not None]
    conversations = dataset is not None and dataset.get("is_chat") and taught
    if not (conversations and all(job.get("chat_template") for job in taught)):
        yield from filled(message.prompt_id, "prompt_id")


def _own_job(pair: Pair, world: World) -> Row | None:
    """The job that trained the adapter; without an adapter, the model."""
    table, id = ("adapters", pair.adapter_id) if pair.adapter_id else ("models", pair.base_model_id)
    trained = world.get(table, id) or {}
    return world.get("fine_tuning_jobs", trained.get("fine_tuning_job_id") or "")


@rule(
    StartEvaluationJob,
    "EV-004",
    "num_cpu",
    passes=[{"num_gpu": 0}],
    fails=[{"num_cpu": 0}, {"num_gpu": -1}, {"num_memory": 0}],
)
def _resources(message: StartEvaluationJob, world: World) -> Iterator[Breach]:
    """num_cpu and num_memory must be greater than 0, num_gpu at least 0"""
    yield from asking.resources(message, "EV-004")


@rule(
    StartEvaluationJob,
    "EV-005",
    "model_adapter_combinations",
    need=Need.store,
    passes=[Example({}, _BOTH)],
    fails=[{}, {"model_adapter_combinations": [{"adapter_id": "a"}]}],
)
def _models_exist(message: StartEvaluationJob, world: World) -> Iterator[Breach]:
    """each base model must exist"""
    for index, pair in enumerate(message.model_adapter_combinations):
        found = [*filled(pair.base_model_id, "base_model_id"), *exists(world, "models", pair.base_model_id, "model")]
        at = f"model_adapter_combinations.{index}.base_model_id"
        yield from (Breach(rule="EV-005", field=at, message=text) for text in found)


@rule(
    StartEvaluationJob,
    "EV-006",
    "model_adapter_combinations",
    need=Need.store,
    passes=[Example({}, _BOTH)],
    fails=[{}, Example({}, NoWorld({"adapters": [{"id": "a", "name": "y", "model_id": "other"}]}))],
)
def _adapters_exist(message: StartEvaluationJob, world: World) -> Iterator[Breach]:
    """each adapter must exist, and belong to the combination's base model"""
    for index, pair in enumerate(message.model_adapter_combinations):
        at = f"model_adapter_combinations.{index}.adapter_id"
        row = world.get("adapters", pair.adapter_id) if pair.adapter_id else None
        found = [*exists(world, "adapters", pair.adapter_id, "adapter"), *of_model(world, row, pair.base_model_id)]
        yield from (Breach(rule="EV-006", field=at, message=text) for text in found)


@rule(
    StartEvaluationJob,
    "EV-007",
    "dataset_id",
    need=Need.store,
    passes=[Example({}, NoWorld({"datasets": [{"id": "d"}]}))],
    fails=[{}],
)
def _dataset_exists(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """dataset_id must exist"""
    yield from exists(world, "datasets", message.dataset_id, "dataset")


@rule(
    StartEvaluationJob,
    "EV-008",
    "prompt_id",
    need=Need.store,
    passes=[Example({}, NoWorld({"prompts": [{"id": "p"}]}))],
    fails=[{}],
)
def _prompt_exists(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """prompt_id must exist"""
    yield from exists(world, "prompts", message.prompt_id, "prompt")


@rule(StartEvaluationJob, "EV-102", "type", passes=[{}], fails=[{"type": "by hand"}])
def _type(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """type must be mlflow"""
    yield from one_of(message.type, EvaluationJobType, "type")


@rule(
    StartEvaluationJob,
    "EV-103",
    "eval_dataset_fraction",
    passes=[{"eval_dataset_fraction": 0.1}],
    fails=[{"eval_dataset_fraction": value} for value in (0.0, 1.5, float("nan"))],
)
def _fraction(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """eval_dataset_fraction must be in (0, 1]"""
    if not isfinite(message.eval_dataset_fraction) or not 0 < message.eval_dataset_fraction <= 1:
        yield f"eval_dataset_fraction must be greater than 0 and at most 1, not {message.eval_dataset_fraction}"


@rule(
    StartEvaluationJob,
    "EV-104",
    "generation_config",
    need=Need.store,
    passes=[{"generation_config": '{"max_new_tokens": 8}'}],
    fails=[{"generation_config": '{"max_tokens": 8}'}, {"generation_config": "{"}, {"generation_config": "no-such-id"}],
)
def _configs(message: StartEvaluationJob, world: World) -> Iterator[Breach]:
    """configs are inline JSON objects of known keys, or ids of configs of the field's type"""
    for name, kind in BNB_AND_GENERATION:
        found = asking.config(world, kind, getattr(message, name))
        yield from (Breach(rule="EV-104", field=name, message=text) for text in found)


@rule(
    StartEvaluationJob,
    "EV-105",
    "selected_features",
    need=Need.store,
    passes=[Example({"selected_features": ["text"]}, NoWorld({"datasets": [{"id": "d", "features": '["text"]'}]}))],
    fails=[Example({"selected_features": ["nope"]}, NoWorld({"datasets": [{"id": "d", "features": '["text"]'}]}))],
)
def _features(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """selected_features must be columns of the dataset"""
    dataset = world.get("datasets", message.dataset_id) if message.dataset_id else None
    known = json.loads(dataset["features"] or "[]") if dataset else list(message.selected_features)
    for name in message.selected_features:
        if name not in known:
            yield f"{name!r} is not a column of the dataset; its columns: {', '.join(known)}"


@rule(
    StartEvaluationJob,
    "EV-108",
    "metrics",
    need=Need.files,
    passes=[{}, Example({"metrics": ["polite.py"]}, NoWorld(scripts=frozenset({"polite.py"})))],
    fails=[
        {"metrics": ["polite.py"]},
        {"metrics": ["../polite.py"]},
        Example({"metrics": ["a.py", "a.py"]}, NoWorld(scripts=frozenset({"a.py"}))),
        Example({"metrics": ["a.py", "b/a.py"]}, NoWorld(scripts=frozenset({"a.py", "b/a.py"}))),
        Example({"metrics": ["f1.py"]}, NoWorld(scripts=frozenset({"f1.py"}))),
    ],
)
def _metrics(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """metrics must be Python files in the directory of scripts (FTS_SCRIPTS_DIR), each of another name, and none of the studio's own figures'"""
    seen: set[str] = set()
    for name in message.metrics:
        try:
            stem = world.script(name).stem
        except (ValueError, OSError) as error:
            yield f"metrics: {error}"
            continue
        if stem in FIGURES:
            yield f"metrics: {stem} is a figure of the studio's own; give the file another name"
        if stem in seen:
            yield f"metrics: two files are called {stem}, and so would their figures be"
        seen.add(stem)


@rule(
    StartEvaluationJob,
    "EV-109",
    "tasks",
    passes=[{}, {"tasks": ["hellaswag", "mmlu_abstract_algebra"]}],
    fails=[{"tasks": ["hellaswag", "hellaswag"]}, {"tasks": ["./my/task.yaml"]}, {"tasks": [""]}],
)
def _tasks(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """tasks must be names of lm-evaluation-harness' own, each once"""
    for name in message.tasks:
        if not TASK.fullmatch(name):
            yield f"{name!r} is no name of a task: letters, digits, and _ - . between them"
    for name in sorted({each for each in message.tasks if message.tasks.count(each) > 1}):
        yield f"task {name!r} is named twice"


@rule(
    StartEvaluationJob,
    "EV-107",
    "prompt_id",
    need=Need.store,
    passes=[prompting("{text}")],
    fails=[prompting("{other}")],
)
def _prompt_fits(message: StartEvaluationJob, world: World) -> Iterator[str]:
    """the prompt may name only columns of the dataset"""
    yield from fitting(world, message.prompt_id, message.dataset_id)
