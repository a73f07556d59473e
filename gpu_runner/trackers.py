"""Processes that copy what jobs do to MLflow, beside them: training never waits for a tracking server."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)
TRIES = 3
PAUSE = 30.0  # seconds before a tracking process that failed is started again
NICE = 10  # its imports take two seconds of a processor, which belong to the training


class Trackers:
    """One tracking process a job at most, on this host and with any daemon: a lock in the job's directory goes with it."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._processes: dict[Path, subprocess.Popen[bytes]] = {}
        self._tries: dict[Path, int] = {}
        self._not_before: dict[Path, float] = {}

    def ensure(self, job_dir: Path, now: float) -> None:
        """Start the process of the job unless it runs, has done its work, or failed too often."""
        if now < self._not_before.get(job_dir, 0.0) or job_dir in self._processes or self._tries.get(job_dir, 0) >= TRIES:
            return
        self._not_before[job_dir] = now + PAUSE
        try:
            self._start(job_dir)
        except OSError as error:
            log.warning("tracking of %s can't be started: %s", job_dir.name, error)

    def tend(self) -> None:
        """Note which processes have ended; one that failed may be tried again."""
        for job_dir, process in list(self._processes.items()):
            if process.poll() is None:
                continue
            del self._processes[job_dir]
            self._tries[job_dir] = TRIES if process.returncode == 0 else self._tries.get(job_dir, 0) + 1
            if process.returncode:
                log.warning("tracking of %s ended with %s", job_dir.name, process.returncode)

    def _start(self, job_dir: Path) -> None:
        descriptor = os.open(job_dir / "tracking.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with (job_dir / "tracking.txt").open("ab") as printed:
                process = subprocess.Popen(
                    [sys.executable, "-m", "gpu_runner.tracking", str(job_dir), "--uri", self._uri],
                    pass_fds=[descriptor], stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True,
                )  # fmt: skip
        except BlockingIOError:
            return  # an earlier daemon's does it
        finally:
            os.close(descriptor)
        self._processes[job_dir] = process
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
