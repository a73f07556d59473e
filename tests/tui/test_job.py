"""A job's screen: its curves, its log, what it was asked for, and the way from a failure to what mends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from core.messages.jobs import JobLogReply, JobMetricsReply, LogLine, MetricSeries
from core.types import JobStatus
from tests.tui import trained as made
from tests.tui.fake import FakeStudio
from tests.tui.rows import NOW, failed, job
from tests.tui.test_dashboard import SIZES, app, shown, until
from tests.tui.test_snapshots import Compare, utc
from tui.screens.form import FormScreen
from tui.screens.job import JobScreen
from tui.screens.pickjobs import PickJobsScreen
from tui.view.jobview import JobView
from tui.widgets.charts import shares

__all__ = ["utc"]
PANES = {"l": "log", "e": "events", "o": "configs", "u": "numbers", "P": "printed"}


@pytest.fixture
def studio() -> FakeStudio:
    return made.trained()


def screen_of(pilot: Pilot[None]) -> JobScreen:
    screen = next(each for each in pilot.app.screen_stack if isinstance(each, JobScreen))
    assert isinstance(screen, JobScreen)
    return screen


async def opened(pilot: Pilot[None]) -> JobScreen:
    await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) and pilot.app.screen.view.tracks.points)
    await pilot.pause()
    return screen_of(pilot)


# ─── curves ───────────────────────────────────────────────────────────────────────────────────────


async def test_as_many_curves_as_have_room_are_drawn_and_keys_go_on_to_the_others(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(160, 50)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "memory, GiB" in shown(pilot.app))
        for title in ("loss", "learning rate", "gradient norm", "tokens/s", "CPU, % of a core"):
            assert title in shown(pilot.app)
        await pilot.press("m", "enter")
        await until(pilot, lambda: "CPU, %" not in shown(pilot.app) and "learning rate 0.0001" in shown(pilot.app))
        assert [name for name, *_ in screen.charts.places] == ["learning_rate"]
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: "curve 1/6" in shown(pilot.app))
        await pilot.press("M")
        await until(pilot, lambda: "memory, GiB" in shown(pilot.app))


async def test_a_curve_is_zoomed_panned_and_read_at_its_points(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("z", "z")
        await until(pilot, lambda: "×4" in shown(pilot.app) and "400 steps" in shown(pilot.app))
        await pilot.press("comma")
        await until(pilot, lambda: "350 steps" in shown(pilot.app))
        await pilot.press("right")
        at = screen.charts.look.cursor
        assert at is not None and 250 <= at <= 256
        value = next(y for step, y, _ in screen.view.tracks.points["loss"] if step == at)
        await until(pilot, lambda: f"at {at:.0f}" in shown(pilot.app) and f"loss {value:.4g}" in shown(pilot.app))
        await pilot.press("escape", "0")
        await until(pilot, lambda: "×" not in shown(pilot.app) and "└1 " in shown(pilot.app))
        assert isinstance(pilot.app.screen, JobScreen), "escape took the cursor away, not the screen"


async def test_axes_and_smoothing_are_told_where_they_are_not_as_at_first(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("L", "S")
        await until(pilot, lambda: "log  ~0.6" in shown(pilot.app))
        await pilot.press("x")
        await until(pilot, lambda: "13m20s" in shown(pilot.app))
        await pilot.press("x")
        await until(pilot, lambda: "4.00 epochs" in shown(pilot.app))
        await pilot.press("x", "L", "S", "S", "S")
        await until(pilot, lambda: "400 steps" in shown(pilot.app) and "log  ~" not in shown(pilot.app))


async def test_who_looks_at_the_newest_closely_goes_on_with_it(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("z", "z")
        record = {"type": "metrics", "at": NOW + 900, "step": 440, "values": {"loss": 0.25}, "offset": 9}
        studio.records.put({"attempt": 1, "from": 0, "to": 9, "records": [record]})
        await until(pilot, lambda: screen.charts.look.window and screen.charts.look.window[1] == 440)
        await until(pilot, lambda: "440 steps" in shown(pilot.app) and "loss 0.25" in shown(pilot.app))


async def test_a_stretch_of_a_long_training_is_asked_for_when_it_is_looked_at(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(message: Any) -> Any:
        if type(message).__name__ != "GetJobMetrics":
            return value(message)
        first, last = message.first_step, message.last_step
        steps = list(range(first, last + 1, 500)) if first is not None else list(range(0, 1_000_001, 10_000))
        values = [77.0 if step == 937_500 else 1.0 for step in steps]
        series = MetricSeries(name="loss", steps=steps, values=values, total=1_000_001)
        return JobMetricsReply(id=message.id, attempt=1, offset=0, series=[series])

    value = studio._value
    monkeypatch.setattr(studio, "_value", told)
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("z", "z", "z")
        await until(pilot, lambda: (937_500.0, 77.0, 0.0) in screen.view.tracks.of("loss"))
        await until(pilot, lambda: "77" in shown(pilot.app).partition("┤")[0] or " 80" in shown(pilot.app))


async def test_other_jobs_are_chosen_to_stand_beside_and_taken_away_again(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("O")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickJobsScreen) and "adapter-bad" in shown(pilot.app))
        await pilot.press(*"done", "space", "enter")
        await until(pilot, lambda: "▲ adapter-done" in shown(pilot.app) and "● this 0." in shown(pilot.app))
        assert [run.id for run in screen.charts.look.others] == ["done"]
        await pilot.press("O")
        await until(pilot, lambda: "◉ ✓ succeeded" in shown(pilot.app))
        await pilot.press("space", "enter")
        await until(pilot, lambda: "adapter-done" not in shown(pilot.app) and not screen.charts.look.others)


async def test_an_old_job_among_many_is_found_by_its_name_and_stays_chosen(studio: FakeStudio) -> None:
    for number in range(150):
        studio.rows["fine_tuning_jobs"].append(job(f"old{number:03}", created_at=None))
    async with app(studio, "run").run_test(size=(120, 40)) as pilot:
        screen = await opened(pilot)
        await pilot.press("O")
        await until(pilot, lambda: "adapter-old000" in shown(pilot.app))
        await pilot.press(*"old149")
        await until(pilot, lambda: "○ ● running" in shown(pilot.app) and "adapter-old149" in shown(pilot.app))
        await pilot.press("space", "enter")
        await until(pilot, lambda: "▲ adapter-old149" in shown(pilot.app))
        await pilot.press("O")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickJobsScreen) and "adapter-done" in shown(pilot.app))
        await pilot.press("space", "enter")
        await until(pilot, lambda: "-done 0." in shown(pilot.app) and "old149 0." in shown(pilot.app))
        assert [run.id for run in screen.charts.look.others] == ["done", "old149"]


def test_names_that_have_no_room_keep_their_ends_and_short_ones_give_theirs() -> None:
    assert shares(["this", "tickets-long-1", "tickets-long-2"], 24) == ["this", "…ts-long-1", "…ts-long-2"]
    assert shares(["a", "b"], 10) == ["a", "b"]
    assert [len(name) for name in shares(["長" * 9, "abc" * 9], 3)] == [1, 2]


async def test_the_mouse_chooses_a_chart_reads_it_and_zooms(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(160, 50)) as pilot:
        screen = await opened(pilot)
        await until(pilot, lambda: len(screen.charts.places) == 6)
        _, left, top, wide, high = screen.charts.places[1]
        await pilot.click("Charts", offset=(left + wide // 2, top + high // 2))
        await until(pilot, lambda: screen.charts.look.chosen == "learning_rate" and screen.charts.look.cursor)
        assert 150 < (screen.charts.look.cursor or 0) < 250
        await pilot.click("Tabs", offset=(12, 0))
        await until(pilot, lambda: "[e events]" in shown(pilot.app))


# ─── panes ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_every_pane_opens_by_its_key_and_tab_goes_through_them(studio: FakeStudio, size: tuple[int, int]) -> None:
    studio.printed = [LogLine(attempt=1, offset=1, at=0.0, text="printed by a library")]
    async with app(studio, "run").run_test(size=size) as pilot:
        screen = await opened(pilot)
        for key, name in PANES.items():
            await pilot.press(key)
            await until(pilot, lambda key=key, name=name: f"[{key} {name}]" in shown(pilot.app))
        await until(pilot, lambda: "printed by a library" in shown(pilot.app))
        await pilot.press("tab")
        await until(pilot, lambda: screen.pane == "log")
        await pilot.press("w")
        await until(pilot, lambda: "[l log]" not in shown(pilot.app))
        await pilot.press("u")
        await until(pilot, lambda: "[u numbers]" in shown(pilot.app) and "highest" in shown(pilot.app))
        await pilot.press("w", "w")
        await until(pilot, lambda: "┤" not in shown(pilot.app))
        await pilot.press("z")
        await until(pilot, lambda: "┤" in shown(pilot.app))


async def test_what_differs_from_another_jobs_settings_comes_first(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await pilot.press("D")
        await until(pilot, lambda: isinstance(pilot.app.screen, PickJobsScreen) and "adapter-done" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: "[D diff]" in shown(pilot.app) and "settings differ" in shown(pilot.app))
        text = shown(pilot.app)
        assert "≠ lora_config.r" in text and "≠ num_epochs" in text and "── the same in both" in text


async def test_the_log_is_searched_and_each_line_found_is_shown_among_those_around_it(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        screen = await opened(pilot)
        await pilot.press("slash", *"ne 1", "enter")
        await until(pilot, lambda: "11 found  n N" in shown(pilot.app))
        await pilot.press("n")
        await until(pilot, lambda: "1/11  n N" in shown(pilot.app) and "line 2 of the log" in shown(pilot.app))
        assert screen.lines.lines[screen.lines.current or 0].endswith("line 1 of the log, and more of it")
        await pilot.press("N")
        await until(pilot, lambda: "11/11  n N" in shown(pilot.app) and "line 19 of the log" in shown(pilot.app))
        await pilot.press("F")
        await until(pilot, lambda: "line 60 of the log" in shown(pilot.app) and screen.lines.following)


class LongLog(FakeStudio):
    """A log of 10,000 lines, told as the studio tells them: a page of it from a place on, before it, or from its end."""

    def _value(self, message: Any) -> Any:
        if type(message).__name__ != "GetJobLog" or message.printed:
            return super()._value(message)
        lines = [LogLine(attempt=1, offset=at, at=0.0, text=f"line {at}.", number=at) for at in range(1, 10_001)]
        if message.contains:
            found = [line for line in lines if message.contains in line.text]
            return JobLogReply(id=message.id, lines=found, attempt=1, offset=10_000, line=10_000)
        if message.offset is None:
            return JobLogReply(id=message.id, lines=lines[-message.limit :], attempt=1, offset=10_000)
        place = message.offset
        page = lines[max(0, place - message.limit) : place] if message.before else lines[place : place + message.limit]
        more = place > message.limit if message.before else place + message.limit < 10_000
        return JobLogReply(id=message.id, lines=page, attempt=1, offset=place, has_more=more)


async def test_a_long_log_is_read_back_to_its_beginning_without_moving_what_is_read() -> None:
    studio = LongLog()
    studio.rows["fine_tuning_jobs"] = [job("run")]
    async with app(studio, "run").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "line 10000." in shown(pilot.app))
        screen = screen_of(pilot)
        await pilot.press("g")
        await until(pilot, lambda: len(screen.lines.lines) == 999)
        await until(pilot, lambda: "line 9501." in shown(pilot.app))
        assert "F follows" in shown(pilot.app) and not screen.lines.following
        await pilot.press("slash", *"line 1234.", "enter", "n")
        await until(pilot, lambda: "line 1234." in shown(pilot.app) and "line 1235." in shown(pilot.app))
        await pilot.press("G")
        await until(pilot, lambda: screen.lines.lines[-1] == "line 1834.")
        await pilot.press("F")
        await until(pilot, lambda: "line 10000." in shown(pilot.app) and screen.lines.following)


async def test_checkpoints_ask_for_the_jobs_state_alone_and_what_begins_anew_for_all(studio: FakeStudio) -> None:
    def asked(name: str) -> int:
        return len([each for each in studio.asked if type(each).__name__ == name])

    async with app(studio, "run").run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        jobs, metrics = asked("GetFineTuningJob"), asked("GetJobMetrics")
        studio.events.put(made.event(9, "CheckpointSaved", "checkpoint at step 60", step=60))
        await until(pilot, lambda: asked("GetFineTuningJob") > jobs)
        assert asked("GetJobMetrics") == metrics
        studio.events.put(made.event(10, "JobStarted", "it runs"))
        await until(pilot, lambda: asked("GetJobMetrics") > metrics)


# ─── a failed job, to its cause, to the retry ─────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
async def test_from_a_failed_job_to_its_cause_to_the_retry(size: tuple[int, int]) -> None:
    studio = made.broken()
    async with app(studio).run_test(size=size) as pilot:
        await until(pilot, lambda: "adapter-bad" in shown(pilot.app) and "✗ failed" in shown(pilot.app))
        await pilot.press("j", "j", "enter")
        await until(pilot, lambda: "✗ out of memory" in shown(pilot.app))
        text = shown(pilot.app)
        assert "why  The model" in text and "t  run it again: it goes on from the checkpoint at step 20" in text
        assert "1  a job like it: half the batch: 2 rows at once, 4 times a step" in text
        assert "t again" in text.splitlines()[-1], "the line of keys tells it too"
        await pilot.press("t")
        await until(pilot, lambda: studio.job("bad").status is JobStatus.queued)
        sent = [each for each in studio.asked if type(each).__name__ == "RetryJob"]
        assert [(each.id, each.from_checkpoint) for each in sent] == [("bad", True)]  # type: ignore[attr-defined]
        studio.job("bad").error = None
        studio.happened("jobs", "bad")
        await until(pilot, lambda: "◌ queued" in shown(pilot.app) and "[l log]" in shown(pilot.app))


async def test_from_a_failed_job_to_one_like_it_with_half_the_batch() -> None:
    studio = made.broken()
    async with app(studio, "bad").run_test(size=(120, 50)) as pilot:
        await until(pilot, lambda: "half the batch" in shown(pilot.app))
        await pilot.press("9", "1")
        await until(pilot, lambda: isinstance(pilot.app.screen, FormScreen) and "SmolLM2" in shown(pilot.app))
        form = pilot.app.screen
        assert form.query_one("#input-adapter_name", Input).value == "adapter-bad-2"
        await until(pilot, lambda: "as the job had it" in shown(pilot.app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(pilot.app.screen, JobScreen) and pilot.app.screen.job_id == "new")
        sent = [each for each in studio.asked if type(each).__name__ == "StartFineTuningJob"][-1]
        arguments = json.loads(sent.training_arguments_config)  # type: ignore[attr-defined]
        assert (arguments["per_device_train_batch_size"], arguments["gradient_accumulation_steps"]) == (2, 4)


async def test_a_job_that_fails_while_one_watches_shows_why(studio: FakeStudio) -> None:
    async with app(studio, "run").run_test(size=(100, 30)) as pilot:
        await opened(pilot)
        told = failed("run")
        studio.job("run").status, studio.job("run").error = told.status, told.error
        studio.happened("jobs", "run")
        await until(pilot, lambda: "[f failure]" in shown(pilot.app) and "what to do now" in shown(pilot.app))
        await pilot.press("l")
        await until(pilot, lambda: "[l log]" in shown(pilot.app))
        studio.happened("jobs", "run")
        await pilot.pause(0.5)
        assert "[l log]" in shown(pilot.app), "who reads on is not disturbed again"


async def test_a_message_of_ten_thousand_characters_leaves_what_can_be_done_in_view() -> None:
    async with app(made.hostile(), "run").run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "[f failure]" in shown(pilot.app))
        await until(pilot, lambda: "── what to do now" in shown(pilot.app))
        await pilot.press("G")
        await until(pilot, lambda: "xxxx" in shown(pilot.app))


# ─── as it looks ──────────────────────────────────────────────────────────────────────────────────

LOOKS: dict[str, tuple[Callable[[], FakeStudio], str, list[str], str]] = {
    "running": (made.trained, "run", [], "line 60"),
    "paused": (made.paused, "run", [], "Ⅱ paused"),
    "succeeded": (made.trained, "done", [], "✓ succeeded"),
    "queued": (made.trained, "wait", [], "no runner has"),
    "failed": (made.broken, "bad", [], "half the batch"),
    "hostile": (made.hostile, "run", [], "evil"),
    "hostile_log": (made.hostile, "run", ["l"], "[l log]"),
    "zoomed": (made.trained, "run", ["z", "z", "S", "L", "right", "right"], "×4"),
    "numbers": (made.trained, "run", ["u"], "highest"),
    "picked_from": (made.trained, "run", ["O"], "adapter-done"),
    "hostile_picked_from": (made.hostile, "run", ["O"], "Curves of up to"),
    "hostile_described": (made.hostile, "run", ["d"], "j k scroll"),
    "curves": (made.trained, "run", ["w", "x"], "13m20s"),
    "found": (made.trained, "run", ["slash", "l", "i", "n", "e", "enter"], "60 found"),
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("look", LOOKS)
def test_a_job_looks(snap_compare: Compare, size: tuple[int, int], look: str) -> None:
    make, id, keys, text = LOOKS[look]

    async def ready(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await pilot.press(*keys)
        await until(pilot, lambda: text in shown(pilot.app))
        await pilot.pause(0.1)

    assert snap_compare(app(make(), id), terminal_size=size, run_before=ready)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("key", "text"), [("O", "▲ adapter-done"), ("D", "settings differ")])
def test_a_job_beside_another_looks(snap_compare: Compare, size: tuple[int, int], key: str, text: str) -> None:
    async def ready(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await pilot.press(key)
        await until(pilot, lambda: isinstance(pilot.app.screen, PickJobsScreen) and "adapter-done" in shown(pilot.app))
        await pilot.press("enter")
        await until(pilot, lambda: text in shown(pilot.app))
        await pilot.pause(0.1)

    assert snap_compare(app(made.trained(), "run"), terminal_size=size, run_before=ready)


@pytest.mark.parametrize(("wire", "told"), [("legacy", "Legacy (TRL SFT), built in"), ("axolotl", "Axolotl")])
def test_the_configs_call_a_framework_as_the_form_does(wire: str, told: str) -> None:
    assert any(
        line.startswith("framework_type") and told in line for line in JobView({"framework_type": wire}).configs()
    )
