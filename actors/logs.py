"""A job's log, read from the spools of its attempts; and what its processes printed, from the files beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

from core.loglines import told
from core.messages.jobs import LogLine

SPOOL = "events.jsonl"
PRINTED = "log.txt"
LONGEST = 1 << 24  # bytes of a line; what is longer is cut there, and of a spool left out
SHOWN = 10_000  # characters of a printed line that are told: progress bars may be one line of megabytes
NUMBERS = (b'{"type": "metrics"', b'{"type": "progress"')
PAGE_BYTES = 32 << 20  # of spools that are looked through for a page: about a second
TAIL_BYTES = 1 << 18  # of the end of a spool that is looked through for a tail, doubled until it is enough


def attempts(directory: Path) -> list[int]:
    """The numbers of a job's attempts, in order."""
    if not directory.is_dir():
        return []
    return sorted(int(each.name) for each in directory.iterdir() if each.name.isdecimal())


class Place(NamedTuple):
    """How far a log was read: bytes of an attempt's spool, and lines of the whole log when they were counted."""

    attempt: int = 0
    offset: int = 0
    line: int | None = None


def tail(directory: Path, limit: int, name: str = SPOOL, upto: Place | None = None) -> list[LogLine]:
    """The last `limit` lines, of the log or of what was printed; those that end at a place or before it."""
    lines: list[LogLine] = []
    for attempt in reversed(attempts(directory)):
        if upto is None or attempt <= upto.attempt:
            end = upto.offset if upto is not None and attempt == upto.attempt else None
            lines = _tail(directory / str(attempt) / name, attempt, limit - len(lines), end) + lines
        if len(lines) >= limit:
            break
    return lines[-limit:]


def _tail(path: Path, attempt: int, limit: int, upto: int | None) -> list[LogLine]:
    size = path.stat().st_size if path.exists() else 0
    size = size if upto is None else min(size, upto)
    look = TAIL_BYTES
    while True:
        start = max(0, size - look)
        ends = takewhile(lambda each: each[1] <= size, whole(path, start))
        lines = [line for raw, end in ends if (line := _line(path, raw, attempt, end)) is not None]
        if start == 0 or len(lines) >= limit:
            return lines[-limit:]
        look *= 4


def lines_after(
    directory: Path, place: Place, limit: int, contains: str = "", name: str = SPOOL
) -> tuple[list[LogLine], Place, bool]:
    """Up to `limit` lines after a place that hold a text, the place that was come to, and whether there may be more.

    About PAGE_BYTES are looked through at most, so that a page of a long log takes no longer than one of a short.
    """
    wanted, found, left = contains.casefold(), list[LogLine](), PAGE_BYTES
    for attempt in attempts(directory):
        if attempt < place.attempt:
            continue
        begin = place.offset if attempt == place.attempt else 0
        path = directory / str(attempt) / name
        for raw, end in whole(path, begin):
            line, number = _line(path, raw, attempt, end), place.line
            if line is not None:
                number = None if number is None else number + 1
                if wanted in line.text.casefold():
                    if len(found) == limit:
                        return found, place, True
                    found.append(line.model_copy(update={"number": number}) if contains else line)
            place, left = Place(attempt, end, number), left - len(raw)
            if left <= 0:
                return found, place, True
    return found, place, False


def whole(path: Path, start: int) -> Iterator[tuple[bytes, int]]:
    """The lines of a file from a byte on, each with the offset after it; one that is cut at either end is left out."""
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
        while raw := spool.readline(LONGEST):
            offset += len(raw)
            if raw.endswith(b"\n") or len(raw) == LONGEST:
                yield raw, offset


def _line(path: Path, raw: bytes, attempt: int, offset: int) -> LogLine | None:
    if path.name == PRINTED:
        text = raw.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2]  # of a progress bar, its last state
        return LogLine(attempt=attempt, offset=offset, at=0.0, level="printed", text=text[:SHOWN]) if text else None
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
