"""The rules of StartFineTuningJob about its configs: that they exist, and hold what the libraries know and the studio allows."""

from __future__ import annotations

from collections.abc import Iterator

from core.facts import renamed, wrong
from core.messages.common import exists
from core.messages.configs import ConfigTextError, parse_config
from core.messages.fine_tuning import CONFIG_FIELDS, StartFineTuningJob
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import ConfigType, Severity


@rule(
    StartFineTuningJob,
    "FT-016",
    "axolotl_config_id",
    need=Need.store,
    passes=[{}, Example({"axolotl_config_id": "c"}, NoWorld({"configs": [{"id": "c", "type": "axolotl"}]}))],
    fails=[
        {"axolotl_config_id": "c"},
        Example({"axolotl_config_id": "l"}, NoWorld({"configs": [{"id": "l", "type": "lora_config"}]})),
    ],
)
def _axolotl_config_exists(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """axolotl_config_id must exist and be of type axolotl when it is given"""
    yield from _config_of(world, message.axolotl_config_id, ConfigType.axolotl)


@rule(
    StartFineTuningJob,
    "FT-101",
    "configs",
    need=Need.store,
    passes=[
        {},
        Example(
            {"lora_config_id": "l"}, NoWorld({"configs": [{"id": "l", "type": "lora_config", "config": '{"r": 8}'}]})
        ),
    ],
    fails=[
        {"lora_config_id": "gone"},
        Example({"lora_config_id": "l"}, NoWorld({"configs": [{"id": "l", "type": "custom", "config": "{}"}]})),
        Example(
            {"lora_config_id": "l"}, NoWorld({"configs": [{"id": "l", "type": "lora_config", "config": '{"rank": 8}'}]})
        ),
    ],
)
def _configs_exist(message: StartFineTuningJob, world: World) -> Iterator[Breach]:
    """config ids must exist, be of the field's type, and hold keys that the libraries know and the studio allows"""
    for stem, kind in CONFIG_FIELDS:
        id = getattr(message, f"{stem}_id")
        if id and getattr(message, stem) is None:
            row = world.get("configs", id)
            complaints = list(_config_of(world, id, kind)) or (list(_content(kind, row["config"])) if row else [])
            yield from (Breach(rule="FT-101", field=f"{stem}_id", message=text) for text in complaints)


@rule(
    StartFineTuningJob,
    "FT-102",
    "configs",
    passes=[{"lora_config": '{"r": 8}'}, {"training_arguments_config": '{"warmup_ratio": 0.03}'}],
    fails=[
        {"lora_config": "{"},
        {"lora_config": '{"rank": 8}'},
        {"training_arguments_config": '{"push_to_hub": true}'},
    ],
)
def _inline_configs(message: StartFineTuningJob, world: World) -> Iterator[Breach]:
    """inline configs must be JSON objects of keys that the libraries know and the studio allows"""
    for stem, kind in CONFIG_FIELDS:
        text = getattr(message, stem)
        if text is not None:
            yield from (Breach(rule="FT-102", field=stem, message=found) for found in _content(kind, text))


@rule(
    StartFineTuningJob,
    "FT-103",
    "training_arguments_config",
    severity=Severity.INFO,
    passes=[{}],
    fails=[{"training_arguments_config": '{"warmup_ratio": 0.03}'}],
)
def _older_keys(message: StartFineTuningJob, world: World) -> Iterator[str]:
    """keys of older libraries are accepted and translated at launch"""
    if message.training_arguments_config is not None:
        try:
            content = parse_config(ConfigType.training_arguments, message.training_arguments_config)
        except ConfigTextError:
            return  # told by FT-102
        yield from renamed(ConfigType.training_arguments, content)


def _config_of(world: World, id: str | None, kind: ConfigType) -> Iterator[str]:
    yield from exists(world, "configs", id, "config")
    row = world.get("configs", id) if id else None
    if row is not None and row["type"] != kind:
        yield f"config {id!r} is of type {row['type']}, not {kind}"


def _content(kind: ConfigType, text: str) -> Iterator[str]:
    try:
        content = parse_config(kind, text)
    except ConfigTextError as error:
        yield str(error)
        return
    yield from wrong(kind, content)
