"""The plan beside the form: asked for when typing rests, given up when it is out of date, told in words and colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Input

from core.rules import Breach
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, plan, too_large
from tests.tui.test_dashboard import SIZES, shown, until
from tui.app import Dashboard
from tui.screens.form import FormScreen
from tui.view import planned
from tui.widgets import preflight
from tui.widgets.choice import Choice
from tui.widgets.preflight import Preflight

WIDE, NARROW = (160, 50), (80, 24)
Compare = Callable[..., bool]


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> FakeStudio:
    monkeypatch.setattr(Preflight, "PAUSE", 0.05)
    monkeypatch.setattr(preflight, "LOOK", 0.02)
    made = filled()
    made.plan = plan()
    return made


def app(studio: FakeStudio) -> Dashboard:
    return Dashboard(make=lambda: studio)


def asked(studio: FakeStudio, name: str) -> list[Any]:
    return [message for message in studio.asked if type(message).__name__ == name]


async def opened(pilot: Pilot[None]) -> FormScreen:
    """The form, with the only model, dataset and prompt chosen."""
    dashboard: Any = pilot.app
    await until(pilot, lambda: "adapter-run" in shown(dashboard))
    dashboard.show_form("StartFineTuningJob")
    await until(pilot, lambda: isinstance(dashboard.screen, FormScreen) and dashboard.screen.query("#input-num_gpu"))
    form: FormScreen = dashboard.screen
    await until(pilot, lambda: form.query_one("#input-num_gpu", Input).value == "0")
    return form


def value(form: FormScreen, field: str, text: str) -> None:
    form.query_one(f"#input-{field}", Input).value = text


# ─── what would train nothing ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("key", ["y", "s", "n"])
async def test_a_training_of_hardly_any_steps_is_asked_about_before_it_is_sent(studio: FakeStudio, key: str) -> None:
    longer = {"settings": {"num_epochs": 6, "packing": False}, "steps": 54, "text": "6 epochs would make 54 steps"}
    studio.plan = plan(rows=36, steps=1, longer=longer)
    async with app(studio).run_test(size=NARROW) as pilot:
        form = await opened(pilot)
        value(form, "adapter_name", "mine")
        await until(pilot, lambda: "36 rows, ▲ only 1 step" in shown(pilot.app))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "6 epochs would make 54 steps" in shown(pilot.app))
        assert "only 1 step, which hardly changes the model" in shown(pilot.app)
        await pilot.press(key)
        if key == "n":
            await until(pilot, lambda: pilot.app.screen is form)
            assert not asked(studio, "StartFineTuningJob")
            return
        (sent,) = await until(pilot, lambda: asked(studio, "StartFineTuningJob"))
        assert (sent.num_epochs, sent.packing) == ((6, False) if key == "y" else (None, True))


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_back_from_the_plan_one_is_in_the_field_that_one_left(studio: FakeStudio, size: tuple[int, int]) -> None:
    async with app(studio).run_test(size=size) as pilot:
        form = await opened(pilot)
        line = form.query_one("#input-num_memory", Input)
        line.focus()
        await until(pilot, lambda: form.focused is line)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: form.focused is form.beside)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: form.focused is line and "▸ Memory" in shown(pilot.app))


# ─── asking ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_plan_is_shown_beside_the_form_without_being_asked_for(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=WIDE) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "655 to train on" in shown(pilot.app))
        screen = shown(pilot.app)
        for part in (
            "about 1.9 GiB (1.6 GiB to 2.2 GiB)",
            "✓ fits gpu-host",
            "82 of 8 rows",
            "track_parcel</s>",
            "15% learned",
        ):
            assert part in screen, part
        (sent,) = asked(studio, "PlanFineTuningJob")
        assert (sent.base_model_id, sent.dataset_id, sent.num_gpu) == ("m1", "d1", 0)


async def test_it_is_planned_once_when_typing_rests_and_not_for_what_changes_nothing(
    studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with app(studio).run_test(size=WIDE) as pilot:
        form = await opened(pilot)
        await until(pilot, lambda: studio.plans == 1 and "655 to train on" in shown(pilot.app))
        monkeypatch.setattr(Preflight, "PAUSE", 0.4)
        for text in ("1", "12", "128"):
            value(form, "max_length", text)
            await pilot.pause(0.05)
        await until(pilot, lambda: studio.plans == 2)
        assert asked(studio, "PlanFineTuningJob")[-1].max_length == 128
        value(form, "adapter_name", "some-name")
        await pilot.pause(0.9)
        assert studio.plans == 2


async def test_a_plan_that_is_out_of_date_is_given_up(studio: FakeStudio) -> None:
    studio.plan = None
    async with app(studio).run_test(size=WIDE) as pilot:
        form = await opened(pilot)
        await until(pilot, lambda: "planning: counting tokens" in shown(pilot.app))
        value(form, "max_length", "64")
        await until(pilot, lambda: [each.id for each in asked(studio, "CancelJob")] == ["plan-1"])
        await until(pilot, lambda: studio.plans == 2)
        studio.plan = plan(rows=7)
        await until(pilot, lambda: "7 to train on" in shown(pilot.app))


async def test_whoever_leaves_the_form_needs_no_plan(studio: FakeStudio) -> None:
    studio.plan = None
    async with app(studio).run_test(size=WIDE) as pilot:
        form = await opened(pilot)
        await until(pilot, lambda: form.query_one(Preflight).id_ == "plan-1")
        pilot.app.pop_screen()
        await until(pilot, lambda: [each.id for each in asked(studio, "CancelJob")] == ["plan-1"])


async def test_an_answer_to_an_older_plan_is_thrown_away(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=WIDE) as pilot:
        form = await opened(pilot)
        await until(pilot, lambda: "655 to train on" in shown(pilot.app))
        panel = form.query_one(Preflight)
        old = panel.ticket
        value(form, "max_length", "64")
        await until(pilot, lambda: studio.plans == 2)

        class Late:
            value = studio._made("plan-1").model_copy(update={"plan": plan(rows=1)})

        panel._got(old, Late)
        assert "1 to train on" not in "".join(text for line in panel.lines for text, _ in line)


async def test_what_would_be_refused_is_told_in_the_panel(studio: FakeStudio) -> None:
    studio.refusal = [Breach(rule="FT-108", field="prompt_id", message="the prompt names a column that is not there")]
    async with app(studio).run_test(size=WIDE) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "names a column that is not there" in shown(pilot.app))


async def test_a_form_that_breaks_its_own_rules_is_not_planned(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=WIDE) as pilot:
        form = await opened(pilot)
        await until(pilot, lambda: studio.plans == 1)
        value(form, "max_length", "3")
        await until(pilot, lambda: "FT-104" in shown(pilot.app))
        await pilot.pause(0.3)
        assert studio.plans == 1
        form.query_one("#input-base_model_id", Choice).value = None
        value(form, "max_length", "64")
        await pilot.pause(0.6)
        assert studio.plans == 1


# ─── where there is no room ───────────────────────────────────────────────────────────────────────


async def test_a_narrow_screen_has_the_plan_in_a_line_and_all_of_it_at_a_key(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=NARROW) as pilot:
        form = await opened(pilot)
        await until(pilot, lambda: "655 rows, 82 steps · 1.9 GiB · ✓ fits gpu-host" in shown(pilot.app))
        assert "15% learned" not in shown(pilot.app)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "15% learned" in shown(pilot.app))
        assert "Longest row" not in shown(pilot.app)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Longest row" in shown(pilot.app))
        assert form.focused is not None and form.focused is not form.beside


async def test_only_the_form_of_a_training_has_a_plan(studio: FakeStudio) -> None:
    async with app(studio).run_test(size=WIDE) as pilot:
        dashboard: Any = pilot.app
        await until(pilot, lambda: "adapter-run" in shown(dashboard))
        dashboard.show_form("StartEvaluationJob")
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen))
        assert not dashboard.screen.query(Preflight)
        await pilot.press("ctrl+p")


# ─── how it looks ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["fits", "too_large"])
def test_snapshot(
    snap_compare: Compare, size: tuple[int, int], how: str, studio: FakeStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in studio.rows["fine_tuning_jobs"]:
        row.created_at = None
    studio.plan = plan() if how == "fits" else too_large()

    async def ready(pilot: Pilot[None]) -> None:
        form = await opened(pilot)
        form.query(Input).first().cursor_blink = False
        await until(pilot, lambda: ("fits" if how == "fits" else "does not fit") in shown(pilot.app))
        if size == NARROW and how == "too_large":
            await pilot.press("ctrl+p")
        await pilot.pause(0.7)

    assert snap_compare(app(studio), terminal_size=size, run_before=ready)


def text_of(lines: list[planned.Line]) -> list[str]:
    return ["".join(text for text, _ in line) for line in lines]


@pytest.mark.parametrize("width", [12, 40, 200])
def test_marks_stand_under_their_tokens_and_say_what_colours_say(width: int) -> None:
    row = plan().examples[0]
    lines = text_of(list(planned.example(row, width)))
    above, below = "".join(lines[0::2]), "".join(lines[1::2])
    assert above == "".join(text for text, _, _ in row).replace("\n", "↵")
    assert all(cell_len(line) <= width for line in lines)
    assert [cell_len(line) for line in lines[0::2]] == [cell_len(line) for line in lines[1::2]]
    learned = sum(cell_len(text) for text, known, eos in row if known and not eos)
    assert sum(below.count(mark) for mark in "├─") == learned
    assert below.count("├") == 3 and below.count("▲") == len("</s>")


def test_hostile_tokens_are_made_safe() -> None:
    lines = text_of(list(planned.example([(HOSTILE, True, False), ("", False, False), ("\r\n", False, True)], 60)))
    assert not any(char in "".join(lines) for char in "\x1b\x07\u202e\r\n")


def test_one_is_told_as_one() -> None:
    told = "\n".join(text_of(list(planned.summary(plan(steps=1, batch=1, epochs=1.0).model_dump(mode="json")))))
    assert "1 of 1 row, 1 epoch" in told and "1 epochs" not in told
    told = "\n".join(text_of(list(planned.summary(plan(epochs=1.5).model_dump(mode="json")))))
    assert "1.5 epochs" in told


def test_a_plan_that_fits_nowhere_says_so_and_what_would() -> None:
    told = "\n".join(text_of(list(planned.summary(too_large().model_dump(mode="json")))))
    assert "✗ does not fit gpu-host T4 has 15.0 GiB (14.5 GiB usable)" in told
    assert "would fit per_device_train_batch_size 2" in told
    assert "not known before a job has run there" in told
    assert "✗ does not fit" in "".join(text for text, _ in planned.brief(too_large().model_dump(mode="json")))


def test_a_histogram_fills_its_width_and_shows_what_is_little() -> None:
    bins = [{"low": 1, "high": 100, "rows": 10_000}, {"low": 100, "high": 200, "rows": 1}]
    lines = text_of(list(planned.histogram({"histogram": bins}, 60)))
    assert [cell_len(line) <= 60 for line in lines] == [True, True]
    assert "10,000" in lines[0] and lines[1].strip().endswith("1") and "·" in lines[1]
    assert list(planned.histogram({"histogram": []}, 60)) == []
