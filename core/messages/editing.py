"""Editing what a resource is called and what is told of it; what it is, stays. None leaves a field as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, Field

from core.messages.adapters import AdapterReply
from core.messages.base import Command
from core.messages.common import Name, filled
from core.messages.configs import ConfigReply
from core.messages.datasets import DatasetReply
from core.messages.evaluation import EvaluationBatchReply
from core.messages.fine_tuning import FineTuningJobReply
from core.messages.models import ModelReply
from core.messages.prompts import PromptReply
from core.rules import Example, Need, NoWorld, World, rule

R = TypeVar("R", bound=BaseModel)


class Edit(Command[R], Generic[R]):
    """A change of a resource's name and description."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1", "name": "new"}

    id: str
    name: Name | None = Field(None, description="The new name; none: as it is.")
    description: str | None = Field(None, description="The new description; empty text clears it, none: as it is.")


class EditDataset(Edit[DatasetReply]):
    """Change a dataset's name or description."""


class EditModel(Edit[ModelReply]):
    """Change a base model's name or description."""


class EditAdapter(Edit[AdapterReply]):
    """Change an adapter's name or description."""


class EditPrompt(Edit[PromptReply]):
    """Change a prompt's name or description; its templates stay as they are."""


class EditConfig(Command[ConfigReply]):
    """Change a config's description; its content and family stay as they are."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1", "description": "for small GPUs"}

    id: str
    description: str | None = Field(None, description="The new description; empty text clears it.")


class EditFineTuningJob(Edit[FineTuningJobReply]):
    """Change a fine-tuning job's name or description; the name of its adapter stays as it was asked for."""


class EditEvaluationJob(Edit[EvaluationBatchReply]):
    """Change the name or description of an evaluation batch."""

    id: str = Field(description="An evaluation batch (parent_job_id) or one evaluation job of it.")


_NEITHER = {"name": None, "description": None}
_EITHER = [{"name": None, "description": ""}, {"name": "new", "description": None}]


def _something(message: Edit[Any]) -> Iterator[str]:
    if message.name is None and message.description is None:
        yield "there is nothing to change: give a name or a description"


def _not_blank(message: Edit[Any]) -> Iterator[str]:
    if message.name is not None:
        yield from filled(message.name, "name")


def _taken(table: str) -> list[Example]:
    return [Example({"name": each}, NoWorld({table: [{"id": "2", "name": "new"}]})) for each in ("new", " new ")]


def _own(table: str) -> Example:
    return Example({}, NoWorld({table: [{"id": "1", "name": "new"}]}))


def _unique(message: Edit[Any], world: World, table: str, what: str) -> Iterator[str]:
    name = (message.name or "").strip()
    for row in world.find(table, name=name) if name else ():
        if row["id"] != message.id:
            yield f"a {what} with name {name!r} already exists (id {row['id']})"


@rule(EditDataset, "DS-123", "name", passes=_EITHER, fails=[_NEITHER])
def _dataset_change(message: EditDataset, world: World) -> Iterator[str]:
    """a name or a description is given"""
    yield from _something(message)


@rule(EditDataset, "DS-102", "name", passes=[{}], fails=[{"name": " "}])
def _dataset_name(message: EditDataset, world: World) -> Iterator[str]:
    """a dataset's name can't be blank"""
    yield from _not_blank(message)


@rule(EditDataset, "DS-101", "name", need=Need.store, passes=[_own("datasets")], fails=_taken("datasets"))
def _dataset_unique(message: EditDataset, world: World) -> Iterator[str]:
    """a dataset's name is unique"""
    yield from _unique(message, world, "datasets", "dataset")


@rule(EditModel, "MD-123", "name", passes=_EITHER, fails=[_NEITHER])
def _model_change(message: EditModel, world: World) -> Iterator[str]:
    """a name or a description is given"""
    yield from _something(message)


@rule(EditModel, "MD-102", "name", passes=[{}], fails=[{"name": ""}])
def _model_name(message: EditModel, world: World) -> Iterator[str]:
    """a model's name can't be blank"""
    yield from _not_blank(message)


@rule(EditModel, "MD-101", "name", need=Need.store, passes=[_own("models")], fails=_taken("models"))
def _model_unique(message: EditModel, world: World) -> Iterator[str]:
    """a model's name is unique"""
    yield from _unique(message, world, "models", "model")


@rule(EditAdapter, "AD-123", "name", passes=_EITHER, fails=[_NEITHER])
def _adapter_change(message: EditAdapter, world: World) -> Iterator[str]:
    """a name or a description is given"""
    yield from _something(message)


@rule(EditAdapter, "AD-001", "name", passes=[{}], fails=[{"name": " "}])
def _adapter_name(message: EditAdapter, world: World) -> Iterator[str]:
    """an adapter's name can't be blank"""
    yield from _not_blank(message)


@rule(EditAdapter, "AD-001", "name", need=Need.store, passes=[_own("adapters")], fails=_taken("adapters"))
def _adapter_unique(message: EditAdapter, world: World) -> Iterator[str]:
    """an adapter's name is unique"""
    yield from _unique(message, world, "adapters", "adapter")


@rule(EditPrompt, "PR-123", "name", passes=_EITHER, fails=[_NEITHER])
def _prompt_change(message: EditPrompt, world: World) -> Iterator[str]:
    """a name or a description is given"""
    yield from _something(message)


@rule(EditPrompt, "PR-001", "name", passes=[{}], fails=[{"name": "\t"}])
def _prompt_name(message: EditPrompt, world: World) -> Iterator[str]:
    """a prompt's name can't be blank"""
    yield from _not_blank(message)


@rule(EditPrompt, "PR-001", "name", need=Need.store, passes=[_own("prompts")], fails=_taken("prompts"))
def _prompt_unique(message: EditPrompt, world: World) -> Iterator[str]:
    """a prompt's name is unique"""
    yield from _unique(message, world, "prompts", "prompt")


@rule(EditConfig, "CF-123", "description", passes=[{}, {"description": ""}], fails=[{"description": None}])
def _config_change(message: EditConfig, world: World) -> Iterator[str]:
    """a description is given"""
    if message.description is None:
        yield "there is nothing to change: give a description"


@rule(EditFineTuningJob, "FT-123", "name", passes=_EITHER, fails=[_NEITHER])
def _job_change(message: EditFineTuningJob, world: World) -> Iterator[str]:
    """a name or a description is given"""
    yield from _something(message)


@rule(EditFineTuningJob, "FT-124", "name", passes=[{}], fails=[{"name": " "}])
def _job_name(message: EditFineTuningJob, world: World) -> Iterator[str]:
    """a job's name can't be blank"""
    yield from _not_blank(message)


@rule(EditEvaluationJob, "EV-123", "name", passes=_EITHER, fails=[_NEITHER])
def _batch_change(message: EditEvaluationJob, world: World) -> Iterator[str]:
    """a name or a description is given"""
    yield from _something(message)


@rule(EditEvaluationJob, "EV-124", "name", passes=[{}], fails=[{"name": " "}])
def _batch_name(message: EditEvaluationJob, world: World) -> Iterator[str]:
    """a batch's name can't be blank"""
    yield from _not_blank(message)
