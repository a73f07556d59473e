"""Home: what needs a person comes first, enter goes there, nothing jumps while the studio goes on, and a new studio says how to begin."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from core.events import Event
from core.messages.overview import Concern
from core.messages.runners import Gpu
from core.text import plain
from core.types import JobStatus
from tests.tui.conftest import OPENS_WITH
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, NOW, job
from tests.tui.test_dashboard import SIZES, shown, until
from tests.tui.test_snapshots import Compare, at, timeless
from tui.app import Dashboard
from tui.screens.form import FormScreen
from tui.screens.home import HomeScreen
from tui.screens.job import JobScreen
from tui.view import overview
from tui.widgets.banner import Banner
from tui.widgets.glance import Glance


def app(studio: FakeStudio) -> Dashboard:
    return Dashboard(make=lambda: studio, page="home")


def cursor(pilot: Pilot[None]) -> str:
    """The line under the cursor."""
    return next((line for line in shown(pilot.app).split("\n") if "›" in line), "")


@pytest.fixture
def studio() -> FakeStudio:
    return filled()


def test_the_dashboard_opens_with_it() -> None:
    assert OPENS_WITH == "home"


@pytest.mark.parametrize("size", SIZES)
async def test_what_needs_a_person_what_runs_what_waits_and_who_works_is_seen_at_once(
    studio: FakeStudio, size: tuple[int, int]
) -> None:
    async with app(studio).run_test(size=size) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        text = shown(pilot.app)
        assert text.index("adapter-bad  memory ran out") < text.index("adapter-run") < text.index("adapter-wait")
        assert "40% ━━━─────  40/100  1m15s left" in text and "no runner has 1 GPUs" in text
        assert (
            "gpu-host  no GPU  12/64 GiB  2/8 cores  0 jobs" in text
            and "1 running, 1 waiting   1 succeeded, 1 failed" in text
        )
        assert "base model" in text


async def test_enter_goes_to_what_is_under_the_cursor_and_back(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        assert "adapter-bad" in cursor(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) and pilot.app.screen.job_id == "bad")
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await pilot.press("G", "enter")
        await until(pilot, lambda: "Runner gpu-host" in shown(pilot.app))


async def test_the_other_column_is_a_key_away_and_leads_to_its_pages(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        await pilot.press("tab", "j")
        assert "base model" in cursor(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: dashboard.page == "models" and "SmolLM2" in shown(dashboard))
        await pilot.press("escape")
        await until(pilot, lambda: dashboard.page == "home")


async def test_the_mouse_puts_the_cursor_and_opens(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        line = next(number for number, text in enumerate(shown(pilot.app).split("\n")) if "adapter-wait" in text)
        await pilot.click("#left", offset=(10, line - 1))
        assert "adapter-wait" in cursor(pilot)
        await pilot.click("#left", offset=(10, line - 1), times=2)
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) and pilot.app.screen.job_id == "wait")


async def test_the_cursor_stays_on_its_line_while_jobs_come_and_go(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("j")
        assert "adapter-run" in cursor(pilot)
        studio.rows["fine_tuning_jobs"][:0] = [job("new"), job("newer")]
        studio.job("bad").status = JobStatus.cancelled
        studio.job("run").step = 77
        studio.happened(id="new")
        await until(pilot, lambda: "77/100" in shown(pilot.app) and "adapter-newer" in shown(pilot.app))
        assert "adapter-run" in cursor(pilot) and "adapter-bad" not in shown(pilot.app)


async def test_progress_is_seen_without_a_key(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "40/100" in shown(pilot.app))
        studio.job("run").step = 41
        await until(pilot, lambda: "41/100" in shown(pilot.app))


async def test_a_new_studio_says_how_to_begin_and_ticks_off_what_is_done() -> None:
    studio = FakeStudio()
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "First steps" in shown(dashboard))
        assert shown(dashboard).count("○") == 4 and "fts demo" in shown(dashboard)
        studio.rows["datasets"] = filled().rows["datasets"]
        studio.happened("datasets")
        await until(pilot, lambda: "✓  d  add a dataset" in shown(dashboard))
        studio.rows["models"] = filled().rows["models"]
        studio.ready = {"models": False}
        studio.happened("models")
        await until(pilot, lambda: "those listed are only names on the Hub: add your own" in shown(dashboard))
        assert "○  m  add a base model" in cursor(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen) and dashboard.page == "import-models")


async def test_each_first_step_has_its_key() -> None:
    dashboard = app(FakeStudio())
    steps = {"d": "import-datasets", "m": "import-models", "p": "create-prompts", "t": "train"}
    async with dashboard.run_test(size=(80, 24)) as pilot:
        for key, page in steps.items():
            await until(pilot, lambda: "First steps" in shown(dashboard))
            await pilot.press(key)
            await until(pilot, lambda page=page: dashboard.page == page and isinstance(dashboard.screen, FormScreen))
            await pilot.press("escape")
        await until(pilot, lambda: "First steps" in shown(dashboard) and dashboard.page == "home")


async def test_an_outage_leaves_what_is_shown_and_what_is_true_comes_back(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        studio.away()
        await until(pilot, lambda: pilot.app.screen.query_one(Banner).has_class("away"))
        assert "adapter-run" in shown(pilot.app)
        studio.rows["fine_tuning_jobs"].append(job("late"))
        studio.back()
        await until(pilot, lambda: "adapter-late" in shown(pilot.app))
        assert not pilot.app.screen.query_one(Banner).has_class("away")


async def test_where_not_all_has_room_it_scrolls_with_the_cursor_and_only_down() -> None:
    studio = failing()
    at = {"at": NOW, "type": "ResourceAdded", "kind": "datasets"}
    studio.rows["events"] = [
        Event(id=n, prev=n - 1, message=f"dataset {n} was added {'x' * 99}", **at) for n in range(30)
    ]
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "says nothing" in shown(pilot.app))
        left = pilot.app.screen.query_one("#left", Glance)
        await until(pilot, lambda: left.show_vertical_scrollbar)
        assert not left.show_horizontal_scrollbar
        await pilot.press("G")
        await until(pilot, lambda: "dataset 0 was added" in cursor(pilot))
        await pilot.press("g")
        await until(pilot, lambda: "Needs attention" in shown(pilot.app) and "memory ran out" in cursor(pilot))


async def test_a_concern_of_a_kind_that_is_not_known_here_leads_to_what_happened() -> None:
    studio = FakeStudio()
    studio.rows["fine_tuning_jobs"] = [job("done", status=JobStatus.succeeded)]
    studio.concerns = [Concern(kind="volcanoes", name="etna", text="smokes")]
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "etna" in shown(dashboard))
        await pilot.press("enter")
        await until(pilot, lambda: dashboard.page == "events")


def test_lines_of_every_width_stay_within_it() -> None:
    told = failing(HOSTILE).overview().model_dump(mode="json")
    for width in (20, 40, 53, 80, 134, 300):
        for line in overview.drawn(overview.sections(told, compact=width), width):
            text = "".join(text for text, _ in line.spans)
            assert cell_len(text) <= width and plain(text) == text


def failing(name: str = "adapter-bad") -> FakeStudio:
    """A studio with all that can be wrong."""
    studio = timeless()
    first = studio.rows["runners"][0]
    gpus = [Gpu(index=0, name="L40S", memory=48), Gpu(index=1, name="L40S", memory=48)]
    busy = {"gpus": [{"index": 0, "percent": 97, "memory_used": 40.1, "memory_total": 48}, {"index": 1, "percent": 0}]}
    busy |= {"cpu_percent": 88, "memory_used": 60, "disk_free": 0.5}
    first.telemetry = {"memory_used": 12.0, "cpu_percent": 31, "disk_free": 211}
    lost = first.model_copy(update={"id": "r2", "host": name, "status": "lost", "last_seen_at": time.time() - 3600})
    full = first.model_copy(update={"id": "r3", "host": "two-gpus", "gpus": gpus, "telemetry": busy, "jobs": ["run"]})
    studio.rows["runners"] = [lost, full, first]
    studio.concerns = [
        Concern(kind="runners", id="r2", level="error", name=name, text="says nothing; its jobs go to others"),
        Concern(kind="runners", id="r3", name="two-gpus", text="its artifacts' disk has 0.5 GiB left"),
        Concern(kind="jobs", id="run", job_kind="fine_tuning", name=name, text=f"stands still: {name}"),
        Concern(kind="letters", text="3 messages could not be run and wait among the dead letters"),
    ]
    studio.rows["fine_tuning_jobs"] += [
        job("long", adapter_name=name, step=0, total_steps=None, phase="loading the model")
    ]
    return studio


STATES: dict[str, tuple[Any, str]] = {
    "empty": (FakeStudio, "First steps"),
    "filled": (timeless, "adapter-run"),
    "failing": (failing, "says nothing"),
    "hostile": (lambda: failing(HOSTILE), "says nothing"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", STATES)
def test_home(snap_compare: Compare, size: tuple[int, int], state: str) -> None:
    make, text = STATES[state]
    studio = make()
    for name in ("fine_tuning_jobs", "runners"):
        for row in studio.rows[name]:
            row.__dict__["last_seen_at"] = None
    assert snap_compare(Dashboard(make=lambda: studio, page="home"), terminal_size=size, run_before=at(text))


async def test_a_line_is_cut_where_it_is_seen_to_end_also_beside_the_scrollbar() -> None:
    dashboard = Dashboard(make=lambda: failing("a host of a long name"), page="home")
    async with dashboard.run_test(size=(60, 14)) as pilot:
        await until(pilot, lambda: "Resources" in " ".join(_texts(dashboard)))
        left = dashboard.screen.query_one("#left", Glance)
        await until(pilot, lambda: left.show_vertical_scrollbar)
        assert max(map(cell_len, _texts(dashboard))) <= left.scrollable_content_region.width
        assert any(text.endswith("…") for text in _texts(dashboard))


def _texts(dashboard: Dashboard) -> list[str]:
    return ["".join(text for text, _ in line.spans) for line in dashboard.screen.query_one("#left", Glance).lines]


def test_a_count_and_what_is_counted_stand_in_one_line() -> None:
    told = {"resources": {table: 2 for table, _, _ in overview.RESOURCES}}
    for width in range(20, 100):
        lines = [text for line in overview.compactly(told, width).lines for text, _ in line.cells]
        assert all(text[0] == "2" and text[-1] == "s" for text in lines), lines
