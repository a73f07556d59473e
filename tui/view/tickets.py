"""What the ticketing agent's screen shows: tickets, what is done with each, and what the customer is told. Knows nothing of Textual."""

from __future__ import annotations

from collections.abc import Iterable

from core.messages.comparing import AskedQuestion, ComparisonMetadata
from core.text import plain
from core.ticketing import decide, ticket_in
from core.types import JobStatus
from tui.view import compared, words
from tui.view.cells import Cell

LONGEST = 600  # characters of a ticket, or an answer, that are shown
NONE = """\
No session runs that could answer.

The agent asks an adapter that was taught the demo's tickets (make demo trains one). Hold it in memory first:
n on :comparisons, or fts compare start BASE-MODEL --adapter ADAPTER. Then come back with :ticketing."""


def usable(sessions: Iterable[ComparisonMetadata]) -> ComparisonMetadata | None:
    """The newest session that can be asked and has an adapter."""
    return next((each for each in sessions if each.adapters and not each.status.finished), None)


def ended(sessions: Iterable[ComparisonMetadata]) -> ComparisonMetadata | None:
    """The newest session that answered once and is over."""
    return next((each for each in sessions if each.adapters and each.status.finished), None)


def over(session: ComparisonMetadata) -> list[Cell]:
    """That a session is over, since when and why, and what to do."""
    names = ", ".join(plain(session.voice(each.id), limit=60) for each in session.adapters)
    since = f" {words.age(session.finished_at)} ago" if session.finished_at else ""
    said: list[Cell] = [(f"The session of {names} ended{since}: ", ""), *compared.head(session), ("\n\n", "")]
    if session.status == JobStatus.succeeded:
        idle = words.duration(session.idle_seconds)
        said.append(
            (f"It ends by itself after {idle} without a question, sooner when a job needs its room.\n\n", "dim")
        )
    return [*said, ("t  holds it in memory again", "")]


def tickets(questions: Iterable[AskedQuestion], voice: str) -> list[AskedQuestion]:
    """The questions that are tickets, put to that voice; oldest first."""
    return [
        each
        for each in questions
        if voice in each.voices and each.prompt is not None and ticket_in(each.prompt) is not None
    ]


def talk(questions: Iterable[AskedQuestion], voice: str) -> list[Cell]:
    """Every ticket with what became of it."""
    shown: list[Cell] = []
    for each in questions:
        shown += [("customer  ", "dim"), (plain(ticket_in(each.prompt or "") or "", limit=LONGEST), ""), ("\n", "")]
        shown += [*_answered(each, voice), ("\n\n", "")]
    return shown or [
        ("Type a customer's ticket below and press enter, or esc and n for one that no model was trained on.", "dim")
    ]


def _answered(question: AskedQuestion, voice: str) -> list[Cell]:
    answer = question.answers.get(voice)
    if answer is None or not answer.done:
        return [("model     ", "dim"), (plain(answer.text if answer else "", limit=LONGEST) + "…", "dim")]
    if answer.error:
        return [("model     ", "dim"), (f"✗ {plain(answer.error, limit=LONGEST)}", "bad")]
    decision = decide(ticket_in(question.prompt or "") or "", answer.text)
    said: list[Cell] = [("model     ", "dim"), (plain(answer.text.strip(), limit=200) or "nothing", "")]
    if decision.action is None:
        said.append((f"\nagent     ? needs the {decision.missing}'s number, and does nothing before", "wait"))
    elif decision.understood:
        said.append((f"\nagent     ✓ {decision.action.does}", "good"))
    else:
        said.append((f"\nagent     ▲ that is no action: {decision.action.does}", "wait"))
    return [*said, ("\nreply     ", "dim"), (decision.reply, "")]
