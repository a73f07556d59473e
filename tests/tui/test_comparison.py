"""A session on the dashboard: asked by keys, its answers stream in, columns fit, hostile text stays text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot

from core.errors import Refused
from core.messages.comparing import Answer
from core.rules import Breach
from core.types import JobStatus
from tests.tui.fake import FakeStudio
from tests.tui.rows import HOSTILE, answered, session
from tests.tui.test_dashboard import shown, until
from tui.app import Dashboard
from tui.view import compared
from tui.widgets.asking import AskArea
from tui.widgets.voice import Voice

SIZES = [(80, 24), (160, 50)]


def studio(*questions: Any, **fields: Any) -> FakeStudio:
    made = FakeStudio()
    made.rows["comparisons"] = [session(**fields)]
    made.questions = list(questions)
    return made


def said(voice: str, start: int, text: str, question: int = 1, **fields: Any) -> dict[str, Any]:
    return {"type": "said", "question": question, "voice": voice, "start": start, "text": text, **fields}


async def opened(pilot: Pilot[None]) -> None:
    await pilot.press("colon", *"comparisons", "enter")
    await until(pilot, lambda: "SmolLM2" in shown(pilot.app))
    await pilot.press("enter")
    await until(pilot, lambda: pilot.app.screen.query(Voice) and "base" in shown(pilot.app))


async def test_a_prompt_is_asked_and_the_answers_stream_in_side_by_side() -> None:
    fake = studio()
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press(*"hi/:n", "ctrl+j", *"there", "enter")
        await until(pilot, lambda: len(fake.questions) == 1)
        assert fake.questions[0].prompt == "hi/:n\nthere"
        fake.records.put({"records": [said("", 0, "Good "), said("a", 0, "tra")]})
        await until(pilot, lambda: "Good" in shown(app) and "tra" in shown(app))
        fake.records.put({"records": [said("", 5, "day", done=True, reason="eos", tokens=2, seconds=0.5)]})
        await until(pilot, lambda: "Good day" in shown(app) and "2 tokens  4/s" in shown(app))
        columns = app.screen.query(Voice)
        assert [each.voice for each in columns] == ["", "a"] and columns[0].region.x < columns[1].region.x


async def test_a_row_is_drawn_settings_go_along_and_answers_are_stopped() -> None:
    fake = studio(answered())
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(120, 40)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "track_parcel" in shown(app) and "row 3" in shown(app))
        await pilot.press("escape", "g")
        await pilot.pause()
        await pilot.press("ctrl+u", *"max_new_tokens=5 do_sample=true", "enter", "n")
        await until(pilot, lambda: len(fake.questions) == 2)
        asked = fake.asked[-1] if type(fake.asked[-1]).__name__ == "AskComparison" else fake.asked[-2]
        assert asked.random and asked.generation_config == '{"max_new_tokens": 5, "do_sample": true}'  # type: ignore[attr-defined]
        await pilot.press("left_square_bracket", "e")
        await until(pilot, lambda: app.screen.query_one(AskArea).text == answered().prompt)
        await pilot.press("escape", "s")
        await until(pilot, lambda: any(type(each).__name__ == "StopAnswers" for each in fake.asked))
        await until(pilot, lambda: "1 of 2" in shown(app))
        await pilot.press("E", "y")
        await until(pilot, lambda: any(type(each).__name__ == "EndComparison" for each in fake.asked))


async def test_answers_that_are_drawn_say_so_and_s_says_when_nothing_is_to_be_stopped() -> None:
    fake = studio(answered(), generation_config='{"do_sample": true, "temperature": 0.9}')
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "answers are drawn at random" in shown(app) and "track_parcel" in shown(app))
        await pilot.press("escape", "s")
        await until(pilot, lambda: "nothing is being answered" in shown(app))
        assert not any(type(each).__name__ == "StopAnswers" for each in fake.asked)
        await pilot.press("g")
        await pilot.pause()
        await pilot.press("ctrl+u", *"do_sample=false", "enter")
        await until(pilot, lambda: "answers are drawn" not in shown(app))


async def test_what_is_refused_is_told_and_the_text_stays() -> None:
    fake = studio()
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        fake.broken = Refused.because([Breach(rule="CP-113", field="generation_config", message="no such key")])
        await pilot.press("h", "enter")
        await until(pilot, lambda: "no such key" in "".join(str(each.message) for each in app._notifications))
        fake.broken = None
        assert app.screen.query_one(AskArea).text == "h"


async def test_a_missing_piece_and_a_question_of_someone_else_are_asked_for() -> None:
    fake = studio(answered())
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        fake.questions.append(answered(2, a=Answer(text="from elsewhere", done=True)))
        fake.records.put({"records": [said("a", 0, "x", question=2)]})
        await until(pilot, lambda: "from elsewhere" in shown(app) and "2 of 2" in shown(app))


async def test_columns_that_have_no_room_are_a_key_away() -> None:
    adapters = [{"id": str(n), "name": f"adapter-{n}"} for n in range(5)]
    fake = studio(adapters=adapters)
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await until(pilot, lambda: "1–3 of 6" in shown(app))
        await pilot.press("escape", "right", "right")
        await until(pilot, lambda: [each.voice for each in app.screen.query(Voice)] == ["1", "2", "3"])
        await pilot.resize_terminal(190, 40)
        await until(pilot, lambda: len(app.screen.query(Voice)) == 6)


async def test_a_long_answer_is_followed_to_its_end() -> None:
    fake = studio(answered(a=Answer(text="")))
    app = Dashboard(make=lambda: fake)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        fake.records.put({"records": [said("a", 0, "".join(f"line {n}\n" for n in range(100)))]})
        await until(pilot, lambda: "line 99" in shown(app))


def test_settings_are_words() -> None:
    text = compared.settings_text({"max_new_tokens": 60, "do_sample": False, "top_k": None})
    assert text == "max_new_tokens=60 do_sample=false"
    assert compared.settings_of(text) == {"max_new_tokens": 60, "do_sample": False}
    assert compared.settings_of("") == {}
    with pytest.raises(ValueError, match="name=value"):
        compared.settings_of("hot")


# ─── what it looks like ──────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("fake", "text"),
    [
        (lambda: studio(), "type a prompt"),
        (lambda: studio(answered()), "track_parcel"),
        (lambda: studio(status=JobStatus.queued, phase=None, waiting_for="room on gpu-host"), "room on"),
        (lambda: studio(answered(a=Answer(done=True, reason="failed", error="no adapter"))), "no adapter"),
        (lambda: studio(answered(a=Answer(text=HOSTILE)), adapters=[{"id": "a", "name": HOSTILE}]), "[red]"),
    ],
    ids=["empty", "answered", "waiting", "failing", "hostile"],
)
def test_comparison(
    snap_compare: Callable[..., bool], size: tuple[int, int], fake: Callable[[], FakeStudio], text: str
) -> None:
    async def ready(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await until(pilot, lambda: text in shown(pilot.app))
        pilot.app.screen.query_one(AskArea).cursor_blink = False
        await pilot.pause(0.7)

    made = fake()
    made.rows["comparisons"][0].created_at = None
    assert snap_compare(Dashboard(make=lambda: made), terminal_size=size, run_before=ready)
