"""Engines, reading, and the unit of work.

SQLite: WAL; writers BEGIN IMMEDIATE (a plain BEGIN that writes later loses updates or meets "database is locked");
readers have an engine of their own. PostgreSQL: reads are REPEATABLE READ, and event ids are taken last, under an
advisory lock, so that an id is never seen before a lower one. Links between rows are checked before that lock is taken:
checked at the commit they would wait for rows of one who waits for the lock. And what checks before it writes does so in
turn, as on SQLite: else sixteen jobs that ask for one name at once would all find it free.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, text
from sqlalchemy.engine import make_url
from sqlalchemy.orm import Session

from core.messages.base import AsOf
from core.settings import Settings
from core.store.tables import EventRow

EVENTS_LOCK = 0x46545345  # "FTSE": PostgreSQL's advisory lock over the event log's ids
TURN_LOCK = 0x46545354  # "FTST": over the right to check and write


@dataclass
class Unit:
    """One unit of work: a session, what happened in it, and what to do when it is committed."""

    session: Session
    now: float = field(default_factory=time.time)
    events: list[EventRow] = field(default_factory=list)
    before: int = 0  # id of the event before the unit's own, once they are written
    afterwards: list[Callable[[], None]] = field(default_factory=list)
    targets: tuple[str, ...] = ()  # to whom the ends of jobs are told (Settings.notify_targets)
    told_for: float = 0.0  # seconds that it is tried to tell them

    def emit(
        self,
        type: str,
        kind: str,
        resource_id: str,
        message: str = "",
        /,
        *,
        level: str = "info",
        **data: Any,
    ) -> None:
        """Note an event; all of them are written last, in order (core/events.py lists the types).

        What comes first has places, not names, so that `data` may have a kind and a name of its own.
        """
        row = EventRow(
            at=self.now, type=type, level=level, message=message, kind=kind, resource_id=resource_id, data=data
        )
        self.events.append(row)

    def after(self, do: Callable[[], None]) -> None:
        """Do something once the unit is committed: wake a runner, feed a job's stream. It may be lost: heal elsewhere."""
        self.afterwards.append(do)


class Store:
    """The database of a studio. Safe to share between threads; build a new one after a fork."""

    def __init__(self, settings: Settings) -> None:
        self.url = make_url(settings.store_url)
        self.targets, self.told_for = settings.notify_targets, settings.notify_hours * 3600
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        if self.is_sqlite and self.url.database:
            Path(self.url.database).parent.mkdir(parents=True, exist_ok=True)
        self.writer = _engine(settings, self.url, "BEGIN IMMEDIATE")
        self.reader = (
            _engine(settings, self.url, "BEGIN")
            if self.is_sqlite
            else self.writer.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        )

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session on one snapshot; nothing it does is kept."""
        with Session(self.reader) as session:
            yield session

    @contextmanager
    def write(self, *, in_turn: bool = False) -> Iterator[Unit]:
        """A unit of work: committed when the block ends well, else rolled back whole.

        Of the units that are done `in_turn` one runs at a time, whatever the database.
        """
        with Session(self.writer, expire_on_commit=False) as session, session.begin():
            if in_turn:
                self._lock(session, TURN_LOCK)
            unit = Unit(session, targets=self.targets, told_for=self.told_for)
            yield unit
            self.log(unit)
        for do in unit.afterwards:
            do()

    def log(self, unit: Unit) -> None:
        """Write the unit's events that are not written yet; from here on their ids are known."""
        fresh = [row for row in unit.events if row.id is None]
        if not fresh:
            return
        unit.session.flush()
        if not self.is_sqlite:
            unit.session.execute(text("SET CONSTRAINTS ALL IMMEDIATE"))
        self._lock(unit.session, EVENTS_LOCK)
        if len(fresh) == len(unit.events):
            unit.before = as_of(unit.session).event
        for row in fresh:
            columns = ("at", "type", "level", "message", "kind", "resource_id", "data")
            written: Any = unit.session.execute(_LOG, {name: getattr(row, name) for name in columns})
            row.id = written.inserted_primary_key[0]

    def _lock(self, session: Session, key: int) -> None:
        """Wait for an advisory lock that ends with the transaction; writers of SQLite take turns anyway."""
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})

    def close(self) -> None:
        """Give the connections back."""
        self.writer.dispose()
        self.reader.dispose()


_LOG = insert(EventRow.__table__)  # type: ignore[arg-type]
_AS_OF = text("SELECT (SELECT value FROM meta WHERE key = 'epoch'), (SELECT max(id) FROM events)")


def as_of(session: Session) -> AsOf:
    """Which state `session` sees: the epoch, and the id of the last event."""
    epoch, event = session.execute(_AS_OF).one()
    return AsOf(epoch=epoch or "", event=event or 0)


def _engine(settings: Settings, url: Any, begin: str) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(
            url,
            pool_size=settings.pool_size,
            max_overflow=settings.max_overflow,
            pool_timeout=settings.pool_timeout,
            pool_recycle=settings.pool_recycle,
            pool_pre_ping=True,
        )
    engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})
    event.listen(engine, "connect", _pragmas)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(begin))
    return engine


def _pragmas(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the begin event speaks for itself
    connection.create_function("lower", 1, _lower, deterministic=True)  # SQLite's own knows ASCII only
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=30000", "cache_size=-8000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value
