"""A job's log, read from the spools of its attempts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from core.loglines import told
from core.messages.jobs import LogLine

SPOOL = "events.jsonl"
NUMBERS = (b'{"type": "metrics"', b'{"type": "progress"')
TAIL_BYTES = 1 << 18  # of the end of a spool that is looked through for a tail, doubled until it is enough


def attempts(directory: Path) -> list[int]:
    """The numbers of a job's attempts, in order."""
    if not directory.is_dir():
        return []
    return sorted(int(each.name) for each in directory.iterdir() if each.name.isdecimal())


def tail(directory: Path, limit: int) -> list[LogLine]:
    """The last `limit` lines."""
    lines: list[LogLine] = []
    for attempt in reversed(attempts(directory)):
        lines = _tail(directory / str(attempt) / SPOOL, attempt, limit - len(lines)) + lines
        if len(lines) >= limit:
            break
    return lines[-limit:]


def _tail(path: Path, attempt: int, limit: int) -> list[LogLine]:
    size = path.stat().st_size if path.exists() else 0
    look = TAIL_BYTES
    while True:
        start = max(0, size - look)
        lines = list(_lines(path, attempt, start))
        if start == 0 or len(lines) >= limit:
            return lines[-limit:]
        look *= 4


def lines_after(directory: Path, attempt: int, offset: int, limit: int) -> tuple[list[LogLine], bool]:
    """Up to `limit` lines after a place, and whether there are more."""
    lines: list[LogLine] = []
    for each in attempts(directory):
        if each < attempt:
            continue
        for line in _lines(directory / str(each) / SPOOL, each, offset if each == attempt else 0):
            if len(lines) == limit:
                return lines, True
            lines.append(line)
    return lines, False


def matching(
    directory: Path, contains: str, place: tuple[int, int], limit: int
) -> tuple[list[LogLine], tuple[int, int], bool]:
    """Up to `limit` numbered lines after a place that hold a text, the place that was come to, and whether there are more."""
    wanted, found, number = contains.casefold(), list[LogLine](), 0
    seen = place
    for attempt in attempts(directory):
        for line in _lines(directory / str(attempt) / SPOOL, attempt, 0):
            number += 1
            if (attempt, line.offset) <= place:
                continue
            if wanted in line.text.casefold():
                if len(found) == limit:
                    return found, seen, True
                found.append(line.model_copy(update={"number": number}))
            seen = attempt, line.offset
    return found, seen, False


def _lines(path: Path, attempt: int, start: int) -> Iterator[LogLine]:
    """The log's lines of a spool from a byte on; a line that is cut at either end is left out."""
    if not path.exists():
        return
    with path.open("rb") as spool:
        at_line_start = start == 0
        if start:
            spool.seek(start - 1)
            at_line_start = spool.read(1) == b"\n"
        if not at_line_start:
            spool.readline()
        offset = spool.tell()
        for raw in spool:
            offset += len(raw)
            if raw.endswith(b"\n") and (line := _line(raw, attempt, offset)) is not None:
                yield line


def _line(raw: bytes, attempt: int, offset: int) -> LogLine | None:
    if raw.startswith(NUMBERS):  # most of a spool: not worth reading
        return None
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    line = told(record) if isinstance(record, dict) else None
    if line is None:
        return None
    at = record.get("at")
    when = at if isinstance(at, int | float) else 0.0
    return LogLine(attempt=attempt, offset=offset, at=when, level=line[0], text=line[1])
