"""The rules of StartFineTuningJob: the guide's FT-001 to FT-015, and ours from FT-104 on; those of a kind are in modules of their own, imported below."""

from __future__ import annotations

import re
from collections.abc import Iterator

from core.messages.common import exists, filled, fitting, one_of, positive, prompting
from core.messages.fine_tuning import StartFineTuningJob
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import FineTuningFrameworkType, JobStatus, LossOn, Method

_NAME = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9-]+", re.ASCII)


@rule(StartFineTuningJob, "FT-001", "framework_type", passes=[{}], fails=[{"framework_type": "deepspeed"}])
def _framework(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """framework_type must be legacy or axolotl"""
    yield from one_of(message.framework_type, FineTuningFrameworkType, "framework_type")


@rule(
    StartFineTuningJob,
    "FT-002",
    "adapter_name",
    passes=[{"adapter_name": "a-1"}],
    fails=[{"adapter_name": name} for name in ("", "a b", "a_1", "-", "a\n", "é")],
)
def _adapter_name(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """adapter_name must be letters, digits and hyphens"""
    if not _NAME.fullmatch(message.adapter_name):
        yield f"adapter_name must be letters, digits and hyphens (^[a-zA-Z0-9-]+$), not {message.adapter_name!r}"


@rule(
    StartFineTuningJob,
    "FT-002",
    "adapter_name",
    need=Need.store,
    passes=[
        {},
        Example(
            {},
            NoWorld(
                {
                    "fine_tuning_jobs": [{"id": "j", "adapter_name": "tickets-1"}],
                    "jobs": [{"id": "j", "status": "failed"}],
                }
            ),
        ),
    ],
    fails=[
        Example({}, NoWorld({"adapters": [{"id": "a", "name": "tickets-1"}]})),
        Example(
            {},
            NoWorld(
                {
                    "fine_tuning_jobs": [{"id": "j", "adapter_name": "tickets-1"}],
                    "jobs": [{"id": "j", "status": "queued"}],
                }
            ),
        ),
        Example({"method": "full"}, NoWorld({"models": [{"id": "m", "name": "tickets-1"}]})),
    ],
)
def _adapter_name_free(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """adapter_name is unique among adapters (with method full: among models) and unfinished jobs"""
    table, what = ("models", "a model") if message.method == Method.full else ("adapters", "an adapter")
    if rows := world.find(table, name=message.adapter_name):
        yield f"{what} named {message.adapter_name!r} already exists (id {rows[0]['id']})"
    for row in world.find("fine_tuning_jobs", adapter_name=message.adapter_name):
        job = world.get("jobs", row["id"])
        if job is not None and not (status := JobStatus(job["status"])).finished:
            yield (
                f"the job {job.get('name') or row['id']} is {status.value.replace('_', ' ')}"
                f" and is to make an adapter named {message.adapter_name!r}"
            )


@rule(
    StartFineTuningJob,
    "FT-003",
    "out_dir",
    need=Need.files,
    passes=[{}, Example({"out_dir": "out"}, NoWorld(directories=frozenset({"out"})))],
    fails=[{"out_dir": "nowhere"}],
)
def _out_dir(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """out_dir must exist as a directory when it is given, not among the studio's own files"""
    if not message.out_dir:
        return
    try:
        path = world.path(message.out_dir, write=True)
        there = path.is_dir() or not path.is_absolute()
    except (ValueError, OSError) as error:  # OSError: the name is too long, or a directory on the way is closed
        yield f"out_dir: {error}"
        return
    if not there:
        yield f"out_dir {message.out_dir!r} does not exist as a directory"


@rule(StartFineTuningJob, "FT-004", "num_cpu", passes=[{"num_cpu": 1}], fails=[{"num_cpu": 0}])
def _cpu(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """num_cpu must be greater than 0"""
    yield from positive(message.num_cpu, "num_cpu")


@rule(StartFineTuningJob, "FT-005", "num_gpu", passes=[{"num_gpu": 0}], fails=[{"num_gpu": -1}])
def _gpu(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """num_gpu must be at least 0"""
    if message.num_gpu < 0:
        yield f"num_gpu must be at least 0, not {message.num_gpu}"


@rule(StartFineTuningJob, "FT-006", "num_memory", passes=[{"num_memory": 1}], fails=[{"num_memory": 0}])
def _memory(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """num_memory must be greater than 0"""
    yield from positive(message.num_memory, "num_memory")


@rule(StartFineTuningJob, "FT-007", "num_workers", passes=[{"num_workers": 2}], fails=[{"num_workers": 0}])
def _workers(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """num_workers must be greater than 0"""
    yield from positive(message.num_workers, "num_workers")


@rule(StartFineTuningJob, "FT-008", "num_epochs", passes=[{}, {"num_epochs": 3}], fails=[{"num_epochs": 0}])
def _epochs(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """num_epochs must be greater than 0"""
    if message.num_epochs is not None:
        yield from positive(message.num_epochs, "num_epochs")


@rule(
    StartFineTuningJob,
    "FT-009",
    "learning_rate",
    passes=[{}, {"learning_rate": 2e-4}],
    fails=[{"learning_rate": 0.0}, {"learning_rate": float("nan")}, {"learning_rate": float("inf")}],
)
def _learning_rate(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """learning_rate must be a finite number greater than 0"""
    if message.learning_rate is not None:
        yield from positive(message.learning_rate, "learning_rate")


@rule(
    StartFineTuningJob,
    "FT-010",
    "dataset_fraction",
    passes=[{"dataset_fraction": 0.5}],
    fails=[{"dataset_fraction": value} for value in (0.0, 1.1, float("nan"))],
)
def _fraction(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """dataset_fraction must be in (0, 1]"""
    if not 0 < message.dataset_fraction <= 1:
        yield f"dataset_fraction must be greater than 0 and at most 1, not {message.dataset_fraction}"


@rule(
    StartFineTuningJob,
    "FT-011",
    "train_test_split",
    passes=[{"train_test_split": 1.0}],
    fails=[{"train_test_split": value} for value in (0.0, 1.1, float("nan"))],
)
def _split(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """train_test_split must be in (0, 1]; 1 means no rows are held out"""
    if not 0 < message.train_test_split <= 1:
        yield f"train_test_split must be greater than 0 and at most 1, not {message.train_test_split}"


@rule(
    StartFineTuningJob,
    "FT-012",
    "axolotl_config_id",
    passes=[{"framework_type": "axolotl", "axolotl_config_id": "c"}],
    fails=[{"framework_type": "axolotl"}],
)
def _axolotl_config(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """axolotl_config_id is required when framework_type is axolotl"""
    if message.framework_type == FineTuningFrameworkType.axolotl:
        yield from filled(message.axolotl_config_id, "axolotl_config_id")


def _known(table: str) -> NoWorld:
    return NoWorld({table: [{"id": table[0], "name": "x"}]})


@rule(StartFineTuningJob, "FT-013", "base_model_id", passes=[{}], fails=[{"base_model_id": ""}])
def _model_given(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """base_model_id is required"""
    yield from filled(message.base_model_id, "base_model_id")


@rule(
    StartFineTuningJob,
    "FT-013",
    "base_model_id",
    need=Need.store,
    passes=[Example({}, _known("models"))],
    fails=[{}],
)
def _model_exists(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """base_model_id must exist"""
    yield from exists(world, "models", message.base_model_id, "model")


@rule(StartFineTuningJob, "FT-014", "dataset_id", passes=[{}], fails=[{"dataset_id": ""}])
def _dataset_given(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """dataset_id is required"""
    yield from filled(message.dataset_id, "dataset_id")


@rule(
    StartFineTuningJob,
    "FT-014",
    "dataset_id",
    need=Need.store,
    passes=[Example({}, _known("datasets"))],
    fails=[{}],
)
def _dataset_exists(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """dataset_id must exist"""
    yield from exists(world, "datasets", message.dataset_id, "dataset")


@rule(
    StartFineTuningJob,
    "FT-015",
    "prompt_id",
    passes=[{}, {"prompt_id": None, "chat_template": True}],
    fails=[{"prompt_id": None}, {"prompt_id": " "}],
)
def _prompt_given(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """the legacy framework requires a prompt_id, but for conversations that the chat template writes"""
    if message.framework_type == FineTuningFrameworkType.legacy and not message.chat_template:
        yield from filled(message.prompt_id, "prompt_id")


@rule(
    StartFineTuningJob,
    "FT-015",
    "prompt_id",
    need=Need.store,
    passes=[
        Example({}, _known("prompts")),
        Example({"prompt_id": None, "chat_template": True}, NoWorld({"datasets": [{"id": "d", "is_chat": True}]})),
    ],
    fails=[
        {},
        Example({"prompt_id": None, "chat_template": True}, NoWorld({"datasets": [{"id": "d"}]})),
    ],
)
def _prompt_exists(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """prompt_id must exist; with the chat template the legacy framework requires one where rows are no conversations"""
    dataset = world.get("datasets", message.dataset_id)
    conversations = dataset is not None and dataset.get("is_chat")
    if message.framework_type == FineTuningFrameworkType.legacy and message.chat_template and not conversations:
        yield from filled(message.prompt_id, "prompt_id")
    yield from exists(world, "prompts", message.prompt_id, "prompt")


@rule(
    StartFineTuningJob,
    "FT-104",
    "max_length",
    passes=[{"max_length": 8}],
    fails=[{"max_length": 7}, {"max_length": 2_000_000}],
)
def _max_length(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """max_length must be between 8 and 1,048,576 tokens"""
    if not 8 <= message.max_length <= 1_048_576:
        yield f"max_length must be between 8 and 1048576 tokens, not {message.max_length}"


@rule(StartFineTuningJob, "FT-105", "loss_on", passes=[{"loss_on": "completion"}], fails=[{"loss_on": "prompt"}])
def _loss_on(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """loss_on must be all, completion or assistant"""
    yield from one_of(message.loss_on, LossOn, "loss_on")


@rule(
    StartFineTuningJob,
    "FT-106",
    "dist",
    passes=[{"dist_cpu": 1, "dist_gpu": 0, "dist_mem": 1}],
    fails=[{"dist_cpu": 0}, {"dist_gpu": -1}, {"dist_mem": 0}],
)
def _dist(message: StartFineTuningJob, world: World) -> Iterator[Breach]:
    """dist_cpu and dist_mem must be greater than 0, dist_gpu at least 0, when given"""
    for name, least in (("dist_cpu", 1), ("dist_gpu", 0), ("dist_mem", 1)):
        value = getattr(message, name)
        if value is not None and value < least:
            yield Breach(rule="FT-106", field=name, message=f"{name} must be at least {least}, not {value}")


@rule(
    StartFineTuningJob,
    "FT-108",
    "prompt_id",
    need=Need.store,
    passes=[prompting("{text}")],
    fails=[prompting("{other}")],
)
def _prompt_fits(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """the prompt may name only columns of the dataset"""
    yield from fitting(world, message.prompt_id, message.dataset_id)


import core.messages.axolotl  # noqa: E402  # its rule on the request
import core.messages.config_rules  # noqa: E402  # those of configs
import core.messages.engine_rules  # noqa: E402  # those of other engines
import core.messages.fitting_rules  # noqa: E402  # those of memory
import core.messages.method_rules  # noqa: E402  # those of what is trained how
import core.messages.promoting  # noqa: E402, F401  # and those of what is registered then
