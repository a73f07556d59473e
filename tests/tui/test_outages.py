"""What an outage looks like, at the smallest and at a large size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import Unavailable
from tests.tui.fake import FakeStudio
from tests.tui.test_dashboard import shown, until
from tests.tui.test_snapshots import SIZES, timeless
from tui.app import Dashboard

Compare = Callable[..., bool]
AWAY = {
    "queue": "no server answers at unix:///studio/.app/run/valkey.sock (Connection refused)",
    "actors": "no reply to ListFineTuningJobs within 10 s: the actors are away or busy, `fts status` tells",
    "": "the store has no room on its disk: nothing was changed, free some room; the actors' log tells why",
}


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr("tui.connection.clock", lambda at: "14:03:05")


def away(studio: FakeStudio, part: str, text: str) -> Any:
    """Wait for a text, take a part of the studio away, wait until that is told."""

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: text in shown(pilot.app))
        studio.broken = Unavailable(AWAY[part], part=part)
        await pilot.press("r")
        await until(pilot, lambda: "▲" in shown(pilot.app))
        await pilot.pause(0.3)

    return ready


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("part", sorted(AWAY))
def test_jobs_while_a_part_is_away(snap_compare: Compare, size: tuple[int, int], part: str) -> None:
    studio = timeless()
    dashboard = Dashboard(make=lambda: studio, page="jobs")
    assert snap_compare(dashboard, terminal_size=size, run_before=away(studio, part, "adapter-run"))


@pytest.mark.parametrize("size", SIZES)
def test_a_studio_that_was_never_there(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "not connected" in shown(pilot.app))
        await pilot.pause(0.3)

    studio = timeless()
    studio.broken = Unavailable("the studio of /studio/.app is not up; `fts up` starts it", part="queue")
    dashboard = Dashboard(make=lambda: studio, page="jobs")
    assert snap_compare(dashboard, terminal_size=size, run_before=ready)
