"""The answers that evaluation children wrote, laid side by side: read twice, so that memory does not grow with their texts.

First every line is looked at, and of each only its place, its score and whether it is right are kept, for the next pages
too; then, of the rows that are told, their lines are read again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from sys import float_info
from typing import Any, NamedTuple

from core.errors import NotFound, Refused
from core.messages.results import AnswerRow, GetEvaluationAnswers
from core.paths import PathRefused, inside
from core.rules import Breach
from core.store.tables import EvaluationJob
from core.types import RowOrder

USUAL, RIGHT = "f1", "exact_match"  # what rows are ordered by when nothing is said: in the first place, and else
LOWER_IS_BETTER = frozenset({"loss", "perplexity", "toxicity"})  # where no statistic tells it
KEPT = 16  # files of which it is remembered what was seen in them
LARGEST = float_info.max  # of a score: JSON knows larger integers, and numbers that are none
MOST_BYTES = 8 << 20  # of lines that one page is made of


class Mark(NamedTuple):
    """An answer: where its line is, what it scored (None: it has no such score), whether it is right."""

    offset: int
    score: float | None
    correct: bool


@dataclass
class Page:
    """Rows that are told, of how many, and what they are ordered by."""

    rows: list[AnswerRow]
    total: int
    metric: str | None
    has_more: bool


def read_answers(root: Path, jobs: Sequence[EvaluationJob], asked: GetEvaluationAnswers) -> Page:
    """The rows that were asked for. Raises Refused when no row has a score of the metric that was named.

    What can't be read, and paths outside the artifacts root, are passed over.
    """
    files = {job.id: file for job in jobs if (file := _file(root, job.answers)) is not None}
    metric = asked.metric or _usual(files.values())
    found: dict[int, dict[str, Mark]] = {}
    metrics = {RIGHT}
    for id, file in files.items():
        looked = _looked_at(file, _stamp(file), metric)
        metrics |= looked.metrics
        for number, mark in looked.marks.items():
            found.setdefault(number, {})[id] = mark
    if asked.metric is not None and found and asked.metric not in metrics:
        text = f"no row has a score {asked.metric!r}; there are: {', '.join(sorted(metrics))}"
        raise Refused.because([Breach(rule="EV-127", field="metric", message=text)])
    numbers = _ordered(_wanted(found, files.values(), asked), asked, _higher_is_better(jobs, metric))
    shown, all_of_them = _laid_side_by_side(files, found, numbers[asked.after : asked.after + asked.limit])
    more = not all_of_them or len(numbers) > asked.after + asked.limit
    return Page(shown, len(numbers), None if asked.order == RowOrder.row else metric, more)


class Looked(NamedTuple):
    """What is known of a file once all its lines were looked at: row -> mark, and which scores rows have."""

    marks: dict[int, Mark]
    metrics: set[str]


@lru_cache(maxsize=KEPT)
def _looked_at(file: Path, stamp: tuple[int, int], metric: str) -> Looked:
    """Look at a file; not again, as long as its `stamp` is the same, for the next page."""
    looked = Looked({}, set())
    for offset, line in _lines(file):
        scores = _scores(line)
        looked.metrics.update(scores)
        looked.marks[line["row"]] = Mark(offset, scores.get(metric), bool(line["correct"]))
    return looked


def _stamp(file: Path) -> tuple[int, int]:
    """What changes when a file does."""
    try:
        told = file.stat()
    except OSError:
        return 0, 0
    return told.st_mtime_ns, told.st_size


_TEXTS = ("prompt", "expected", "answer")


def _wanted(
    found: dict[int, dict[str, Mark]], files: Iterable[Path], asked: GetEvaluationAnswers
) -> dict[int, dict[str, Mark]]:
    """The rows that the filters leave."""
    if asked.row is not None:
        if asked.row not in found:
            those = f"its rows are numbered from {min(found)} to {max(found)}" if found else "none is answered yet"
            raise NotFound(f"no row {asked.row} of this batch has an answer: {those}")
        found = {asked.row: found[asked.row]}
    if asked.contains:
        holding = {number for file in files for number in _holding(file, asked.contains.casefold())}
        found = {number: marks for number, marks in found.items() if number in holding}
    if asked.differing:
        found = {number: marks for number, marks in found.items() if len({mark.correct for mark in marks.values()}) > 1}
    return found


def _holding(file: Path, text: str) -> Iterator[int]:
    """The rows of a file that hold a text."""
    for _, line in _lines(file):
        if any(text in line[name].casefold() for name in _TEXTS):
            yield line["row"]


def _ordered(found: dict[int, dict[str, Mark]], asked: GetEvaluationAnswers, higher_is_better: bool) -> list[int]:
    """Their numbers, in the order asked for; rows that are alike by number, those without a score last."""
    if asked.order == RowOrder.row:
        return sorted(found)
    sign = 1 if (asked.order == RowOrder.worst) == higher_is_better else -1

    def place(number: int) -> tuple[bool, float, int]:
        scores = [mark.score for mark in found[number].values() if mark.score is not None]
        if not scores:
            return True, 0.0, number
        if asked.order == RowOrder.differs:
            return False, min(scores) - max(scores), number
        return False, sign * sum(scores) / len(scores), number

    return sorted(found, key=place)


def _laid_side_by_side(
    files: Mapping[str, Path], found: Mapping[int, Mapping[str, Mark]], numbers: Sequence[int]
) -> tuple[list[AnswerRow], bool]:
    """These rows, and whether all of them: a page ends where it would become too large."""
    rows: list[AnswerRow] = []
    size = 0
    for number in numbers:
        made: AnswerRow | None = None
        for id, mark in found[number].items():
            raw = _line_at(files[id], mark.offset)
            size += len(raw)
            if (line := _read(raw)) is not None:
                made = made or _row(line)
                made.answers[id], made.correct[id], made.scores[id] = line["answer"], mark.correct, _scores(line)
        if rows and size > MOST_BYTES:
            return rows, False
        if made is not None:
            rows.append(made)
    return rows, True


def _row(line: dict[str, Any]) -> AnswerRow:
    features = line.get("features")
    return AnswerRow(
        row=line["row"],
        prompt=line["prompt"],
        expected=line["expected"],
        features=features if isinstance(features, dict) else {},
    )


def _usual(files: Iterable[Path]) -> str:
    """What rows are ordered by when nothing is said."""
    first = next((line for file in files for _, line in _lines(file)), {})
    return USUAL if USUAL in _scores(first) else RIGHT


def _higher_is_better(jobs: Sequence[EvaluationJob], metric: str) -> bool:
    told = next((each[metric] for job in jobs if metric in (each := job.statistics or {})), None)
    return bool(told.get("higher_is_better", True)) if told else metric not in LOWER_IS_BETTER


def _scores(line: dict[str, Any]) -> dict[str, float]:
    """What a line scored; a file that has no scores tells only what is right."""
    scores = line.get("scores")
    told = scores if isinstance(scores, dict) else {}
    made = {name: float(each) for name, each in told.items() if isinstance(each, int | float) and abs(each) <= LARGEST}
    return {RIGHT: float(bool(line.get("correct"))), **made}


def _file(root: Path, path: str | None) -> Path | None:
    try:
        return None if path is None else inside(root, path)
    except PathRefused:
        return None


def _lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(where a line begins, what it holds) of each that can be read."""
    try:
        with file.open("rb") as lines:
            offset = 0
            for raw in lines:
                if (line := _read(raw)) is not None:
                    yield offset, line
                offset += len(raw)
    except OSError:
        return


def _line_at(file: Path, offset: int) -> bytes:
    try:
        with file.open("rb") as lines:
            lines.seek(offset)
            return lines.readline()
    except OSError:
        return b""


def _read(raw: bytes) -> dict[str, Any] | None:
    """A line of answers; None when it is none."""
    try:
        line = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    known = isinstance(line, dict) and type(line.get("row")) is int and "correct" in line
    return line if known and all(isinstance(line.get(name), str) for name in _TEXTS) else None
