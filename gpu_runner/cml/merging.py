"""The spool of an attempt whose parts run in pods: their spools are copied into it, each line exactly once.

Two hosts must not append to one file of a network's file system, so a pod writes a spool of its own,
`parts/<k>/events.jsonl`, and the steward alone writes `events.jsonl`. Every line that is copied ends with
`"part": [k, end]`, the byte after it in its part: a new steward reads in the merged spool where to go on.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_runner.files import Files
from gpu_runner.shared import away
from gpu_runner.spool import Spool, parse

PIECE = 256 << 10  # bytes that are copied at once
COPIED = re.compile(rb', "part": \[(\d+), (\d+)\]\}$')
Translate = Callable[[int, dict[str, Any]], dict[str, Any] | None]


def as_it_is(part: int, record: dict[str, Any]) -> dict[str, Any] | None:
    """The record, for an attempt that has one part."""
    return record


class Merged:
    """The attempt's spool. Any thread of its only writer may use it.

    `translate` tells what a record of a part is in the whole, None when it is nothing; it is asked again for the same
    record by another steward when nothing was written since.
    """

    def __init__(self, directory: Path, translate: Translate = as_it_is) -> None:
        self.directory = directory
        self.translate = translate
        self.ends: dict[int, int] = {}  # of each part: the byte up to which it is copied
        self.types: set[str] = set()  # of the records in it
        self.placed: set[str | None] = set()  # the evaluation jobs that were said to be somewhere; None: all of it
        self.phases: dict[int, str] = {}  # what each part said last that it does
        self.lock = threading.RLock()
        self._spool = Spool(directory / "events.jsonl")
        self._read_back()

    @property
    def finished(self) -> bool:
        """Whether its last word is in it."""
        return "finished" in self.types

    def write(self, type: str, **fields: Any) -> None:
        """A record of the steward's own."""
        with self.lock:
            self._remember({"type": type, **fields})
            self._spool.write(type, **fields)

    def copy(self, part: int, *, last: bool = False) -> bool:
        """Copy what has come in a part; tell whether there was anything. `last`: nothing more will be written to it.

        Nothing is copied while the disk is full: it waits where it is.
        """
        path, found = Files(self.directory, part).spool, False
        with self.lock:
            while self._spool.flush() and (lines := _whole(path, self.ends.get(part, 0), last=last)):
                found = True
                for line in lines:
                    self._take(part, line)
                    if self._spool.waiting:
                        break
        return found

    def copy_rest(self, part: int) -> bool:
        """Copy what is left of a part to which nothing more will be written; False while a full disk, or files that are away,
        keep some of it waiting.
        """
        files = Files(self.directory, part)
        with self.lock:
            self.copy(part, last=True)
            left = away(files.root) or _whole(files.spool, self.ends.get(part, 0), last=True)
            return self._spool.flush() and not left

    def sync(self) -> None:
        """Bring everything to the disk, as far as it takes it."""
        with self.lock:
            self._spool.sync()

    def close(self) -> bool:
        """Write what waits and keep no room; whether all is written. Raises OSError."""
        with self.lock:
            if not self._spool.flush():
                return False
            self._spool.end()
            return True

    def _take(self, part: int, line: bytes) -> None:
        self.ends[part] = self.ends.get(part, 0) + len(line)
        record = parse(line)
        if record is None:
            return
        if record.get("type") == "phase":
            self.phases[part] = str(record.get("name", ""))
        told = self.translate(part, record)
        if told is not None:
            self.types.add(str(told["type"]))
            told.pop("part", None)
            self._spool.put({**told, "part": [part, self.ends[part]]})  # at the end: that is where COPIED looks

    def _read_back(self) -> None:
        with (self.directory / "events.jsonl").open("rb") as spool:
            for line in spool:
                if found := COPIED.search(line.rstrip(b"\n")):
                    self.ends[int(found[1])] = int(found[2])
                if (record := parse(line) if line.startswith(SPOKEN) else None) is not None:
                    self._remember(record)

    def _remember(self, record: dict[str, Any]) -> None:
        self.types.add(str(record["type"]))
        if record["type"] == "placed":
            self.placed.add(record.get("job_id"))
        if record["type"] == "phase" and "part" in record:
            self.phases[int(record["part"][0])] = str(record.get("name", ""))


SPOKEN = tuple(b'{"type": "%s"' % each for each in (b"phase", b"placed", b"started", b"serving", b"finished"))


def _whole(path: Path, offset: int, *, last: bool) -> list[bytes]:
    """Whole lines from a byte on, about PIECE of them. A line that ends with the file counts when it is the last.

    What another host has written may be seen in pieces: a piece that is not there yet reads as NULs, which no record has.
    """
    try:
        with path.open("rb") as spool:
            spool.seek(offset)
            data = spool.read(PIECE)
            data += spool.readline()
            ends = not spool.read(1)
    except OSError:
        return []
    if b"\0" in data and not last:
        data, ends = data[: data.index(b"\0")], False
    *lines, rest = data.split(b"\n")
    return [line + b"\n" for line in lines] + ([rest] if rest and last and ends else [])
