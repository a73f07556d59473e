"""Handing a comparison's questions to its child: a file in the attempt's directory, which the child looks at all the time."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.messages.runners import Question
from gpu_runner.files import read_json, write_json

log = logging.getLogger(__name__)


class Asking:
    """The open questions as the child was last told them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._told: list[dict[str, Any]] | None = None
        self._open: dict[int, Question] = {}

    @property
    def held(self) -> list[int]:
        """Numbers of the open questions: their texts are here."""
        return list(self._open)

    def hand_on(self, asked: Sequence[Question]) -> None:
        """Write the questions when they have changed; what can't be written is tried again with the next reply."""
        self._open = {each.number: whole for each in asked if (whole := self._whole(each)) is not None}
        told = [each.model_dump(mode="json") for each in self._open.values()]
        if told == self._told or (self._told is None and not told):
            return
        try:
            write_json(self._path, {"questions": told})
            self._told = told
        except OSError as error:
            log.warning("%s: questions can't be handed on: %s", self._path.parent, error)

    def _whole(self, told: Question) -> Question | None:
        """A question with its text. None when that is not here after all: it comes with the next reply then."""
        if not told.held:
            return told
        kept = self._open.get(told.number)
        return kept and kept.model_copy(update={"stopped": told.stopped})


def asked(path: Path) -> list[Question] | None:
    """The questions that are open, as the daemon wrote them last; None before it did, and while they can't be read."""
    content = read_json(path)
    return None if content is None else [Question.model_validate(each) for each in content.get("questions", [])]
