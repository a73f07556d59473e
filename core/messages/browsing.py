"""Looking before one takes: which files there are, and what the rows of a dataset are, registered or not yet."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Query, Value
from core.messages.common import Name, exists, filled, inspected, known, one_of
from core.messages.datasets import FILES
from core.rules import Breach, Example, Need, NoWorld, World, rule
from core.types import DatasetType


class Entry(Value):
    """A file or a directory; `path` as it would be typed on, a directory's with a slash at its end."""

    path: str
    bytes: int | None = None


class FilesReply(Value):
    """Directories first, then files, by name; `has_more` tells that there are others."""

    files: list[Entry] = []
    has_more: bool = False


class ListFiles(Query[FilesReply]):
    """Return the files of the project whose path begins as given: what a path that one types may become."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"beginning": "data/"}

    beginning: str = Field("", max_length=4096, description="The beginning of a path, in the project.")
    limit: int = Field(100, ge=1, le=1000, description="At most this many.")


class RowsReply(Value):
    """Rows of a dataset, long texts cut. `total` is of the split, where it is known without reading on."""

    name: str = Field("", description="Of a registered dataset.")
    columns: list[str] = []
    column_types: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    after: int = Field(0, description="How many rows of the split come before these.")
    has_more: bool = False
    total: int | None = None
    split: str = ""
    splits: dict[str, int | None] = Field({}, description="Every split, and its rows where they are known.")
    is_chat: bool = False
    note: str = Field("", description="Why there is less to see than there is.")


class PreviewDataset(Query[RowsReply]):
    """Show rows of a dataset: of a registered one, or of a file, directory or Hub name before it is added."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 60
    EXAMPLE: ClassVar[dict[str, Any]] = {"type": "project_csv", "location": "tickets.csv"}

    dataset_id: str | None = Field(None, description="A registered dataset; the other fields are for one that is not.")
    type: str = Field("", json_schema_extra=known(DatasetType))
    location: str | None = Field(None, description="The file or directory, in the project.")
    huggingface_name: Name | None = Field(None, description="org/name[@revision] on the Hub.")
    config_name: Name = Field("", description="Which of its configs, when the dataset on the Hub has several.")
    split: str | None = Field(None, description="none: train, or the first there is.")
    after: int = Field(0, ge=0, le=2**31 - 1, description="How many rows of the split are passed over.")
    limit: int = Field(20, ge=1, le=200, description="At most this many rows.")
    longest: int = Field(500, ge=20, le=20_000, description="Characters after which a text is cut.")


_STORED = NoWorld({"datasets": [{"id": "d", "type": "project_csv", "location": "a.csv"}]}, {"rows": {}})
_FOUND = NoWorld(found={"rows": {}})
_REGISTERED: dict[str, Any] = {"dataset_id": "d", "type": "", "location": None}


@rule(
    ListFiles,
    "DS-104",
    "beginning",
    need=Need.files,
    passes=[Example({}, NoWorld(found={"files": []}))],
    fails=[Example({"beginning": "/etc/"}, NoWorld(found={"files": ValueError("/etc is outside the project")}))],
)
def _inside(message: ListFiles, world: World) -> Iterator[str | Breach]:
    """files are listed in the project's directory, and in those that the studio may use besides"""
    yield from inspected(world, "files", message)


@rule(
    PreviewDataset,
    "DS-001",
    "type",
    passes=[{}, {"dataset_id": "d", "type": "", "location": None}],
    fails=[{"type": "zip"}],
)
def _type(message: PreviewDataset, world: World) -> Iterator[str]:
    """type must be one of a dataset's, unless dataset_id names a registered one"""
    if message.dataset_id is None:
        yield from one_of(message.type, DatasetType, "type")


@rule(PreviewDataset, "DS-102", "location", passes=[{}], fails=[{"location": " "}])
def _place(message: PreviewDataset, world: World) -> Iterator[Breach]:
    """location is required for datasets of the project, huggingface_name for those of the Hub"""
    if message.dataset_id is None and message.type in DatasetType.__members__:
        name = "huggingface_name" if message.type == DatasetType.huggingface else "location"
        for text in filled(getattr(message, name), name):
            yield Breach(rule="DS-102", field=name, message=text)


@rule(PreviewDataset, "DS-003", "location", passes=[{}], fails=[{"location": "tickets.txt"}])
def _suffix(message: PreviewDataset, world: World) -> Iterator[str]:
    """the file's extension must match the declared type"""
    suffix = FILES.get(message.type)  # type: ignore[call-overload]
    if message.dataset_id is None and suffix and message.location and not message.location.lower().endswith(suffix):
        yield f"location must end with {suffix} for type {message.type}, not {message.location!r}"


@rule(
    PreviewDataset,
    "DS-105",
    "dataset_id",
    need=Need.store,
    passes=[Example(_REGISTERED, _STORED)],
    fails=[Example(_REGISTERED, _FOUND), Example({"dataset_id": ""}, _STORED)],
)
def _registered(message: PreviewDataset, world: World) -> Iterator[str]:
    """dataset_id must exist when it is given"""
    if message.dataset_id is not None:
        yield from filled(message.dataset_id, "dataset_id")
    yield from exists(world, "datasets", message.dataset_id, "dataset")


@rule(
    PreviewDataset,
    "DS-106",
    "location",
    need=Need.files,
    passes=[Example({}, _FOUND)],
    fails=[Example({}, NoWorld(found={"rows": ValueError("tickets.csv, line 3: a quote is never closed")}))],
)
def _readable(message: PreviewDataset, world: World) -> Iterator[str | Breach]:
    """the rows that are asked for must be there and readable"""
    if message.dataset_id is None:
        sound = message.type in DatasetType.__members__ and not any((*_place(message, world), *_suffix(message, world)))
    else:
        sound = world.get("datasets", message.dataset_id) is not None
    if sound:  # else told by the other rules
        yield from inspected(world, "rows", message)
