"""What the command line, its results, the palette, the question and what I did look like, at the smallest and a large size."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.errors import Conflict
from core.settings import settings
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE, job
from tests.tui.test_dashboard import shown, until
from tests.tui.test_snapshots import SIZES, timeless
from tui.acting import Act, Outcome
from tui.app import Dashboard
from tui.widgets.prompt import PromptLine

Compare = Callable[..., bool]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No clock, no cursor that blinks, no history but the test's."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setenv("FTS_HOME", str(tmp_path))
    time.tzset()
    settings.cache_clear()
    yield
    settings.cache_clear()


def board(studio: FakeStudio, **how: Any) -> Dashboard:
    return Dashboard(make=lambda: studio, page="jobs", **how)


def hostile() -> FakeStudio:
    studio = timeless()
    studio.rows["fine_tuning_jobs"] = [job("evil", adapter_name=HOSTILE, created_at=None)]
    return studio


def typing(text: str, *, wait: str, first: str = "adapter-run", enter: bool = False) -> Any:
    """Type a command; wait until something is to be seen."""

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: first in shown(pilot.app))
        await pilot.press("colon")
        line = pilot.app.screen.query_one(PromptLine)
        line.cursor_blink = False
        await until(pilot, lambda: line.helper is not None)
        await pilot.press(*text, *(["enter"] if enter else []))
        await until(pilot, lambda: wait in shown(pilot.app))
        await pilot.pause(0.15)

    return ready


@pytest.mark.parametrize("size", SIZES)
def test_candidates(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(board(timeless()), terminal_size=size, run_before=typing("job c", wait="checkpoint"))


@pytest.mark.parametrize("size", SIZES)
def test_hostile_candidates(snap_compare: Compare, size: tuple[int, int]) -> None:
    ready = typing("job cancel ", wait="evil  ", first="[red]")
    assert snap_compare(board(hostile()), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_mistake(snap_compare: Compare, size: tuple[int, int]) -> None:
    ready = typing("job cancle adapter-run", wait="did you mean", enter=True)
    assert snap_compare(board(timeless()), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_result(snap_compare: Compare, size: tuple[int, int]) -> None:
    ready = typing("job list", wait="out_of_memory", enter=True)
    assert snap_compare(board(timeless()), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_hostile_result(snap_compare: Compare, size: tuple[int, int]) -> None:
    ready = typing("job show evil", wait=":job show evil", first="[red]", enter=True)
    assert snap_compare(board(hostile()), terminal_size=size, run_before=ready)


def opened(*keys: str, wait: str, first: str = "adapter-run") -> Any:
    """Press keys; wait until something is to be seen."""

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: first in shown(pilot.app))
        await pilot.press(keys[0])
        await pilot.pause()
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        await pilot.press(*keys[1:])
        await until(pilot, lambda: wait in shown(pilot.app))
        await pilot.pause(0.15)

    return ready


@pytest.mark.parametrize("size", SIZES)
def test_palette(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(board(timeless()), terminal_size=size, run_before=opened("ctrl+k", wait="enter do it"))


@pytest.mark.parametrize("size", SIZES)
def test_hostile_palette(snap_compare: Compare, size: tuple[int, int]) -> None:
    ready = opened("ctrl+k", *"[red]", wait="running  evil", first="[red]")
    assert snap_compare(board(hostile()), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
def test_question(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(board(timeless()), terminal_size=size, run_before=opened("c", wait="enter yes"))


@pytest.mark.parametrize("size", SIZES)
def test_hostile_question(snap_compare: Compare, size: tuple[int, int]) -> None:
    ready = opened("c", "ctrl+o", wait="fts job cancel", first="[red]")
    assert snap_compare(board(hostile()), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("filled", [False, True])
def test_what_i_did(snap_compare: Compare, size: tuple[int, int], filled: bool) -> None:
    app = board(timeless(), readonly=not filled)
    if filled:
        lost = Act("PauseJob", [Outcome({"id": "run"}, "k", error=Conflict(HOSTILE))], at=0, over=True)
        many = Act(
            "RemoveDataset",
            [Outcome({"id": each}, each, error=Conflict("used by a job")) for each in "ab"],
            at=60,
            over=True,
        )
        sent = Act("CancelJob", [Outcome({"id": HOSTILE}, "k")], at=120)
        app.acting.made.extend([sent, many, lost])
    ready = opened("A", wait="pause job" if filled else "Nothing was sent")
    assert snap_compare(app, terminal_size=size, run_before=ready)
