"""What goes wrong, by the name that it has in the SDK."""

from __future__ import annotations

from typing import Any


class ApiException(Exception):
    """An answer that is no 2xx: `status`, `reason`, `body` (the text that came) and `headers`."""

    def __init__(self, status: int | None = None, reason: str | None = None, http_resp: Any = None) -> None:
        super().__init__()
        self.status = http_resp.status if http_resp is not None else status
        self.reason = http_resp.reason if http_resp is not None else reason
        self.body = http_resp.data.decode() if http_resp is not None else None
        self.headers = http_resp.headers if http_resp is not None else None

    def __str__(self) -> str:
        return f"({self.status})\nReason: {self.reason}\nHTTP response headers: {self.headers}\nHTTP response body: {self.body}\n"
