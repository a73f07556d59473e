"""The dashboard as its user meets it: keys in, screens out, whatever the studio does meanwhile."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input, SelectionList

from core.messages import REGISTRY
from core.messages.adapters import AdapterMetadata
from core.messages.fine_tuning import StoppedEarly
from core.messages.jobs import LogLine
from core.messages.runners import Gpu
from core.rules import Breach
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, NOW, failed, job
from tui import removing
from tui.app import Dashboard
from tui.cli.watch import describe
from tui.forms import PRESET_FIELDS, fields, title
from tui.screens import confirm
from tui.screens.confirm import ConfirmScreen
from tui.screens.form import FormScreen
from tui.screens.job import JobScreen
from tui.screens.listing import ListScreen
from tui.theme import PAINT
from tui.view.fit import widths
from tui.view.kinds import KINDS
from tui.widgets.banner import Banner
from tui.widgets.choice import Choice
from tui.widgets.table import StudioTable

SIZES = [(80, 24), (160, 50)]
PATIENCE = 60.0  # seconds that a screen gets on a machine that does much else


async def until(pilot: Pilot[None], true: Callable[[], Any]) -> Any:
    """Wait for what the screen must come to."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := true():
            return value
        await asyncio.sleep(0.02)
        await pilot.pause()
    raise AssertionError(f"it did not come; the screen:\n{shown(pilot.app)}")


async def here(pilot: Pilot[None], text: str) -> None:
    """Wait until the screen shows a text."""
    await until(pilot, lambda: text in shown(pilot.app))


def shown(app: Any) -> str:
    """The screen as text."""
    return "\n".join("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())


@pytest.fixture
def studio() -> FakeStudio:
    return filled()


def app(studio: FakeStudio, open_job: str | None = None) -> Dashboard:
    return Dashboard(open_job, make=lambda: studio)


@pytest.mark.parametrize("size", SIZES)
async def test_the_jobs_are_listed_with_state_progress_and_why_one_waits(
    studio: FakeStudio, size: tuple[int, int]
) -> None:
    async with app(studio).run_test(size=size) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        text = shown(pilot.app)
        assert "● running" in text and "✓ succeeded" in text and "✗ failed" in text
        assert "40%" in text and "no runner has" in text


@pytest.mark.parametrize("kind", sorted(KINDS))
async def test_every_list_says_what_to_do_when_it_is_empty(kind: str) -> None:
    dashboard = app(FakeStudio())
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        dashboard.obey(kind)
        first = KINDS[kind].empty.splitlines()[0]
        await until(pilot, lambda: first in shown(dashboard))


async def test_a_job_opens_with_its_curve_its_log_and_its_numbers(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: "691 rows to train on" in shown(pilot.app))
        text = shown(pilot.app)
        assert "step 40/100" in text and "1m15s left" in text and "learning rate" in text
        assert any(0x2800 < ord(char) < 0x2900 for char in text), "no curve"
        await pilot.press("o")
        await until(pilot, lambda: '"r": 16' in shown(pilot.app))
        assert "max_length" in shown(pilot.app) and "loss_on" in shown(pilot.app)


async def test_records_move_the_progress_the_curve_and_the_log(studio: FakeStudio) -> None:
    async with app(studio, open_job="run").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "691 rows" in shown(pilot.app))
        records = [
            {"type": "metrics", "at": 1.0, "step": 41, "values": {"loss": 0.0625}, "offset": 90},
            {
                "type": "progress",
                "at": 1.0,
                "step": 41,
                "total_steps": 100,
                "eta_seconds": 30,
                "tokens_per_second": 7,
                "offset": 95,
            },
            {"type": "log", "at": 1.0, "text": "a new line", "offset": 100},
        ]
        studio.records.put({"attempt": 1, "from": 0, "to": 100, "records": records})
        await until(pilot, lambda: "step 41/100" in shown(pilot.app))
        await until(pilot, lambda: "a new line" in shown(pilot.app) and "0.0625" in shown(pilot.app))
        screen = pilot.app.screen
        assert isinstance(screen, JobScreen) and screen.view.tracks.points["loss"][-1] == (41.0, 0.0625, 1.0)


