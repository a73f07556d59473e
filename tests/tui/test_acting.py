"""What changes something goes one way: asked first, refused when the dashboard only looks, told of after."""

from __future__ import annotations

from typing import Any

import pytest

from core.client import Answer
from core.errors import Conflict, Refused, Unavailable
from core.messages import parse
from core.messages.notifications import NotificationsRetriedReply
from core.types import JobStatus
from tests.tui.fake import FakeStudio, filled
from tests.tui.rows import HOSTILE, job
from tests.tui.test_dashboard import shown, until
from tui.acting import Outcome, told
from tui.app import Dashboard
from tui.screens.confirm import ConfirmScreen
from tui.studio import Studio


def sent(studio: FakeStudio, name: str) -> list[Any]:
    """The messages of that name that came."""
    return [each for each in studio.asked if type(each).__name__ == name]


def board(studio: FakeStudio, *, readonly: bool = False) -> Dashboard:
    return Dashboard(make=lambda: studio, readonly=readonly)


async def test_a_command_is_sent_with_a_key_of_its_own_and_what_came_of_it_is_told() -> None:
    studio, keys = filled(), list[str | None]()
    ask = studio.ask

    def noted(message: Any, *, key: str | None = None, timeout: float | None = None) -> Any:
        if type(message).__name__ == "PauseJob":
            keys.append(key)
        return ask(message, key=key, timeout=timeout)

    studio.ask = noted  # type: ignore[method-assign]
    outcomes: list[Outcome] = []
    async with board(studio).run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        pilot.app.act("PauseJob", [{"id": "run"}, {"id": "wait"}], done=outcomes.extend)  # type: ignore[attr-defined]
        await until(pilot, lambda: len(outcomes) == 2)
        await until(pilot, lambda: "pause job: 2 of 2 done" in shown(pilot.app))
    assert len(set(keys)) == 2 and None not in keys and [each.key for each in outcomes] == keys
    assert all(each.error is None and each.answer.value.status is JobStatus.paused for each in outcomes)


async def test_of_many_each_failure_is_told_and_the_others_are_done() -> None:
    studio = filled()
    async with board(studio).run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        pilot.app.act("PauseJob", [{"id": HOSTILE}, {"id": "run"}])  # type: ignore[attr-defined]
        await until(pilot, lambda: "1 of 2 done" in shown(pilot.app))
        await until(pilot, lambda: "there is no fine-tuning job" in shown(pilot.app))
        assert studio.job("run").status is JobStatus.paused
        assert "\x1b" not in shown(pilot.app) and "\u202e" not in shown(pilot.app)


async def test_nobody_waits_for_each_of_many_while_the_studio_is_away() -> None:
    studio, outcomes = filled(), list[Outcome]()
    async with board(studio).run_test(size=(120, 30)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        studio.broken = Unavailable("no studio answers")
        before = len(sent(studio, "PauseJob"))
        pilot.app.act("PauseJob", [{"id": str(number)} for number in range(50)], done=outcomes.extend)  # type: ignore[attr-defined]
        await until(pilot, lambda: len(outcomes) == 50)
        assert len(sent(studio, "PauseJob")) == before + 1 and all(each.unknown for each in outcomes)


async def test_a_question_shows_what_it_does_as_code_and_no_is_no() -> None:
    studio = filled()
    async with board(studio).run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("c")
        await until(pilot, lambda: "Cancel adapter-run?" in shown(pilot.app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "fts job cancel run" in shown(pilot.app) and "parse('CancelJob'" in shown(pilot.app))
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "fts job cancel" not in shown(pilot.app))
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(pilot.app.screen, ConfirmScreen))
        assert not sent(studio, "CancelJob")
        await pilot.press("c", "y")
        await until(pilot, lambda: sent(studio, "CancelJob"))


async def test_enter_is_yes_but_not_the_enter_that_was_still_held_down() -> None:
    answers: list[str] = []
    async with board(filled()).run_test() as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        pilot.app.confirm("Really?", lambda: answers.append("yes"))  # type: ignore[attr-defined]
        await pilot.pause()
        screen = pilot.app.screen
        assert isinstance(screen, ConfirmScreen)
        screen.asked += 1_000
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen is screen and not answers
        screen.asked = 0
        await pilot.press("enter")
        await until(pilot, lambda: answers == ["yes"])


@pytest.mark.parametrize("keys", [["p"], ["c"], ["plus"], ["T"], ["ctrl+d"]])
async def test_a_dashboard_that_only_looks_changes_nothing_and_says_so(keys: list[str]) -> None:
    studio = filled()
    async with board(studio, readonly=True).run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        assert "read-only" in shown(pilot.app)
        await pilot.press(*keys)
        await until(pilot, lambda: "--readonly" in shown(pilot.app))
        assert {type(each).__name__ for each in studio.asked} <= {"ListFineTuningJobs"}


def test_no_way_leads_around_it_for_commands_and_queries_go_on() -> None:
    fake = filled()
    studio = Studio(lambda: fake, lambda message: None, readonly=True)
    with pytest.raises(Refused, match="only looks"):
        studio.ask("CancelJob", {"id": "run"})
    assert studio.rows("ListFineTuningJobs", "fine_tuning_jobs")[0]
    assert not sent(fake, "CancelJob")


async def test_one_that_is_refused_is_told_in_the_studios_words() -> None:
    studio = filled()
    ask = studio.ask

    def refusing(message: Any, **more: Any) -> Any:
        if type(message).__name__ == "CancelJob":
            raise Conflict("the job has ended")
        return ask(message, **more)

    studio.ask = refusing  # type: ignore[method-assign]
    studio.rows["fine_tuning_jobs"] = [job("run")]
    async with board(studio).run_test(size=(120, 30), notifications=True) as pilot:
        await until(pilot, lambda: "adapter-run" in shown(pilot.app))
        await pilot.press("c", "y")
        await until(pilot, lambda: "the job has ended" in shown(pilot.app))
    assert parse("CancelJob", {"id": "run"})


def test_who_has_all_that_were_given_up_told_once_more_hears_how_many_are_left() -> None:
    def said(**reply: Any) -> str:
        return told("RetryNotifications", Answer(NotificationsRetriedReply(**reply), [], None))

    assert said(ids=["a", "b"], left=1_200).endswith("2 notifications now, 1,200 given up are left for the next time")
    assert said(ids=["a"]).endswith("done")
