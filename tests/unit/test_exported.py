"""A batch's results as a file: whole, and in little memory however many rows there are."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from tui.exported import PAGE, export

ROWS = 5_000
TABLE = {"results": [{"id": "e1", "combination": "tiny"}], "name": "Ü"}


def ask(name: str, fields: dict[str, Any]) -> dict[str, Any]:
    """A studio with a large batch; the last row alone has a score `rare` and a column `late`."""
    if name == "GetEvaluationResults":
        return TABLE
    after, last = fields["after"], ROWS - 1
    numbers = range(after, min(ROWS, after + PAGE))
    rows = [
        {
            "row": number,
            "prompt": f"ticket {number} " * 100,
            "expected": "c",
            "features": {"late": 1} if number == last else {},
            "answers": {"e1": "\ud800"},
            "scores": {"e1": {"f1": 1.0, **({"rare": 0.5} if number == last else {})}},
        }
        for number in numbers
    ]
    return {"rows": rows, "has_more": numbers.stop < ROWS}


@pytest.mark.parametrize("name", ["all.csv", "all.json"])
def test_many_rows_are_written_whole_and_a_page_of_them_is_held(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    tracemalloc.start()
    try:
        assert export(ask, "b", path) == (ROWS, 1)
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size  # all of them as rows take several times that
    finally:
        tracemalloc.stop()
    assert list(tmp_path.iterdir()) == [path]
    if name == "all.json":
        told = json.loads(path.read_text())
        assert told["name"] == "Ü" and len(told["answers"]) == ROWS and told["answers"][-1]["features"] == {"late": 1}
        return
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["row", "prompt", "expected", "late", "tiny: answer", "tiny: f1", "tiny: rare"]
    assert len(rows) == ROWS and rows[-1][3:] == ["1", "\\ud800", "1.0", "0.5"] and rows[0][-1] == ""
