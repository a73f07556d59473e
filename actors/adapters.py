"""Handlers of adapters."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.looking import name_of
from actors.models import moved_on
from actors.pages import Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.tables import sha256
from actors.world import RealWorld, as_dict, inspects
from core.messages.adapters import AdapterMetadata, AdapterReply, AdaptersReply, AddAdapter, GetAdapter, ListAdapters
from core.messages.common import repository
from core.store.session import Unit
from core.store.tables import Adapter
from core.types import AdapterType


@inspects("adapter")
def _inspect(message: AddAdapter, world: RealWorld) -> dict[str, Any]:
    """The base model that the adapter names, its weights with their SHA-256, or the Hub's commit."""
    if message.type == AdapterType.huggingface:
        from actors.hub import adapter_facts

        return adapter_facts(message.huggingface_name or "", world.desk.settings.hub_token)
    if message.type == AdapterType.model_registry:
        return _in_registry(message, world)
    return directory_facts(world.path(message.location or ""))


def _in_registry(message: AddAdapter, world: RealWorld) -> dict[str, Any]:
    """The version that the id means now, and what the studio's copy of it holds; no copy is made for nothing."""
    from actors import copies, registry

    version = registry.find(world.desk.settings, message.cml_registered_model_id or "")
    return copies.facts(message, world, version, copies.adapter_files, directory_facts)


def directory_facts(path: Path) -> dict[str, Any]:
    """What an adapter's directory holds; raises ValueError with what it lacks."""
    if not path.is_dir():
        raise ValueError(f"{path} does not exist as a directory")
    config, weights = (
        path / "adapter_config.json",
        [each for each in sorted(path.glob("*.safetensors")) if each.is_file()],
    )
    if not config.is_file():
        raise ValueError(f"{path} has no adapter_config.json: it is no PEFT adapter")
    if not weights:
        raise ValueError(f"{path} has no *.safetensors weights; pickled weights can run code and are not loaded")
    try:
        base = json.loads(config.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{config} is no adapter's config: {error}") from None
    return {
        "location": str(path),
        "base_model": name_of(base),
        "files": {each.name: sha256(each) for each in weights},
    }


@handles(AddAdapter)
def add_adapter(message: AddAdapter, unit: Unit, world: RealWorld) -> AdapterReply:
    """Store what was inspected."""
    facts = world.inspect("adapter", message)
    if message.type == AdapterType.model_registry and "location" not in facts:
        raise moved_on(message.name)
    row = Adapter(
        id=str(uuid4()),
        type=message.type,
        name=message.name.strip(),
        description=message.description,
        huggingface_name=repository(message.huggingface_name) or None,
        model_id=message.model_id,
        location=facts.get("location"),
        fine_tuning_job_id=message.fine_tuning_job_id or None,
        prompt_id=message.prompt_id or None,
        cml_registered_model_id=facts.get("cml_registered_model_id", message.cml_registered_model_id),
        mlflow_experiment_id=facts.get("mlflow_experiment_id"),
        mlflow_run_id=facts.get("mlflow_run_id"),
        source=facts.get("source"),
        revision=facts.get("revision"),
        files=facts.get("files"),
        created_at=unit.now,
    )
    return AdapterReply(adapter=store(unit, row))


def store(unit: Unit, row: Adapter) -> AdapterMetadata:
    """Add the row, and say so in the log."""
    unit.session.add(row)
    unit.session.flush()
    unit.emit("ResourceAdded", "adapters", row.id, f"adapter {row.name} was added", name=row.name)
    return metadata(row)


@handles(GetAdapter)
def get_adapter(message: GetAdapter, session: Session, world: RealWorld) -> AdapterReply:
    """One adapter."""
    return AdapterReply(adapter=metadata(found(session, Adapter, message.id, "adapter")))


SHELF = Shelf(
    select(Adapter),
    Adapter.id,
    own=(Key(Adapter.created_at),),
    orders=by(Adapter, "name", "type", "created_at"),
    seen=(Adapter.name, Adapter.type, Adapter.location, Adapter.huggingface_name, Adapter.id),
    what="adapter",
)


@handles(ListAdapters)
def list_adapters(message: ListAdapters, session: Session, world: RealWorld) -> AdaptersReply:
    """A page of adapters."""
    query = equal(
        containing(SHELF.query, message.name_contains, Adapter.name),
        (Adapter.type, message.type),
        (Adapter.model_id, message.model_id),
        (Adapter.prompt_id, message.prompt_id),
        (Adapter.fine_tuning_job_id, message.fine_tuning_job_id),
    )
    part = page(session, SHELF, message, query)
    return AdaptersReply(adapters=[metadata(row) for row in part.rows], **part.told)


def metadata(row: Adapter) -> AdapterMetadata:
    """The row as it is answered."""
    return AdapterMetadata.model_validate(as_dict(row))
