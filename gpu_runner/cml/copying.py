"""The thread of a steward that copies what pods write, while another waits for Cloudera's API."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gpu_runner.cml.merging import Merged
from gpu_runner.files import Files

TICK = 0.2  # seconds between looks: each asks the file system whether another host has written
PIECE = 256 << 10


class Printed:
    """What a part's pod prints, copied to the attempt's log, where people look for it. Killed, a piece may come twice."""

    def __init__(self, directory: Path, part: int) -> None:
        self._source, self._target = Files(directory, part).log, Files(directory).log
        self._place = self._source.with_name("printed")
        self._end = 0
        with suppress(OSError, ValueError):
            self._end = int(self._place.read_text(encoding="ascii"))

    def copy(self) -> None:
        """Copy what has come. Raises OSError."""
        while piece := self._next():
            with self._target.open("ab", buffering=0) as target:
                self._end += target.write(piece)  # a disk that is all but full takes a part of it
            self._note()

    def _note(self) -> None:
        """Write down how far it is, over what was written before: a full disk has room for that."""
        with open(self._place, "wb", buffering=0, opener=_kept) as place:  # a Path's has no opener
            place.write(b"%020d" % self._end)

    def _next(self) -> bytes:
        if not self._source.exists():
            return b""
        with self._source.open("rb") as source:
            source.seek(self._end)
            return source.read(PIECE).partition(b"\0")[0]  # what another host wrote, and has yet to come, reads as NULs


def _kept(path: str, flags: int) -> int:
    """Open a file without emptying it."""
    return os.open(path, flags & ~os.O_TRUNC, 0o644)


def look_anew(files: Files) -> None:
    """Have a network's file system ask again what lies in the directories of a part, where another host has written.

    It remembers for up to a minute that a name was not there, unless the directory is changed from here.
    """
    for directory in (files.directory, files.own.parent, files.own):
        with suppress(OSError):
            mark = directory / ".look"
            mark.touch()
            mark.unlink()


@contextmanager
def copying(merged: Merged, parts: list[int]) -> Iterator[None]:
    """Copy records and printed lines of the parts meanwhile; `parts` may grow. At the end all that is there is copied."""
    over = threading.Event()
    printed: dict[int, Printed] = {}

    def once() -> None:
        for part in list(parts):
            merged.copy(part)
            with suppress(OSError):  # away, or a full disk: what is printed is not worth more
                printed.setdefault(part, Printed(merged.directory, part)).copy()

    def work() -> None:
        while not over.wait(TICK):
            once()

    thread = threading.Thread(target=work, name="copying", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        once()
