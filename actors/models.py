"""Handlers of base models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.looking import name_of
from actors.pages import Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.tables import sha256
from actors.world import RealWorld, as_dict, inspects
from core.errors import Unavailable
from core.messages.models import TOKENIZERS, AddModel, GetModel, ListModels, ModelMetadata, ModelReply, ModelsReply
from core.shapes import read_shape
from core.store.session import Unit
from core.store.tables import Model
from core.types import ModelFrameworkType, ModelType


@inspects("model")
def _inspect(message: AddModel, world: RealWorld) -> dict[str, Any]:
    """Family, weights with their SHA-256, or the Hub's commit."""
    if message.type == ModelType.huggingface:
        from actors.hub import model_facts

        return model_facts(message.huggingface_name or "", world.desk.settings.hub_token)
    if message.type == ModelType.model_registry:
        return _in_registry(message, world)
    return directory_facts(world.path(message.location or ""))


def _in_registry(message: AddModel, world: RealWorld) -> dict[str, Any]:
    """The version that the id means now, and what the studio's copy of it holds; no copy is made for nothing."""
    from actors import copies, registry

    version = registry.find(world.desk.settings, message.model_registry_id or "")
    if world.find("models", **version.key):
        return version.facts
    return copies.facts(message, world, version, copies.model_files, directory_facts)


def directory_facts(path: Path) -> dict[str, Any]:
    """What a model's directory holds; raises ValueError with all that it lacks."""
    if not path.is_dir():
        raise ValueError(f"{path} does not exist as a directory")
    weights = sorted(each for each in path.glob("*.safetensors") if each.is_file())  # a pipe would be waited for
    pickled = sorted(each.name for pattern in ("*.bin", "*.pt", "*.pth") for each in path.glob(pattern))
    lacks = []
    if not (path / "config.json").is_file():
        lacks.append("config.json")
    if not any((path / name).is_file() for name in TOKENIZERS):
        lacks.append(f"tokenizer ({', '.join(TOKENIZERS)})")
    if not weights:
        told = (
            f" ({', '.join(pickled)}: pickled weights can run code and are not loaded; convert them)" if pickled else ""
        )
        lacks.append(f"*.safetensors weights{told}")
    lacks += [
        f"{name}, which the index of its weights names"
        for name in sorted(_indexed(path) - {each.name for each in weights})
    ]
    if lacks:
        raise ValueError(f"{path} has no {', no '.join(lacks)}")
    files = {each.name: sha256(each) for each in weights}
    size = sum(each.stat().st_size for each in weights)
    return {"location": str(path), "family": _family(path), "files": files, "bytes": size, "shape": _shape(path)}


def _shape(path: Path) -> dict[str, Any] | None:
    """What the files tell of the model's sizes; one that tells too little is a model all the same."""
    try:
        return read_shape(path).model_dump()
    except ValueError:
        return None


def _indexed(path: Path) -> set[str]:
    """The files that sharded weights must have."""
    index = path / "model.safetensors.index.json"
    files = _mapping(index).get("weight_map") if index.is_file() else None
    return set(map(str, files.values())) if isinstance(files, dict) else set()


def _family(path: Path) -> str | None:
    architectures = _mapping(path / "config.json").get("architectures")
    return name_of(architectures[0]) if isinstance(architectures, list) and architectures else None


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold an object, not {type(content).__name__}")
    return content


@handles(AddModel)
def add_model(message: AddModel, unit: Unit, world: RealWorld) -> ModelReply:
    """Store what was inspected."""
    facts = world.inspect("model", message)
    if message.type == ModelType.model_registry and "location" not in facts:
        raise moved_on(message.own_name)
    row = Model(
        id=str(uuid4()),
        type=message.type,
        framework=ModelFrameworkType.pytorch.value,
        name=message.own_name,
        description=message.description,
        huggingface_model_name=message.repository if message.type == ModelType.huggingface else None,
        location=facts.get("location"),
        cml_registered_model_id=facts.get("cml_registered_model_id", message.model_registry_id),
        mlflow_experiment_id=facts.get("mlflow_experiment_id"),
        mlflow_run_id=facts.get("mlflow_run_id"),
        source=facts.get("source"),
        revision=facts.get("revision"),
        family=facts.get("family"),
        files=facts.get("files"),
        bytes=facts.get("bytes"),
        shape=facts.get("shape"),
        created_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.emit("ResourceAdded", "models", row.id, f"model {row.name} was added", name=row.name)
    return ModelReply(model=metadata(row))


def moved_on(name: str) -> Unavailable:
    """What was in the way of a copy is there no more: what is asked for is done the next time."""
    return Unavailable(f"what stood in the way of {name} went while it was looked at; send this again")


@handles(GetModel)
def get_model(message: GetModel, session: Session, world: RealWorld) -> ModelReply:
    """One model."""
    return ModelReply(model=metadata(found(session, Model, message.id, "model")))


SHELF = Shelf(
    select(Model),
    Model.id,
    own=(Key(Model.created_at),),
    orders=by(Model, "name", "type", "family", "bytes", "created_at"),
    seen=(Model.name, Model.type, Model.family, Model.location, Model.huggingface_model_name, Model.id),
    what="model",
)


@handles(ListModels)
def list_models(message: ListModels, session: Session, world: RealWorld) -> ModelsReply:
    """A page of models."""
    query = equal(
        containing(SHELF.query, message.name_contains, Model.name),
        (Model.type, message.type),
        (Model.family, message.family),
    )
    part = page(session, SHELF, message, query)
    return ModelsReply(models=[metadata(row) for row in part.rows], **part.told)


def metadata(row: Model) -> ModelMetadata:
    """The row as it is answered."""
    return ModelMetadata.model_validate(as_dict(row))
