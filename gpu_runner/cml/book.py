"""What a steward intends and knows at Cloudera's: `cml.json` in the attempt's directory.

    {"runner_id", "settled", "died", "unread", "parts": [{"name", "job_id", "run_id", "state", "asked", "asked_at", "stop", "more"}]}

It is written, and brought to the disk, before each step that can't be taken back: whoever is killed after that, the next
steward knows what may be there and looks for it, instead of making it twice. While it is not settled, an entry of its in
`<artifacts>/cml/` says so, which is what the daemon looks through for those whose stewards are gone.
"""

from __future__ import annotations

import json
import os
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gpu_runner.shared import make_directory, removed

NAME = "cml.json"
OPEN = "cml"  # the directory of the entries


@dataclass
class Part:
    """One thing at Cloudera's: a job with a run of it, or a model. What is unknown is empty.

    `asked` counts how often a run was asked for, which was the last time at `asked_at` (unix seconds); `stop` is the order
    that it is being stopped for, by us; `more` is for what else there is to remember.
    """

    name: str
    job_id: str = ""
    run_id: str = ""
    state: str = ""
    asked: int = 0
    asked_at: float = 0.0
    stop: str = ""
    more: dict[str, Any] = field(default_factory=dict)


@dataclass
class Book:
    """The book of an attempt. `settled`: nothing of it runs at Cloudera's, and nothing will; `died`: without a word."""

    directory: Path
    runner_id: str = ""
    parts: list[Part] = field(default_factory=list)
    settled: bool = False
    died: bool = False
    unread: bool = False  # one that was there could not be understood: what it told is not known

    @classmethod
    def read(cls, directory: Path) -> Book | None:
        """The book of an attempt's directory; None where nothing was ever asked of Cloudera's. Raises OSError.

        One that can't be understood is open, and says nothing: what there is at Cloudera's is looked up.
        """
        try:
            told = dict(json.loads((directory / NAME).read_bytes()))
            known = set(Part.__dataclass_fields__)
            parts = [Part(**{name: each[name] for name in known & each.keys()}) for each in told.get("parts", [])]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, TypeError, AttributeError):
            return cls(directory, unread=True)
        settled, died, unread = (bool(told.get(name)) for name in ("settled", "died", "unread"))
        return cls(directory, str(told.get("runner_id", "")), parts, settled, died, unread)

    @property
    def entry(self) -> Path:
        """What says that it is not settled."""
        return self.directory.parents[2] / OPEN / f"{self.directory.parent.name}.{self.directory.name}"

    def part(self, number: int, name: str) -> Part:
        """The part of that number, which is made when there is none yet."""
        while len(self.parts) <= number:
            self.parts.append(Part(name))
        self.parts[number].name = name
        return self.parts[number]

    def save(self) -> None:
        """Bring it to the disk, whole. Raises OSError."""
        if not self.settled and not self.entry.exists():
            make_directory(self.entry.parents[1], self.entry.parent)
            self.entry.touch()
        told = {"runner_id": self.runner_id, "settled": self.settled, "died": self.died, "unread": self.unread}
        _write(self.directory / NAME, {**told, "parts": [asdict(each) for each in self.parts]})
        if self.settled:
            self.entry.unlink(missing_ok=True)

    def settle(self, *, died: bool = False) -> None:
        """Nothing of it runs any more. Raises OSError."""
        self.settled, self.died = True, died
        if removed(self.directory.parents[2], self.directory):  # nobody will ever read it
            self.entry.unlink(missing_ok=True)
        else:
            self.save()


def begun(directory: Path) -> bool:
    """Whether something of the attempt may be at Cloudera's: it was asked for, and is not known to be over."""
    book = Book.read(directory)
    return book is not None and not book.settled


def unsettled(artifacts: Path) -> list[tuple[str, int, Path]]:
    """(job, attempt, directory) of all attempts that have an entry. Raises OSError."""
    found = []
    for entry in (artifacts / OPEN).glob("*.*"):
        job_id, _, number = entry.name.rpartition(".")
        if number.isdecimal():
            found.append((job_id, int(number), artifacts / "jobs" / job_id / number))
    return found


def _write(path: Path, content: Any) -> None:
    """Replace a file by one that is on the disk before it has the name, as its directory is after."""
    temporary = path.with_name(
        f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
    )  # pids of two hosts may be the same
    try:
        with temporary.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:  # it is tried again at every look: a full disk is not to be filled with what did not fit
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
