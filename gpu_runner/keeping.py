"""The files of an evaluation: written when there is room for them, and found again by later attempts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from core.spec import EvaluationSpec
from gpu_runner import sheets
from gpu_runner.checkpoint import publish_file
from gpu_runner.child import Context
from gpu_runner.files import Files, earlier_attempts
from gpu_runner.holding import Writing, with_room
from gpu_runner.spool import read_records

Told = dict[str, Any]  # what was said of a combination that was scored
TOLD = ("values", "statistics", "rows", "answers", "marks")
PIECE = 1 << 20  # bytes of a spool that are looked through at once


def nothing() -> None:
    """Look at nothing."""


def keep(
    context: Context, name: str, pieces: Callable[[], Iterable[str]], size: int, look: Callable[[], None] = nothing
) -> tuple[Path, str]:
    """Write a file of the attempt, of about `size` bytes, when there is room, looking at orders meanwhile; (where it is, its SHA-256)."""
    path, digests = context.directory / name, list[str]()
    writing = Writing(name, size, context.directory, spare=0)
    with_room(context, writing, [lambda: digests.append(publish_file(path, pieces()))], look=look)
    return path, digests[0]


def keep_results(
    context: Context, spec: EvaluationSpec, told: Mapping[str, Told], look: Callable[[], None] = nothing
) -> dict[str, str]:
    """The results as files: what each is, and where, below the artifacts root. `told` is of the combinations that were scored."""
    context.spool.phase("writing the results")
    found, written = sheets.scored(context.root, spec.combinations, told), dict[str, str]()
    size = sum(each.answers.stat().st_size for each in found)
    for kind, pieces in (("json", sheets.as_json), ("csv", sheets.as_csv)):
        path, _ = keep(context, f"results.{kind}", partial(pieces, found), size, look)
        written[kind] = context.relative(path)
    return written


def scored_before(directory: Path, *, parts: bool = False) -> dict[str, Told]:
    """What attempts before that of `directory` scored, by the combination's job id; the answers are still there.

    With `parts` also what parts said that was compared with nothing yet: it has `marks` instead of `statistics`.
    """
    found: dict[str, Told] = {}
    for number in reversed(earlier_attempts(directory)):
        files = Files(directory.parent / str(number))
        for spool in [*(files.directory.glob("parts/*/events.jsonl") if parts else ()), files.spool]:
            found |= scored_in(spool, files.root)
    return found


def scored_in(spool: Path, root: Path) -> dict[str, Told]:
    """What a spool tells of combinations that were scored, by the job id, as far as their answers are still there."""
    return {
        each["job_id"]: {name: each[name] for name in TOLD if name in each}
        for each in records_of(spool)
        if each["type"] == "scored"
        and each.get("status") == "succeeded"
        and (root / str(each.get("answers"))).is_file()
    }


def records_of(spool: Path) -> Iterator[dict[str, Any]]:
    """All records of a spool, each with its end as `offset`."""
    records, end = read_records(spool, 0, PIECE)
    while records:
        yield from records
        records, end = read_records(spool, end, PIECE)
