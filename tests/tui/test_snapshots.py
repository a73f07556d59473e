"""What the screens look like, at the smallest and at a large size. After a wanted change: pytest tests/tui --snapshot-update."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, job, plan
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard

SIZES = [(80, 24), (160, 50)]
Compare = Callable[..., bool]


def timeless() -> FakeStudio:
    """A studio whose rows show no clock."""
    studio = filled()
    for row in studio.rows["fine_tuning_jobs"]:
        row.created_at = None
    for line in studio.log:
        line.at = 0
    return studio


def at(text: str, *keys: str) -> Any:
    """Wait for a text, press keys, wait until nothing moves."""

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: text in shown(pilot.app))
        await pilot.press(*keys)
        await pilot.pause(0.7)

    return ready


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.mark.parametrize("size", SIZES)
def test_jobs(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(Dashboard(make=timeless), terminal_size=size, run_before=at("adapter-run"))


@pytest.mark.parametrize("size", SIZES)
def test_no_jobs(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(Dashboard(make=FakeStudio), terminal_size=size, run_before=at("No jobs yet"))


@pytest.mark.parametrize("size", SIZES)
def test_hostile_rows(snap_compare: Compare, size: tuple[int, int]) -> None:
    studio = timeless()
    studio.rows["fine_tuning_jobs"] = [job("evil", adapter_name=HOSTILE, created_at=None)]
    assert snap_compare(Dashboard(make=lambda: studio), terminal_size=size, run_before=at("[red]"))


@pytest.mark.parametrize("size", SIZES)
def test_form_with_breaches(snap_compare: Compare, size: tuple[int, int]) -> None:
    async def ready(pilot: Pilot[None]) -> None:
        await at("adapter-run", "n")(pilot)
        await until(pilot, lambda: "SmolLM2" in shown(pilot.app) and "actions" in shown(pilot.app))
        await until(pilot, lambda: pilot.app.screen.query_one("#input-num_gpu", Input).value == "0")
        name = pilot.app.screen.query(Input).first()
        name.cursor_blink = False
        name.value = "not a name"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "FT-002" in shown(pilot.app) and "fits gpu-host" in shown(pilot.app))
        await pilot.pause(0.7)

    studio = timeless()
    studio.plan = plan()
    assert snap_compare(Dashboard(make=lambda: studio), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("kind", "text"), [("datasets", "tickets"), ("runners", "gpu-host"), ("prompts", "actions")])
def test_lists(snap_compare: Compare, size: tuple[int, int], kind: str, text: str) -> None:
    async def ready(pilot: Pilot[None]) -> None:
        await pilot.pause()
        await pilot.press("colon", *kind, "enter")
        await at(text)(pilot)

    assert snap_compare(Dashboard(make=timeless), terminal_size=size, run_before=ready)
