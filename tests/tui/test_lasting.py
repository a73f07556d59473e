"""What goes wrong inside the dashboard (D-222), and outages (D-223), never close it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.message import Message
from textual.pilot import Pilot

from tests.tui.fake import FakeStudio, filled
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.connection import Connection, clock
from tui.lasting import Threads
from tui.mishaps import UNDRAWN
from tui.screens.listing import ListScreen
from tui.screens.reading import ReadingScreen
from tui.widgets.banner import Banner
from tui.widgets.table import StudioTable


class Asked(Message):
    """A message that a test's handler takes."""


def broken(*given: Any, **more: Any) -> Any:
    raise LookupError("[/boom] this broke")


def looked(dashboard: Dashboard) -> str:
    """The screen as text; empty while a part of it can't be drawn."""
    try:
        return shown(dashboard)
    except LookupError:
        return ""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """FTS_HOME; a mishap fails no test by itself."""
    monkeypatch.setenv("FTS_HOME", str(tmp_path / ".app"))
    monkeypatch.setattr(Dashboard, "note", lambda *given: None)
    yield tmp_path / ".app"


async def goes_on(pilot: Pilot[None], studio: FakeStudio, home: Path) -> None:
    """It told of the mishap, wrote where it was, and takes keys as before."""
    dashboard: Any = pilot.app
    log = home / "logs" / "dashboard.log"
    await until(pilot, log.exists)
    await until(pilot, lambda: "LookupError: [/boom] this broke" in shown(dashboard))
    assert "Something went wrong" in shown(dashboard) and "the traceback is in" in shown(dashboard)
    assert "in broken" in log.read_text() and log.parent.stat().st_mode & 0o077 == 0
    dashboard.obey("datasets")
    await until(pilot, lambda: "tickets" in shown(dashboard))


PLACES = ["handler", "action", "timer", "worker", "refresh", "compose", "mount", "render", "layout", "widget"]


@pytest.mark.parametrize("place", PLACES)
async def test_an_exception_anywhere_is_told_and_leaves_it_open(
    place: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = filled()
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        table = dashboard.screen.query_one(StudioTable)
        if place == "handler":
            monkeypatch.setattr(ListScreen, "on_asked", broken, raising=False)
            dashboard.screen.post_message(Asked())
        elif place == "action":
            monkeypatch.setattr(ListScreen, "action_describe", broken)
            dashboard.simulate_key("d")
        elif place == "timer":
            dashboard.screen.set_timer(0.01, broken)
        elif place == "worker":
            dashboard.run_worker(broken, thread=True)
        elif place == "refresh":
            dashboard.screen.call_after_refresh(broken)
        elif place in ("compose", "mount"):
            monkeypatch.setattr(ReadingScreen, f"{'on_' * (place == 'mount')}{place}", broken)
            dashboard.show_text("a title", "a text")
        elif place == "render":
            monkeypatch.setattr(Banner, "render", broken)
            dashboard.screen.query_one(Banner).refresh()
        elif place == "layout":
            monkeypatch.setattr(Banner, "_size_updated", broken)
            dashboard.screen.query_one(Banner).refresh(layout=True)
        else:
            monkeypatch.setattr(StudioTable, "on_asked", broken, raising=False)
            table.post_message(Asked())
        await goes_on(pilot, studio, home)


async def test_a_part_that_cannot_be_drawn_leaves_the_rest_and_comes_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.mishaps.PAUSE", 0.5)
    studio = filled()
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        table = dashboard.screen.query_one(StudioTable)
        with monkeypatch.context() as during:
            during.setattr(StudioTable, "render_line", broken)
            table._clear_caches()
            table.refresh()
            await until(pilot, lambda: UNDRAWN in looked(dashboard))
            await until(pilot, lambda: "? help" in looked(dashboard))
        await until(pilot, lambda: "adapter-run" in shown(dashboard) and UNDRAWN not in shown(dashboard))


async def test_what_breaks_again_and_again_is_told_once_a_minute(home: Path) -> None:
    dashboard = Dashboard(make=filled)
    async with dashboard.run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        for _ in range(50):
            dashboard.screen.call_later(broken)
        await until(pilot, lambda: [times for _, times in dashboard.mishaps.seen.values()] == [49])
        assert (home / "logs" / "dashboard.log").read_text().count("Traceback") == 1
        assert len(dashboard._notifications) == 1


async def test_a_mishap_before_the_first_frame_ends_it_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dashboard, "on_mount", broken)
    with pytest.raises(LookupError):
        async with Dashboard(make=filled).run_test():
            pass


