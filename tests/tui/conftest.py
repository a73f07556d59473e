"""What every test of the dashboard starts from: nothing of this machine's is on the screen, and the list of jobs is open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import settings
from tui.view import pages

OPENS_WITH = pages.FIRST


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path / "no-studio"))
    for name in ("IS_COMPOSABLE", "NO_COLOR", "PROJECT_OWNER", "CDSW_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDSW_PROJECT_OWNER", "ada")
    monkeypatch.setenv("CDSW_DOMAIN", "studio.example")


@pytest.fixture(autouse=True)
def jobs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FIRST", "jobs")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the dashboard keeps between its starts lies in a home of each test's own."""
    monkeypatch.setenv("FTS_HOME", str(tmp_path / "home"))
    settings.cache_clear()
    yield
    settings.cache_clear()
