"""Endpoints in the dashboard: listed with their address, opened with the line that calls them, started with a key, stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from core.errors import Unavailable
from core.keys import hash_of
from core.messages.endpoints import StartEndpoint
from core.messages.export import ExportModel
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, endpoint, failed
from tests.tui.test_dashboard import app, shown, until
from tests.tui.test_snapshots import at
from tui.app import Dashboard
from tui.cli import accesskey
from tui.screens.endpoint import EndpointScreen
from tui.view.calling import curl
from tui.widgets.choice import Choice
from tui.widgets.fieldset import Fieldset

SIZES = [(80, 24), (160, 50)]
Compare = Callable[..., bool]


def studio_of(*rows: object) -> FakeStudio:
    studio = filled()
    studio.rows["endpoints"] = list(rows)
    return studio


def some() -> FakeStudio:
    waits = {"address": None, "requests": 0, "waiting_for": "a runner that offers endpoint: none does"}
    return studio_of(
        endpoint("one"),
        endpoint("two", status=JobStatus.queued, **waits),
        endpoint("three", status=JobStatus.succeeded, address=None, phase=None, last_address="http://127.0.0.1:1"),
    )


async def filled_in(pilot: Pilot[None], studio: FakeStudio) -> tuple[int, Screen[Any]]:
    """Fill in the form that starts one, from the list, and send it; how many screens lay there before, and the form."""
    dashboard: Any = pilot.app
    await pilot.pause()
    dashboard.obey("endpoints")
    await until(pilot, lambda: "No endpoints yet" in shown(dashboard))
    before = len(dashboard.screen_stack)
    await pilot.press("n")
    await until(pilot, lambda: "^s send" in shown(dashboard))
    form, model = dashboard.screen, studio.rows["models"][0].id
    await until(pilot, lambda: form.query_one("#input-base_model_id", Choice).value == model)  # there is one
    form.query_one("#input-name", Input).value = "support"
    await pilot.press("ctrl+s")
    return before, form


async def test_endpoints_are_listed_and_opened_with_the_line_that_calls_them() -> None:
    dashboard = app(some())
    async with dashboard.run_test(size=(150, 30)) as pilot:
        await pilot.pause()
        dashboard.obey("endpoints")
        await until(pilot, lambda: "http://127.0.0.1:8123" in shown(dashboard))
        assert "a runner that offers endpoint" in shown(dashboard) and "✓ succeeded" in shown(dashboard)
        await pilot.press("enter")
        await until(pilot, lambda: "curl -sS http://127.0.0.1:8123/v1/completions" in shown(dashboard))
        text = shown(dashboard)
        assert (
            "12 answered, 1 refused" in text and '"Authorization: Bearer $KEY"' in text and "a key is asked for" in text
        )
        await pilot.press("c")
        assert dashboard.clipboard == curl(endpoint("one").model_dump(mode="json"))


@pytest.mark.parametrize("meanwhile", ["left", "help"])
async def test_a_form_that_is_left_or_covered_while_it_is_sent_closes_no_other_screen_and_shows_its_key(
    meanwhile: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio = studio_of()
    answer, free = studio.ask, threading.Event()

    def slow(message: Any, **more: Any) -> Any:
        assert not isinstance(message, StartEndpoint) or free.wait(60)
        return answer(message, **more)

    monkeypatch.setattr(studio, "ask", slow)
    dashboard = app(studio)
    async with dashboard.run_test(size=(120, 40)) as pilot:
        stack, form = await filled_in(pilot, studio)
        await until(pilot, lambda: "sending" in shown(dashboard))
        await pilot.press("escape" if meanwhile == "left" else "f1")
        await until(pilot, lambda: dashboard.screen is not form)
        free.set()
        await until(pilot, lambda: isinstance(dashboard.screen, EndpointScreen) and "key  fts-" in shown(dashboard))
        assert len(dashboard.screen_stack) == stack + 1 and form not in dashboard.screen_stack


async def test_the_key_is_shown_once_after_the_start() -> None:
    studio = studio_of()
    dashboard = app(studio)
    async with dashboard.run_test(size=(120, 40)) as pilot:
        await filled_in(pilot, studio)
        await until(pilot, lambda: isinstance(dashboard.screen, EndpointScreen) and "key  fts-" in shown(dashboard))
        await pilot.press("K")
        key, (sent,) = dashboard.clipboard, [each for each in studio.asked if isinstance(each, StartEndpoint)]
        assert sent.key_sha256 == hash_of(key) and key not in sent.model_dump_json()
        assert shown(dashboard).count(key) == 2 and "kept nowhere" in shown(dashboard)
        await pilot.press("escape")
        await until(pilot, lambda: "support" in shown(dashboard) and key not in shown(dashboard))
        await pilot.press("enter")
        await until(pilot, lambda: "$KEY" in shown(dashboard))
        assert key not in shown(dashboard)


async def test_one_is_stopped_when_that_is_confirmed() -> None:
    studio = studio_of(endpoint("one"))
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        dashboard.show_endpoint("one")
        await until(pilot, lambda: "● running" in shown(dashboard))
        await pilot.press("s")
        await until(pilot, lambda: "Stop endpoint-one?" in shown(dashboard))
        await pilot.press("y")
        await until(pilot, lambda: "cancel requested" in shown(dashboard))
        assert [type(each).__name__ for each in studio.asked].count("StopEndpoint") == 1


async def test_one_that_failed_is_tried_again_where_its_failure_says_so() -> None:
    studio = studio_of(endpoint("two", status=JobStatus.failed, address=None))
    dashboard = app(studio)
    async with dashboard.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        dashboard.push_screen(EndpointScreen("two"))
        await until(pilot, lambda: "✗ failed" in shown(dashboard) and "t try again" in shown(dashboard))
        await pilot.press("t")
        await until(pilot, lambda: "RetryJob" in [type(each).__name__ for each in studio.asked])


async def test_the_studio_may_be_away_and_comes_back() -> None:
    studio = studio_of(endpoint("one"))
    dashboard = app(studio)
    async with dashboard.run_test(size=(100, 30)) as pilot:
        await pilot.pause()
        dashboard.show_endpoint("one")
        await until(pilot, lambda: "12 answered" in shown(dashboard))
        studio.away()
        await until(pilot, lambda: "▲ Queue away" in shown(dashboard))
        assert "12 answered" in shown(dashboard)
        studio.rows["endpoints"][0].requests = 13
        studio.back()
        await until(pilot, lambda: "13 answered" in shown(dashboard))


def test_the_line_is_one_word_a_part_whatever_the_names_hold() -> None:
    import shlex

    evil = "a'; rm -rf / #\n$(reboot)"
    row = endpoint("x", models=["base", evil]).model_dump(mode="json")
    words = shlex.split(curl(row, "fts-k"))
    assert words[0] == "curl" and words[words.index("-d") + 1].startswith('{"model": "a\'; rm -rf / #\\n$(reboot)"')
    assert "Authorization: Bearer fts-k" in words and "\n" not in curl(row)
    assert "Authorization" not in curl({**row, "auth": False})
    assert curl({**row, "address": None, "last_address": None}) == ""


@pytest.mark.parametrize("size", SIZES)
def test_the_list(snap_compare: Compare, size: tuple[int, int]) -> None:
    assert snap_compare(Dashboard(make=some), terminal_size=size, run_before=at("adapter-run", ":", *"end", "enter"))


@pytest.mark.parametrize("size", SIZES)
def test_one(snap_compare: Compare, size: tuple[int, int]) -> None:
    keys = (":", *"end", "enter", "enter")
    assert snap_compare(Dashboard(make=some), terminal_size=size, run_before=at("adapter-run", *keys))


@pytest.mark.parametrize("size", SIZES)
def test_hostile_and_failed_ones(snap_compare: Compare, size: tuple[int, int]) -> None:
    error = failed("x").error
    evil = endpoint(
        "evil", name=HOSTILE, models=[HOSTILE, HOSTILE], status=JobStatus.failed, error=error, address=HOSTILE
    )
    keys = (":", *"end", "enter", "enter")
    studio = studio_of(evil)
    assert snap_compare(Dashboard(make=lambda: studio), terminal_size=size, run_before=at("adapter-run", *keys))


def at_cloudera(**fields: Any) -> object:
    there = {"engine": "cml_model", "cml_model_id": "m0de-l000-0000-0001", "host": "", "models": ["tickets"]}
    return endpoint("far", **{**there, "address": "https://modelservice.x/model", **fields})


async def test_an_export_to_cloudera_ml_asks_for_a_gpu_and_opens_the_endpoint_that_it_becomes() -> None:
    studio = studio_of()
    studio.refusal = []
    dashboard = app(studio)
    async with dashboard.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        dashboard.show_form("ExportModel", {"base_model_id": "m", "adapter_id": "a", "model_name": "support"})
        await until(pilot, lambda: "^s send" in shown(dashboard))
        boxes = dashboard.screen.query_one(Fieldset).boxes
        assert boxes["num_gpu"].value == "0" and not boxes["auth"].display
        boxes["type"].put("cml_model")
        dashboard.screen.query_one(Fieldset).touched.add("type")
        dashboard.screen.post_message(Fieldset.Changed(boxes["type"].field, by_hand=True))
        await until(pilot, lambda: boxes["num_gpu"].value == "1" and boxes["auth"].display)
        assert not boxes["merge"].display and not boxes["artifact_location"].display
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(dashboard.screen, EndpointScreen))
        (sent,) = [each for each in studio.asked if isinstance(each, ExportModel)]
        assert (sent.type, sent.num_gpu, sent.auth) == ("cml_model", 1, True)


@pytest.mark.parametrize(("told", "gpus"), [({}, 1), ({"num_gpu": 0}, 0), ({"num_gpu": 2}, 2)])
async def test_a_form_that_begins_with_cloudera_ml_asks_for_the_gpus_that_it_shows(
    told: dict[str, Any], gpus: int
) -> None:
    studio = studio_of()
    dashboard = app(studio)
    async with dashboard.run_test(size=(120, 50)) as pilot:
        await pilot.pause()
        begun = {"base_model_id": "m", "adapter_id": "a", "model_name": "support", "type": "cml_model"}
        dashboard.show_form("ExportModel", begun | told)
        await until(pilot, lambda: "^s send" in shown(dashboard))
        await until(pilot, lambda: dashboard.screen.query_one(Fieldset).boxes["num_gpu"].value == str(gpus))
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(dashboard.screen, EndpointScreen))
        (sent,) = [each for each in studio.asked if isinstance(each, ExportModel)]
        assert sent.num_gpu == gpus


async def test_a_dashboard_that_only_looks_is_told_no_access_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accesskey, "access_key", lambda row: "m-secret")
    dashboard = app(studio_of(at_cloudera()))
    dashboard.readonly = True
    async with dashboard.run_test(size=(150, 40)) as pilot:
        await pilot.pause()
        dashboard.show_endpoint("far")
        await until(pilot, lambda: "accessKey=$KEY" in shown(dashboard))
        await pilot.press("K")
        await until(pilot, lambda: "is told no keys" in shown(dashboard))
        assert "m-secret" not in shown(dashboard)


async def test_an_access_key_of_clouderas_is_asked_of_cloudera_shown_and_kept_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found: list[str | Exception] = [Unavailable("Cloudera's SDK (cmlapi) is not installed here"), "m-secret"]

    def key(row: Any) -> str:
        told = found.pop(0)
        if isinstance(told, Exception):
            raise told
        return f"{told}-of-{row['cml_model_id']}"

    monkeypatch.setattr(accesskey, "access_key", key)
    studio = studio_of(at_cloudera())
    dashboard = app(studio)
    async with dashboard.run_test(size=(150, 40)) as pilot:
        await pilot.pause()
        dashboard.show_endpoint("far")
        await until(pilot, lambda: "accessKey=$KEY" in shown(dashboard))
        await pilot.press("K")
        await until(pilot, lambda: "is not installed here" in shown(dashboard))
        await pilot.press("K")
        await until(pilot, lambda: "access key  m-secret-of-m0de-l000-0000-0001" in shown(dashboard))
        assert "accessKey=m-secret-of" in shown(dashboard) and "kept nowhere" in shown(dashboard)
        await pilot.press("K")
        await until(pilot, lambda: dashboard.clipboard.startswith("m-secret"))
        assert "m-secret" not in "".join(each.model_dump_json() for each in studio.asked)
        await pilot.press("s")
        await until(pilot, lambda: "Its model in Cloudera ML goes, with its access key." in shown(dashboard))
