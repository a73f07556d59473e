"""Processes that copy what jobs do to MLflow, beside them: training never waits for a tracking server."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)
COMMAND = (sys.executable, "-m", "gpu_runner.tracking")
TRIES = 3
PAUSE = 30.0  # seconds before a tracking process that failed is started again
NICE = 10  # its imports take two seconds of a processor, which belong to the training


class Trackers:
    """One tracking process a job at most, on this host and with any daemon: a lock in the job's directory goes with it."""

    def __init__(self, uri: str, command: Sequence[str] = COMMAND) -> None:
        self._uri, self._command = uri, command
        self._processes: dict[Path, tuple[subprocess.Popen[bytes], Path]] = {}
        self._tries: dict[Path, int] = {}
        self._not_before: dict[Path, float] = {}

    @property
    def running(self) -> list[Path]:
        """The jobs whose processes this daemon started and has not seen ending."""
        return list(self._processes)

    def ensure(self, attempt_dir: Path, now: float) -> None:
        """Start the process of the attempt's job unless it runs, has done its work for the attempt, or failed too often."""
        job_dir = attempt_dir.parent
        if (
            now < self._not_before.get(attempt_dir, 0.0)
            or job_dir in self._processes
            or self._tries.get(attempt_dir, 0) >= TRIES
        ):
            return
        self._not_before[attempt_dir] = now + PAUSE
        try:
            process = self._start(job_dir)
        except OSError as error:
            log.warning("tracking of %s can't be started: %s", job_dir.name, error)
        else:
            if process is not None:
                self._processes[job_dir] = process, attempt_dir

    def tend(self) -> None:
        """Note which processes have ended; one that failed may be tried again."""
        for job_dir, (process, attempt_dir) in list(self._processes.items()):
            if process.poll() is None:
                continue
            del self._processes[job_dir]
            self._tries[attempt_dir] = TRIES if process.returncode == 0 else self._tries.get(attempt_dir, 0) + 1
            if process.returncode:
                log.warning("tracking of %s ended with %s", job_dir.name, process.returncode)

    def _start(self, job_dir: Path) -> subprocess.Popen[bytes] | None:
        """The process; None when an earlier daemon's does the work. Raises OSError."""
        descriptor = os.open(job_dir / "tracking.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with (job_dir / "tracking.txt").open("ab") as printed:
                process = subprocess.Popen(
                    [*self._command, str(job_dir), "--uri", self._uri],
                    pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True,
                )  # fmt: skip
        except BlockingIOError:
            return None
        finally:
            os.close(descriptor)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        return process
