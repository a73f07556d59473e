"""Reading the answers that evaluation children wrote, and laying them side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.messages.evaluation import AnswerRow
from core.paths import PathRefused, inside
from core.store.tables import EvaluationJob


def read_answers(root: Path, rows: Sequence[EvaluationJob]) -> list[AnswerRow]:
    """Every evaluated row once, with what each finished combination answered; paths outside the artifacts root are passed over."""
    merged: dict[int, AnswerRow] = {}
    for row in rows:
        for line in _lines(root, row.answers):
            made = merged.setdefault(
                line["row"],
                AnswerRow(
                    row=line["row"], prompt=line["prompt"], expected=line["expected"], features=line.get("features", {})
                ),
            )
            made.answers[row.id] = line["answer"]
            made.correct[row.id] = line["correct"]
    return [merged[index] for index in sorted(merged)]


def _lines(root: Path, path: str | None) -> list[dict[str, Any]]:
    if path is None:
        return []
    try:
        text = inside(root, path).read_text(encoding="utf-8")
    except (OSError, PathRefused):
        return []
    return [json.loads(line) for line in text.splitlines() if line]
