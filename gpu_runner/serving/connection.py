"""A caller's connection: there are few of them, so who sends nothing, or next to nothing, is hung up on."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 30.0  # seconds from a connection's begin, or its last answer, in which the head of a request must be here


class Connection(H11Protocol):
    """uvicorn's, which waits for ever for the first request, and begins to wait anew with every byte of the others."""

    late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """It begins."""
        super().connection_made(transport)
        self._wait()

    def on_response_complete(self) -> None:
        """A request is answered: the next one may come."""
        super().on_response_complete()
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        super().connection_lost(exc)
        if self.late is not None:
            self.late.cancel()

    def _wait(self) -> None:
        if self.late is not None:
            self.late.cancel()
        self.late = self.loop.call_later(HEAD, self._hang_up, self.cycle)

    def _hang_up(self, answered: Any) -> None:
        """Close it, when no request came behind the one that was answered."""
        if self.cycle is answered and (answered is None or answered.response_complete):
            self.transport.close()
