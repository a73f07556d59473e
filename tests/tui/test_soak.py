"""The dashboard may stay open for a month: what comes in goes out again."""

from __future__ import annotations

import asyncio
import gc
import itertools
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen

from tests.tui.fake import filled
from tests.tui.rows import job
from tests.tui.test_dashboard import until
from tui import sweeping
from tui.app import Dashboard
from tui.pump import JobRecords
from tui.screens.job import JobScreen
from tui.screens.listing import ListScreen
from tui.widgets.charts import Charts
from tui.widgets.table import StudioTable

ROOT = Path(__file__).resolve().parents[2]
FILLING = 6  # rounds in which caches fill, which hold so much and no more
MORE = 0.015  # of the memory's blocks may be more after one further round


def entries() -> Iterator[dict[str, Any]]:
    """A job's stream, a hundred records an entry."""
    for place in itertools.count(0, 100):
        records = [
            {"type": "log", "at": time.time(), "level": "info", "text": f"line {step} of the log"}
            if step % 10 == 0
            else {
                "type": "metrics",
                "at": time.time(),
                "step": step,
                "values": {"loss": 1 / (step + 1), "grad_norm": step},
            }
            for step in range(place, place + 100)
        ]
        yield {"attempt": 1, "from": place, "to": place + 100, "records": records}


async def _flat(pilot: Pilot[None], turn: Callable[[], Any], turns: int) -> None:
    """So many turns, again and again: the last round leaves nothing behind that the ones before did not."""
    held = []
    for _ in range(FILLING + 1):
        for number in range(turns):
            turn()
            if number % 5 == 0:
                await pilot.pause()
        await pilot.pause(0.2)
        gc.collect()
        held.append(sys.getallocatedblocks())
    assert held[-1] - held[-2] <= MORE * held[-2], f"blocks of memory after each round: {held}"


async def test_half_a_minute_of_a_thousand_records_a_second_leaves_nothing_behind() -> None:
    dashboard = Dashboard("run", make=filled)
    async with dashboard.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(dashboard.screen, JobScreen) and dashboard.screen.following)
        coming = entries()

        def turn() -> None:
            dashboard.screen.job_records(JobRecords("run", [next(coming)]))  # type: ignore[attr-defined]

        await _flat(pilot, turn, 75)


async def test_a_list_that_is_told_anew_again_and_again_leaves_nothing_behind() -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job(str(number), step=number) for number in range(100)]
    dashboard = Dashboard(make=lambda: studio, page="jobs")
    async with dashboard.run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen) and dashboard.screen.rows)

        def turn() -> None:
            for row in studio.rows["fine_tuning_jobs"]:
                row.step += 1
            dashboard.screen.again()  # type: ignore[attr-defined]

        await _flat(pilot, turn, 40)


def test_what_a_table_drew_goes_without_the_collector_when_it_changes() -> None:
    table, drawn = StudioTable(["name"]), [DrawnRow(), DrawnRow()]
    left = [weakref.ref(each) for each in drawn]
    gc.disable()
    try:
        for cache in (
            table._cell_render_cache,
            table._line_cache,
            table._row_render_cache,
            table._row_renderable_cache,
        ):
            for number, each in enumerate(drawn):
                cache.set(number, each)  # type: ignore[call-overload]
        drawn.clear()
        del each
        table._clear_caches()
        assert [each() for each in left] == [None, None]
    finally:
        gc.enable()


class DrawnRow:
    """What a cache holds."""


async def test_screens_that_are_opened_and_closed_again_and_again_leave_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Left to themselves they went only now and then: Textual's signals and caches hold the widgets of closed screens."""
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("run", step=3), *(job(str(number)) for number in range(40))]
    dashboard = Dashboard(make=lambda: studio, page="jobs")
    async with dashboard.run_test(size=(120, 36)) as pilot:
        for _ in range(6):
            dashboard.go("jobs")
            await until(pilot, lambda: isinstance(dashboard.screen, ListScreen) and dashboard.screen.rows)
            dashboard.show_job("run")
            await until(pilot, lambda: isinstance(dashboard.screen, JobScreen) and dashboard.screen.following)
        dashboard.go("models")
        monkeypatch.setattr(sweeping, "AFTER", 0.2)

        def swept() -> bool:
            forget_limits()
            dashboard.sweep_soon()
            return not left(dashboard.screen)

        await until(pilot, swept)


def forget_limits() -> None:
    """What half a minute does: limits of waiting that is over are due, and hold no widget any more."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
    scheduled[:] = [each for each in scheduled if not each.cancelled()]


def left(open_now: Screen[Any]) -> list[Any]:
    """Screens, tables and curves of closed ones that are in memory; the collector is not asked for it."""
    return [
        each
        for each in gc.get_objects()
        if isinstance(each, JobScreen | ListScreen | Charts | StudioTable)
        and each not in open_now.walk_children(with_self=True)
    ]


@pytest.mark.nightly
@pytest.mark.timeout(5400)
def test_an_hour_of_it_with_a_real_studio_leaves_nothing_behind() -> None:
    command = [sys.executable, "benchmarks/dashboard.py", "--only", "soak", "--minutes", "60"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "MISSED" not in done.stdout and "soak" in done.stdout, done.stdout
