"""Handlers of export and import."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from sqlalchemy.orm import Session

from actors.handlers import handles
from actors.world import RealWorld, inspects
from core.errors import Refused
from core.messages.database import (
    ExportDatabase,
    ExportDatabaseReply,
    ImportDatabase,
    ImportDatabaseReply,
    RowOutcome,
    TableOutcome,
)
from core.rules import Breach
from core.store.session import Unit
from core.store.transfer.export import as_text, export_tables
from core.store.transfer.importing import FAILED, INSERTED, MENDED, SKIPPED, Import, Outcome, Report
from core.store.transfer.reading import Tables, read_tables
from core.store.transfer.states import job_rows
from core.store.upgrade import back_up, free_name

LARGEST_FILE = 64 * 2**20  # bytes of JSON that an actor reads; as objects they are some ten times as many
LARGEST_REPLY = 16 * 2**20  # bytes that an answer may carry through the queue
TOLD = 1000  # rows that a reply tells of


@handles(ExportDatabase)
def export_database(message: ExportDatabase, session: Session, world: RealWorld) -> ExportDatabaseReply:
    """The export of one snapshot."""
    tables = export_tables(session, guide_columns=message.guide_columns)
    text = as_text(tables)
    size, rows = len(text.encode()), {name: len(table["data"]) for name, table in tables.items()}
    if message.path is not None:
        path = world.path(message.path, write=True)
        write_whole(path, text)
        return ExportDatabaseReply(path=str(path), bytes=size, rows=rows)
    if size > LARGEST_REPLY:
        reason = f"the export has {size / 2**20:.0f} MiB, more than an answer may carry; name a path in the project"
        raise Refused.because([Breach(rule="DB-104", field="path", message=reason)])
    return ExportDatabaseReply(exported_json=text, bytes=size, rows=rows)


def write_whole(path: Path, text: str) -> None:
    """Write a file of the user's own rights so that it is there whole or not at all; raises Refused with the system's reason."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except OSError:
                Path(file.name).unlink()
                raise
    except OSError as error:
        reason = f"{path} can't be written: {error.strerror or error}"
        raise Refused.because([Breach(rule="DB-105", field="path", message=reason)]) from None


@inspects("import")
def _inspect(message: ImportDatabase, world: RealWorld) -> Tables:
    """The tables of the file; raises ValueError."""
    if message.imported_json is not None:
        return read_tables(message.imported_json)
    path = world.path(message.imported_json_path or "")
    try:
        if not path.is_file():
            raise ValueError(f"{path} does not exist as a file")
        if (size := path.stat().st_size) > LARGEST_FILE:
            raise ValueError(f"{path} has {size / 2**20:.0f} MiB; an import takes {LARGEST_FILE >> 20} at most")
        return read_tables(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: byte {error.start}") from None
    except OSError as error:
        raise ValueError(f"{path} can't be read: {error.strerror or error}") from None


@handles(ImportDatabase)
def import_database(message: ImportDatabase, unit: Unit, world: RealWorld) -> ImportDatabaseReply:
    """Back up, import, and tell; a preview does the same and takes it back."""
    tables: Tables = world.inspect("import", message)
    backup = None if message.preview else _back_up(unit, world)
    trial = unit.session.begin_nested() if message.preview else None
    report = Import(unit.session, tables).run()
    if message.strict and report.failed:
        raise Refused.because([_breach(each) for each in report.failed[:TOLD]])
    if trial is not None:
        trial.rollback()
        unit.session.expire_all()
    else:
        _tell(unit, report, tables)
    return _reply(message, report, backup)


def _back_up(unit: Unit, world: RealWorld) -> str:
    """A copy of the file; of a server's store an export, which the same import takes."""
    copy = back_up(world.desk.store, "import")
    if copy is None:
        directory = world.desk.settings.root / "backups"
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        copy = free_name(directory, f"before-import-{time.strftime('%Y%m%d-%H%M%S')}", ".json")
        write_whole(copy, as_text(export_tables(unit.session)))
    return str(copy)


def _tell(unit: Unit, report: Report, tables: Tables) -> None:
    """Add the jobs of imported rows, and say in the log what came."""
    for job in job_rows(unit.session, report.outcomes, tables.rows.get("jobs", []), unit.now):
        unit.session.add(job)
        told: dict[str, Any] = {"status": job.status, "attempt": 0, "kind": job.kind, "name": job.name}
        unit.emit("JobImported", "jobs", job.id, f"{job.name} was imported: {job.status}", **told)
    for each in report.outcomes:
        if each.outcome in (INSERTED, MENDED) and not each.table.endswith("_jobs"):
            unit.emit("ResourceAdded", each.table, each.id or "", f"{each.table} {each.id} was imported", name=each.id)
    total: dict[str, Any] = {name: sum(counts[name] for counts in report.counts().values()) for name in _ENDS}
    text = ", ".join(f"{number} {name}" for name, number in total.items())
    unit.emit("DatabaseImported", "database", "", f"an import: {text}", **total)


_ENDS = (INSERTED, MENDED, SKIPPED, FAILED)


def _reply(message: ImportDatabase, report: Report, backup: str | None) -> ImportDatabaseReply:
    told = [each for each in report.outcomes if message.preview or each.reasons]
    tables = [
        TableOutcome(table=table, unknown_columns=report.unknown_columns.get(table, []), **dict(counts))
        for table, counts in report.counts().items()
    ]
    rows = [RowOutcome.model_validate(vars(each)) for each in told[:TOLD]]
    return ImportDatabaseReply(
        preview=message.preview,
        tables=tables,
        rows=rows,
        more_rows=len(told) - len(rows),
        ignored_tables=report.ignored_tables,
        backup=backup,
    )


def _breach(each: Outcome) -> Breach:
    text = f"{each.table} row {each.index} (id {each.id!r}): {'; '.join(each.reasons)}"
    return Breach(rule="DB-106", field=f"{each.table}.{each.index}", message=text)