async def test_the_actors_away_are_told_from_the_queue_and_nothing_is_sent_meanwhile() -> None:
    from core.errors import Unavailable

    studio = filled()
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        studio.broken = Unavailable("no reply to ListFineTuningJobs within 10 s", part="actors")
        await pilot.press("r")
        await until(pilot, lambda: "▲ Actors away since" in shown(dashboard))
        assert "Jobs go on" in shown(dashboard) and "adapter-run" in shown(dashboard)
        before = len(studio.asked)
        dashboard.act("CancelJob", [{"id": "run"}])
        await until(pilot, lambda: "nothing was sent" in shown(dashboard))
        assert not [each for each in studio.asked[before:] if type(each).__name__ == "CancelJob"]
        studio.broken = None
        await until(pilot, lambda: "away" not in dashboard.screen.query_one(Banner).trouble)


async def test_what_is_typed_while_the_studio_is_away_is_kept_and_sent_once_when_it_is_back() -> None:
    studio = filled()
    dashboard = Dashboard(make=lambda: studio)

    def sent() -> list[str]:
        return [each.name for each in studio.asked if type(each).__name__ == "AddDataset"]  # type: ignore[attr-defined]

    async with dashboard.run_test(size=(100, 40)) as pilot:
        fields = {"type": "project_csv", "name": "kept", "location": "a.csv"}
        dashboard.show_form("AddDataset", fields)
        await until(pilot, lambda: "kept" in shown(dashboard))
        dashboard.unreached("queue", "connection refused")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "nothing was sent" in shown(dashboard))
        assert "kept" in shown(dashboard) and sent() == []
        outcomes: list[Any] = []
        dashboard.act("CancelJob", [{"id": "run"}], done=outcomes.extend, quiet=True)
        assert "nothing was sent" in str(outcomes[0].error) and not outcomes[0].unknown
        dashboard.reached()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: sent() == ["kept"])


async def test_an_idle_dashboard_notices_that_the_actors_went_away(monkeypatch: pytest.MonkeyPatch) -> None:
    from core.errors import Unavailable

    monkeypatch.setattr("tui.lasting.QUIET", 0.2)
    studio = filled()
    dashboard = Dashboard(make=lambda: studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        dashboard.show_text("a title", "a text that asks nothing")
        studio.broken = Unavailable("no reply", part="actors")
        await until(pilot, lambda: "Actors away" in shown(dashboard) or "not connected" in shown(dashboard))
        studio.broken = None
        await until(pilot, lambda: dashboard.connection.part == "")


def test_an_outage_is_told_in_a_line_with_its_beginning_and_what_jobs_do() -> None:
    known = Connection()
    assert known.told(78, 0) == known.refusal() == ""
    known.failed("queue", "the studio of /a is not up; `fts up` starts it")
    assert known.told(78, 0) == "not connected: the studio of /a is not up; `fts up` starts it"
    since = known.since
    known.failed("queue", "again")
    assert known.since == since
    for part in ("queue", "actors", "store"):
        known.failed(part, "")
        assert len(known.told(76, time.time())) <= 76
        assert clock(since) in known.told(76, time.time()) and clock(since) in known.told(158, time.time())
        assert "Jobs go on" in known.told(76, time.time()) and "fts status" in known.told(158, time.time())
    assert [pause(tries) for tries in (1, 2, 3, 4, 5, 6, 1_000)] == [1, 2, 4, 8, 15, 15, 15]
    assert known.answered() and not known.answered()


def pause(tries: int) -> float:
    made = Connection()
    made.tries = tries
    return made.pause


def test_a_question_without_an_answer_holds_nothing_at_the_end() -> None:
    threads, go_on = Threads(), threading.Event()
    assert threads.submit(lambda: 3).result(60) == 3
    waiting = threads.submit(go_on.wait, 30)
    began = time.monotonic()
    threads.shutdown(wait=True)
    assert time.monotonic() - began < 20 and not waiting.done()
    go_on.set()
    assert waiting.result(5)
    assert isinstance(threads.submit(broken).exception(5), LookupError)
    assert os.getpid()
