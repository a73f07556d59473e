"""The files of one attempt (core/spec.py), as the daemon and the process that starts the child use them."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpu_runner.shared import make_directory


@dataclass(frozen=True)
class Child:
    """Who runs an attempt: `child.json`, the first thing that a job's process writes; of a pod's part `pod.json`.

    A pid means something on its host alone: who looks from elsewhere goes by `host`, and by what Cloudera calls the pod.
    """

    pid: int
    started: str
    runner_id: str
    gpus: tuple[str, ...] = ()
    host: str = ""
    engine: str = ""


def write_json(path: Path, content: Any) -> None:
    """Write `content` so that a reader sees all of it or none."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content), encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in `path`; None when there is none, or it can't be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


class Files:
    """The paths of an attempt, `<artifacts root>/jobs/<job>/<attempt>`, and what is done with them.

    A pod runs a `part` of it: what it writes beside results lies in parts/<part>, for two hosts must not append to one
    file of a network's file system.
    """

    def __init__(self, directory: Path, part: int | None = None) -> None:
        self.directory = directory
        self.own = own = directory if part is None else directory / "parts" / str(part)
        self.spec = directory / "spec.json"
        self.spool = own / "events.jsonl"
        self.log = own / "log.txt"
        self.exit = own / "exit.json"
        self.control = directory / "control.json"
        self.asked = directory / "asked.json"
        self.fresh = directory / "fresh"
        self.starved = directory / "starved"
        self.reserve = directory / "reserve"
        self.room = directory / "room.json"
        self.lock = own / "lock"
        self._child = own / ("child.json" if part is None else "pod.json")

    @property
    def root(self) -> Path:
        """The artifacts root."""
        return self.directory.parents[2]

    def make(self) -> None:
        """Make the directory, when the artifacts are there. Raises OSError."""
        make_directory(self.root, self.own)

    def child(self) -> Child | None:
        """Who runs or ran the attempt; None before it began."""
        found = read_json(self._child)
        if found is None:
            return None
        told = {name: str(found.get(name, "")) for name in ("started", "runner_id", "host", "engine")}
        return Child(pid=int(found["pid"]), gpus=tuple(found["gpus"]), **told)

    def write_child(self, child: Child) -> None:
        """Say who runs the attempt."""
        write_json(self._child, asdict(child))

    def forget_child(self) -> None:
        """Take back who runs the attempt: it is to be started again."""
        self._child.unlink(missing_ok=True)

    def take_lock(self) -> int | None:
        """Take the attempt's lock; return its descriptor, which the child inherits, or None when it is held.

        The lock is taken before the child exists and goes with the descriptor: there is no moment at which a child
        that lives holds no lock.
        """
        descriptor = os.open(self.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def locked(self) -> bool:
        """Whether someone holds the attempt's lock. Raises OSError while that can't be told."""
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return False
        with contextlib.closing(os.fdopen(descriptor, "rb")):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def spool_size(self) -> int:
        """Bytes in the spool; 0 before it exists, and while it is away."""
        try:
            return self.spool.stat().st_size
        except OSError:
            return 0


def read_runs(files: Files, otherwise: int) -> int:
    """How much of an attempt may run at once."""
    return max(1, int((read_json(files.room) or {}).get("runs", otherwise)))


def earlier_attempts(directory: Path) -> list[int]:
    """The attempts before that of `directory` which it may go on from, newest first: none before one that began anew."""
    numbers = (int(each.name) for each in directory.parent.iterdir() if each.name.isdecimal())
    found: list[int] = []
    for number in sorted((each for each in numbers if each <= int(directory.name)), reverse=True):
        found.append(number)
        if Files(directory.parent / str(number)).fresh.exists():
            break
    return [each for each in found if each != int(directory.name)]


def attempts_of(root: Path, runner_id: str) -> list[tuple[str, int, Files]]:
    """The attempts below the artifacts root that this runner's children hold now: (job, attempt, files)."""
    found = []
    for lock in root.glob("jobs/*/*/lock"):
        files = Files(lock.parent)
        child = files.child() if files.locked() else None
        number = lock.parent.name.partition(".")[0]  # a runner's part of an attempt is N.RANK
        if child is not None and child.runner_id == runner_id and number.isdigit():
            found.append((lock.parent.parent.name, int(number), files))
    return found
