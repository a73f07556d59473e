"""The file that a combination's answers are kept in: a line of JSON for every row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]


def text_of(lines: Sequence[Line]) -> str:
    """A line of JSON for every row, ASCII only: no character of an answer can break a line."""
    return "".join(json.dumps(line, default=str) + "\n" for line in lines)


def read_lines(path: Path) -> list[Line]:
    """The lines of a file of answers. Raises OSError, ValueError."""
    return list(each_line(path))


def each_line(path: Path) -> Iterator[Line]:
    """The lines of a file of answers, one at a time: all of a large batch have no room in memory. Raises OSError, ValueError."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            if line.strip():
                yield json.loads(line)
