"""Moving the database in and out (guide, "Database Export and Import")."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Query, Value
from core.messages.common import filled, inspected
from core.rules import Breach, Example, Need, NoWorld, World, rule


class ExportDatabaseReply(Value):
    """An export: its text, or the file that it was written to."""

    exported_json: str | None = Field(None, description="The export, unless a path was given.")
    path: str | None = None
    bytes: int
    rows: dict[str, int] = Field({}, description="table -> number of rows")


class TableOutcome(Value):
    """What became of a table's rows. Mended ones were stored otherwise than they stood in the file."""

    table: str
    inserted: int = 0
    mended: int = 0
    skipped: int = 0
    failed: int = 0
    unknown_columns: list[str] = Field([], description="Columns of the file that the studio does not know; left out.")


class RowOutcome(Value):
    """What became of one row. `index` counts from 1 in the file's table."""

    table: str
    index: int
    id: str | None = None
    outcome: str
    reasons: list[str] = []


class ImportDatabaseReply(Value):
    """What an import did, or would do."""

    preview: bool = False
    tables: list[TableOutcome] = []
    rows: list[RowOutcome] = Field(
        [], description="Rows with something to tell, at most a thousand; in a preview all have."
    )
    more_rows: int = Field(0, description="How many more there are.")
    ignored_tables: list[str] = Field([], description="Tables of the file that the studio does not know.")
    backup: str | None = Field(None, description="The store as it was before.")


class ExportDatabase(Query[ExportDatabaseReply]):
    """Export all resources as JSON in the guide's format: the reply carries it, or a file of the project takes it."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 300

    path: str | None = Field(None, description="A file to write in the project, instead of answering the text.")
    overwrite: bool = Field(False, description="Whether the file may be there already.")
    guide_columns: bool = Field(False, description="Only the guide's columns, for a studio that knows no others.")


class ImportDatabase(Command[ImportDatabaseReply]):
    """Import resources from an export, or from the dict form of project defaults. Every row has an outcome of its own."""

    QUEUE: ClassVar[str] = "slow"
    SECONDS: ClassVar[float | None] = 600
    EXAMPLE: ClassVar[dict[str, Any]] = {"imported_json_path": "export.json"}

    imported_json_path: str | None = Field(None, description="The exported file, in the project.")
    imported_json: str | None = Field(None, description="The export itself, instead of a file.")
    preview: bool = Field(False, description="Tell row by row what would happen, and change nothing.")
    strict: bool = Field(False, description="Import nothing when a row can't be stored.")


@rule(
    ExportDatabase,
    "DB-101",
    "path",
    need=Need.files,
    passes=[{}, Example({"path": "e.json"}, NoWorld(directories=frozenset({"e.json"})))],
    fails=[{"path": "/etc/passwd"}, {"path": " "}],
)
def _writable(message: ExportDatabase, world: World) -> Iterator[str]:
    """a file is written inside the project, never among the studio's own, and over no other file unless that is asked for"""
    if message.path is None:
        return
    if not message.path.strip():
        yield from filled(message.path, "path")
        return
    try:
        path = world.path(message.path, write=True)
    except ValueError as error:
        yield str(error)
        return
    if path.is_dir():
        yield f"{message.path} is a directory"
    elif path.exists() and not message.overwrite:
        yield f"{message.path} exists; overwrite: true writes over it"


@rule(
    ImportDatabase,
    "DB-102",
    "imported_json_path",
    passes=[{}, {"imported_json_path": None, "imported_json": "{}"}],
    fails=[{"imported_json_path": None}, {"imported_json": "{}"}, {"imported_json_path": " "}],
)
def _one_source(message: ImportDatabase, world: World) -> Iterator[str]:
    """either a file or its text is imported"""
    if (message.imported_json_path is None) == (message.imported_json is None):
        yield "give either imported_json_path or imported_json"
    elif message.imported_json is None:
        yield from filled(message.imported_json_path, "imported_json_path")


@rule(
    ImportDatabase,
    "DB-103",
    "imported_json_path",
    need=Need.files,
    passes=[Example({}, NoWorld(found={"import": {}}))],
    fails=[Example({}, NoWorld(found={"import": ValueError("the file is not valid JSON")}))],
)
def _readable(message: ImportDatabase, world: World) -> Iterator[str | Breach]:
    """the file must hold tables of rows, as an export or as project defaults"""
    if message.imported_json is not None or (message.imported_json_path or "").strip():
        yield from inspected(world, "import", message)
