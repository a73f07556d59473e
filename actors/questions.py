"""The questions of comparisons in the store: which are open, and what is said to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.events import Drawn, Said
from core.messages.runners import Question
from core.store.session import Unit
from core.store.tables import Comparison, ComparisonQuestion, Job


def open_ones(session: Session, job_id: str) -> list[ComparisonQuestion]:
    """Those that not all answers are done of, in order."""
    query = select(ComparisonQuestion).where(
        ComparisonQuestion.comparison_id == job_id, ComparisonQuestion.done.is_(False)
    )
    return list(session.scalars(query.order_by(ComparisonQuestion.number)))


def asked(session: Session, job: Job, held: Collection[int] = ()) -> list[Question]:
    """What the session's child is told; texts are long, so that those which its runner holds do not go out again."""
    return [
        Question(
            number=row.number,
            held=row.number in held,
            prompt=None if row.random or row.number in held else row.prompt,
            voices=row.voices,
            generation={} if row.number in held else row.generation,
            seed=row.seed,
            stopped=row.stopped,
        )
        for row in open_ones(session, job.id)
    ]


def begin_anew(session: Session, job: Job) -> None:
    """Another child has the questions now: what one before said of the open ones is void."""
    for row in open_ones(session, job.id):
        row.answers = {}


def close(unit: Unit, job: Job, why: str) -> None:
    """Nobody will answer the open ones any more."""
    for row in open_ones(unit.session, job.id):
        over(unit, row, "failed", why)


def over(unit: Unit, row: ComparisonQuestion, reason: str, error: str | None = None) -> None:
    """End a question; what was said stays."""
    ended = {"done": True, "reason": reason, "error": error}
    known = {voice: row.answers.get(voice, {}) for voice in row.voices}
    row.answers = {voice: each if each.get("done") else {**each, **ended} for voice, each in known.items()}
    _done(unit, row)


def take_said(unit: Unit, job: Job, record: Said) -> None:
    """Put a piece in its place."""
    row = _row(unit.session, job, record.question)
    if row is None or row.done or record.voice not in row.voices:
        return
    before: dict[str, Any] = row.answers.get(record.voice, {})
    if record.start > len(before.get("text", "")):
        return  # a full disk took what lies between: the end tells it whole
    told = record.model_dump(exclude={"at", "type", "question", "voice", "start", "text"})
    text = str(before.get("text", ""))[: record.start] + record.text
    row.answers = {**row.answers, record.voice: {**told, "text": text}}
    if all(row.answers.get(voice, {}).get("done") for voice in row.voices):
        _done(unit, row)


def take_drawn(unit: Unit, job: Job, record: Drawn) -> None:
    """Keep which row was drawn."""
    row = _row(unit.session, job, record.question)
    if row is not None and row.random:
        row.prompt, row.expected, row.row, row.held_out = record.prompt, record.expected, record.row, record.held_out


def _row(session: Session, job: Job, number: int) -> ComparisonQuestion | None:
    return session.get(ComparisonQuestion, (job.id, number))


def _done(unit: Unit, row: ComparisonQuestion) -> None:
    row.done, row.done_at = True, unit.now
    active(unit, row.comparison_id)


def active(unit: Unit, id: str) -> None:
    """The session was of use just now."""
    session = unit.session.get(Comparison, id)
    if session is not None:
        session.active_at = unit.now
