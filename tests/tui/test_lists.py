"""Lists as their user meets them: of any length, ordered, filtered, marked, acted on, and removals taken back (D-205)."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from typing import Any

import pytest
from textual.messages import ExitApp
from textual.pilot import Pilot

from core.errors import Refused, Unavailable
from core.messages.datasets import DatasetMetadata
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import job
from tests.tui.test_dashboard import SIZES, app, shown, until
from tui import removing
from tui.app import Dashboard
from tui.screens.confirm import ConfirmScreen
from tui.screens.listing import ListScreen
from tui.screens.paged import letters
from tui.view.kinds import KINDS
from tui.widgets.table import StudioTable
from tui.window import MOST, PAGE


def many(count: int = 1_000) -> FakeStudio:
    """A studio with many jobs that are over, the newest first."""
    made = filled()
    over = {"status": JobStatus.succeeded, "created_at": None, "eta_seconds": None}
    made.rows["fine_tuning_jobs"] = [job(f"{n:04}", adapter_name=f"name-{n:04}", **over) for n in range(count)]
    return made


def datasets(*names: str) -> FakeStudio:
    """A studio with these datasets; the dashboard opens with them."""
    made = filled()
    made.rows["datasets"] = [DatasetMetadata(id=f"id-{name}", type="project_csv", name=name) for name in names]
    return made


def table(pilot: Pilot[None]) -> StudioTable:
    return pilot.app.screen.query_one(StudioTable)


def sent(studio: FakeStudio, name: str) -> list[Any]:
    return [each for each in studio.asked if type(each).__name__ == name]


def on_datasets(studio: FakeStudio, **options: Any) -> Dashboard:
    return Dashboard(make=lambda: studio, page="datasets", **options)


# ─── long lists ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_a_long_list_is_walked_to_its_end_and_back_with_few_rows_in_memory(size: tuple[int, int]) -> None:
    studio = many(420)
    async with app(studio).run_test(size=size) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        seen = set(map(int, list(table(pilot).lines)[: table(pilot).lines_shown]))
        while max(seen) < 419:
            key = str(table(pilot).cursor_key)
            await pilot.press("pagedown")
            await until(pilot, lambda: table(pilot).cursor_key != key or table(pilot).cursor_key == "0419")  # noqa: B023
            assert len(table(pilot).lines) == table(pilot).row_count <= MOST
            first = int(table(pilot).scroll_y)
            seen |= set(map(int, list(table(pilot).lines)[first : first + table(pilot).lines_shown]))
        assert seen == set(range(420)), "a row was never in view"
        while table(pilot).cursor_key != "0000":
            key = str(table(pilot).cursor_key)
            await pilot.press("pageup")
            await until(pilot, lambda: table(pilot).cursor_key < key)  # noqa: B023
            assert table(pilot).row_count <= MOST


async def test_g_and_G_go_to_the_ends_of_the_whole_list() -> None:
    async with app(many()).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        await pilot.press("G")
        await until(pilot, lambda: "name-0999" in shown(pilot.app) and table(pilot).cursor_key == "0999")
        assert "1,000" in shown(pilot.app).splitlines()[0]
        await pilot.press("g")
        await until(pilot, lambda: "name-0000" in shown(pilot.app) and table(pilot).cursor_key == "0000")


async def test_rows_that_come_and_go_leave_cursor_and_view_where_they_are() -> None:
    studio = many(400)
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        for _ in range(4):
            await pilot.press("pagedown")
        await pilot.press("k", "k", "k")
        before, key = [line.split()[2] for line in shown(pilot.app).splitlines()[2:22]], table(pilot).cursor_key
        jobs = studio.rows["fine_tuning_jobs"]
        studio.rows["fine_tuning_jobs"] = [*(job(f"new{n}", adapter_name=f"new-{n}") for n in range(3)), *jobs[2:]]
        asked = len(studio.asked)
        studio.happened()
        await until(pilot, lambda: len(studio.asked) > asked and "new0" in table(pilot).lines)
        assert [line.split()[2] for line in shown(pilot.app).splitlines()[2:22]] == before
        assert table(pilot).cursor_key == key
        await pilot.press("g")
        await until(pilot, lambda: "new-0" in shown(pilot.app))


async def test_the_wheel_pages_too_and_the_cursor_stays() -> None:
    async with app(many()).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        # The first layout puts the table where it was, and may come late.
        await until(pilot, lambda: table(pilot).scroll_to(y=70, animate=False) or int(table(pilot).scroll_y) == 70)
        await until(pilot, lambda: len(table(pilot).lines) > PAGE)
        assert table(pilot).cursor_key == "0000" and int(table(pilot).scroll_y) == 70


# ─── order and filter ─────────────────────────────────────────────────────────────────────────────


async def test_a_letter_orders_all_rows_again_the_other_way_and_again_as_they_came() -> None:
    studio = many(250)
    async with app(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        assert "adapter" in shown(pilot.app)
        await pilot.press("P")
        await until(pilot, lambda: "adapter↑" in shown(pilot.app) and studio.asked[-1].order == "adapter_name")
        await pilot.press("P")
        await until(pilot, lambda: "adapter↓" in shown(pilot.app) and "name-0249" in shown(pilot.app))
        assert table(pilot).cursor_key == "0249"
        await pilot.press("P")
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        assert "↑" not in shown(pilot.app) and "↓" not in shown(pilot.app)


async def test_a_click_on_a_title_orders_and_two_clicks_on_a_row_open_it() -> None:
    async with app(many(20)).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        at = shown(pilot.app).splitlines()[1].index("adapter")
        await pilot.click(StudioTable, offset=(at, 0))
        await until(pilot, lambda: "adapter↑" in shown(pilot.app))
        await pilot.click(StudioTable, offset=(at, 4))
        await pilot.pause()
        assert isinstance(pilot.app.screen, ListScreen) and table(pilot).cursor_key == "0003"
        await pilot.click(StudioTable, offset=(at, 4), times=2)
        await until(pilot, lambda: not isinstance(pilot.app.screen, ListScreen))


def test_every_column_that_orders_has_a_letter_of_its_own_that_its_list_does_not_use() -> None:
    for kind in KINDS.values():
        found = letters(kind.columns)
        assert list(found.values()) == [column for column in kind.columns if column.order], kind.name
        used = {
            str(key)
            for base in ListScreen.__mro__
            for key in (getattr(base, "_merged_bindings", None) and base._merged_bindings.key_to_bindings) or {}
        }  # type: ignore[attr-defined]
        assert not used & set(found), kind.name


async def test_the_filter_asks_the_studio_and_says_what_it_leaves() -> None:
    studio = many()
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        await pilot.press("slash", *"name-099")
        await until(pilot, lambda: "name-0999" in shown(pilot.app) and "10 of 1,000" in shown(pilot.app))
        await pilot.press("x", "enter")
        await until(pilot, lambda: "Nothing holds “name-099x”." in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: "name-0000" in shown(pilot.app) and "/name" not in shown(pilot.app))


# ─── marks ────────────────────────────────────────────────────────────────────────────────────────


async def test_marks_survive_paging_and_changes_and_are_told() -> None:
    studio = many()
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        await pilot.press("space", "space", "G")
        await until(pilot, lambda: "name-0999" in shown(pilot.app))
        await pilot.press("space")
        assert "3 rows marked" in shown(pilot.app)
        studio.rows["fine_tuning_jobs"].insert(0, job("newest"))
        studio.happened()
        await pilot.press("g")
        await until(pilot, lambda: "▌✓ succeeded  name-0000" in shown(pilot.app))
        await pilot.press("j", "space")
        assert "2 rows marked" in shown(pilot.app), "space takes a mark away"
        await pilot.press("escape")
        assert "marked" not in shown(pilot.app)


async def test_a_star_marks_what_the_filter_leaves_wherever_it_lies() -> None:
    studio = many()
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        await pilot.press("slash", *"name-0", "enter")
        await until(pilot, lambda: "1,000 of 1,000" in shown(pilot.app))
        await pilot.press("asterisk")
        await until(pilot, lambda: "1,000 rows marked" in shown(pilot.app))
        await pilot.press("asterisk")
        assert "marked" not in shown(pilot.app)


async def test_a_verb_on_many_asks_once_and_tells_who_failed() -> None:
    studio = many(8)
    async with app(studio).run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        await pilot.press(*["space"] * 7, "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        said = " ".join(shown(pilot.app).split())
        assert "Cancel 7: name-0000, name-0001, name-0002" in said and "and 2 more" in said
        studio.rows["fine_tuning_jobs"] = [each for each in studio.rows["fine_tuning_jobs"] if each.id != "0003"]
        await pilot.press("y")
        await until(pilot, lambda: "6 of 7 done" in shown(pilot.app) and "0003" in shown(pilot.app))
        assert [each.id for each in sent(studio, "CancelJob")] == [f"000{n}" for n in range(7)]
        await until(pilot, lambda: "1 row marked" in shown(pilot.app))


async def test_pausing_many_lets_go_on_only_when_all_are_paused() -> None:
    studio = many(3)
    studio.rows["fine_tuning_jobs"][0].status = JobStatus.running
    studio.rows["fine_tuning_jobs"][1].status = studio.rows["fine_tuning_jobs"][2].status = JobStatus.paused
    async with app(studio).run_test(size=(100, 30), notifications=True) as pilot:
        await until(pilot, lambda: "name-0000" in shown(pilot.app))
        await pilot.press(*["space"] * 3, "p")
        await until(pilot, lambda: [each.id for each in sent(studio, "PauseJob")] == ["0000"])
        await until(pilot, lambda: "marked" not in shown(pilot.app))
        await pilot.press("g", *["space"] * 3, "p")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, lambda: len(sent(studio, "ResumeJob")) == 3)


# ─── removals ─────────────────────────────────────────────────────────────────────────────────────


async def remove(pilot: Pilot[None]) -> None:
    """Ask for what is under the cursor, or marked, to go."""
    await pilot.press("ctrl+d")
    await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
    await pilot.press("y")
    await until(pilot, lambda: "goes in" in shown(pilot.app))


async def test_a_removal_waits_and_is_taken_back() -> None:
    studio = datasets("one", "two")
    async with on_datasets(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "two" in shown(pilot.app))
        await remove(pilot)
        assert "1 removal in" in shown(pilot.app) and "u takes it back" in shown(pilot.app)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "that is going already" in shown(pilot.app))
        await pilot.press("u")
        await until(pilot, lambda: "goes in" not in shown(pilot.app))
        await pilot.press("u")
        await until(pilot, lambda: "nothing to take back" in shown(pilot.app))
    assert sent(studio, "RemoveDataset") == []


async def test_a_removal_is_sent_when_its_seconds_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "SECONDS", 1)
    studio = datasets("one", "two", "three")
    async with on_datasets(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "three" in shown(pilot.app))
        await pilot.press("space", "j", "space")
        await remove(pilot)
        await until(pilot, lambda: len(sent(studio, "RemoveDataset")) == 2)
        assert [each.id for each in sent(studio, "RemoveDataset")] == ["id-one", "id-three"]
        await until(pilot, lambda: list(table(pilot).lines) == ["id-two"] and "going" not in shown(pilot.app))


async def test_what_stands_in_the_way_is_told_before_the_seconds_begin() -> None:
    studio = datasets("used", "free")
    studio.held["id-used"] = "the dataset is used by 1 unfinished job: 'tickets'"
    async with on_datasets(studio).run_test(size=(120, 24), notifications=True) as pilot:
        await until(pilot, lambda: "free" in shown(pilot.app))
        await pilot.press("ctrl+d")
        await until(
            pilot, lambda: "used can't be removed: the dataset is used by" in " ".join(shown(pilot.app).split())
        )
        assert isinstance(pilot.app.screen, ListScreen)
        await pilot.press("space", "space", "ctrl+d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        said = " ".join(shown(pilot.app).split())
        assert "Remove the dataset free?" in said and "used can't be removed" in said
        await pilot.press("y")
        await until(pilot, lambda: "goes in" in shown(pilot.app))
        await pilot.press("q")
    assert [each.id for each in sent(studio, "RemoveDataset")] == ["id-free"]


async def test_leaving_within_the_seconds_sends_the_removal_and_waits_for_it() -> None:
    studio = datasets("one", "two")
    async with on_datasets(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "two" in shown(pilot.app))
        await remove(pilot)
        await pilot.press("q")
        await asyncio.sleep(0)
    assert [each.id for each in sent(studio, "RemoveDataset")] == ["id-one"]
    assert [each.id for each in studio.rows["datasets"]] == ["id-two"]


async def test_a_dashboard_that_others_end_removes_nothing() -> None:
    studio = datasets("one")
    async with on_datasets(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "one" in shown(pilot.app))
        await remove(pilot)
        pilot.app.exit(return_code=128 + signal.SIGHUP)
    assert sent(studio, "RemoveDataset") == []


async def test_a_dashboard_whose_browser_is_gone_removes_nothing() -> None:
    studio = datasets("one")
    async with on_datasets(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "one" in shown(pilot.app))
        await remove(pilot)
        pilot.app.post_message(ExitApp())  # what Textual's driver for browsers makes of it
    assert sent(studio, "RemoveDataset") == []


async def test_leaving_in_the_middle_of_a_removal_waits_for_the_rest_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(removing, "SECONDS", 1)
    studio = datasets("one", "two", "three")
    begun, left, answer = threading.Event(), threading.Event(), studio.ask

    def slow(message: Any, **more: Any) -> Any:
        if type(message).__name__ != "RemoveDataset":
            return answer(message, **more)
        begun.set()
        assert left.wait(60)
        if message.id == "id-three":
            raise Refused("it is used")
        time.sleep(0.2)
        return answer(message, **more)

    monkeypatch.setattr(studio, "ask", slow)
    dashboard = on_datasets(studio)
    async with dashboard.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "three" in shown(pilot.app))
        await pilot.press("space", "space", "space")
        await remove(pilot)
        await until(pilot, begun.is_set)
        left.set()
        await pilot.press("q")
    assert [each.id for each in sent(studio, "RemoveDataset")] == ["id-one", "id-two"]
    assert dashboard.last_words == ["remove dataset id-three was not done: it is used"]


@pytest.mark.parametrize("place", ["database", "job"])
async def test_a_removal_is_taken_back_where_u_means_something_else(place: str) -> None:
    studio = datasets("one")
    studio.rows["fine_tuning_jobs"] = [job("j1")]
    async with on_datasets(studio).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "one" in shown(pilot.app))
        await remove(pilot)
        if place == "job":
            pilot.app.show_job("j1")  # type: ignore[attr-defined]
        else:
            await pilot.press("colon", *place, "enter")
        await until(pilot, lambda: type(pilot.app.screen).__name__ in ("DatabaseScreen", "JobScreen"))
        await pilot.press("u")
        await until(pilot, lambda: "taken back: 1 removal" in shown(pilot.app))
        await pilot.press("u")
        await pilot.pause()
        assert "nothing is going" not in shown(pilot.app)
        await pilot.press("q")
    assert sent(studio, "RemoveDataset") == []


async def test_leaving_a_studio_that_is_away_says_what_was_not_removed() -> None:
    studio = datasets("one")
    dashboard = on_datasets(studio)
    async with dashboard.run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "one" in shown(pilot.app))
        await remove(pilot)
        studio.broken = Unavailable("no studio answers")
        await pilot.press("q")
    assert dashboard.last_words == ["remove dataset id-one was not done: no studio answers"]


async def test_a_dashboard_that_only_looks_removes_nothing() -> None:
    studio = datasets("one")
    async with on_datasets(studio, readonly=True).run_test(size=(100, 24), notifications=True) as pilot:
        await until(pilot, lambda: "one" in shown(pilot.app))
        await pilot.press("ctrl+d")
        await until(pilot, lambda: "only looks" in shown(pilot.app))
    assert not sent(studio, "CheckCommand") and not sent(studio, "RemoveDataset")