async def test_a_gap_in_the_records_is_healed_by_asking(studio: FakeStudio) -> None:
    async with app(studio, open_job="run").run_test(size=(120, 36)) as pilot:
        await until(pilot, lambda: "691 rows" in shown(pilot.app))
        before = len([each for each in studio.asked if type(each).__name__ == "GetJobMetrics"])
        studio.records.put({"attempt": 1, "from": 50, "to": 60, "records": []})
        await until(
            pilot, lambda: len([each for each in studio.asked if type(each).__name__ == "GetJobMetrics"]) > before
        )


async def test_a_failed_job_tells_why_and_what_to_do(studio: FakeStudio) -> None:
    studio.rows["fine_tuning_jobs"] = [failed("bad")]
    async with app(studio, open_job="bad").run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "memory ran out" in shown(pilot.app) and "Lower max_length" in shown(pilot.app))


async def test_live_changes_leave_the_cursor_on_its_row(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("j", "j")
        table = pilot.app.screen.query_one(StudioTable)
        assert table.cursor_key == "bad"
        studio.rows["fine_tuning_jobs"].insert(0, job("newest"))
        studio.happened()
        await until(pilot, lambda: "adapter-newest" in shown(pilot.app))
        assert table.cursor_key == "bad"


async def test_the_filter_leaves_what_matches_and_escape_brings_the_rest_back(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("slash", *"failed", "enter")
        await until(pilot, lambda: "adapter-run" not in shown(pilot.app))
        assert "adapter-bad" in shown(pilot.app)
        await pilot.press("escape")
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))


async def test_the_command_line_goes_to_lists_and_complains_of_what_is_not_there(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 30), notifications=True) as pilot:
        await pilot.pause()
        await pilot.press("colon", *"data", "enter")
        await until(pilot, lambda: "tickets" in shown(pilot.app))
        await pilot.press("colon", *"nowhere", "enter")
        await until(pilot, lambda: "there is no :nowhere" in shown(pilot.app))


async def test_cancelling_asks_first(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("c")
        await until(pilot, lambda: "Cancel adapter-run?" in shown(pilot.app))
        await pilot.press("n")
        await pilot.pause()
        assert studio.job("run").status is JobStatus.running
        await pilot.press("c", "y")
        await until(pilot, lambda: studio.job("run").status is JobStatus.cancelled)


async def test_an_outage_is_said_calmly_what_is_shown_stays_and_the_right_state_comes_back(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        studio.away()
        await until(pilot, lambda: "ueue" in shown(pilot.app) and "away since" in shown(pilot.app))
        assert "adapter-run" in shown(pilot.app)
        studio.rows["fine_tuning_jobs"] = [job("after")]
        studio.back()
        await until(pilot, lambda: "adapter-after" in shown(pilot.app))
        assert "away" not in shown(pilot.app)


async def test_the_form_shows_breaches_at_their_fields_until_they_are_mended(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(120, 50)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "SmolLM2" in shown(pilot.app))
        screen = pilot.app.screen
        screen.query_one("#input-adapter_name", Input).value = "not a name"
        await until(pilot, lambda: "FT-002" in shown(pilot.app))
        screen.query_one("#input-num_cpu", Input).value = "0"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "FT-004" in shown(pilot.app))
        assert not [each for each in studio.asked if type(each).__name__ == "StartFineTuningJob"]
        screen.query_one("#input-adapter_name", Input).value = "a-name"
        screen.query_one("#input-num_cpu", Input).value = "2"
        studio.refusal = [Breach(rule="FT-014", field="dataset_id", message="there is no dataset")]
        await pilot.press("ctrl+s")
        await until(pilot, lambda: [each for each in screen.query("#breach-dataset_id") if each.display])
        assert "FT-014" in shown(pilot.app)
        studio.refusal = []
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen))
        sent = [each for each in studio.asked if type(each).__name__ == "StartFineTuningJob"][-1]
        assert (sent.adapter_name, sent.base_model_id, sent.num_gpu) == ("a-name", "m1", 0)  # type: ignore[attr-defined]


async def test_a_preset_shows_what_it_gives_and_leaves_what_was_typed(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen))
        form = FormScreen("StartFineTuningJob", {})
        dashboard.push_screen(form)

        def sent() -> dict[str, Any]:
            return {
                name: value for name, value in form.fields.payload()[0].items() if name in {"preset", *PRESET_FIELDS}
            }

        await until(pilot, lambda: form.is_mounted and form.query("#input-preset"))
        form.query_one("#input-length_grouped", Choice).value = "yes"
        await until(pilot, lambda: "length_grouped" in form.fields.touched)
        form.query_one("#input-preset", Choice).value = "fast"
        await until(pilot, lambda: form.query_one("#input-packing", Choice).value == "no")
        assert sent() == {"preset": "fast"}
        form.query_one("#input-packing", Choice).value = "yes"
        await until(pilot, lambda: "packing" in form.fields.touched)
        assert sent() == {"preset": "fast", "packing": True}
        form.query_one("#input-preset", Choice).value = "guide"
        await until(pilot, lambda: form.query_one("#input-loss_on", Choice).value == "all")
        assert sent() == {"preset": "guide", "length_grouped": True}


