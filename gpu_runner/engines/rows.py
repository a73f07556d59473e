"""The rows of a job as files of JSON lines that another program reads."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from core.spec import PromptSource
from core.template import TemplateError, render
from gpu_runner.data import Row
from gpu_runner.failures import JobError


def write(path: Path, rows: Iterable[Row], prompt: PromptSource | None) -> None:
    """Write rows whole, or by a prompt as `input` and `output`. Raises JobError for a row that no template fits."""
    with path.open("w", encoding="utf-8") as file:
        for number, row in enumerate(rows, 1):
            try:
                made = dict(row) if prompt is None else _written(row, prompt)
                file.write(json.dumps(made, ensure_ascii=False, default=str) + "\n")
            except (TemplateError, UnicodeEncodeError) as error:
                raise JobError(f"row {number}: {error}", "Change the prompt, or mend the row.") from error


def _written(row: Row, prompt: PromptSource) -> dict[str, str]:
    return {"input": render(prompt.input_template, row), "output": render(prompt.completion_template, row)}
