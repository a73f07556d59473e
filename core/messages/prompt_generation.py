"""Drafting a prompt from a dataset, and looking at a row as the model will see it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from core.drafts import Columns, Draft, NoDraft, draft
from core.messages.base import Query, Value
from core.messages.common import exists, filled, known, one_of_or_none
from core.messages.prompts import PromptFields
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.template import problems
from core.types import LossOn, PromptStyle

TEMPLATES = ("prompt_template", "input_template", "completion_template")


class GeneratedPrompt(Value):
    """A draft: `prompt` is what AddPrompt takes, with a free name; `why` tells which column is the output and by what rule."""

    prompt: PromptFields
    style: str
    input_columns: list[str] = []
    output_column: str
    unnameable: list[str] = []
    why: list[str] = []


class GeneratePrompt(Query[GeneratedPrompt]):
    """Draft a prompt template from a dataset's columns and first rows. Nothing is stored: send it on with AddPrompt."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"dataset_id": "d"}

    dataset_id: str = ""
    style: str | None = Field(
        None, description="none: what the dataset looks like.", json_schema_extra=known(PromptStyle)
    )


class PromptPreview(Value):
    """A row as text. `learned` is the part of `text` that the loss is on; `input` and `expected` are an evaluation's."""

    text: str
    input: str
    learned: str
    expected: str
    eos: str
    row: int
    rows: int
    values: dict[str, Any] = {}


class PreviewPrompt(Query[PromptPreview]):
    """Show one of a dataset's first rows as the model will see it: a stored prompt's, or of templates on trial."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"prompt_id": "p"}

    prompt_id: str | None = Field(None, description="A stored prompt; its templates are used where none are given.")
    dataset_id: str | None = Field(None, description="none: the prompt's own dataset.")
    prompt_template: str | None = None
    input_template: str | None = None
    completion_template: str | None = None
    row: int = Field(0, ge=0, description="Which of the dataset's first rows, 0 the first.")
    loss_on: str = Field(
        LossOn.all.value, description="As a fine-tuning job is asked.", json_schema_extra=known(LossOn)
    )
    model_id: str | None = Field(None, description="Whose end-of-sequence token is shown; none: <eos>.")


_DATASET = {"id": "d", "features": '["text", "intent"]', "preview": [{"text": "hi", "intent": "greet"}]}
_PROMPT = {
    "id": "p",
    "dataset_id": "d",
    "prompt_template": "{text}{intent}",
    "input_template": "{text}",
    "completion_template": "{intent}",
}
_STORED = NoWorld({"datasets": [_DATASET], "prompts": [_PROMPT]})
_ODD = NoWorld({"datasets": [{"id": "d", "features": '["a.b"]'}]})


@rule(GeneratePrompt, "PR-002", "dataset_id", need=Need.store, passes=[Example({}, _STORED)], fails=[{}])
def _dataset(message: GeneratePrompt, world: World) -> Iterator[str]:
    """dataset_id is required, and must exist"""
    yield from filled(message.dataset_id, "dataset_id")
    yield from exists(world, "datasets", message.dataset_id, "dataset")


@rule(GeneratePrompt, "PR-103", "style", passes=[{}, {"style": "chat"}], fails=[{"style": "poem"}])
def _style(message: GeneratePrompt, world: World) -> Iterator[str]:
    """style must be one of columns, chat, instruction, classification"""
    yield from one_of_or_none(message.style, PromptStyle, "style")


@rule(
    GeneratePrompt,
    "PR-104",
    "style",
    need=Need.store,
    passes=[Example({}, _STORED)],
    fails=[Example({"style": "chat"}, _STORED), Example({}, _ODD)],
)
def _draftable(message: GeneratePrompt, world: World) -> Iterator[str]:
    """the dataset must have columns that a template of that style can name"""
    row = world.get("datasets", message.dataset_id)
    if row is None or message.style not in (None, *PromptStyle):
        return  # told by the other rules
    try:
        drafted(message, row)
    except NoDraft as error:
        yield str(error)


def columns_of(dataset: Mapping[str, Any]) -> Columns:
    """What a row of datasets tells of its columns."""
    rows = [row for row in dataset.get("preview") or [] if isinstance(row, dict)]
    return Columns(json.loads(dataset.get("features") or "[]"), rows, is_chat=bool(dataset.get("is_chat")))


def drafted(message: GeneratePrompt, dataset: Mapping[str, Any]) -> Draft:
    """The draft that is asked for; raises NoDraft."""
    return draft(columns_of(dataset), None if message.style is None else PromptStyle(message.style))


@rule(
    PreviewPrompt,
    "PR-105",
    "prompt_id",
    need=Need.store,
    passes=[Example({}, _STORED), {"prompt_id": None, "dataset_id": "d", **dict.fromkeys(TEMPLATES, "{text}")}],
    fails=[{}, {"prompt_id": None}],
)
def _prompt(message: PreviewPrompt, world: World) -> Iterator[Breach]:
    """prompt_id must exist, or all three templates and a dataset_id be given"""
    for found in exists(world, "prompts", message.prompt_id, "prompt"):
        yield Breach(rule="PR-105", field="prompt_id", message=found)
    if not message.prompt_id:
        for name in ("dataset_id", *TEMPLATES):
            for found in filled(getattr(message, name), name):
                yield Breach(rule="PR-105", field=name, message=f"{found}, since no prompt_id is given")


@rule(PreviewPrompt, "FT-105", "loss_on", passes=[{"loss_on": "completion"}], fails=[{"loss_on": "prompt"}])
def _loss_on(message: PreviewPrompt, world: World) -> Iterator[str]:
    """loss_on must be all or completion: what an assistant says is told apart by the model's chat template"""
    if message.loss_on not in (LossOn.all, LossOn.completion):
        yield f"loss_on must be one of all, completion, not {message.loss_on!r}"


