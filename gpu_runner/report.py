"""What a report says of each attempt: the next piece of its spool, within the report's limit."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from core.messages.runners import JobReport
from gpu_runner.attempt import Attempt, Stage
from gpu_runner.spool import read_records
from gpu_runner.tail import last_lines

LIMIT = 256 * 1024  # bytes of spools in one report
_STEPS = {"metrics", "progress", "scored", "finished"}


def job_reports(attempts: Iterable[Attempt], limit: int = LIMIT) -> list[JobReport]:
    """One entry an attempt; `limit` bytes are shared, and what one does not use is the next one's."""
    reports = []
    attempts = list(attempts)
    for place, attempt in enumerate(attempts):
        report = _of(attempt, max(1, limit // (len(attempts) - place)))
        limit -= report.next_offset - report.offset
        reports.append(report)
    return reports


def _of(attempt: Attempt, share: int) -> JobReport:
    """One attempt's entry.

    Of an adopted one nothing is told before the studio has said what it knows. A dead child is told as dead with the
    last piece of its spool, not before.
    """
    has_spec = attempt.spec is not None or attempt.stage is not Stage.waiting
    known: dict[str, Any] = {"job_id": attempt.job_id, "attempt": attempt.number, "has_spec": has_spec}
    known["usage"] = attempt.usage.points()
    if attempt.questions:
        known["asked"] = attempt.questions
    if attempt.stage is Stage.waiting:
        known["short"] = attempt.short
    if attempt.accepted is None:
        return JobReport(**known, offset=0, next_offset=0)
    offset = attempt.accepted
    if attempt.unwritten is not None:
        end = offset + len(json.dumps(attempt.unwritten))
        return JobReport(
            **known, offset=offset, next_offset=end, records=[{**attempt.unwritten, "offset": end}], alive=False
        )
    records, end = read_records(attempt.files.spool, offset, share)
    attempt.computing = attempt.computing or any(record.get("type") in _STEPS for record in records)
    attempt.finished = attempt.finished or any(record.get("type") == "finished" for record in records)
    dead = attempt.stage is Stage.over and read_records(attempt.files.spool, end, share)[1] == end
    return JobReport(
        **known,
        offset=offset,
        next_offset=end,
        records=records,
        alive=not dead,
        exit_code=attempt.exit_code if dead else None,
        starved=attempt.starved,
        log_tail=last_lines(attempt.files, printed=True) if dead and not attempt.finished else [],
    )
