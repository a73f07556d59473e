"""A comparison as a watcher has it: what was answered to GetComparison, and the pieces that come after it on the job's stream.

A piece says where in its answer it goes. So one that is here already does no harm, and one that is missing is noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from core.messages.comparing import Answer, AskedQuestion, ComparisonReply

ANSWERED = frozenset(Answer.model_fields) - {"text"}


class Hearing:
    """The questions of a session by number, as far as they were heard. `torn` is set when a piece is missing: ask again."""

    def __init__(self) -> None:
        self.questions: dict[int, AskedQuestion] = {}
        self.torn = False

    def begin(self, reply: ComparisonReply) -> None:
        """Take what was answered; what was heard beyond it comes again, behind the reply's `records_id`."""
        self.questions = {each.number: each for each in reply.questions}
        self.torn = False

    def take(self, entries: Iterable[dict[str, Any]]) -> set[int]:
        """Take entries of the stream; the numbers of the questions that changed."""
        changed = set[int]()
        for record in (record for entry in entries for record in entry.get("records", ())):
            number = record.get("question")
            kind = record.get("type")
            if kind not in ("said", "drawn"):
                continue
            question = self.questions.get(number)
            if question is None:
                self.torn = True
                continue
            (self._said if kind == "said" else self._drawn)(question, record)
            changed.add(question.number)
        return changed

    def _said(self, question: AskedQuestion, record: dict[str, Any]) -> None:
        voice = str(record.get("voice", ""))
        before, start = question.answers.get(voice, Answer()), int(record.get("start", 0))
        if start > len(before.text):
            self.torn = True
            return
        if before.done and not record.get("done"):
            return  # one that came before the answer that was asked for
        text = before.text[:start] + str(record.get("text", ""))
        told = {name: record[name] for name in ANSWERED & record.keys()}
        question.answers[voice] = Answer(text=text, **told)
        question.done = all(question.answers.get(each, Answer()).done for each in question.voices)

    def _drawn(self, question: AskedQuestion, record: dict[str, Any]) -> None:
        question.prompt, question.expected = record.get("prompt"), record.get("expected")
        question.row, question.held_out = record.get("row"), record.get("held_out")
