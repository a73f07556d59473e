"""From a request to a sealed specification: every input is looked up and frozen here, once."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.configs import SHIPPED, keep
from actors.world import RealWorld
from core.errors import Refused
from core.facts import default, facts
from core.messages.configs import parse_config
from core.messages.evaluation import StartEvaluationJob
from core.messages.fine_tuning import CONFIG_FIELDS, StartFineTuningJob
from core.paths import PathRefused, inside_any
from core.rules import Breach
from core.settings import Settings
from core.spec import AdapterSource, DatasetSource, ModelSource, PromptSource, Resources
from core.store.session import Unit
from core.store.tables import Adapter, Config, Dataset, Model, Prompt
from core.types import ConfigType

# Without a config of that type a job runs with the guide's defaults; quantisation only when it is asked for.
DEFAULTED = (ConfigType.training_arguments, ConfigType.lora_config)


def model_source(settings: Settings, session: Session, id: str) -> ModelSource:
    """The model as it was recorded; raises Refused when it has no files here, or outside the allowed directories."""
    row = session.get_one(Model, id)
    return ModelSource(
        id=row.id,
        name=row.name or "",
        location=_place(settings, "base_model", row, row.huggingface_model_name),
        hub_name=row.huggingface_model_name,
        revision=row.revision,
        files=row.files or {},
    )


def adapter_source(settings: Settings, session: Session, id: str) -> AdapterSource:
    """The adapter as it was recorded; raises Refused when it has no files here, or outside the allowed directories."""
    row = session.get_one(Adapter, id)
    return AdapterSource(
        id=row.id,
        name=row.name or "",
        location=_place(settings, "adapter", row, row.huggingface_name),
        hub_name=row.huggingface_name,
        revision=row.revision,
    )


def dataset_source(settings: Settings, session: Session, id: str) -> DatasetSource:
    """The dataset as it was recorded; raises Refused when it has no files here, or outside the allowed directories."""
    row = session.get_one(Dataset, id)
    return DatasetSource(
        id=row.id,
        name=row.name or "",
        type=row.type or "",
        location=_place(settings, "dataset", row, row.huggingface_name),
        hub_name=row.huggingface_name,
        config_name=row.config_name or None,
        revision=row.revision,
        sha256=row.sha256,
        features=json.loads(row.features or "[]"),
    )


def _place(settings: Settings, what: str, row: Model | Adapter | Dataset, hub_name: str | None) -> str | None:
    """Where the row's files are, absolute. An imported row may name any place: those of users and the studio's own are read.

    What lies beside the file of the project defaults is the studio's own too.
    """
    if row.location is None and not hub_name:
        text = f"{row.name!r} has no files here: it was imported without them; add it again from where it came"
        raise Refused.because([Breach(rule="MS-109", field=f"{what}_id", message=text)])
    if row.location is None:
        return None
    adapters = settings.adapters_root
    own = [adapters, settings.artifacts_root, settings.defaults_file.parent]
    try:
        return str(inside_any([*settings.roots, *own], row.location))
    except PathRefused as error:
        text = f"{row.name!r} can't be used: {error}"
        raise Refused.because([Breach(rule="MS-108", field=f"{what}_id", message=text)]) from None


def prompt_source(session: Session, id: str) -> PromptSource:
    """The templates as they are now."""
    row = session.get_one(Prompt, id)
    return PromptSource(
        id=row.id,
        name=row.name or "",
        prompt_template=row.prompt_template or "",
        input_template=row.input_template or "",
        completion_template=row.completion_template or "",
    )


def resources(message: StartFineTuningJob | StartEvaluationJob) -> Resources:
    """What the job occupies."""
    cpus, gpus, memory = a_worker(message)
    return Resources(
        cpus=cpus,
        gpus=gpus,
        memory=memory,
        workers=getattr(message, "num_workers", 1),
        gpu_label_id=None if message.gpu_label_id < 0 else message.gpu_label_id,
    )


def a_worker(message: StartFineTuningJob | StartEvaluationJob) -> tuple[int, int, int]:
    """CPU cores, GPUs and GiB of one worker: of distributed training its own fields, as far as they are given."""
    single = (message.num_cpu, message.num_gpu, message.num_memory)
    if isinstance(message, StartEvaluationJob) or message.num_workers == 1:
        return single
    given = (message.dist_cpu, message.dist_gpu, message.dist_mem)
    cpus, gpus, memory = (own if own is not None else one for own, one in zip(given, single, strict=True))
    return cpus, gpus, memory


def configs(message: StartFineTuningJob, unit: Unit) -> dict[str, tuple[str | None, dict[str, Any] | None]]:
    """(config id, content) of each config field: inline text becomes a config, an id its snapshot, nothing the default."""
    found: dict[str, tuple[str | None, dict[str, Any] | None]] = {}
    for stem, kind in CONFIG_FIELDS:
        text, id = getattr(message, stem), getattr(message, f"{stem}_id") or None
        if text is None and id is None and kind in DEFAULTED and not message.axolotl_config_id:
            id = familys_default(unit.session, kind, message.base_model_id)
            text = None if id else json.dumps(default(kind))
        if text is not None:
            row, _ = keep(unit, kind, text)
            found[stem] = (row.id, parse_config(kind, text))
        elif id is not None:
            found[stem] = (id, parse_config(kind, unit.session.get_one(Config, id).config or "{}"))
        else:
            found[stem] = (None, None)
    return found


def familys_default(session: Session, kind: ConfigType, model_id: str) -> str | None:
    """The id of the default of that type for the model's family, the oldest; None when it has none."""
    of_family = select(Config.id).join(Model, Model.family == Config.model_family)
    return session.scalar(
        of_family.where(Model.id == model_id, Config.type == kind.value, Config.is_default == SHIPPED)
        .order_by(Config.created_at.nulls_first(), Config.id)
        .limit(1)
    )


def training_arguments(content: dict[str, Any], message: StartFineTuningJob) -> dict[str, Any]:
    """What the trainer gets: older keys translated, the request's epochs and learning rate over the config's."""
    made = translate(content)
    if message.num_epochs is not None:
        made["num_train_epochs"] = message.num_epochs
    if message.learning_rate is not None:
        made["learning_rate"] = message.learning_rate
    return made


def translate(content: dict[str, Any]) -> dict[str, Any]:
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


def from_id_or_text(
    world: RealWorld, unit: Unit, kind: ConfigType, given: str | None
) -> tuple[str | None, dict[str, Any] | None]:
    """(config id, content) of a field that takes either inline JSON or an id."""
    if given is None:
        return None, None
    if given.lstrip().startswith("{"):
        row, _ = keep(unit, kind, given)
        return row.id, parse_config(kind, given)
    return given, parse_config(kind, unit.session.get_one(Config, given).config or "{}")
