"""A program that trains in the child's place, inside the child's session: what it prints, what it says, what it is ordered.

It says records through a named pipe, which what it starts may use too (helper/fts_job.py), reads its orders from control.json
itself, and is ended when it does not obey them. When the child dies, the system ends the program, and the daemon kills the
group, and so what the program started; its pipe is broken before that.
"""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

from core.failing import TAIL
from gpu_runner.child import Context
from gpu_runner.engines.lines import Lines
from gpu_runner.files import write_json
from gpu_runner.processes import die_with_parent

LOOK = 0.2  # seconds between looks at orders and at whether it lives
DRAIN = 1.0  # seconds in which what it printed last is read when it is dead: others may hold its output open
LOGGED = 2_000  # characters of a printed line that become a log record; log.txt has it whole
A_SECOND = 100  # printed lines a second that become log records


@dataclass(frozen=True)
class Patience:
    """Seconds that a program may take to obey, by order; then it is terminated, and killed GRACE later.

    A child that cancels is terminated itself after 20 s (daemon.py): its program must be gone before.
    """

    cancel: float = 8.0
    pause: float = 120.0
    grace: float = 5.0


@dataclass
class Program:
    """One run of a program. `take` gets each record that it says; what it raises ends the program."""

    command: Sequence[str]
    environment: Mapping[str, str]
    directory: Path
    context: Context
    take: Callable[[dict[str, Any]], None]
    patience: Patience = field(default_factory=Patience)
    tail: deque[str] = field(default_factory=lambda: deque(maxlen=TAIL))
    obeyed: str | None = None  # the order that it says it left for: it may have seen it before this process did
    ended_for: str | None = None  # the order it did not obey
    _second: tuple[int, int] = (0, 0)
    _since: float | None = None
    _ordered: str | None = None

    def run(self, told: Mapping[str, Any]) -> int:
        """Run it to its end, with `told` as its job.json; its exit code, negative for a signal. Raises OSError."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="fts-job-") as place:
            pipe = Path(place) / "say"
            os.mkfifo(pipe, 0o600)
            # Opened for writing too: it has no end before the program has.
            with os.fdopen(os.open(pipe, os.O_RDWR | os.O_NONBLOCK), "rb", buffering=0) as said:
                return self._run({**told, "say": str(pipe)}, said)

    def _run(self, told: Mapping[str, Any], said: IO[bytes]) -> int:
        job = self.context.directory / "job.json"
        write_json(job, {"control": str(self.context.directory / "control.json"), **told})
        with subprocess.Popen(
            self.command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, env={**self.environment, "FTS_JOB": str(job)}, preexec_fn=die_with_parent,
        ) as process:  # fmt: skip
            try:
                self._follow(process, said)
            finally:
                if process.poll() is None:  # once it is waited for, its pid may be another's
                    signal_all(process.pid, "kill")
        return process.returncode

    def _follow(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        assert process.stdout is not None
        pipes = {said: (Lines(), self._hear), process.stdout: (Lines(), self._print)}
        with selectors.DefaultSelector() as selector:
            for pipe, (lines, take) in pipes.items():
                selector.register(pipe, selectors.EVENT_READ, (lines, take))
            dead: float | None = None
            while True:
                ready = [key for key, _ in selector.select(LOOK)]
                for key in ready:
                    self._read(key, selector)
                if dead is None and process.poll() is None:
                    self._see_to_it(process)
                    continue
                dead = dead or time.monotonic()
                if not ready or (time.monotonic() > dead + DRAIN and all(key.fileobj is not said for key in ready)):
                    break
        for lines, take in pipes.values():
            for line in lines.end():
                take(line)
        process.wait()

    def _read(self, key: selectors.SelectorKey, selector: selectors.BaseSelector) -> None:
        lines, take = key.data
        try:
            data = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            selector.unregister(key.fileobj)
        for line in lines.feed(data):
            take(line)

    def _hear(self, line: str) -> None:
        try:
            record = json.loads(line)
            kind = record["type"]
        except (ValueError, TypeError, KeyError, RecursionError):
            self.context.spool.log(f"the program said what is no record: {line[:200]}", level="warning")
            return
        if kind == "stopped":
            self.obeyed = record.get("order")
        else:
            self.take(record)

    def _print(self, line: str) -> None:
        """To log.txt, which is this process's output, and as a log record."""
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
        self.tail.append(line)
        second, count = self._second
        now = int(time.monotonic())
        self._second = (now, 1) if now != second else (second, count + 1)
        if self._second[1] <= A_SECOND:
            self.context.spool.log(line[:LOGGED])
        elif self._second[1] == A_SECOND + 1:
            self.context.spool.log("it prints faster than can be told: log.txt has all of it", level="warning")

    def _see_to_it(self, process: subprocess.Popen[bytes]) -> None:
        """Terminate what does not obey an order in time."""
        order = self.context.order()
        if order != self._ordered:
            self._ordered, self._since = order, time.monotonic()
        if order is None or self._since is None:
            return
        waited = time.monotonic() - self._since
        limit = self.patience.cancel if order == "cancel" else self.patience.pause
        if waited >= limit and self.ended_for is None:
            self.ended_for = order
            self.context.spool.warn(f"the order to {order} was not obeyed in {limit:.0f} s: the program is terminated")
            signal_all(process.pid, "terminate")
        elif self.ended_for is not None and waited >= limit + self.patience.grace:
            signal_all(process.pid, "kill")


def signal_all(pid: int, how: str) -> None:
    """Terminate or kill a process and all that it started."""
    try:
        process = psutil.Process(pid)
        family = [*process.children(recursive=True), process]
    except psutil.NoSuchProcess:
        return
    for each in family:
        try:
            getattr(each, how)()
        except psutil.NoSuchProcess:
            continue
