"""Clients of Valkey or Redis with timeouts that fit blocking reads.

redis-py's default socket timeout (5 s) is shorter than our longest block, which would fail healthy waits.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import redis

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis

LONGEST_BLOCK = 20.0  # seconds that any command of ours blocks for
_SECRET = re.compile(r"(?<=://)[^@/]*@")


def connect(url: str) -> redis.Redis:
    """Return a client for unix://, redis:// or rediss://; nothing is sent before the first command."""
    return redis.Redis.from_url(url, **_options(url))


def connect_async(url: str) -> AsyncRedis:
    """The asyncio twin of `connect`."""
    from redis.asyncio import Redis

    return Redis.from_url(url, **_options(url))


def safe_url(url: str) -> str:
    """The URL without its user and password."""
    return _SECRET.sub("…@", url)


def _options(url: str) -> dict[str, Any]:
    options: dict[str, Any] = {"socket_timeout": LONGEST_BLOCK + 10, "health_check_interval": 0, "max_connections": 256}
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": 5, "socket_keepalive": True}
    return options
