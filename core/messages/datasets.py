"""Datasets: references to rows in a file or on the Hub (guide, "Dataset Specification")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Query, Value
from core.messages.common import (
    Name,
    NameContains,
    Page,
    PagedQuery,
    filled,
    inspected,
    known,
    one_of,
    one_of_or_none,
    ordered,
    repository,
    unique,
)
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import DatasetType

FILES = {
    DatasetType.project_csv: ".csv",
    DatasetType.project_json: ".json",
    DatasetType.project_jsonl: ".jsonl",
    DatasetType.project_parquet: ".parquet",
}


class DatasetMetadata(Value):
    """A registered dataset. `features` are the columns' names; `sha256` is that of the file, or the directory's files, when it was added."""

    id: str
    type: str
    name: str
    description: str | None = None
    huggingface_name: str | None = None
    location: str | None = None
    config_name: str = Field("", description="Which of its configs, of a dataset on the Hub that has several.")
    features: list[str] = []
    column_types: dict[str, str] | None = Field(None, description="column -> type by Arrow's names; a CSV's are text.")
    is_chat: bool | None = Field(None, description="Whether rows are conversations (messages, or conversations).")
    preview: list[dict[str, Any]] | None = Field(
        None, description="The first rows, long texts cut; in the replies to one dataset only, not in lists."
    )
    rows: int | None = Field(None, description="Rows of train, or of all splits when there is no train.")
    splits: dict[str, int | None] | None = Field(None, description="split -> rows, as far as both are known.")
    bytes: int | None = None
    sha256: str | None = None
    revision: str | None = None
    created_at: float | None = None


class DatasetReply(Value):
    """One dataset."""

    dataset: DatasetMetadata


class DatasetsReply(Page):
    """A page of datasets; `has_more` tells that `after` the last one there are more."""

    datasets: list[DatasetMetadata]


class AddDataset(Command[DatasetReply]):
    """Register a dataset: a CSV, JSON, JSONL or Parquet file, a project directory, or one on the Hugging Face Hub."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 120
    EXAMPLE: ClassVar[dict[str, Any]] = {"type": "project_csv", "name": "tickets", "location": "tickets.csv"}

    type: str = Field("", json_schema_extra=known(DatasetType))
    name: Name = Field("", description="A unique name; the Hub's name when left out for huggingface.")
    location: str | None = Field(None, description="The file or directory, in the project.")
    huggingface_name: Name | None = Field(None, description="org/name[@revision] on the Hub.")
    config_name: Name = Field("", description="Which of its configs, when the dataset on the Hub has several.")
    description: str | None = None

    @property
    def repository(self) -> str:
        """The name on the Hub, without a revision."""
        return repository(self.huggingface_name)

    @property
    def own_name(self) -> str:
        """The name that the dataset gets."""
        config = self.config_name.strip()
        return self.name.strip() or (f"{self.repository}/{config}" if config else self.repository)


class GetDataset(Query[DatasetReply]):
    """Return one dataset by its id."""

    id: str


class ListDatasets(PagedQuery[DatasetsReply]):
    """Return datasets, oldest first."""

    order: str | None = ordered("name", "type", "rows", "bytes", "created_at")
    name_contains: NameContains = None
    type: str | None = Field(None, description="Only datasets of this type.", json_schema_extra=known(DatasetType))


@rule(ListDatasets, "DS-001", "type", passes=[{}, {"type": "huggingface"}], fails=[{"type": "zip"}, {"type": ""}])
def _listed_type(message: ListDatasets, world: World) -> Iterator[str]:
    """a list is filtered by a type that there is"""
    yield from one_of_or_none(message.type, DatasetType, "type")


@rule(
    AddDataset, "DS-001", "type", passes=[{"type": "project_json", "location": "a.json"}], fails=[{"type": "parquet"}]
)
def _type(message: AddDataset, world: World) -> Iterator[str]:
    """type must be one of huggingface, project, project_csv, project_json, project_jsonl, project_parquet"""
    yield from one_of(message.type, DatasetType, "type")


