"""The ticketing agent on the dashboard: a ticket is asked of an adapter, and what is done with it is told."""

from __future__ import annotations

import time
from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import Unavailable
from core.messages.comparing import Answer, AskedQuestion
from core.ticketing import asked
from core.types import JobStatus
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE, session
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.widgets.asking import AskArea


def question(number: int, ticket: str, answer: str | None, voice: str = "a") -> AskedQuestion:
    answers = {} if answer is None else {voice: Answer(text=answer, tokens=4, seconds=0.1, done=True, reason="eos")}
    return AskedQuestion(number=number, prompt=asked(ticket), voices=[voice], seed=1, asked_at=0.0, answers=answers)


def studio(*questions: AskedQuestion, **fields: Any) -> FakeStudio:
    made = FakeStudio()
    made.rows["comparisons"] = [session(**fields)]
    made.questions = list(questions)
    return made


async def opened(pilot: Pilot[None], text: str) -> None:
    await pilot.press("colon", *"ticketing", "enter")
    await until(pilot, lambda: text in shown(pilot.app))


async def test_a_ticket_is_asked_and_what_the_agent_does_and_says_is_told() -> None:
    fake = studio()
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "Type a customer's ticket")
        await pilot.press(*"cancel order 33871", "enter")
        await until(pilot, lambda: len(fake.questions) == 1 and "customer  cancel order 33871" in shown(app))
        assert fake.questions[0].prompt == asked("cancel order 33871") and fake.questions[0].voices == ["a"]
        told = {"type": "said", "question": 1, "voice": "a", "start": 0, "text": " cancel_order"}
        fake.records.put({"records": [{**told, "done": True, "reason": "eos", "tokens": 4, "seconds": 0.1}]})
        await until(pilot, lambda: "✓ stop the order before it is packed" in shown(app))
        assert "Order 33871 is stopped" in shown(app)


async def test_a_ticket_of_the_demo_is_drawn_and_another_adapter_of_the_session_is_asked() -> None:
    fake = studio(adapters=[{"id": "a", "name": "tickets-r16"}, {"id": "b", "name": "tickets-r4"}])
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(pilot, "tickets-r16")
        await pilot.press("escape", "v", "n")
        await until(pilot, lambda: len(fake.questions) == 1)
        assert fake.questions[0].voices == ["b"] and "tickets-r4" in shown(app)


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_what_lacks_its_order_and_what_is_no_action_is_told_and_hostile_text_stays_text(
    size: tuple[int, int],
) -> None:
    fake = studio(
        question(1, HOSTILE, "[red]" + HOSTILE),
        question(2, "cancel my order", "cancel_order"),
        question(3, "where is #10552", None),
    )
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=size) as pilot:
        await opened(pilot, "needs the order's number")
        assert "that is no action: hand the ticket to a person" in shown(app)
        assert "\x1b" not in shown(app) and "[red]" in shown(app)


async def test_without_a_session_it_says_how_to_get_one() -> None:
    fake = FakeStudio()
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "fts compare start")
        await pilot.press("n", "v", "o", "i")
        assert not fake.questions


async def test_a_ticket_that_can_not_be_sent_is_not_lost() -> None:
    fake = studio()
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "Type a customer's ticket")
        fake.broken = Unavailable("the queue can't be reached")
        await pilot.press(*"where is it", "enter")
        await until(pilot, lambda: app.screen.query_one(AskArea).text == "where is it")


async def test_a_session_that_ended_is_told_and_held_again() -> None:
    fake = studio(status=JobStatus.succeeded, finished_at=time.time() - 60, idle_seconds=900.0)
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot, "ended 1m")
        assert "after 15m00s without a question" in shown(app).replace("\n", " ")
        await pilot.press("t")
        await until(pilot, lambda: "RetryJob" in [type(each).__name__ for each in fake.asked])
