"""What every test of the dashboard starts from: nothing of this machine's is on the screen, and the list of jobs is open."""

from __future__ import annotations

import pytest

from tui.view import pages


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("IS_COMPOSABLE", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CDSW_PROJECT_OWNER", "ada")
    monkeypatch.setenv("CDSW_DOMAIN", "studio.example")


@pytest.fixture(autouse=True)
def jobs_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "FIRST", "jobs")
