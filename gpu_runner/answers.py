"""The file that a combination's answers are kept in: a line of JSON for every row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def text_of(lines: Sequence[Line]) -> str:
    """A line of JSON for every row, ASCII only: no character of an answer can break a line."""
    return "".join(json.dumps(line, default=str) + "\n" for line in lines)


def read_lines(path: Path) -> list[Line]:
    """The lines of a file of answers. Raises OSError, ValueError."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
