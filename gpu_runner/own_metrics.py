"""Metrics of users' own: Python files of the allow-listed directory that define `score(prediction, expected, row)`.

Each runs in a process of its own, without secrets and within a time: what goes wrong in it costs its figure, not the evaluation.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.messages.evaluation import FIGURES
from core.scripts import NoScript, find, sha256
from core.settings import read
from core.spec import MetricScript
from gpu_runner.answers import Line
from gpu_runner.engines import metric_host
from gpu_runner.engines.environment import clean
from gpu_runner.engines.program import signal_all
from gpu_runner.tail import last_line

LOOK = 0.1  # seconds between looks at the process and at orders
MOST_NAMES = 100  # scores of a row
LONGEST = 500  # characters of a name, and of an error that is told
LARGEST, A_ROW = 16 << 20, 4096  # bytes that it may write and print, and besides for every row


class NoFigure(Exception):
    """There is no figure of this metric; the message tells why."""


@dataclass(frozen=True)
class Own:
    """What a metric says: scores of each row by name, which of the names are better when lower, and what went wrong."""

    scores: list[dict[str, float | None]]
    lower_is_better: frozenset[str]
    errors: list[str]


def score(
    script: MetricScript,
    lines: Sequence[Line],
    rows: Sequence[Mapping[str, Any]],
    directory: Path,
    look: Callable[[], None],
) -> Own:
    """Score every row by the script; its files are put into `directory`. Raises NoFigure, and whatever `look` raises to stop."""
    path = _script(script)
    directory.mkdir(parents=True, exist_ok=True)
    asked, out, printed = (directory / f"{path.stem}.{kind}" for kind in ("asked.jsonl", "scored.jsonl", "txt"))
    asked.write_text(
        "".join(
            json.dumps({"prediction": line["answer"], "expected": line["expected"], "row": dict(row)}, default=str)
            + "\n"
            for line, row in zip(lines, rows, strict=True)
        ),
        encoding="utf-8",
    )
    command = [sys.executable, metric_host.__file__, str(path), script.sha256, str(asked), str(out)]
    _run(command, [printed, out], LARGEST + A_ROW * len(lines), look)
    return _said(path.stem, out, len(lines))


def _script(script: MetricScript) -> Path:
    try:
        path = find(read().scripts_root, script.name)
    except NoScript as error:
        raise NoFigure(str(error)) from error
    if sha256(path) != script.sha256:
        raise NoFigure("it is not as it was when the evaluation was started")
    return path


def _run(command: list[str], files: Sequence[Path], most: int, look: Callable[[], None]) -> None:
    """Run it to its end, to that of its time, or until one of `files` has more than `most` bytes; the first gets what it prints."""
    limit, printed = read().metric_seconds, files[0]
    with printed.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=printed.parent, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=clean(None)
        )
    began = time.monotonic()
    try:
        while process.poll() is None:
            look()
            if time.monotonic() - began > limit:
                raise NoFigure(f"it took more than {limit:g} s (FTS_METRIC_SECONDS)")
            _must_be_short(files, most)
            time.sleep(LOOK)
    finally:
        if process.poll() is None:
            signal_all(process.pid, "kill")
            process.wait()
    if process.returncode:
        raise NoFigure(f"it ended with {process.returncode}: {last_line(printed)}")
    _must_be_short(files, most)


def _must_be_short(files: Sequence[Path], most: int) -> None:
    for path in files:
        if path.exists() and path.stat().st_size > most:
            raise NoFigure(f"it wrote more than {most >> 20} MiB into {path.name}")


def _said(stem: str, out: Path, rows: int) -> Own:
    """What it wrote, as scores. Raises NoFigure when that is not of every row."""
    try:
        said = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise NoFigure(f"what it wrote can't be read: {error}") from error
    if len(said) != rows + 1:
        raise NoFigure(f"it scored {max(0, len(said) - 1)} of {rows} rows")
    head, told = said[0], said[1:]
    lower = head.get("lower_is_better")
    if not isinstance(lower, bool | list):
        raise NoFigure("its LOWER_IS_BETTER is neither True, False nor a list of names")
    scores, errors = [], []
    for each in told:
        found, wrong = _numbers(stem, each)
        scores.append(found)
        errors += [wrong] if wrong else []
    names = {name for found in scores for name in found}
    below = names if lower is True else {f"{stem}_{name}" for name in lower or ()} & names
    return Own(scores, frozenset(below), errors)


def _numbers(stem: str, told: Mapping[str, Any]) -> tuple[dict[str, float | None], str]:
    """(a row's scores by name, what is wrong with it)."""
    if "error" in told:
        return {}, str(told["error"])[:LONGEST]
    given = told["score"] if isinstance(told["score"], dict) else {"": told["score"]}
    named = {f"{stem}_{name}" if name else stem: value for name, value in given.items()}
    if len(named) > MOST_NAMES or any(len(name) > LONGEST for name in named):
        return {}, f"more than {MOST_NAMES} scores, or a name of more than {LONGEST} characters"
    wrong = [name for name, value in named.items() if not isinstance(value, int | float | None) or name in FIGURES]
    numbers = {name: _finite(value) for name, value in named.items() if name not in wrong}
    return numbers, f"{', '.join(wrong)[:LONGEST]}: no number, or a figure of the studio's own" if wrong else ""


def _finite(value: float | None) -> float | None:
    """The number; None when it is none, or too large for one."""
    try:
        return float(value) if value is not None and math.isfinite(value) else None
    except OverflowError:
        return None