@rule(AddDataset, "DS-102", "name", passes=[{}], fails=[{"name": " "}])
def _name(message: AddDataset, world: World) -> Iterator[str]:
    """name is required for datasets of the project"""
    if message.type != DatasetType.huggingface:
        yield from filled(message.name, "name")


@rule(
    AddDataset,
    "DS-102",
    "huggingface_name",
    passes=[{"type": "huggingface", "huggingface_name": "org/data"}],
    fails=[{"type": "huggingface", "huggingface_name": ""}],
)
def _hub_name(message: AddDataset, world: World) -> Iterator[str]:
    """huggingface_name is required for datasets of the Hub"""
    if message.type == DatasetType.huggingface:
        yield from filled(message.huggingface_name, "huggingface_name")


@rule(AddDataset, "DS-102", "location", passes=[{}], fails=[{"location": None}])
def _location(message: AddDataset, world: World) -> Iterator[str]:
    """location is required for datasets of the project"""
    if message.type in DatasetType.__members__ and message.type != DatasetType.huggingface:
        yield from filled(message.location, "location")


@rule(AddDataset, "DS-003", "location", passes=[{}], fails=[{"location": "tickets.txt"}])
def _suffix(message: AddDataset, world: World) -> Iterator[str]:
    """the file's extension must match the declared type"""
    suffix = FILES.get(message.type)  # type: ignore[call-overload]
    if suffix and message.location and not message.location.lower().endswith(suffix):
        yield f"location must end with {suffix} for type {message.type}, not {message.location!r}"


@rule(
    AddDataset,
    "DS-003",
    "location",
    need=Need.files,
    passes=[Example({}, NoWorld(found={"dataset": {"features": ["a"]}}))],
    fails=[Example({}, NoWorld(found={"dataset": ValueError("tickets.csv does not exist")}))],
)
def _readable(message: AddDataset, world: World) -> Iterator[str | Breach]:
    """the file must exist, be readable and hold rows"""
    if message.location and message.type in DatasetType.__members__ and message.type != DatasetType.huggingface:
        yield from inspected(world, "dataset", message)


@rule(
    AddDataset,
    "DS-002",
    "huggingface_name",
    need=Need.network,
    passes=[Example({"type": "huggingface", "huggingface_name": "o/d"}, NoWorld(found={"dataset": {"features": []}}))],
    fails=[
        Example({"type": "huggingface", "huggingface_name": "o/d"}, NoWorld(found={"dataset": ValueError("not found")}))
    ],
)
def _on_hub(message: AddDataset, world: World) -> Iterator[str | Breach]:
    """the dataset must be found on the Hub"""
    if message.type == DatasetType.huggingface and message.huggingface_name:
        yield from inspected(world, "dataset", message)


@rule(
    AddDataset,
    "DS-101",
    "name",
    need=Need.store,
    passes=[{}],
    fails=[Example({}, NoWorld({"datasets": [{"id": "1", "name": "tickets"}]}))],
)
def _unique_name(message: AddDataset, world: World) -> Iterator[str]:
    """a dataset's name is unique"""
    yield from unique(world, "datasets", "name", message.own_name, "dataset")


@rule(
    AddDataset,
    "DS-101",
    "huggingface_name",
    need=Need.store,
    passes=[
        {},
        Example(
            {"type": "huggingface", "huggingface_name": "o/d", "config_name": "b"},
            NoWorld({"datasets": [{"id": "1", "name": "x", "huggingface_name": "o/d", "config_name": "a"}]}),
        ),
    ],
    fails=[
        Example(
            {"type": "huggingface", "huggingface_name": "o/d@v2"},
            NoWorld({"datasets": [{"id": "1", "name": "x", "huggingface_name": "o/d", "config_name": ""}]}),
        )
    ],
)
def _unique_hub_name(message: AddDataset, world: World) -> Iterator[str]:
    """a dataset of the Hub, or each of its configs, is registered once"""
    if message.type != DatasetType.huggingface:
        return
    config = message.config_name.strip()
    for row in world.find("datasets", huggingface_name=message.repository, config_name=config):
        yield f"the dataset {message.repository}{f' ({config})' if config else ''} is registered (id {row['id']})"
