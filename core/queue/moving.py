"""Connections to a Valkey of another host whose address may change: a pod that is started anew has another. Each time that one is
made, the file of FTS_HOME is asked where it is now; imported by who talks to such a server alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from redis import Connection
from redis.asyncio import Connection as AsyncConnection

from core.queue import far


class Moving(Connection):  # type: ignore[misc]
    """A connection by the address that stands in the file now."""

    def __init__(self, *, fts_home: str, **more: Any) -> None:
        super().__init__(**more)
        self.fts_home = Path(fts_home)

    def _connect(self) -> Any:
        if (door := far.read(self.fts_home)) is not None:
            self.host, self.port = door.address, door.port
        return super()._connect()


class MovingAsync(AsyncConnection):  # type: ignore[misc]
    """The asyncio twin."""

    def __init__(self, *, fts_home: str, **more: Any) -> None:
        super().__init__(**more)
        self.fts_home = Path(fts_home)

    async def _connect(self) -> None:
        if (door := far.read(self.fts_home)) is not None:
            self.host, self.port = door.address, door.port
        await super()._connect()