async def test_a_form_shows_the_same_request_as_command_python_and_json(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(140, 50)) as pilot:
        dashboard.show_form("AddDataset", {"name": "it's"})
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "fts dataset add --name" in shown(dashboard))
        assert "── Python" in shown(dashboard) and '"name": "it\'s"' in shown(dashboard)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "name",
    ["AddDataset", "AddModel", "AddPrompt", "AddConfig", "AddAdapter", "StartFineTuningJob", "StartEvaluationJob"],
)
async def test_every_form_opens(studio: FakeStudio, name: str, size: tuple[int, int]) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=size) as pilot:
        dashboard.show_form(name)
        await until(pilot, lambda: "^s send" in shown(dashboard))


def _hostile_list(dashboard: Dashboard, kind: str) -> bool:
    screen = dashboard.screen
    return isinstance(screen, ListScreen) and screen.kind.name == kind and "[red]" in shown(dashboard)


async def test_a_job_that_stopped_early_says_so_on_its_screen_and_in_the_list(studio: FakeStudio) -> None:
    stop = StoppedEarly(step=1040, best_step=1000, best_eval_loss=0.5)
    early = job("early", status=JobStatus.succeeded, step=1040, total_steps=2000, stopped_early=stop, phase=None)
    studio.rows["fine_tuning_jobs"] = [early]
    told = "stopped early at step 1040: lowest held-out loss at step 1000"
    async with app(studio, open_job="early").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: f"✓ succeeded   {told}" in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: "52% stopped early" in shown(pilot.app))
    assert describe(early).startswith(f"succeeded  ██████████░░░░░░░░░░ 1040/2000  {told}")


@pytest.mark.parametrize("size", SIZES)
async def test_hostile_text_is_shown_and_does_nothing(size: tuple[int, int]) -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("evil", adapter_name=HOSTILE, phase=HOSTILE)]
    studio.rows["datasets"][0].name = studio.rows["models"][0].name = studio.rows["prompts"][0].name = HOSTILE
    studio.rows["runners"][0].host = HOSTILE
    studio.log[0].text = HOSTILE
    dashboard = app(studio)
    async with dashboard.run_test(size=size) as pilot:
        for kind in ("jobs", "datasets", "models", "prompts", "runners"):
            dashboard.obey(kind)
            await until(pilot, partial(_hostile_list, dashboard, kind))
            assert "\x1b" not in shown(dashboard) and "\u202e" not in shown(dashboard)
            await pilot.press("d")
            await until(pilot, lambda: "[red]" in shown(dashboard))
            await pilot.press("escape")
        dashboard.show_job("evil")
        await until(
            pilot,
            lambda: (
                "[red]" in shown(dashboard) and isinstance(dashboard.screen, JobScreen) and dashboard.screen.view.job
            ),
        )
        assert "\x1b" not in shown(dashboard) and "\u202e" not in shown(dashboard)


async def test_what_happens_while_the_studio_is_asked_is_asked_for_again(studio: FakeStudio) -> None:
    asked = threading.Event()
    go_on = threading.Event()
    ask = studio.ask

    def slowly(message: Any, **how: Any) -> Any:
        answer = ask(message, **how)
        if type(message).__name__ == "ListEvents" and not asked.is_set():
            asked.set()
            go_on.wait(60)
        return answer

    studio.ask = slowly  # type: ignore[method-assign]
    async with app(studio, open_job="run").run_test(size=(100, 30)) as pilot:
        await until(pilot, asked.is_set)
        studio.job("run").status = JobStatus.succeeded
        studio.happened("fine_tuning_jobs", "run")
        await pilot.pause(0.3)
        go_on.set()
        await until(pilot, lambda: "✓ succeeded" in shown(pilot.app))


