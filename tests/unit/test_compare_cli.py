"""Answers in a plain terminal: one below the other whoever speaks first, and nothing of them reaches it as a command."""

from __future__ import annotations

from typing import Any

import pytest

from core.messages.comparing import Answer, AskedQuestion, ComparisonMetadata, ComparisonReply
from tui.cli import output
from tui.cli.compare import Shown

EVIL = "\x1b]52;c;ZXZpbA==\x07[red]\n\u202eevil"
SESSION = ComparisonMetadata(
    id="c", idle_seconds=1, active_at=0, num_cpu=1, num_gpu=0, num_memory=1, adapters=[{"id": "a", "name": EVIL}]
)


def question(**fields: Any) -> AskedQuestion:
    return AskedQuestion(**{"number": 1, "prompt": "x", "voices": ["", "a"], "seed": 1, "asked_at": 0, **fields})


def test_who_speaks_beside_another_is_printed_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    shown, asked = Shown(SESSION), question()
    for base, adapter, done in (("on", "tw", False), ("one ", "two", False), ("one end", "two", True)):
        asked.answers = {"": Answer(text=base, done=done, tokens=2), "a": Answer(text=adapter, done=done)}
        shown.show(asked)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == ["── base", "one end"] and lines[3] == "two" and lines[2].startswith("── ")


def test_another_attempt_begins_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(SESSION)
    for text in ("one two", "On", "Once"):
        shown.show(question(answers={"": Answer(text=text)}))
    assert capsys.readouterr().out == "── base\none two\nOnce"


def test_a_row_that_was_drawn_is_told_once_with_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Shown(SESSION)
    for text in ("", "a"):
        told = {"random": True, "row": 3, "expected": "yes", "answers": {"": Answer(text=text)}}
        shown.show(question(**told, held_out=False))
    out = capsys.readouterr().out
    assert out.startswith("row 3, which may have been trained on:\nx\nexpected: yes\n── base") and out.count("row") == 1


def test_nothing_reaches_the_terminal_as_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"": Answer(text=EVIL, done=True), "a": Answer(text=EVIL, done=True, reason="failed", error=EVIL)}
    asked = question(prompt=EVIL, expected=EVIL, answers=answers, random=True, row=1)
    Shown(SESSION).show(asked)
    reply = ComparisonReply(comparison=SESSION, questions=[asked], has_more=True)
    output.show(reply.model_dump(mode="json"), "table")
    told = capsys.readouterr()
    assert "[red]" in told.out and not set("\x1b\x07\u202e") & set(told.out + told.err)
    assert "--before 1" in told.err
