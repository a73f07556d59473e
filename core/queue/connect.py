"""Clients of Valkey or Redis with timeouts that fit blocking reads.

redis-py's default socket timeout (5 s) is shorter than our longest block, which would fail healthy waits. Nothing is
retried down here: who fetches or sends knows whether doing it twice is right.
"""

from __future__ import annotations

import re
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from core.queue import far

if TYPE_CHECKING:
    import redis
    from redis.asyncio import Redis as AsyncRedis

AGAIN = 0.5  # seconds between tries of a client while the queue is away
LONGEST_BLOCK = 20.0  # seconds that any command of ours blocks for
_CREDENTIALS = re.compile(r"//[^/@\s]*@")
_SECRET = re.compile(r"(?<=://)(?:(?<=unix://)[^@/]*|(?<!unix://).*)@|\?.*")


def connect(url: str, **more: Any) -> redis.Redis:
    """Return a client for unix://, redis:// or rediss:// (`more`: redis-py's options); nothing is sent before the first command."""
    _load()
    import redis  # late: a dashboard's first frame comes before its first connection

    options = _options(url) | more
    if far.MOVES in url:
        from core.queue.moving import Local, Moving

        options["connection_class"] = Local if url.startswith("unix:") else Moving
    return redis.Redis.from_url(url, **options)


def _load() -> None:
    """Import redis-py without OpenTelemetry's SDK, which it loads wherever that is installed (MLflow brings it): nothing here
    reads what it would measure, and it takes half of the time to the first connection."""
    if "redis" in sys.modules or "opentelemetry" in sys.modules:
        return
    sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # what the import system documents for "absent"
    try:
        import redis  # noqa: F401
    finally:
        del sys.modules["opentelemetry"]


def connect_async(url: str) -> AsyncRedis:
    """The asyncio twin of `connect`."""
    from redis.asyncio import Redis

    client = Redis.from_url(url, **_options(url))
    if far.MOVES in url:
        from core.queue.moving import LocalAsync, MovingAsync

        # Not an option: of a socket's URL redis-py takes its own class, whatever is asked for.
        client.connection_pool.connection_class = LocalAsync if url.startswith("unix:") else MovingAsync
    return client


@cache
def away() -> tuple[type[Exception], ...]:
    """The errors which tell that the server can't be reached just now."""
    import redis

    return redis.ConnectionError, redis.TimeoutError


def refused() -> tuple[type[Exception], ...]:
    """The errors with which the server answers; `is_full` tells whether that is for want of room."""
    import redis

    return (redis.ResponseError,)


def is_full(error: Exception) -> bool:
    """Whether the server can't keep what it is told: it has no room on its disk (MISCONF), or in its memory (OOM)."""
    return "MISCONF" in str(error) or "OOM command not allowed" in str(error)


def safe_url(url: str) -> str:
    """The URL without its user, password and query."""
    return _SECRET.sub(lambda found: "…@" if found[0].endswith("@") else "", url)


def safe_text(text: str) -> str:
    """A text of another library's without the users and passwords of the URLs in it."""
    return _CREDENTIALS.sub("//…@", text)


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {"socket_timeout": LONGEST_BLOCK + 10, "health_check_interval": 0, "max_connections": 256}
    if not url.startswith("unix:"):  # a network may forget idle connections
        options |= {"socket_connect_timeout": 5, "socket_keepalive": True, "health_check_interval": 30}
    return options
