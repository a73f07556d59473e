"""What was: events and the way back to any moment, messages sent again, dead letters mended, sent and dropped."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from core.errors import Unavailable
from core.sender import who
from tests.tui.past import CONFIG, NOW, PastStudio, event, filled, hostile, letter, note, sent
from tests.tui.rows import job
from tests.tui.test_dashboard import here, shown, until
from tui.app import Dashboard
from tui.screens import logbook
from tui.widgets.prompt import PromptLine

SIZES = [(80, 24), (160, 50)]
Ready = Callable[[Pilot[None]], Any]


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def asked(studio: PastStudio, name: str) -> list[dict[str, Any]]:
    return [each.model_dump(exclude_unset=True) for each in studio.asked if type(each).__name__ == name]


async def typed(pilot: Pilot[None], text: str) -> None:
    """Type into the line at the bottom."""
    line = pilot.app.screen.query_one(PromptLine)
    await until(pilot, lambda: line.display)
    line.value = text
    await pilot.press("enter")


def opened(studio: PastStudio, page: str, size: tuple[int, int] = (80, 24)) -> Any:
    return Dashboard(make=lambda: studio, page=page).run_test(size=size, notifications=True)


# ─── events, and the studio then ──────────────────────────────────────────────────────────────────


async def test_the_log_is_walked_back_to_its_beginning_and_keeps_no_more_rows_than_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logbook, "PAGE", 50)
    monkeypatch.setattr("tui.screens.events.PAGE", 50)
    monkeypatch.setattr(logbook, "MOST", 100)
    studio = PastStudio()
    studio.happened = [event(id) for id in range(1, 231)]
    async with opened(studio, "events") as pilot:
        await here(pilot, "event 230")
        screen: Any = pilot.app.screen
        for _ in range(10):
            if screen.rows[-1]["id"] == 1:
                break
            oldest = screen.rows[-1]["id"]
            await pilot.press("G")
            await until(pilot, lambda before=oldest: screen.rows[-1]["id"] < before)
        await pilot.press("G")
        await until(pilot, lambda: "event 1 " in shown(pilot.app) and "event 2 " in shown(pilot.app))
        assert len(screen.rows) == 100 and "g newer ones" in shown(pilot.app)
        await pilot.press("g")
        await here(pilot, "event 230")


async def test_what_is_typed_narrows_the_log_on_the_studios_side() -> None:
    studio = filled()
    async with opened(studio, "events") as pilot:
        await here(pilot, "event 4")
        await pilot.press("slash")
        await typed(pilot, "memory level:err about:jobs")
        await until(pilot, lambda: "event 4" not in shown(pilot.app) and "memory ran out" in shown(pilot.app))
        last = asked(studio, "ListEvents")[-1]
        assert (last["contains"], last["level"], last["kind"]) == ("memory", "error", "jobs")
        await pilot.press("escape")
        await here(pilot, "event 4")
        await pilot.press("slash")
        await typed(pilot, "level:fatal")
        await here(pilot, "there is no level fatal")
        await pilot.press("L")
        await until(pilot, lambda: "errors only" in shown(pilot.app) and "event 4" not in shown(pilot.app))


async def test_from_an_event_one_goes_to_what_it_is_about_or_to_how_the_studio_was() -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("run")]
    async with opened(studio, "events") as pilot:
        await here(pilot, "memory ran out")
        await pilot.press("t")
        await here(pilot, "tickets-4")
        text = shown(pilot.app)
        assert "● running" in text and "gpu1" in text and "after 1" in text and "▸" in text and "gpu2 ✗ lost" in text
        await pilot.press("left_square_bracket")
        await until(pilot, lambda: asked(studio, "GetQueueAt")[-1].get("event") == 4)
        await here(pilot, "event 4")
        await pilot.press("escape", "enter")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "JobScreen")


async def test_a_time_is_typed_as_people_say_it_and_stepped_by_minutes() -> None:
    studio = filled()
    async with opened(studio, "events") as pilot:
        await here(pilot, "memory ran out")
        await pilot.press("T")
        await typed(pilot, "whenever")
        await here(pilot, "is no time")
        await pilot.press("T")
        await typed(pilot, str(int(NOW)))
        await here(pilot, "tickets-4")
        await pilot.press("left_curly_bracket")
        await until(pilot, lambda: asked(studio, "GetQueueAt")[-1].get("at") == NOW - 60)


# ─── messages ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_message_is_read_and_sent_again_with_a_key_of_its_own_after_a_look() -> None:
    studio = filled()
    studio.sent = [sent(1)]
    async with opened(studio, "messages") as pilot:
        await here(pilot, "AddConfig")
        await pilot.press("enter")
        await here(pilot, "What was answered")
        assert "key-1" in shown(pilot.app) and "12 ms" in shown(pilot.app)
        await pilot.press("s")
        await here(pilot, "It was done then")
        assert asked(studio, "AddConfig") == []
        await pilot.press("y")
        await until(pilot, lambda: asked(studio, "AddConfig") == [CONFIG])


async def test_what_the_log_keeps_no_secret_of_is_not_sent_without_it() -> None:
    studio = filled()
    async with opened(studio, "messages") as pilot:
        await here(pilot, "StartEndpoint")
        await pilot.press("s")
        await here(pilot, "its secrets are not in the log")
        assert asked(studio, "StartEndpoint") == []


async def test_ones_own_messages_are_told_from_everybodys() -> None:
    studio = filled()
    async with opened(studio, "messages", (160, 50)) as pilot:
        await here(pilot, "ci@build")
        await pilot.press("m")
        await until(pilot, lambda: "ci@build" not in shown(pilot.app) and "mine" in shown(pilot.app))
        assert asked(studio, "ListMessages")[-1]["sender"] == who()


# ─── dead letters ─────────────────────────────────────────────────────────────────────────────────


async def test_marked_letters_are_dropped_after_one_question() -> None:
    studio = filled()
    async with opened(studio, "letters") as pilot:
        await here(pilot, "not readable")
        await pilot.press("space", "space")
        await here(pilot, "2 rows marked")
        await pilot.press("ctrl+d")
        await here(pilot, "Drop 2 dead letters")
        await pilot.press("y")
        await until(pilot, lambda: asked(studio, "DropDeadLetters") == [{"ids": ["3-0", "2-0"]}])
        await until(pilot, lambda: "not readable" not in shown(pilot.app))


async def test_a_letter_is_mended_under_a_check_and_sent() -> None:
    studio = filled()
    async with opened(studio, "letters") as pilot:
        await here(pilot, "AddDataset")
        await pilot.press("enter")
        await here(pilot, "maria@gpu1")
        await pilot.press("e")
        await here(pilot, "DS-001")
        await pilot.press("ctrl+s")
        await here(pilot, "it would only die again")
        editor = pilot.app.screen.query_one(TextArea)
        editor.text = '{"type": "huggingface", '
        await here(pilot, "it is not JSON")
        editor.text = '{"type": "huggingface", "name": "r", "huggingface_name": "org/rows"}'
        await here(pilot, "nothing is wrong with it")
        await pilot.press("ctrl+s")
        await here(pilot, "instead of the letter")
        await pilot.press("y")
        wanted = {"id": "3-0", "payload": {"type": "huggingface", "name": "r", "huggingface_name": "org/rows"}}
        await until(pilot, lambda: asked(studio, "RequeueDeadLetter") == [wanted])
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "LettersScreen")


async def test_what_is_no_message_is_made_one_by_name_and_fields() -> None:
    studio = filled()
    studio.letters = studio.letters[1:2]
    async with opened(studio, "letters") as pilot:
        await here(pilot, "not readable")
        await pilot.press("enter")
        await here(pilot, "not json")
        await pilot.press("e")
        await here(pilot, "give the message's name above")
        pilot.app.screen.query_one("#name", Input).value = "ListConfigs"
        await here(pilot, "nothing is wrong with it")
        await pilot.press("escape", "escape")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "LettersScreen")


async def test_what_was_typed_is_not_lost_by_a_key() -> None:
    studio = filled()
    async with opened(studio, "letters") as pilot:
        await here(pilot, "AddDataset")
        await pilot.press("enter")
        await here(pilot, "maria@gpu1")
        await pilot.press("e")
        await here(pilot, "DS-001")
        pilot.app.screen.query_one(TextArea).text = "{}"
        await pilot.press("escape")
        await pilot.press("escape")
        await here(pilot, "What was typed is lost")
        await pilot.press("n", "e")
        await until(pilot, lambda: pilot.app.screen.query_one(TextArea).text == "{}")


async def test_a_letter_that_was_answered_says_so_before_it_goes() -> None:
    studio = PastStudio()
    studio.letters = [filled().letters[0]]
    async with opened(studio, "letters") as pilot:
        await here(pilot, "AddConfig")
        await pilot.press("enter")
        await here(pilot, "was answered before it died")
        await pilot.press("s")
        await here(pilot, "nothing is done twice")
        await pilot.press("y")
        await until(pilot, lambda: asked(studio, "RequeueDeadLetter") == [{"id": "1-0"}])
        await here(pilot, "No dead letters")


async def test_live_letters_leave_the_cursor_where_it_is() -> None:
    studio = filled()
    async with opened(studio, "letters") as pilot:
        await here(pilot, "not readable")
        await pilot.press("j")
        screen: Any = pilot.app.screen
        before = screen.row["id"]
        studio.letters.append(letter(9, name="AddPrompt"))
        screen.again()
        await here(pilot, "AddPrompt")
        assert screen.row["id"] == before


# ─── notifications ────────────────────────────────────────────────────────────────────────────────


async def test_what_was_not_told_is_tried_again_and_what_was_sent_is_not() -> None:
    studio = filled()
    async with opened(studio, "notifications") as pilot:
        await here(pilot, "✗ given up")
        await pilot.press("j", "j", "t")
        await here(pilot, "it was sent: only what waits")
        await pilot.press("asterisk", "t")
        await here(pilot, "Tell command and webhook of 3 notifications once more")
        assert asked(studio, "RetryNotifications") == []
        await pilot.press("y")
        await until(pilot, lambda: "✗ given up" not in shown(pilot.app) and "2 rows marked" not in shown(pilot.app))
        assert asked(studio, "RetryNotifications") == [{"id": id} for id in ("n4", "n3", "n1")]
        assert "1 row marked" in shown(pilot.app), "what was sent was not tried"


async def test_a_notification_is_shown_whole_and_leads_to_its_job_and_a_try_to_none() -> None:
    studio = filled()
    studio.rows["fine_tuning_jobs"] = [job("run")]
    why = f"{'it answered 503, ' * 40}whereupon"
    studio.notes = [note(1, job_id="run"), note(2, job_id=None, text="This is a try", error=why)]
    async with opened(studio, "notifications") as pilot:
        await here(pilot, "This is a try")
        await pilot.press("enter")
        await until(
            pilot, lambda: type(pilot.app.screen).__name__ == "ReadingScreen" and "whereupon" in shown(pilot.app)
        )
        await pilot.press("escape", "o")
        await here(pilot, "about nothing that could be")
        await pilot.press("j", "o")
        await until(pilot, lambda: type(pilot.app.screen).__name__ == "JobScreen")


async def test_a_dashboard_that_only_looks_tells_nobody_again() -> None:
    studio = filled()
    app = Dashboard(make=lambda: studio, page="notifications", readonly=True)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: "✗ given up" in shown(app))
        await pilot.press("G", "t")
        await until(pilot, lambda: "only looks" in shown(app))
        assert asked(studio, "RetryNotifications") == []


# ─── what they look like ──────────────────────────────────────────────────────────────────────────

SCREENS: dict[str, tuple[str, tuple[str, ...], str]] = {  # page, keys from there, the screen's name
    "events": ("events", (), "EventsScreen"),
    "then": ("events", ("t",), "ThenScreen"),
    "messages": ("messages", (), "MessagesScreen"),
    "message": ("messages", ("enter",), "MessageScreen"),
    "letters": ("letters", (), "LettersScreen"),
    "letter": ("letters", ("enter",), "LetterScreen"),
    "editor": ("letters", ("enter", "e"), "LetterScreen"),
    "notifications": ("notifications", (), "NotificationsScreen"),
}
EMPTY = {
    "events": "Nothing has happened yet",
    "messages": "Nothing was sent yet",
    "letters": "No dead letters",
    "notifications": "Nobody was told",
}


def at(keys: tuple[str, ...], name: str) -> Ready:
    """Open a screen, and wait until nothing moves."""

    async def ready(pilot: Pilot[None]) -> None:
        await until(pilot, lambda: getattr(pilot.app.screen, "as_of", 0) or not pilot.app.screen.asking)  # type: ignore[attr-defined]
        await until(pilot, lambda: getattr(pilot.app.screen, "rows", [1]))
        for key in keys:
            await pilot.press(key)
            await until(pilot, lambda: type(pilot.app.screen).__name__ == name)
            await until(pilot, lambda: getattr(pilot.app.screen, "as_of", 1))
        for field in pilot.app.screen.query(Input):
            field.cursor_blink = False
        for editor in pilot.app.screen.query(TextArea):
            editor.cursor_blink = False
        await pilot.pause(0.1)

    return ready


def begun() -> PastStudio:
    """One event, and nothing that ran then."""
    made = PastStudio()
    made.happened = [event(1, "runner vm is here", type="RunnerRegistered", kind="runners")]
    return made


@pytest.mark.parametrize("size", SIZES, ids=["small", "large"])
@pytest.mark.parametrize(
    ("name", "made"), [*((each, make) for each in SCREENS for make in (filled, hostile)), ("then", begun)]
)
def test_screens(snap_compare: Any, name: str, made: Callable[[], PastStudio], size: tuple[int, int]) -> None:
    page, keys, screen = SCREENS[name]
    assert snap_compare(Dashboard(make=made, page=page), terminal_size=size, run_before=at(keys, screen))


@pytest.mark.parametrize("size", SIZES, ids=["small", "large"])
@pytest.mark.parametrize("page", ["events", "messages", "letters", "notifications"])
@pytest.mark.parametrize("state", ["empty", "failing"])
def test_screens_without_rows(snap_compare: Any, page: str, state: str, size: tuple[int, int]) -> None:
    studio = PastStudio()
    studio.broken = Unavailable("no server answers at redis://h:1") if state == "failing" else None

    async def ready(pilot: Pilot[None]) -> None:
        wanted = "▲" if state == "failing" else EMPTY[page]
        await until(pilot, lambda: wanted in shown(pilot.app))
        await pilot.pause(0.1)

    assert snap_compare(Dashboard(make=lambda: studio, page=page), terminal_size=size, run_before=ready)


async def test_what_an_editor_can_not_show_is_edited_as_json_writes_it_and_stays_what_it_was() -> None:
    studio = PastStudio()
    payload = {"type": "lora_config", "config": "a\x85b\u202ec\U000e0001d\x1b]0;x\x07", "description": "größe 漢字"}
    studio.letters = [letter(1, payload=payload)]
    async with opened(studio, "letters") as pilot:
        await here(pilot, "AddConfig")
        await pilot.press("enter")
        await here(pilot, "maria@gpu1")
        await pilot.press("e")
        editor = await until(pilot, lambda: pilot.app.screen.query_one(TextArea))
        await until(pilot, lambda: editor.text)
        assert json.loads(editor.text) == payload and "größe 漢字" in editor.text
        assert not getattr(pilot.app.screen, "unsaved")  # noqa: B009  # what it began with is nothing that was typed
