"""What a column's value must be so that a reply can carry it, and a runner read it.

It is taken from the tables and the replies themselves: a row that no list could show would spoil the list for everyone,
and a column that comes later needs no word here.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from core.messages.adapters import AdapterMetadata
from core.messages.configs import ConfigMetadata
from core.messages.datasets import DatasetMetadata
from core.messages.evaluation import EvaluationJobMetadata
from core.messages.fine_tuning import FineTuningJobMetadata
from core.messages.jobs import JobState
from core.messages.models import ModelMetadata
from core.messages.prompts import PromptMetadata
from core.store.tables import EVERY_TABLE

REPLIES: dict[str, type[BaseModel]] = {
    "datasets": DatasetMetadata,
    "models": ModelMetadata,
    "prompts": PromptMetadata,
    "adapters": AdapterMetadata,
    "fine_tuning_jobs": FineTuningJobMetadata,
    "evaluation_jobs": EvaluationJobMetadata,
    "configs": ConfigMetadata,
    "jobs": JobState,
}
# Columns that a reply carries in another form than they are stored in, or that have checks of their own.
OTHERWISE = {("datasets", "features")} | {
    (table, name) for table in ("evaluation_jobs", "jobs") for name in ("error", "status")
}
UNSEEN: dict[tuple[str, str], Any] = {("models", "files"): dict[str, str], ("adapters", "files"): dict[str, str]}


def is_list(table: str, column: str) -> bool:
    """Whether a JSON column holds a list, and not an object."""
    kinds = EVERY_TABLE[table].__mro__
    declared = (str(each.__annotations__[column]) for each in kinds if column in getattr(each, "__annotations__", {}))
    return next(declared, "").startswith("Mapped[list")


def check(table: str, column: str, value: Any) -> None:
    """Raise ValueError with the reason when no reply could carry the value."""
    kind = _kind(table, column)
    if kind is None:
        return
    try:
        kind.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(each) for each in first["loc"])
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None


@cache
def _kind(table: str, column: str) -> TypeAdapter[Any] | None:
    field = REPLIES[table].model_fields.get(column)
    if (table, column) in OTHERWISE or (field is None and (table, column) not in UNSEEN):
        return None
    kind: Any = UNSEEN[table, column] if field is None else field.annotation
    return TypeAdapter(kind)
