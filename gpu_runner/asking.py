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

    def hand_on(self, asked: Sequence[Question]) -> None:
        """Write the questions when they have changed; what can't be written is tried again with the next reply."""
        told = [each.model_dump(mode="json") for each in asked]
        if told == self._told or (self._told is None and not told):
            return
        try:
            write_json(self._path, {"questions": told})
            self._told = told
        except OSError as error:
            log.warning("%s: questions can't be handed on: %s", self._path.parent, error)


def asked(path: Path) -> list[Question]:
    """The questions that are open, as the daemon wrote them last; none before it did."""
    return [Question.model_validate(each) for each in (read_json(path) or {}).get("questions", [])]