async def test_what_a_job_takes_is_drawn_when_asked_for_and_follows(studio: FakeStudio) -> None:
    async with app(studio, open_job="run").run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "691 rows" in shown(pilot.app))
        took = {"sys.cpu": 96.0, "sys.memory": 1.5, "sys.gpu0.percent": 87.0}
        usage = [{"step": step, "values": took} for step in (15, 30)]
        studio.records.put({"attempt": 1, "from": 0, "to": 0, "records": [], "usage": usage})
        await until(pilot, lambda: "96% CPU 1.5 GiB" in shown(pilot.app) and "87%" in shown(pilot.app))
        screen = pilot.app.screen
        assert isinstance(screen, JobScreen)
        while screen.charts.look.chosen != "sys.cpu":
            await pilot.press("m")
        await pilot.press("enter")
        await until(pilot, lambda: "CPU, % of a core 96" in shown(pilot.app) and "30 seconds" in shown(pilot.app))
        assert [point[:2] for point in screen.view.tracks.points["sys.cpu"]] == [(15.0, 96.0), (30.0, 96.0)]
        await pilot.press("M")
        assert screen.charts.look.chosen != "sys.cpu"


async def test_the_whole_log_is_searched_from_its_job(studio: FakeStudio) -> None:
    studio.log = [LogLine(attempt=1, offset=n, at=NOW, text=f"Step {n} [b]is done") for n in range(40)]
    studio.printed = [LogLine(attempt=1, offset=9, at=0.0, level="printed", text="Step 7 of a library")]
    async with app(studio, open_job="run").run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "Step 39" in shown(pilot.app))
        await pilot.press("slash", *"step 7", "enter")
        await until(pilot, lambda: "     8 " in shown(pilot.app) and "[b]is done" in shown(pilot.app))
        assert "Step 39" not in shown(pilot.app) and "[/ found]" in shown(pilot.app)
        assert "── printed by" in shown(pilot.app) and "     1  Step 7 of a library" in shown(pilot.app)
        await pilot.press("slash", *"x", "enter")
        await until(pilot, lambda: "no line of the log holds x" in shown(pilot.app))
        await pilot.press("slash", "escape")
        await until(pilot, lambda: "Step 39" in shown(pilot.app) and "found" not in shown(pilot.app))


async def test_escape_ends_a_search_of_the_log_before_it_leaves_the_job(studio: FakeStudio) -> None:
    async with app(studio, open_job="run").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "691 rows" in shown(pilot.app))
        await pilot.press("slash")
        await until(pilot, lambda: "/ a text that lines of the log must hold" in shown(pilot.app))
        await pilot.press(*"zzz", "enter")
        await until(pilot, lambda: "no line of the log holds zzz" in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: "691 rows" in shown(pilot.app) and "found" not in shown(pilot.app))
        assert isinstance(pilot.app.screen, JobScreen)
        await pilot.press("e", "slash", "escape")
        await until(pilot, lambda: "[e events]" in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListScreen))


async def test_a_log_that_is_read_stays_where_it_is_while_the_job_goes_on(studio: FakeStudio) -> None:
    studio.log = [LogLine(attempt=1, offset=n, at=NOW, text=f"line {n}.") for n in range(200)]
    async with app(studio, open_job="run").run_test(size=(100, 30)) as pilot:
        await until(pilot, lambda: "line 199." in shown(pilot.app))
        await pilot.press("g")
        await until(pilot, lambda: "line 0." in shown(pilot.app))
        studio.log.append(LogLine(attempt=1, offset=201, at=NOW, text="line 200."))
        before = len(studio.asked)
        studio.happened("fine_tuning_jobs", "run")
        await until(pilot, lambda: len(studio.asked) >= before + 4)
        await pilot.pause(0.2)
        assert "line 0." in shown(pilot.app)
        await pilot.press("G")
        await until(pilot, lambda: "line 200." in shown(pilot.app))


@pytest.mark.parametrize("name", [kind.add for kind in KINDS.values() if kind.add])
def test_a_form_is_called_by_what_fits_the_screen_and_begins_with_what_is_wanted(name: str) -> None:
    assert 10 < len(title(REGISTRY[name])) < 60
    assert fields(name)[0].name != "id"


async def test_what_was_typed_into_a_form_that_was_left_is_offered_again(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 30)) as pilot:
        dashboard.show_form("AddDataset")
        await until(pilot, lambda: "^s send" in shown(dashboard))
        dashboard.screen.query_one("#input-name", Input).focus()
        await pilot.press(*"tick", "escape")
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen))
        dashboard.show_form("AddDataset")
        await until(pilot, lambda: "ctrl+r brings them back" in shown(dashboard))
        assert dashboard.screen.query_one("#input-name", Input).value == ""
        await pilot.press("ctrl+r")
        await until(pilot, lambda: dashboard.screen.query_one("#input-name", Input).value == "tick")


