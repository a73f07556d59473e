"""Prompt templates: how a row becomes text (guide, "Prompt Template Specification")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Part, Query, Value
from core.messages.common import Name, NameContains, Page, PagedQuery, exists, filled, known, one_of, ordered, unique
from core.rules import Example, Need, NoWorld, World, rule
from core.template import malformed, unknown
from core.types import PromptType


class PromptMetadata(Value):
    """A stored prompt template."""

    id: str
    type: str | None = None
    name: str
    description: str | None = None
    dataset_id: str | None = None
    prompt_template: str
    input_template: str | None = None
    completion_template: str | None = None
    created_at: float | None = None


class PromptFields(Part):
    """The prompt to store; `id` is issued when left out."""

    id: Name | None = None
    type: str = Field(PromptType.in_place.value, json_schema_extra=known(PromptType))
    name: Name = ""
    description: str | None = None
    dataset_id: str = ""
    prompt_template: str = ""
    input_template: str = ""
    completion_template: str = ""


class PromptReply(Value):
    """One prompt."""

    prompt: PromptMetadata


class PromptsReply(Page):
    """A page of prompts."""

    prompts: list[PromptMetadata]


_GOOD = {
    "name": "actions",
    "dataset_id": "d",
    "prompt_template": "Ticket: {text}\nAction: {intent}",
    "input_template": "Ticket: {text}\nAction:",
    "completion_template": " {intent}",
}
_ROWS = NoWorld({"datasets": [{"id": "d", "features": '["text", "intent"]'}]})


def _with(**fields: object) -> dict[str, Any]:
    return {"prompt": {**_GOOD, **fields}}


class AddPrompt(Command[PromptReply]):
    """Store a prompt template. Templates name the dataset's columns as {column}; {{ and }} are literal braces."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"prompt": _GOOD}

    prompt: PromptFields = Field(default_factory=lambda: PromptFields())


class GetPrompt(Query[PromptReply]):
    """Return one prompt by its id."""

    id: str


class ListPrompts(PagedQuery[PromptsReply]):
    """Return prompts, oldest first."""

    order: str | None = ordered("name", "created_at")
    name_contains: NameContains = None
    dataset_id: str | None = Field(None, description="Only the prompts of this dataset.")


@rule(AddPrompt, "PR-001", "prompt.name", passes=[{}], fails=[_with(name=" ")])
def _name(message: AddPrompt, world: World) -> Iterator[str]:
    """name is required"""
    yield from filled(message.prompt.name, "name")


@rule(
    AddPrompt,
    "PR-001",
    "prompt.name",
    need=Need.store,
    passes=[{}],
    fails=[Example({}, NoWorld({"prompts": [{"id": "1", "name": "actions"}]}))],
)
def _unique_name(message: AddPrompt, world: World) -> Iterator[str]:
    """a prompt's name is unique"""
    yield from unique(world, "prompts", "name", message.prompt.name, "prompt")


@rule(AddPrompt, "PR-101", "prompt.type", passes=[{}], fails=[_with(type="remote")])
def _type(message: AddPrompt, world: World) -> Iterator[str]:
    """type must be in_place"""
    yield from one_of(message.prompt.type, PromptType, "type")


@rule(
    AddPrompt,
    "PR-102",
    "prompt.id",
    need=Need.store,
    passes=[{}],
    fails=[Example(_with(id="p"), NoWorld({"prompts": [{"id": "p", "name": "other"}]})), Example(_with(id=" "))],
)
def _free_id(message: AddPrompt, world: World) -> Iterator[str]:
    """an id that the sender issues must be free, and can't be blank"""
    if message.prompt.id:
        yield from filled(message.prompt.id, "id")
    if message.prompt.id and world.get("prompts", message.prompt.id) is not None:
        yield f"a prompt with id {message.prompt.id!r} already exists"


@rule(AddPrompt, "PR-002", "prompt.dataset_id", passes=[{}], fails=[_with(dataset_id="")])
def _dataset(message: AddPrompt, world: World) -> Iterator[str]:
    """dataset_id is required"""
    yield from filled(message.prompt.dataset_id, "dataset_id")


@rule(AddPrompt, "PR-002", "prompt.dataset_id", need=Need.store, passes=[Example({}, _ROWS)], fails=[{}])
def _dataset_exists(message: AddPrompt, world: World) -> Iterator[str]:
    """dataset_id must exist"""
    yield from exists(world, "datasets", message.prompt.dataset_id, "dataset")


@rule(
    AddPrompt,
    "PR-003",
    "prompt.prompt_template",
    passes=[{}],
    fails=[_with(prompt_template=""), _with(prompt_template="{a.b}")],
)
def _prompt_template(message: AddPrompt, world: World) -> Iterator[str]:
    """prompt_template is required, made of text and bare {column} placeholders"""
    yield from _well_formed(message.prompt.prompt_template, "prompt_template")


@rule(
    AddPrompt,
    "PR-004",
    "prompt.input_template",
    passes=[{}],
    fails=[_with(input_template=" "), _with(input_template="{a!r}")],
)
def _input_template(message: AddPrompt, world: World) -> Iterator[str]:
    """input_template is required, made of text and bare {column} placeholders"""
    yield from _well_formed(message.prompt.input_template, "input_template")


@rule(
    AddPrompt,
    "PR-005",
    "prompt.completion_template",
    passes=[{}],
    fails=[_with(completion_template=""), _with(completion_template="{")],
)
def _completion_template(message: AddPrompt, world: World) -> Iterator[str]:
    """completion_template is required, made of text and bare {column} placeholders"""
    yield from _well_formed(message.prompt.completion_template, "completion_template")


@rule(
    AddPrompt,
    "PR-003",
    "prompt.prompt_template",
    need=Need.store,
    passes=[Example({}, _ROWS)],
    fails=[Example(_with(prompt_template="{nope}"), _ROWS)],
)
def _prompt_columns(message: AddPrompt, world: World) -> Iterator[str]:
    """prompt_template may name only the dataset's columns"""
    yield from _known(message, world, message.prompt.prompt_template)


@rule(
    AddPrompt,
    "PR-004",
    "prompt.input_template",
    need=Need.store,
    passes=[Example({}, _ROWS)],
    fails=[Example(_with(input_template="{nope}"), _ROWS)],
)
def _input_columns(message: AddPrompt, world: World) -> Iterator[str]:
    """input_template may name only the dataset's columns"""
    yield from _known(message, world, message.prompt.input_template)


@rule(
    AddPrompt,
    "PR-005",
    "prompt.completion_template",
    need=Need.store,
    passes=[Example({}, _ROWS)],
    fails=[Example(_with(completion_template="{nope}"), _ROWS)],
)
def _completion_columns(message: AddPrompt, world: World) -> Iterator[str]:
    """completion_template may name only the dataset's columns"""
    yield from _known(message, world, message.prompt.completion_template)


def _well_formed(template: str, name: str) -> Iterator[str]:
    yield from filled(template, name)
    yield from (f"{name}: {told}" for told in malformed(template))


def _known(message: AddPrompt, world: World, template: str) -> Iterator[str]:
    dataset = world.get("datasets", message.prompt.dataset_id)
    if dataset is None:
        return
    yield from unknown(template, json.loads(dataset["features"] or "[]"))  # the rest is told by the local rule


import core.messages.prompt_generation  # noqa: E402, F401  # found with the domain
