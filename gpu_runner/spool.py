"""The spool of an attempt: a file of JSON lines that the child appends to and the daemon tails. Nobody waits for anybody."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from pathlib import Path
from typing import Any

from gpu_runner.reserve import KEEP_SIZE, allocate

ROOM = 256 << 10  # bytes that are set aside ahead: a job whose disk is full can say so, and go on for a while
BUFFERED = 10_000  # records kept in memory while the disk is full; beyond that numbers go first, then the oldest
NUMBERS = (b'{"type": "metrics"', b'{"type": "progress"')


class Spool:
    """Appends records, each in one write, so that a reader sees whole lines. A full disk delays records, not the training."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o644)
        self.waiting: list[bytes] = []
        self.kept = 0  # up to which byte there is room whatever happens to the disk
        self.told = False
        self._end_torn_line(path)

    @property
    def gone(self) -> bool:
        """Whether the file was removed, the job's directory with it: nobody will ever read on. One that is away is not gone."""
        try:
            return os.fstat(self.descriptor).st_nlink == 0
        except OSError:
            return False

    def _end_torn_line(self, path: Path) -> None:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                file.seek(size - 1)
                if file.read(1) != b"\n":
                    os.write(self.descriptor, b"\n")

    def write(self, type: str, **fields: Any) -> None:
        """Append a record; `at` is now."""
        self.put({"type": type, "at": round(time.time(), 6), **fields})

    def put(self, record: dict[str, Any]) -> None:
        """Append a record that has its type and time."""
        self.waiting.append(_line({"type": record["type"], **record}))  # the type first: readers look for it there
        self.flush()

    def flush(self) -> bool:
        """Write what waits, in order; tell whether all of it is written."""
        while self.waiting:
            try:
                self._append(self.waiting[0])
            except OSError as error:
                self._full(error)
                return False
            self.waiting.pop(0)
        self.told = False
        return True

    def _append(self, line: bytes) -> None:
        end = os.fstat(self.descriptor).st_size
        if end + len(line) + ROOM // 2 > self.kept and allocate(self.descriptor, end, ROOM, KEEP_SIZE):
            self.kept = end + ROOM
        written = os.write(self.descriptor, line)
        if written < len(line):  # the disk filled up inside the line: take the piece back
            os.ftruncate(self.descriptor, end)
            self.kept = end  # the room ahead went with it
            raise OSError("the disk is full")

    def _full(self, error: OSError) -> None:
        if len(self.waiting) > BUFFERED:
            self.waiting = [line for line in self.waiting if not line.startswith(NUMBERS)]
            del self.waiting[:-BUFFERED]
        if not self.told:
            self.told = True
            with contextlib.suppress(OSError):  # the log is often on the same disk
                sys.stderr.write(f"the spool can't be written ({error}); training goes on\n")

    def sync(self) -> None:
        """Bring everything to the disk, as far as it takes it."""
        self.flush()
        with contextlib.suppress(OSError):
            os.fsync(self.descriptor)

    def end(self) -> None:
        """Bring everything to the disk, and keep no room any more. Raises OSError."""
        self.flush()
        os.ftruncate(self.descriptor, os.fstat(self.descriptor).st_size)
        os.fsync(self.descriptor)

    # What jobs say, by its name.

    def log(self, text: str, level: str = "info") -> None:
        """A line for people."""
        self.write("log", level=level, text=text)

    def phase(self, name: str) -> None:
        """What is being done now."""
        self.write("phase", name=name)

    def warn(self, text: str) -> None:
        """Something is done otherwise than asked."""
        self.write("warning", text=text)

    def metrics(self, step: int, values: dict[str, float], epoch: float | None = None) -> None:
        """Numbers of a step; what is not finite can't be drawn and is told as a warning instead."""
        finite = {name: value for name, value in values.items() if math.isfinite(value)}
        for name in values.keys() - finite.keys():
            self.warn(f"{name} is {values[name]} at step {step}: the training has diverged")
        if finite:
            self.write("metrics", step=step, epoch=epoch, values=finite)


class Silent(Spool):
    """The spool of a worker that is not the first: what the first one says is said for all."""

    def __init__(self) -> None:
        self.waiting: list[bytes] = []

    def write(self, type: str, **fields: Any) -> None:
        """Say nothing."""

    def flush(self) -> bool:
        """Nothing waits."""
        return True

    def sync(self) -> None:
        """Nothing is to be kept."""


def _line(record: dict[str, Any]) -> bytes:
    """A record as its line. What JSON or UTF-8 can't hold is told as null or ?, for a record must never end a job."""
    try:
        text = json.dumps(record, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(record), ensure_ascii=False, default=str)
    return text.encode(errors="replace") + b"\n"


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_records(path: Path, offset: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Whole records from byte `offset` on, about `limit` bytes of them but at least one, and the offset after them.

    Each gets its own end as `offset`. A line that is no record is passed over with a warning in its place. Of a spool that
    does not exist or is away there are none.
    """
    try:
        with path.open("rb") as spool:
            spool.seek(offset)
            data = spool.read(limit)
            if data and b"\n" not in data:
                data += spool.readline()
    except OSError:
        return [], offset
    records: list[dict[str, Any]] = []
    end = offset
    for line in data[: data.rfind(b"\n") + 1].splitlines(keepends=True):
        end += len(line)
        if (record := parse(line)) is not None:
            records.append({**record, "offset": end})
    return records, end


def parse(line: bytes) -> dict[str, Any] | None:
    """The record of a line, a warning in the place of one that is none; None of an empty line."""
    if not line.strip():
        return None
    try:
        record = json.loads(line)
        if isinstance(record, dict) and "type" in record:
            return record
    except (ValueError, RecursionError):
        pass
    return {
        "type": "log",
        "at": time.time(),
        "level": "warning",
        "text": f"a line of {len(line)} bytes in the spool is no record",
    }
