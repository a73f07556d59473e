"""Handlers keep their promises on both databases: every test here that has a studio runs on each."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from core.settings import Settings


@pytest.fixture
def studio_settings(tmp_path: Path, valkey_url: str, ns: str, database: str | None) -> Settings:
    """A studio of its own in tmp_path, on the tests' Valkey and one of the databases."""
    return Settings(
        home=tmp_path / ".app",
        project=tmp_path,
        namespace=ns,
        FTS_REDIS_URL=SecretStr(valkey_url),
        database_url=None if database is None else SecretStr(database),
        max_overflow=30,
    )
