"""The screens of exports: the list, one export with what it made, and the form that asks for one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from core.events import Failure
from core.failing import filled as told
from core.types import JobStatus
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE, export, exported
from tests.tui.test_dashboard import app, shown, until
from tests.tui.test_snapshots import SIZES, at, timeless
from tui.app import Dashboard
from tui.screens.export import ExportScreen
from tui.screens.form import FormScreen

Compare = Callable[..., bool]


@pytest.fixture
def studio() -> FakeStudio:
    return timeless()


async def test_an_export_opens_with_where_it_is_and_how_alike_it_answers(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        await pilot.press("colon", *"exports", "enter")
        await until(pilot, lambda: "models:/tickets/3" in shown(dashboard))
        await pilot.press("enter")
        await until(pilot, lambda: "8 of 8 prompts answered alike" in shown(dashboard))
        for text in ("champion", "MLflow's model registry", "merged weights", "7.2e-05", "691 rows"):
            assert text in shown(dashboard)


async def test_an_export_that_failed_tells_why_and_is_tried_again(studio: FakeStudio) -> None:
    text = "the merged model does not answer like base and adapter: the logits differ by 0.5, and 0.001 is allowed"
    error = told(Failure(kind="user_error", message=text))
    studio.rows["export_jobs"] = [export("e1", status=JobStatus.failed, error=error, failure_class="user_error")]
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 40)) as pilot:
        await pilot.pause()
        dashboard.show_export("e1")
        await until(pilot, lambda: "does not answer like base" in shown(dashboard))
        await pilot.press("t")
        await until(pilot, lambda: "RetryJob" in [type(each).__name__ for each in studio.asked])


async def test_the_form_asks_for_an_export_and_leads_to_it(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        dashboard.show_form("ExportModel", {"adapter_id": "a1", "base_model_id": "m1", "type": "merged"})
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen) and "tickets-lora" in shown(dashboard))
        await until(pilot, lambda: "ListConfigs" in [type(each).__name__ for each in studio.asked])
        while "EX-003" not in shown(
            dashboard
        ):  # what is chosen from comes by and by, and a form that is drawn anew says nothing
            await pilot.press("ctrl+s")
            await pilot.pause(0.2)
        dashboard.screen.query_one("#input-model_name").value = "tickets"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(dashboard.screen, ExportScreen) and "a directory" in shown(dashboard))
        sent = next(each for each in studio.asked if type(each).__name__ == "ExportModel")
        assert sent.model_dump(exclude_unset=True) == {
            "type": "merged", "base_model_id": "m1", "adapter_id": "a1", "model_name": "tickets",
        }  # fmt: skip


async def test_another_export_begins_with_what_this_one_was_asked_for(studio: FakeStudio) -> None:
    dashboard = app(studio)
    async with dashboard.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        dashboard.show_export("e1")
        await until(pilot, lambda: "models:/tickets/3" in shown(dashboard))
        await pilot.press("n")
        await until(pilot, lambda: isinstance(dashboard.screen, FormScreen) and "champion" in shown(dashboard))


async def test_hostile_names_are_shown_and_do_nothing(studio: FakeStudio) -> None:
    studio.rows["export_jobs"] = [exported("e1", model_name=HOSTILE, alias=HOSTILE, phase=HOSTILE)]
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        dashboard.show_export("e1")
        await until(pilot, lambda: "[red]" in shown(dashboard))
        assert "\x1b]52" not in shown(dashboard) and "\u202e" not in shown(dashboard)


@pytest.mark.parametrize("size", SIZES)
def test_list_of_exports(snap_compare: Compare, studio: FakeStudio, size: tuple[int, int]) -> None:
    ready = at("tickets")

    async def go(pilot: Pilot[None]) -> None:
        await pilot.pause()
        pilot.app.show_list("exports")
        await ready(pilot)

    assert snap_compare(Dashboard(make=lambda: studio), terminal_size=size, run_before=go)


def failing() -> FakeStudio:
    """An export that came to nothing."""
    text = "the merged model does not answer like base and adapter: the logits differ by 0.5, and 0.001 is allowed"
    made, error = timeless(), told(Failure(kind="user_error", message=text))
    made.rows["export_jobs"] = [export("e1", status=JobStatus.failed, error=error, failure_class="user_error")]
    return made


def hostile() -> FakeStudio:
    """One whose every text is."""
    made, error = timeless(), told(Failure(kind="user_error", message=HOSTILE, log_tail=[HOSTILE]))
    names = dict.fromkeys(("model_name", "alias", "model_description", "base_model_name", "adapter_name"), HOSTILE)
    made.rows["export_jobs"] = [export("e1", status=JobStatus.failed, error=error, **names)]
    made.log = [line.model_copy(update={"text": HOSTILE}) for line in made.log]
    return made


EXPORTS = {"filled": (timeless, "691 rows"), "failing": (failing, "691 rows"), "hostile": (hostile, "[red]")}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("state", EXPORTS)
def test_export(snap_compare: Compare, state: str, size: tuple[int, int]) -> None:
    make, text = EXPORTS[state]
    ready = at(text)

    async def go(pilot: Pilot[None]) -> None:
        await pilot.pause()
        pilot.app.show_list("exports")
        pilot.app.show_export("e1")
        await ready(pilot)

    assert snap_compare(Dashboard(make=make), terminal_size=size, run_before=go)
