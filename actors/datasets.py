"""Handlers of datasets."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

from sqlalchemy import select
from sqlalchemy.orm import Session

from actors.directories import directory_facts
from actors.handlers import handles
from actors.pages import Shelf, by, containing, equal, found, page
from actors.places import Key
from actors.tables import BadFile, inspect_file
from actors.world import RealWorld, as_dict, inspects
from core.messages.datasets import (
    FILES,
    AddDataset,
    DatasetMetadata,
    DatasetReply,
    DatasetsReply,
    GetDataset,
    ListDatasets,
)
from core.splits import TRAIN
from core.store.session import Unit
from core.store.tables import Dataset
from core.types import DatasetType


@inspects("dataset")
def _inspect(message: AddDataset, world: RealWorld) -> dict[str, Any]:
    """What the columns are, how many rows there are, and the file's SHA-256 or the Hub's commit."""
    if message.type == DatasetType.huggingface:
        from actors.hub import dataset_facts

        return dataset_facts(
            message.huggingface_name or "", world.desk.settings.hub_token, message.config_name.strip() or None
        )
    path = world.path(message.location or "")
    if message.type == DatasetType.project:
        return directory_facts(path, world.path)
    suffix = FILES[DatasetType(message.type)]
    if path.suffix.lower() != suffix:  # a link may be called otherwise than the file that it leads to
        raise BadFile(f"{message.location} leads to {path.name}, which is no {suffix} file")
    facts = inspect_file(path)
    return {**vars(facts), "splits": {TRAIN: facts.rows}, "location": str(path)}


@handles(AddDataset)
def add_dataset(message: AddDataset, unit: Unit, world: RealWorld) -> DatasetReply:
    """Store what was inspected."""
    facts = world.inspect("dataset", message)
    row = Dataset(
        id=str(uuid4()),
        type=message.type,
        name=message.own_name,
        description=message.description or facts.get("description"),
        huggingface_name=message.repository if message.type == DatasetType.huggingface else None,
        config_name=message.config_name.strip() if message.type == DatasetType.huggingface else "",
        location=facts.get("location"),
        column_types=facts.get("column_types"),
        preview=facts.get("preview"),
        is_chat=facts.get("is_chat"),
        splits=facts.get("splits"),
        features=json.dumps(facts["features"]),
        rows=facts.get("rows"),
        bytes=facts.get("bytes"),
        sha256=facts.get("sha256"),
        revision=facts.get("revision"),
        created_at=unit.now,
    )
    unit.session.add(row)
    unit.session.flush()
    unit.emit("ResourceAdded", "datasets", row.id, f"dataset {row.name} was added", name=row.name)
    return DatasetReply(dataset=metadata(row))


@handles(GetDataset)
def get_dataset(message: GetDataset, session: Session, world: RealWorld) -> DatasetReply:
    """One dataset."""
    return DatasetReply(dataset=metadata(found(session, Dataset, message.id, "dataset")))


SHELF = Shelf(
    select(Dataset),
    Dataset.id,
    own=(Key(Dataset.created_at),),
    orders=by(Dataset, "name", "type", "rows", "bytes", "created_at"),
    seen=(Dataset.name, Dataset.type, Dataset.features, Dataset.location, Dataset.huggingface_name, Dataset.id),
    what="dataset",
)


@handles(ListDatasets)
def list_datasets(message: ListDatasets, session: Session, world: RealWorld) -> DatasetsReply:
    """A page of datasets."""
    query = equal(containing(SHELF.query, message.name_contains, Dataset.name), (Dataset.type, message.type))
    part = page(session, SHELF, message, query)
    return DatasetsReply(
        datasets=[metadata(row).model_copy(update={"preview": None}) for row in part.rows], **part.told
    )


def metadata(row: Dataset) -> DatasetMetadata:
    """The row as it is answered."""
    return DatasetMetadata.model_validate({**as_dict(row), "features": json.loads(row.features or "[]")})
