"""Which configs a training request means: inline text, an id's, or the default. Decided in one place, for rules and for freezing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.facts import default, facts
from core.messages.configs import parse_config
from core.messages.fine_tuning import CONFIG_FIELDS, FineTuningRequest
from core.rules import World
from core.types import ConfigType

# Without a config of that type a job runs with the guide's defaults; quantisation only when it is asked for.
DEFAULTED = (ConfigType.training_arguments, ConfigType.lora_config)
SHIPPED = 1  # is_default of what the studio brings along


@dataclass(frozen=True)
class Chosen:
    """A config: inline text that is to be kept, or the id of one that is stored; neither: none."""

    kind: ConfigType
    id: str | None = None
    text: str | None = None

    def content(self, world: World) -> dict[str, Any] | None:
        """What it holds; raises ConfigTextError."""
        text = self.text
        if text is None and self.id is not None:
            row = world.get("configs", self.id)
            text = str(row["config"] or "{}") if row is not None else None
        return None if text is None else parse_config(self.kind, text)


def chosen(message: FineTuningRequest, world: World) -> dict[str, Chosen]:
    """The config of each config field."""
    found: dict[str, Chosen] = {}
    for stem, kind in CONFIG_FIELDS:
        text, id = getattr(message, stem), getattr(message, f"{stem}_id") or None
        if text is None and id is None and kind in DEFAULTED and not message.axolotl_config_id:
            id = _familys_default(world, kind, message.base_model_id)
            text = None if id else json.dumps(default(kind))
        found[stem] = Chosen(kind, text=text) if text is not None else Chosen(kind, id=id)
    return found


def _familys_default(world: World, kind: ConfigType, model_id: str) -> str | None:
    """The id of the default of that type for the model's family, the oldest; None when it has none."""
    model = world.get("models", model_id) if model_id else None
    family = model.get("family") if model is not None else None
    if not family:
        return None
    rows = world.find("configs", type=kind.value, model_family=family, is_default=SHIPPED)
    oldest = min(rows, key=lambda row: (row.get("created_at") or float("-inf"), row["id"]), default=None)
    return None if oldest is None else str(oldest["id"])


def training_arguments(content: Mapping[str, Any], message: FineTuningRequest) -> dict[str, Any]:
    """What the trainer gets: older keys translated, the request's epochs and learning rate over the config's."""
    made = translate(content)
    if message.num_epochs is not None:
        made["num_train_epochs"] = message.num_epochs
    if message.learning_rate is not None:
        made["learning_rate"] = message.learning_rate
    return made


def translate(content: Mapping[str, Any]) -> dict[str, Any]:
    """Replace keys of older libraries by today's (docs/decisions.md); a key that both names set keeps today's value."""
    renamed = (facts(ConfigType.training_arguments) or {})["renamed"]
    made = {key: value for key, value in content.items() if key not in renamed}
    for key, value in content.items():
        if key in renamed and renamed[key]["to"] is not None:
            made.setdefault(renamed[key]["to"], _translated(value, renamed[key]))
    return made


def _translated(value: Any, how: dict[str, Any]) -> Any:
    values: dict[str, Any] = how.get("values", {})
    return values.get(json.dumps(value), value)


def a_worker(message: FineTuningRequest) -> tuple[int, int, int]:
    """CPU cores, GPUs and GiB of one worker: of distributed training its own fields, as far as they are given."""
    single = (message.num_cpu, message.num_gpu, message.num_memory)
    if message.num_workers == 1:
        return single
    given = (message.dist_cpu, message.dist_gpu, message.dist_mem)
    cpus, gpus, memory = (own if own is not None else one for own, one in zip(given, single, strict=True))
    return cpus, gpus, memory
