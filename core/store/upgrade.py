"""Bring a store to the newest revision at start, after a backup, once however many processes start together."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text

from core.store.session import EVENTS_LOCK, Store
from core.store.tables import Meta

BACKUPS_KEPT = 5
MIGRATIONS = Path(__file__).parent / "migrations"


class TooNew(RuntimeError):
    """The store was made by a newer studio than this one; nothing was changed."""


def upgrade(store: Store) -> bool:
    """Upgrade the store to head and name it; tell whether tables changed. A file is backed up first. Raises TooNew."""
    with alone(store), _migrating(store) as connection:
        current = _current(connection)
        changed = current != _head()
        if changed:
            _check_known(current)
            if current is not None:  # a fresh store has nothing to lose
                back_up(store, current)
            _alembic(connection)
        _name(connection)
        connection.commit()
    return changed


@contextmanager
def _migrating(store: Store) -> Iterator[Connection]:
    """A connection to migrate by. SQLite alters a table by copying and dropping it, which must not empty links to it:
    foreign keys are off meanwhile, and checked at the end.
    """
    with store.writer.connect() as connection:
        if not store.is_sqlite:
            yield connection
            return
        raw: Any = connection.connection.dbapi_connection
        raw.execute("PRAGMA foreign_keys=OFF").close()
        try:
            yield connection
        finally:
            connection.rollback()
            raw.execute("PRAGMA foreign_keys=ON").close()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def _head() -> str | None:
    return ScriptDirectory.from_config(_config()).get_current_head()


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _check_known(revision: str | None) -> None:
    known = {each.revision for each in ScriptDirectory.from_config(_config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise TooNew(
            f"the store is of revision {revision}, which this studio does not know: a newer one made it; update the studio"
        )


def _alembic(connection: Connection) -> None:
    command.upgrade(_config(connection), _head() or "head")
    if connection.dialect.name == "sqlite" and (
        broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    ):
        raise RuntimeError(
            f"the upgrade would break {len(broken)} links between rows, the first in {broken[0][0]}; nothing was changed"
        )


def _name(connection: Connection) -> None:
    """Give a fresh store its epoch, and the studio its id and the marker of its artifacts."""
    known = set(connection.scalars(select(Meta.key)))
    for key in ("epoch", "studio", "marker"):
        if key not in known:
            connection.execute(Meta.__table__.insert().values(key=key, value=str(uuid4())))  # type: ignore[attr-defined]


def back_up(store: Store, label: str) -> Path | None:
    """Copy the store's file into backups/ beside it; return the copy, None for a server, which has backups of its own."""
    database = store.url.database
    if not store.is_sqlite or database is None:
        return None
    directory = Path(database).parent / "backups"
    directory.mkdir(exist_ok=True, mode=0o700)
    target = free_name(directory, f"{Path(database).stem}-{label}-{time.strftime('%Y%m%d-%H%M%S')}", ".db")
    with sqlite3.connect(database) as source, sqlite3.connect(target) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    for old in sorted(directory.glob(f"{Path(database).stem}-*.db"), key=lambda path: path.stat().st_mtime)[
        :-BACKUPS_KEPT
    ]:
        old.unlink()
    return target


def free_name(directory: Path, stem: str, suffix: str) -> Path:
    """A path in the directory where nothing is yet: of two backups in one second neither takes the other's place."""
    names = (stem, *(f"{stem}-{number}" for number in range(2, 1_000)))
    return next(path for path in (directory / f"{name}{suffix}" for name in names) if not path.exists())


@contextmanager
def alone(store: Store) -> Iterator[None]:
    """Let one process at a time prepare the store: all that start together wait for the first."""
    if store.is_sqlite:
        with Path(f"{store.url.database}.upgrade").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        return
    with store.writer.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": EVENTS_LOCK + 1})
        try:
            yield
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": EVENTS_LOCK + 1})
            connection.commit()
