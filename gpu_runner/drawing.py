"""Drawing a row for a question of a comparison: one that none of its adapters was trained on, where there is one."""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.spec import NO_PROMPT, ComparisonSpec
from core.template import TemplateError, render
from gpu_runner.chat import Conversations, Message, question
from gpu_runner.child import Context
from gpu_runner.data import Row, load_rows
from gpu_runner.failures import JobError
from gpu_runner.unseen import candidates, unlearned


@dataclass(frozen=True)
class Drawn:
    """A row as a question: the prompt of its template, or the conversation `before` the answer that is expected."""

    prompt: str
    expected: str
    before: list[Message]
    row: int
    held_out: bool


class Rows:
    """The rows of a session's dataset, read when the first is drawn, from whatever thread."""

    def __init__(self, spec: ComparisonSpec, context: Context) -> None:
        self._spec, self._context = spec, context
        self._lock = threading.Lock()
        self._rows: Sequence[Row] | None = None
        self._held_out = False

    def draw(self, seed: int) -> Drawn:
        """The row that the seed decides. Raises JobError."""
        with self._lock:
            if self._rows is None:
                self._rows, self._held_out = _untrained(self._spec, self._context)
            rows = self._rows
        place = random.Random(seed).randrange(len(rows))
        return _as_question(rows[place], self._spec, place, self._held_out)


def _untrained(spec: ComparisonSpec, context: Context) -> tuple[Sequence[Row], bool]:
    """The rows that are drawn from, and whether no voice learned them."""
    if spec.dataset is None:
        raise JobError("the session has no dataset to draw a row of", "Type a prompt, or start one with a dataset.")
    splits = load_rows(spec.dataset, context.token)
    with contextlib.suppress(JobError):  # nothing is held out, or what was learned can't be told any more
        rows = candidates(splits, spec.sampling)
        if left := unlearned(rows, spec.prompt or NO_PROMPT, spec.learned, context):
            return left, True
    rows = candidates(splits, None)
    if not rows:
        raise JobError(f"dataset {spec.dataset.name} has no rows", "Start a session with another one.")
    return rows, False


def _as_question(row: Row, spec: ComparisonSpec, place: int, held_out: bool) -> Drawn:
    prompt = spec.prompt or NO_PROMPT
    conversations = Conversations([row], prompt)
    if conversations.column is None and not prompt.input_template:
        raise JobError("the session has no prompt that makes a question of a row", "Start one with a prompt.")
    before, expected = question(conversations.messages(row))
    if conversations.column is not None:
        return Drawn("\n".join(map(_line, before)), expected, before, place, held_out)
    try:
        return Drawn(render(prompt.input_template, row), expected, before, place, held_out)
    except TemplateError as error:
        raise JobError(f"a row does not fit the prompt: {error}", "Check the dataset's columns.") from error


def _line(message: dict[str, Any]) -> str:
    return f"{message.get('role')}: {message.get('content')}"
