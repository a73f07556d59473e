"""The results of an evaluation as a file: CSV for spreadsheets, a line a row, or JSON with the table too."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

PAGE = 1000
SUFFIXES = (".csv", ".json")
FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would reckon with what begins so
Ask = Callable[
    [str, dict[str, Any]], Mapping[str, Any]
]  # a message's name and fields -> what is answered, as plain data


@dataclass(frozen=True)
class Kept:
    """Rows in a file without a name: those of a large batch have no room in memory. They can be gone through again and again."""

    file: IO[str]

    def put(self, row: Mapping[str, Any]) -> int:
        """One more row."""
        self.file.write(json.dumps(row) + "\n")
        return 1

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        self.file.seek(0)
        return map(json.loads, self.file)


def export(ask: Ask, batch: str, path: Path) -> tuple[int, int]:
    """Write a batch whole or not at all; the rows and the combinations. Raises core.errors, OSError."""
    results = ask("GetEvaluationResults", {"parent_job_id": batch})
    with tempfile.TemporaryFile("w+", dir=path.parent, encoding="ascii") as file:
        rows = Kept(file)
        count = sum(rows.put(row) for row in _rows(ask, batch))
        _write(path, as_csv(results, rows) if path.suffix.lower() == ".csv" else as_json(results, rows))
    return count, len(results["results"])


def _rows(ask: Ask, batch: str) -> Iterator[Mapping[str, Any]]:
    """Every row, a page at a time."""
    after, more = 0, True
    while more:
        page = ask("GetEvaluationAnswers", {"parent_job_id": batch, "after": after, "limit": PAGE})
        yield from page["rows"]
        after, more = after + len(page["rows"]), page["has_more"] and bool(page["rows"])


def as_json(results: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The table and the rows, in pieces."""
    table = json.dumps(results, indent=2, ensure_ascii=False).removesuffix("\n}")
    yield f'{table},\n  "answers": ['
    for number, row in enumerate(rows):
        yield ("," if number else "") + "\n    " + json.dumps(row, ensure_ascii=False)
    yield "\n  ]\n}\n"


def as_csv(results: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """A line a row, with every combination's answer and scores behind one another; no cell is taken for a formula."""
    told = {each["id"]: each["combination"] for each in results["results"]}
    features, metrics = dict[str, None](), dict[str, None]()
    for row in rows:
        features |= dict.fromkeys(row["features"])
        metrics |= dict.fromkeys(name for each in row["scores"].values() for name in each)
    columns = [f"{name}: {what}" for name in told.values() for what in ("answer", *metrics)]
    yield _line("row", "prompt", "expected", *features, *columns)
    for row in rows:
        own = [row["features"].get(name) for name in features]
        answers = [
            value
            for id in told
            for value in (row["answers"].get(id), *(row["scores"].get(id, {}).get(name) for name in metrics))
        ]
        yield _line(row["row"], row["prompt"], row["expected"], *own, *answers)


def _line(*cells: Any) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerow(map(_cell, cells))
    return file.getvalue()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula: such a text gets a quote before it."""
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


def _write(path: Path, pieces: Iterable[str]) -> None:
    draft = path.with_name(f".{path.name}.draft")
    try:
        with draft.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