async def test_a_form_that_nobody_typed_into_goes_at_once(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 30)) as pilot:
        dashboard.show_form("StartEvaluationJob")
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen))
        form = dashboard.screen
        await until(pilot, lambda: bool(form.query("#input-num_gpu")))
        await until(pilot, lambda: form.query_one("#input-num_gpu", Input).value == "0")
        await until(pilot, lambda: form.query_one("#input-dataset_id", Choice).value == "d1")
        await pilot.pause()
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(dashboard.screen, ListScreen))


async def test_an_evaluation_chooses_models_and_adapters_by_their_names(studio: FakeStudio) -> None:
    studio.rows["adapters"] = [AdapterMetadata(id="a1", type="project", name="tickets-lora", model_id="m1")]
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 40)) as pilot:
        dashboard.show_form("StartEvaluationJob")
        await until(pilot, lambda: "SmolLM2 + tickets-lora" in shown(dashboard))
        dashboard.screen.query_one(SelectionList).select_all()
        await pilot.press("ctrl+s")
        await until(pilot, lambda: [each for each in studio.asked if type(each).__name__ == "StartEvaluationJob"])
        sent: Any = [each for each in studio.asked if type(each).__name__ == "StartEvaluationJob"][-1]
        pairs = [(each.base_model_id, each.adapter_id) for each in sent.model_adapter_combinations]
        assert pairs == [("m1", None), ("m1", "a1")] and sent.selected_features == []


