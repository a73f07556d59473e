"""The last lines of an attempt's log, for whoever has to tell why it ended."""

from __future__ import annotations

import json
import os
from pathlib import Path

from core.failing import TAIL
from core.loglines import told
from gpu_runner.files import Files

LOOKED_AT = 1 << 16, 1 << 20, 1 << 24  # bytes of the end of a file: numbers may stand between the lines of the log
LONGEST = 500  # characters of a line that are told
PRINTED = TAIL // 2  # lines at most of what a process printed that died without a word


def last_lines(files: Files, *, printed: bool = False) -> list[str]:
    """At most 20 lines: of the log and, if asked for, behind them of what the process printed. Never raises OSError."""
    said = [line for line in _end_of(files.log, LOOKED_AT[0]) if line.strip()][-PRINTED:] if printed else []
    wanted, logged = TAIL - len(said), list[str]()
    for look in LOOKED_AT:
        logged = [line for raw in _end_of(files.spool, look) for line in _logged(raw)]
        if len(logged) >= wanted or files.spool_size() <= look:
            break
    return [line.rstrip()[:LONGEST] for line in [*logged[-wanted:], *said]]


def last_line(path: Path) -> str:
    """The last line with something in it of what a process printed; empty when there is none."""
    said = (line.strip() for line in reversed(_end_of(path, LOOKED_AT[0])))
    return next(filter(None, said), "")[:LONGEST]


def _end_of(path: Path, look: int) -> list[str]:
    """The lines in the last `look` bytes, but the one that they cut."""
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - look)
            file.seek(start)
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return []
    return lines[1:] if start else lines


def _logged(raw: str) -> list[str]:
    try:
        record = json.loads(raw)
    except (ValueError, RecursionError):
        return []
    line = told(record) if isinstance(record, dict) and record.get("type") != "finished" else None
    return [] if line is None else [each for each in line[1].splitlines() if each.strip()]
