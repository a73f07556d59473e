"""The results of an evaluation as files for other programs: results.json with everything, results.csv with a row for each row asked."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.spec import Combination
from gpu_runner.answers import Line, read_lines

FORMULAS = ("=", "+", "-", "@", "\t", "\r")  # what a cell may not begin with: spreadsheets would compute it
OF_EACH = ("answer", "correct", "stopped_by_eos", "new_tokens", "seconds")


@dataclass(frozen=True)
class Scored:
    """A combination that was scored: its figures as they were told, and its lines of answers."""

    combination: Combination
    told: Mapping[str, Any]
    lines: Sequence[Line]


def read(root: Path, combinations: Sequence[Combination], told: Mapping[str, Mapping[str, Any]]) -> list[Scored]:
    """What was scored of the combinations, in their order; `told` are `scored` records by id. Raises OSError, ValueError."""
    return [
        Scored(each, told[each.job_id], read_lines(root / str(told[each.job_id]["answers"])))
        for each in combinations
        if each.job_id in told
    ]


def as_json(scored: Sequence[Scored]) -> str:
    """All of it: figures and statistics of each combination, and every row with its answers by the combination's id."""
    made = {
        "combinations": [
            {
                "id": each.combination.job_id,
                "name": title(each.combination),
                "values": each.told.get("values", {}),
                "statistics": each.told.get("statistics", {}),
            }
            for each in scored
        ],
        "rows": [
            {
                **{name: rows[0].get(name) for name in ("row", "expected", "features")},
                "answers": {
                    each.combination.job_id: {
                        name: line.get(name) for name in ("prompt", *OF_EACH, "scores") if name in line
                    }
                    for each, line in zip(scored, rows, strict=True)
                },
            }
            for rows in zip(*(each.lines for each in scored), strict=True)
        ],
    }
    return json.dumps(made, indent=1, default=str) + "\n"


def as_csv(scored: Sequence[Scored]) -> str:
    """A row for each row asked: what was asked and expected, selected columns, and of each combination its answer and scores."""
    features = list(scored[0].lines[0].get("features", {})) if scored and scored[0].lines else []
    names = [_names(each.lines) for each in scored]
    titles = [
        f"{title(each.combination)}: {name}"
        for each, own in zip(scored, names, strict=True)
        for name in (*OF_EACH, *own)
    ]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([safe(each) for each in ("row", "prompt", "expected", *features, *titles)])
    for rows in zip(*(each.lines for each in scored), strict=True):
        first, cells = rows[0], list[Any]()
        for line, own in zip(rows, names, strict=True):
            cells += [line.get(name) for name in OF_EACH] + [line.get("scores", {}).get(name) for name in own]
        shared = [first["row"], first["prompt"], first["expected"]]
        shared += [first.get("features", {}).get(name) for name in features]
        writer.writerow([safe(each) for each in (*shared, *cells)])
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


def _names(lines: Sequence[Line]) -> list[str]:
    return list(dict.fromkeys(name for line in lines for name in line.get("scores", {})))