async def test_what_is_typed_at_once_behind_a_colon_reaches_its_line(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        for key, character in [("colon", ":"), *((each, each) for each in "prompts"), ("enter", None)]:
            dashboard.post_message(Key(key, character))
        await until(pilot, lambda: "actions" in shown(dashboard))


async def test_a_colon_is_a_letter_where_text_is_typed(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        dashboard.show_form("AddDataset")
        await until(pilot, lambda: "^s send" in shown(dashboard))
        first = dashboard.screen.query(Input).first()
        first.focus()
        await pilot.press("a", "colon", "slash")
        assert first.value == "a:/"


async def test_what_is_typed_at_once_behind_a_tab_goes_to_the_next_field(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        dashboard.show_form("AddDataset")
        await until(pilot, lambda: "^s send" in shown(dashboard))
        typed = [("tab", None), *((each, each) for each in "rows"), ("tab", None), *((each, each) for each in "csv")]
        for key, character in typed:
            dashboard.post_message(Key(key, character))
        inputs = [dashboard.screen.query_one(f"#input-{name}", Input) for name in ("location", "name")]
        await until(pilot, lambda: [each.value for each in inputs] == ["rows", "csv"])


@pytest.mark.parametrize(
    ("kind", "name", "message", "id"),
    [("datasets", "tickets", "RemoveDataset", "d1"), ("prompts", "actions", "RemovePrompt", "p1")],
)
async def test_what_a_list_shows_is_removed_after_a_yes_that_is_meant(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch, kind: str, name: str, message: str, id: str
) -> None:
    monkeypatch.setattr(confirm, "READ", 600)  # seconds: on a loaded machine enter may come late, and be meant
    dashboard = app(studio)

    def asked() -> list[str]:
        return [each.id for each in studio.asked if type(each).__name__ == message]

    async with dashboard.run_test(size=(80, 24)) as pilot:
        dashboard.obey(kind)
        await until(pilot, lambda: name in shown(dashboard) and "^d remove" in shown(dashboard))
        for key, stays in (("enter", True), ("escape", False), ("n", False)):
            if not isinstance(dashboard.screen, ConfirmScreen):
                await pilot.press("ctrl+d")
                await until(pilot, lambda: f"{name}?" in shown(dashboard))
            await pilot.press(key)
            await pilot.pause()
            assert isinstance(dashboard.screen, ConfirmScreen) == stays
        assert asked() == []
        monkeypatch.setattr(removing, "SECONDS", 0)
        await pilot.press("ctrl+d")
        await until(pilot, lambda: isinstance(dashboard.screen, ConfirmScreen))
        await pilot.press("y")
        await until(pilot, asked)
        assert asked() == [id]


async def test_tab_completes_a_command(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("colon", *"pro")
        await until(pilot, lambda: "prompts" in shown(pilot.app))
        await pilot.press("tab", "enter")
        await until(pilot, lambda: "actions" in shown(pilot.app))


async def test_what_is_not_there_is_not_called_an_outage(studio: FakeStudio) -> None:
    async with app(studio, open_job="gone").run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "there is no fine-tuning job" in shown(pilot.app))
        assert "not connected" not in shown(pilot.app)


@pytest.mark.parametrize("theme", ["studio-dark", "studio-light"])
async def test_both_themes_paint_states_with_their_own_contrast(studio: FakeStudio, theme: str) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        dashboard.theme = theme
        wanted = PAINT["good"][0 if theme == "studio-dark" else 1]
        table = dashboard.screen.query_one(StudioTable)
        await until(pilot, lambda: table.get_cell("done", "status").style == wanted)


@pytest.mark.parametrize("room", [40, 78, 158])
def test_columns_fit_the_terminal_and_the_first_stay_longest(room: int) -> None:
    natural = [11, 24, 34, 7, 7, 6, 7, 8, 8]
    fitted = widths(natural, room)
    assert sum(fitted) + 2 * sum(width > 0 for width in fitted) <= room
    assert all(width <= most for width, most in zip(fitted, natural, strict=True))
    kept = [width > 0 for width in fitted]
    assert kept == sorted(kept, reverse=True)
    assert room < 150 or fitted == natural


def test_what_tells_rows_apart_is_cut_when_nothing_else_can_give_way() -> None:
    natural = [11, 30, 25, 45, 24]
    assert widths(natural, 80, name=1)[:2] == [11, 30]
    assert widths(natural, 50, name=1) == [11, 30, 0, 0, 0]
    assert widths(natural, 30, name=1) == [11, 15, 0, 0, 0]
    assert widths([40], 20) == [18]


async def test_a_runners_memory_is_whole_in_a_narrow_terminal(studio: FakeStudio) -> None:
    gpus = [Gpu(index=0, name="NVIDIA A100-SXM4-80GB", memory=80.0)]
    busy = {"memory_used": 487.25, "cpu_percent": 100, "gpus": [{"index": 0, "percent": 97, "memory_used": 70}]}
    changed = {"host": "a-host-of-a-long-name.example", "memory": 503.54, "gpus": gpus, "telemetry": busy}
    studio.rows["runners"] = [each.model_copy(update=changed) for each in studio.rows["runners"]]
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        dashboard.obey("runners")
        await until(pilot, lambda: "487.2/503.5 " in shown(pilot.app))
        assert "memory, GiB" in shown(pilot.app) and "2/8" in shown(pilot.app) and "100%" in shown(pilot.app)


async def test_help_lists_the_keys_of_the_screen(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(80, 30)) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: "describe" in shown(pilot.app) and "order by status" in shown(pilot.app))
        await pilot.press("G")
        await until(pilot, lambda: "Everywhere" in shown(pilot.app) and ":          command" in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, ListScreen))


async def test_q_leaves(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await pilot.press("q")
        await pilot.pause()
    assert dashboard.return_code == 0


async def test_an_error_of_any_kind_does_not_close_it(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=(100, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        studio.broken = RuntimeError("[/boom] something of ours broke")
        await pilot.press("r")
        await until(pilot, lambda: "something of ours broke" in shown(pilot.app))
        studio.broken = None
        await pilot.press("r")
        await until(pilot, lambda: "something of ours broke" not in pilot.app.screen.query_one(Banner).trouble)


def test_opening_it_imports_nothing_heavy() -> None:
    code = (
        "import asyncio, sys\n"
        "from tests.tui.fake import filled\n"
        "before = set(sys.modules)\n"
        "heavy = {'torch', 'transformers', 'sqlalchemy', 'mlflow', 'datasets', 'dramatiq', 'trl', 'peft'}\n"
        "from tui.app import Dashboard\n"
        "async def main():\n"
        "    async with Dashboard('run', make=filled).run_test() as pilot:\n"
        "        await pilot.pause(1)\n"
        "asyncio.run(main())\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"


def test_the_first_frame_waits_for_neither_pydantic_nor_redis() -> None:
    code = (
        "import sys\nimport tui.app\nprint(sorted({'pydantic', 'redis', 'yaml', 'core.messages'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
