"""Which runner this is: an identity of this host in FTS_HOME, held by one daemon at a time."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import socket
from pathlib import Path

from gpu_runner.files import read_json, write_json

log = logging.getLogger(__name__)


class AlreadyRunning(RuntimeError):
    """Another daemon holds this identity."""


class Identity:
    """The runner's id, kept in `FTS_HOME/runner/<host>.json` so that a restarted daemon is the same runner."""

    def __init__(self, home: Path, host: str | None = None) -> None:
        self.host = host or socket.gethostname()
        directory = home / "runner"
        directory.mkdir(parents=True, exist_ok=True)
        name = re.sub(r"[^\w.-]", "_", self.host) or "host"
        self._file = directory / f"{name}.json"
        self._lock = _hold(directory / f"{name}.lock")
        self.runner_id: str | None = (read_json(self._file) or {}).get("runner_id")

    def keep(self, runner_id: str) -> None:
        """Remember the id that the studio gave."""
        if runner_id != self.runner_id:
            self.runner_id = runner_id
            try:
                write_json(self._file, {"runner_id": runner_id, "host": self.host})
            except OSError as error:  # a full disk: restarted before it is written, this daemon would be another runner
                log.warning("the runner's id can't be kept, and is tried again at the next registration: %s", error)
                self.runner_id = None

    def release(self) -> None:
        """Let another daemon take over."""
        os.close(self._lock)


def is_held(home: Path, runner_id: str) -> bool:
    """Whether a daemon of the studio of FTS_HOME lives that is this runner."""
    for file in (home / "runner").glob("*.json"):
        if (read_json(file) or {}).get("runner_id") == runner_id:
            try:
                os.close(_hold(file.with_suffix(".lock")))
            except AlreadyRunning:
                return True
    return False


def _hold(path: Path) -> int:
    descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise AlreadyRunning(f"a runner of this host already runs on this studio (pid {holder})") from None
    os.ftruncate(descriptor, 0)
    os.write(descriptor, str(os.getpid()).encode())
    return descriptor
