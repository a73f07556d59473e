"""What many tests need: a real Valkey, a namespace of one's own, and a home that no other test shares."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import redis

from core.queue import embedded
from core.queue.connect import connect

os.environ["HF_HUB_OFFLINE"] = "1"
for name in [name for name in os.environ if name.startswith("FTS_")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def valkey_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fts-") as directory:
        server = embedded.start(Path(directory))
        yield Path(directory)
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def valkey_url(valkey_home: Path) -> str:
    return embedded.url(valkey_home)


@pytest.fixture
def ns() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with connect(valkey_url) as made:
        yield made
