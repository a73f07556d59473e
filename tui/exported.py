"""The results of an evaluation as a file: CSV for spreadsheets, a line a row, or JSON with the table too."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PAGE = 1000
SUFFIXES = (".csv", ".json")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would reckon with what begins so
Ask = Callable[
    [str, dict[str, Any]], Mapping[str, Any]
]  # a message's name and fields -> what is answered, as plain data


def export(ask: Ask, batch: str, path: Path) -> tuple[int, int]:
    """Write a batch whole or not at all; the rows and the combinations. Raises core.errors, OSError."""
    results = ask("GetEvaluationResults", {"parent_job_id": batch})
    rows = list(_rows(ask, batch))
    _write(path, as_csv(results, rows) if path.suffix.lower() == ".csv" else as_json(results, rows))
    return len(rows), len(results["results"])


def _rows(ask: Ask, batch: str) -> Iterator[Mapping[str, Any]]:
    """Every row, a page at a time."""
    after, more = 0, True
    while more:
        page = ask("GetEvaluationAnswers", {"parent_job_id": batch, "after": after, "limit": PAGE})
        yield from page["rows"]
        after, more = after + len(page["rows"]), page["has_more"] and bool(page["rows"])


def as_json(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """The table and the rows."""
    return json.dumps({**results, "answers": list(rows)}, indent=2, ensure_ascii=False) + "\n"


def as_csv(results: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """A line a row, with every combination's answer and scores behind one another; no cell is taken for a formula."""
    features = list(dict.fromkeys(name for row in rows for name in row["features"]))
    told = {each["id"]: each["combination"] for each in results["results"]}
    metrics = list(dict.fromkeys(name for row in rows for each in row["scores"].values() for name in each))
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    columns = [f"{name}: {what}" for name in told.values() for what in ("answer", *metrics)]
    writer.writerow([_cell(each) for each in ("row", "prompt", "expected", *features, *columns)])
    for row in rows:
        own = [row["features"].get(name) for name in features]
        answers = [
            value
            for id in told
            for value in (row["answers"].get(id), *(row["scores"].get(id, {}).get(name) for name in metrics))
        ]
        writer.writerow([_cell(each) for each in (row["row"], row["prompt"], row["expected"], *own, *answers)])
    return file.getvalue()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: such a text gets a quote before it."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _write(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
