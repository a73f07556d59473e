"""From a request to a sealed specification: every input is looked up and frozen here, once."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy.orm import Session

from actors.configs import keep
from actors.world import RealWorld
from core.errors import Refused
from core.messages.choosing import a_worker, chosen
from core.messages.configs import parse_config
from core.messages.evaluation import StartEvaluationJob
from core.messages.fine_tuning import FineTuningRequest
from core.paths import PathRefused, inside_any
from core.rules import Breach
from core.settings import Settings
from core.spec import AdapterSource, DatasetSource, ModelSource, PromptSource, Resources
from core.store.session import Unit
from core.store.tables import Adapter, Config, Dataset, Model, Prompt
from core.types import ConfigType

WEIGHTS = ".safetensors"  # what else lies beside them may change: a README, a path to the base in adapter_config.json


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
        files={name: sha for name, sha in (row.files or {}).items() if name.endswith(WEIGHTS)},
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


def resources(message: FineTuningRequest | StartEvaluationJob) -> Resources:
    """What the job occupies."""
    if isinstance(message, FineTuningRequest):
        cpus, gpus, memory = a_worker(message)
    else:
        cpus, gpus, memory = message.num_cpu, message.num_gpu, message.num_memory
    return Resources(
        cpus=cpus,
        gpus=gpus,
        memory=memory,
        workers=getattr(message, "num_workers", 1),
        gpu_label_id=None if message.gpu_label_id < 0 else message.gpu_label_id,
    )


def configs(
    message: FineTuningRequest, unit: Unit, world: RealWorld
) -> dict[str, tuple[str | None, dict[str, Any] | None]]:
    """(config id, content) of each config field: inline text becomes a config, an id its snapshot, nothing the default."""
    found: dict[str, tuple[str | None, dict[str, Any] | None]] = {}
    for stem, each in chosen(message, world).items():
        id = keep(unit, each.kind, each.text)[0].id if each.text is not None else each.id
        found[stem] = (id, each.content(world))
    return found


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
