"""The results of an evaluation as files for other programs: results.json with everything, results.csv with a row for each row asked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.spec import Combination
from gpu_runner.answers import Line, each_line

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a cell may not begin with: spreadsheets would compute it
OF_EACH = ("answer", "correct", "stopped_by_eos", "new_tokens", "seconds")


@dataclass(frozen=True)
class Scored:
    """A combination that was scored: its figures as they were told, and its file of answers."""

    combination: Combination
    told: Mapping[str, Any]
    answers: Path


def scored(root: Path, combinations: Sequence[Combination], told: Mapping[str, Mapping[str, Any]]) -> list[Scored]:
    """What was scored of the combinations, in their order; `told` are `scored` records by id."""
    return [
        Scored(each, told[each.job_id], root / str(told[each.job_id]["answers"]))
        for each in combinations
        if each.job_id in told
    ]


def _rows(found: Sequence[Scored]) -> Iterator[tuple[Line, ...]]:
    """Of each row asked, the lines of all combinations. Raises OSError, ValueError."""
    return zip(*(each_line(each.answers) for each in found), strict=True)


def as_json(found: Sequence[Scored]) -> Iterator[str]:
    """All of it, a row at a time: figures and statistics of each combination, and every row with its answers by the combination's id."""
    combinations = [
        {
            "id": each.combination.job_id,
            "name": title(each.combination),
            "values": each.told.get("values", {}),
            "statistics": each.told.get("statistics", {}),
        }
        for each in found
    ]
    yield f'{{\n"combinations": {json.dumps(combinations, indent=1, default=str)},\n"rows": ['
    for number, rows in enumerate(_rows(found)):
        made = {name: rows[0].get(name) for name in ("row", "expected", "features")}
        made["answers"] = {
            each.combination.job_id: {name: line.get(name) for name in ("prompt", *OF_EACH, "scores") if name in line}
            for each, line in zip(found, rows, strict=True)
        }
        yield ("," if number else "") + "\n" + json.dumps(made, default=str)
    yield "\n]\n}\n"


def as_csv(found: Sequence[Scored]) -> Iterator[str]:
    """A row for each row asked: what was asked and expected, selected columns, and of each combination its answer and scores."""
    names = [_names(each.answers) for each in found]
    titles = [
        f"{title(each.combination)}: {name}"
        for each, own in zip(found, names, strict=True)
        for name in (*OF_EACH, *own)
    ]
    features: list[str] | None = None
    for rows in _rows(found):
        first, cells = rows[0], list[Any]()
        if features is None:
            features = list(first.get("features", {}))
            yield _csv("row", "prompt", "expected", *features, *titles)
        for line, own in zip(rows, names, strict=True):
            cells += [line.get(name) for name in OF_EACH] + [line.get("scores", {}).get(name) for name in own]
        shared = [first["row"], first["prompt"], first["expected"]]
        yield _csv(*shared, *(first.get("features", {}).get(name) for name in features), *cells)


def _csv(*cells: Any) -> str:
    out = io.StringIO(newline="")
    csv.writer(out).writerow(map(safe, cells))
    return out.getvalue()


def title(combination: Combination) -> str:
    """What was scored, for people."""
    adapter = f" + {combination.adapter.name}" if combination.adapter else ""
    return f"{combination.run_number}. {combination.model.name}{adapter}"


def safe(cell: Any) -> Any:
    """A cell that no spreadsheet computes: a text that would be a formula gets an apostrophe in front. Numbers stay."""
    if cell is None or isinstance(cell, bool | int | float):
        return cell
    text = cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False, default=str)
    return f"'{text}" if text.startswith(FORMULAS) else text


def _names(answers: Path) -> list[str]:
    """The scores that rows of a file have."""
    return list(dict.fromkeys(name for line in each_line(answers) for name in line.get("scores", {})))
