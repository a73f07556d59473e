"""Connections to a Valkey that is started anew with another address, as a pod's is, or another password. Each time that one is made
the file of FTS_HOME is asked for both; imported by who talks to such a server alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Connection, UnixDomainSocketConnection
from redis.asyncio import Connection as AsyncConnection
from redis.asyncio import UnixDomainSocketConnection as AsyncSocketConnection

from core.queue import far


class Moving(Connection):  # type: ignore[misc]
    """A connection by the address that stands in the file now."""

    def __init__(self, *, fts_home: str, **more: Any) -> None:
        super().__init__(**more)
        self.fts_home = Path(fts_home)

    def _connect(self) -> Any:
        if (door := far.read(self.fts_home)) is not None:
            self.host, self.port, self.password = door.address, door.port, door.password
        return super()._connect()


class MovingAsync(AsyncConnection):  # type: ignore[misc]
    """The asyncio twin."""

    def __init__(self, *, fts_home: str, **more: Any) -> None:
        super().__init__(**more)
        self.fts_home = Path(fts_home)

    async def _connect(self) -> None:
        if (door := far.read(self.fts_home)) is not None:
            self.host, self.port, self.password = door.address, door.port, door.password
        await super()._connect()


class Local(UnixDomainSocketConnection):  # type: ignore[misc]
    """A connection to this host's own server, with the password that stands in the file now; without one it asks for none."""

    def __init__(self, *, fts_home: str, **more: Any) -> None:
        super().__init__(**more)
        self.fts_home = Path(fts_home)

    def _connect(self) -> Any:
        door = far.read(self.fts_home)
        self.password = door.password if door else None
        return super()._connect()


class LocalAsync(AsyncSocketConnection):  # type: ignore[misc]
    """The asyncio twin."""

    def __init__(self, *, fts_home: str, **more: Any) -> None:
        super().__init__(**more)
        self.fts_home = Path(fts_home)

    async def _connect(self) -> None:
        door = far.read(self.fts_home)
        self.password = door.password if door else None
        await super()._connect()
