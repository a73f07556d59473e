"""What the comparison's screen shows of a session and its questions, as text. Knows nothing of Textual."""

from __future__ import annotations

import json
from typing import Any

from core.messages.comparing import Answer, AskedQuestion, ComparisonMetadata
from core.text import counted, plain
from tui.view import words
from tui.view.cells import Cell

LONGEST = 100_000  # characters of an answer that are shown
REASONS = {"eos": "", "stop": "", "length": "cut: max_new_tokens", "stopped": "stopped", "failed": "failed"}
LEAST = 24  # cells that a column needs


def head(session: ComparisonMetadata) -> list[Cell]:
    """How the session is, in one line."""
    status = session.status.value
    parts: list[Cell] = [(words.state(status), words.style(status))]
    if session.waiting_for:
        parts.append((f"  waits for {plain(session.waiting_for, limit=200)}", "wait"))
    elif session.held is not None:
        parts.append((f"  {words.held(session.held.model_dump())}", "wait"))
    elif session.phase and not session.status.finished:
        parts.append((f"  {plain(session.phase, limit=100)}", ""))
    elif session.error is not None:
        parts.append((f"  {plain(session.error.message, limit=400)}", "bad"))
    return parts


def asked(question: AskedQuestion | None, number: int, total: int, template: str | None = None) -> list[Cell]:
    """The question that is shown: which it is, and its text. Before the first one, how adapters were taught to be asked."""
    if question is None:
        told: list[Cell] = [("type a prompt below and press enter, or esc and n for a row of the dataset", "dim")]
        return [*told, (f"\n{plain(template, limit=2_000, lines=True)}", "dim")] if template else told
    place = f"{number} of {total}" if total > 1 else "1"
    row = (
        ""
        if question.row is None
        else f"  row {question.row} of those held out, from 0"
        if question.held_out
        else f"  row {question.row}, from 0 (may be trained on)"
    )
    text = question.prompt if question.prompt is not None else "a row is being drawn …"
    lines: list[Cell] = [(f"{place}{row}  ", "dim"), (plain(text, limit=LONGEST, lines=True), "")]
    if question.expected:
        lines.append((f"\nexpected: {plain(question.expected, limit=2_000, lines=True)}", "good"))
    return lines


def ending(answer: Answer | None) -> Cell:
    """How far an answer is, or how it ended."""
    if answer is None:
        return "…", "dim"
    if answer.error:
        return f"✗ {plain(answer.error, limit=400)}", "bad"
    rate = f"  {answer.tokens / answer.seconds:.0f}/s" if answer.seconds > 0 else ""
    why = REASONS.get(answer.reason or "", "") if answer.done else "…"
    return f"{counted(answer.tokens, 'token')}{rate}  {why}".rstrip(), "dim"


def voices(session: ComparisonMetadata, question: AskedQuestion | None) -> list[str]:
    """Who has a column: those that were asked, else all of the session."""
    return list(question.voices) if question is not None else ["", *(each.id for each in session.adapters)]


def fitting(names: list[str], first: int, width: int) -> tuple[list[str], int]:
    """The columns that have room from `first` on, and where they begin: a narrow terminal shows some of many."""
    room = max(1, width // LEAST)
    begin = max(0, min(first, len(names) - room))
    return names[begin : begin + room], begin


def settings_text(settings: dict[str, Any]) -> str:
    """Generation settings as words: what is edited in a line."""
    return " ".join(f"{name}={json.dumps(value)}" for name, value in settings.items() if value is not None)


def settings_of(text: str) -> dict[str, Any]:
    """What name=value words mean; raises ValueError. A value that is no JSON is a text."""
    made: dict[str, Any] = {}
    for word in text.split():
        name, mark, value = word.partition("=")
        if not mark or not name:
            raise ValueError(f"{word} is no setting: name=value is wanted, as in max_new_tokens=60")
        try:
            made[name] = json.loads(value)
        except ValueError:
            made[name] = value
    return made
