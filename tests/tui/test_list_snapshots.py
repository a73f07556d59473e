"""What lists look like: ordered, filtered to nothing, marked, with rows that go, hostile, and without a studio."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from core.messages.datasets import DatasetMetadata
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE
from tests.tui.test_dashboard import SIZES, shown, until
from tests.tui.test_snapshots import Compare, timeless
from tui import removing
from tui.app import Dashboard
from tui.screens.confirm import ConfirmScreen

NAMES = ["tickets", "emails", "returns-of-a-very-long-name-that-is-cut", "billing"]


def filled() -> FakeStudio:
    """Some datasets, one of which a job uses."""
    studio = timeless()
    studio.rows["datasets"] = [
        DatasetMetadata(id=f"{n}1f2e3d4-0000", type="project_csv", name=name, rows=728 * n, features=["a", "b"])
        for n, name in enumerate(NAMES)
    ]
    studio.held["01f2e3d4-0000"] = "the dataset is used by 1 unfinished job: 'tickets-1' (4f, running)"
    return studio


def hostile() -> FakeStudio:
    """Names that want something of the terminal."""
    studio = filled()
    for row in studio.rows["datasets"][:2]:
        row.name, row.location = HOSTILE, HOSTILE
    return studio


async def removed(pilot: Pilot[None]) -> None:
    await pilot.press("j", "space", "space", "ctrl+d")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
    await pilot.press("y")
    await until(pilot, lambda: "goes in" in shown(pilot.app))


async def asked(pilot: Pilot[None]) -> None:
    await pilot.press("asterisk", "ctrl+d")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))


async def nothing(pilot: Pilot[None]) -> None:
    await pilot.press("slash", *"nowhere", "enter")
    await until(pilot, lambda: "Nothing holds" in shown(pilot.app))


async def ordered(pilot: Pilot[None]) -> None:
    await pilot.press("N", "N", "j", "space")
    await until(pilot, lambda: "↓" in shown(pilot.app))


STATES: dict[str, tuple[Callable[[], FakeStudio], Callable[[Pilot[None]], Any]]] = {
    "ordered": (filled, ordered),
    "going": (filled, removed),
    "asked": (filled, asked),
    "nothing": (filled, nothing),
    "hostile": (hostile, ordered),
    "hostile-going": (hostile, removed),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_a_list(snap_compare: Compare, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], state: str) -> None:
    make, act = STATES[state]
    monkeypatch.setattr(removing.Going, "left", property(lambda self: 8))

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "billing" in shown(pilot.app))
        await act(pilot)
        await pilot.pause(0.7)

    assert snap_compare(Dashboard(make=make, page="datasets"), terminal_size=size, run_before=ready)