@rule(
    PreviewPrompt,
    "PR-106",
    "row",
    need=Need.store,
    passes=[Example({}, _STORED)],
    fails=[
        Example({"row": 1}, _STORED),
        Example({"dataset_id": "gone"}, _STORED),
        Example({}, NoWorld({"prompts": [{**_PROMPT, "dataset_id": None}]})),
        Example({}, NoWorld({"datasets": [{"id": "d", "features": '["text"]'}], "prompts": [_PROMPT]})),
    ],
)
def _has_row(message: PreviewPrompt, world: World) -> Iterator[Breach]:
    """the dataset must exist, and its first rows have that row"""
    dataset_id = dataset_of(message, world)
    yield from (_breach("dataset_id", text) for text in exists(world, "datasets", dataset_id, "dataset"))
    dataset = world.get("datasets", dataset_id) if dataset_id else None
    if not dataset_id and message.prompt_id and world.get("prompts", message.prompt_id) is not None:
        yield _breach("dataset_id", "the prompt has no dataset; give the dataset_id of the one that is shown")
    elif dataset is not None and not dataset.get("preview"):
        yield _breach(
            "dataset_id",
            "the studio does not have the dataset's first rows: its card on the Hub tells its columns, and its files are no Parquet",
        )
    elif dataset is not None and message.row >= len(dataset["preview"]):
        yield _breach(
            "row", f"row must be below {len(dataset['preview'])}: the studio keeps only a dataset's first rows"
        )


@rule(
    PreviewPrompt,
    "PR-107",
    "prompt_template",
    need=Need.store,
    passes=[Example({}, _STORED), Example({"input_template": "{text}!"}, _STORED)],
    fails=[Example({"input_template": "{nope}"}, _STORED), Example({"completion_template": "{"}, _STORED)],
)
def _renderable(message: PreviewPrompt, world: World) -> Iterator[Breach]:
    """templates are text and bare {column} placeholders of the dataset's columns"""
    dataset_id = dataset_of(message, world)
    dataset = world.get("datasets", dataset_id) if dataset_id else None
    if dataset is not None:
        for name, text in templates_of(message, world).items():
            for found in problems(text, json.loads(dataset.get("features") or "[]")):
                yield Breach(rule="PR-107", field=name, message=f"{name}: {found}")


@rule(
    PreviewPrompt,
    "MD-104",
    "model_id",
    need=Need.store,
    passes=[{}, Example({"model_id": "m"}, NoWorld({"models": [{"id": "m"}]}))],
    fails=[{"model_id": "m"}],
)
def _model(message: PreviewPrompt, world: World) -> Iterator[str]:
    """model_id must exist when it is given"""
    yield from exists(world, "models", message.model_id, "model")


def templates_of(message: PreviewPrompt, world: World) -> dict[str, str]:
    """The templates that are shown: given ones before the stored prompt's."""
    stored = (world.get("prompts", message.prompt_id) if message.prompt_id else None) or {}
    given = {name: getattr(message, name) for name in TEMPLATES}
    return {name: stored.get(name) or "" if text is None else text for name, text in given.items()}


def dataset_of(message: PreviewPrompt, world: World) -> str | None:
    """The id of the dataset whose row is shown."""
    if message.dataset_id or not message.prompt_id:
        return message.dataset_id
    return (world.get("prompts", message.prompt_id) or {}).get("dataset_id")


def _breach(field: str, text: str) -> Breach:
    return Breach(rule="PR-106", field=field, message=text)
