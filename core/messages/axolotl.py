"""What Axolotl adds to fine-tuning: the format that fits a dataset, and the prompt made when a request brings none."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import Field

from core.axolotl import Format, FormatError, format_for, ranked, shipped_formats, stored_formats
from core.messages.base import Query, Value
from core.messages.common import exists, filled
from core.messages.configs import ConfigTextError, parse_config
from core.messages.fine_tuning import StartFineTuningJob
from core.rules import Example, Need, NoWorld, World, rule
from core.types import ConfigType, FineTuningFrameworkType


class FittingFormat(Value):
    """A format that shares columns with the dataset; it can be used when it lacks none."""

    name: str
    shared: list[str] = Field([], description="Its columns that the dataset has.")
    lacking: list[str] = Field([], description="Its required columns that the dataset lacks.")


class AxolotlFormatsReply(Value):
    """The formats that share columns with the dataset, best first; `chosen` is what a job takes by itself."""

    chosen: str | None = None
    formats: list[FittingFormat] = []


class MatchAxolotlFormats(Query[AxolotlFormatsReply]):
    """Tell which of Axolotl's dataset formats fit a dataset's columns."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"dataset_id": "d"}

    dataset_id: str = ""


@rule(
    MatchAxolotlFormats,
    "FT-014",
    "dataset_id",
    need=Need.store,
    passes=[Example({}, NoWorld({"datasets": [{"id": "d"}]}))],
    fails=[{}, {"dataset_id": ""}],
)
def _dataset(message: MatchAxolotlFormats, world: World) -> Iterator[str]:
    """dataset_id must exist"""
    yield from filled(message.dataset_id, "dataset_id")
    yield from exists(world, "datasets", message.dataset_id, "dataset")


def _with(yaml: str, features: str = '["instruction", "output"]') -> Example:
    alpaca = json.dumps(shipped_formats()["alpaca"])
    return Example(
        {"framework_type": "axolotl", "axolotl_config_id": "c", "prompt_id": None},
        NoWorld(
            {
                "datasets": [{"id": "d", "features": features}],
                "configs": [
                    {"id": "c", "type": "axolotl", "config": yaml},
                    {"id": "f", "type": "axolotl_dataset_formats", "description": "alpaca", "config": alpaca},
                ],
            }
        ),
    )


@rule(
    StartFineTuningJob,
    "FT-109",
    "axolotl_config_id",
    need=Need.store,
    passes=[_with("datasets: [{path: , type: alpaca}]"), _with("base_model: x"), {"axolotl_config_id": "c"}],
    fails=[
        _with("datasets: [{type: nothing}]"),
        _with("datasets: [{type: {field_output: x}}]"),
        _with("base_model: x", '["a", "b"]'),
        _with("datasets: [{type: alpaca}]", '["instruction"]'),
    ],
)
def _auto_prompt(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """without a prompt_id, axolotl's dataset format must be known and fit the dataset, so that a prompt can be made"""
    try:
        format_of(message, world)
    except FormatError as error:
        yield str(error)


def formats_in(world: World) -> list[Format]:
    """Every format that is stored."""
    return stored_formats(world.find("configs", type=ConfigType.axolotl_dataset_formats.value))


def matching(features: list[str], formats: list[Format]) -> AxolotlFormatsReply:
    """The formats that share columns with the dataset."""
    found = ranked(features, formats)
    chosen = next((each.name for each in found[:1] if not each.lacking(features)), None)
    told = [FittingFormat(name=f.name, shared=f.present(features), lacking=f.lacking(features)) for f in found]
    return AxolotlFormatsReply(chosen=chosen, formats=told)


def needs_prompt(message: StartFineTuningJob) -> bool:
    """Whether the request leaves the prompt to the studio."""
    axolotl = message.framework_type == FineTuningFrameworkType.axolotl
    return bool(axolotl and not message.prompt_id and message.axolotl_config_id)


def format_of(message: StartFineTuningJob, world: World) -> Format | None:
    """The format that the request's prompt is made of; None when it needs none, or other rules tell why not.

    Raises FormatError.
    """
    if not needs_prompt(message):
        return None
    config, dataset = world.get("configs", message.axolotl_config_id or ""), world.get("datasets", message.dataset_id)
    if config is None or dataset is None or config["type"] != ConfigType.axolotl:
        return None
    try:
        content = parse_config(ConfigType.axolotl, config["config"] or "{}")
    except ConfigTextError as error:
        raise FormatError(f"the Axolotl config can't be read: {error}") from None
    return format_for(content, features_of(dataset), formats_in(world))


def features_of(dataset: Mapping[str, Any]) -> list[str]:
    """The columns of a row of datasets."""
    features: list[str] = json.loads(dataset.get("features") or "[]")
    return features
