"""What the supervisor and the commands around it know of each other: files below FTS_HOME."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any

import psutil


class Home:
    """The files of a studio's processes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.run = root / "run"
        self.logs = root / "logs"
        self.state = self.run / "supervisor.json"
        self.lock = self.run / "supervisor.lock"

    def prepare(self) -> None:
        """Make the directories."""
        for each in (self.root, self.run, self.logs):
            each.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> dict[str, Any]:
        """What the supervisor wrote last; empty when there is nothing."""
        try:
            content = json.loads(self.state.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}

    def elsewhere(self) -> str | None:
        """The host whose supervisor wrote last, when that is another one which shares this directory."""
        host = self.read().get("host")
        return str(host) if host and host != socket.gethostname() else None

    def write(self, content: dict[str, Any]) -> None:
        """Replace it, whole."""
        draft = self.state.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
        draft.replace(self.state)

    def take(self) -> int | None:
        """Become the supervisor: the lock's descriptor, or None when there is one already."""
        descriptor = os.open(self.lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def supervised(self) -> bool:
        """Whether a supervisor runs."""
        if not self.lock.exists():
            return False
        descriptor = self.take()
        if descriptor is None:
            return True
        os.close(descriptor)
        return False


def alive(pid: int, started: float) -> psutil.Process | None:
    """The process of that pid, when it is the one that began then and not a later one with its number."""
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - started) > 1 or process.status() == psutil.STATUS_ZOMBIE:
            return None
    except psutil.Error:
        return None
    return process
