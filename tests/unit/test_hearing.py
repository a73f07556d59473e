"""Answers as a watcher hears them: whatever comes twice, late or not at all, the text is the one that was said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.hearing import Hearing
from core.messages.comparing import Answer, AskedQuestion, ComparisonMetadata, ComparisonReply

SESSION = ComparisonMetadata(id="c", idle_seconds=1, active_at=0, num_cpu=1, num_gpu=0, num_memory=1)


def reply(**answers: str) -> ComparisonReply:
    told = {voice.strip("_"): Answer(text=text) for voice, text in answers.items()}
    asked = AskedQuestion(number=1, prompt="x", voices=["", "a"], seed=1, answers=told, asked_at=0)
    return ComparisonReply(comparison=SESSION, questions=[asked])


def said(voice: str, start: int, text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "said", "question": 1, "voice": voice, "start": start, "text": text, **fields}


def heard(*records: dict[str, Any], begun: ComparisonReply | None = None) -> Hearing:
    hearing = Hearing()
    hearing.begin(begun or reply())
    for each in records:
        hearing.take([{"records": [each]}])
    return hearing


@given(st.lists(st.text(min_size=1, max_size=3), min_size=1, max_size=8), st.integers(0, 8), st.data())
def test_pieces_that_are_here_already_do_no_harm(pieces: list[str], known: int, data: st.DataObject) -> None:
    starts = [sum(map(len, pieces[:place])) for place in range(len(pieces))]
    begun = reply(_="".join(pieces[:known]))
    behind = data.draw(st.integers(0, min(known, len(pieces))))  # the stream is asked from before what was answered
    records = [said("", starts[place], pieces[place]) for place in range(behind, len(pieces))]
    hearing = heard(*records, begun=begun)
    assert not hearing.torn
    assert hearing.questions[1].answers[""].text == "".join(pieces[: max(known, len(pieces) if records else 0)])


def test_it_is_done_when_all_are_and_what_comes_late_changes_nothing() -> None:
    hearing = heard(said("", 0, "one", done=True, reason="eos", tokens=1), said("a", 0, "tw"))
    assert not hearing.questions[1].done
    hearing.take([{"records": [said("a", 2, "o", done=True), said("", 0, "late")]}])
    told = hearing.questions[1]
    assert told.done and {voice: each.text for voice, each in told.answers.items()} == {"": "one", "a": "two"}
    assert (told.answers[""].reason, told.answers[""].tokens) == ("eos", 1)


def test_another_attempt_says_it_anew() -> None:
    assert heard(said("", 0, "one two"), said("", 0, "on")).questions[1].answers[""].text == "on"


@pytest.mark.parametrize("record", [said("", 5, "gap"), {**said("", 0, "x"), "question": 2}])
def test_what_is_missing_is_noticed(record: dict[str, Any]) -> None:
    assert heard(record).torn


def test_a_row_that_was_drawn_is_the_question() -> None:
    drawn = {"type": "drawn", "question": 1, "prompt": "p", "expected": "e", "row": 3, "held_out": True}
    told = heard(drawn, {"type": "log", "text": "x"}).questions[1]
    assert (told.prompt, told.expected, told.row, told.held_out) == ("p", "e", 3, True)
