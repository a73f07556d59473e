"""The supervisor: starts the Procfile's processes, restarts what dies with back-off, and stops them in order.

    python -m tui.cli.supervisor       runs in the foreground for the studio of FTS_HOME

Every process has a session and a log of its own. A supervisor that is killed leaves them running; the next one adopts
them by pid and start time.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

from core.settings import Settings, settings
from core.text import plain
from tui.cli import procfile
from tui.cli.home import Home, alive
from tui.cli.procfile import Line

LOOK = 0.2  # seconds between looks at the processes
FIRST, LONGEST = 0.5, 30.0  # seconds of back-off
HEALTHY = 30.0  # seconds of life after which the back-off begins anew
LOG_BYTES = 10 << 20  # a log that is larger is put aside when its process starts


@dataclass
class Process:
    """One line of the Procfile and what runs for it."""

    line: Line
    running: psutil.Process | None = None
    own: subprocess.Popen[bytes] | None = None
    since: float = 0.0
    restarts: int = 0
    wait: float = FIRST
    not_before: float = 0.0
    last_code: int | None = field(default=None)

    def ended(self) -> bool:
        """Whether it has a process that is over."""
        if self.running is None:
            return False
        if self.own is not None:
            self.last_code = self.own.poll()
            return self.last_code is not None
        return not self.running.is_running() or self.running.status() == psutil.STATUS_ZOMBIE


class Supervisor:
    """Keeps the processes of one studio running."""

    def __init__(self, home: Home, using: Settings) -> None:
        self.home, self.settings = home, using
        server = using.external_redis_url is None
        self.processes = [
            Process(line) for line in procfile.read(using.procfile) if server or line.name != procfile.SERVER
        ]
        self.stopping = False
        self.untold = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then stop everything in order."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._adopt()
        self._tell()  # at once: until then the file names the supervisor before, and `fts down` would not find this one
        while not self.stopping:
            self._look()
            time.sleep(LOOK)
        self._end()

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _adopt(self) -> None:
        """Take over what an earlier supervisor left running; what no longer belongs here is stopped."""
        known = {process.line.name: process for process in self.processes}
        for name, told in self.home.read().get("processes", {}).items():
            running = alive(told["pid"], told["started"]) if told.get("pid") else None
            if running is None:
                continue
            if name in known and told["command"] == list(known[name].line.command):
                known[name].running, known[name].since = running, time.monotonic()
                known[name].restarts = told.get("restarts", 0)
                _say(f"{name}: adopted (pid {running.pid})")
            else:
                with suppress(psutil.Error):
                    running.terminate()

    def _look(self) -> None:
        now, changed = time.monotonic(), False
        for process in self.processes:
            if process.ended():
                self._ended(process, now)
                changed = True
            if process.running is None and now >= process.not_before and self._may_start(process):
                self._try(process, now)
                changed = True
        if changed or self.untold:
            self._tell()

    def _may_start(self, process: Process) -> bool:
        """What needs the queue waits for it."""
        first = self.processes[0]
        if first.line.name != procfile.SERVER or process is first:
            return True
        from core.queue.embedded import serving

        return first.running is not None and serving(self.settings.root) is not None

    def _try(self, process: Process, now: float) -> None:
        try:
            self._start(process, now)
        except OSError as error:  # a full disk has no room for its log, or there is no memory for it
            process.wait = min(LONGEST, process.wait * 2)
            process.not_before = now + process.wait
            _say(f"{process.line.name}: it can't be started, again in {process.wait:g} s: {error}")

    def _start(self, process: Process, now: float) -> None:
        log = self.home.logs / f"{process.line.name}.log"
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as printed:
            process.own = subprocess.Popen(
                process.line.command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed, start_new_session=True
            )
        process.running, process.since = psutil.Process(process.own.pid), now
        _say(f"{process.line.name}: started (pid {process.own.pid})")

    def _ended(self, process: Process, now: float) -> None:
        process.wait = FIRST if now - process.since >= HEALTHY else min(LONGEST, process.wait * 2)
        process.running, process.own = None, None
        process.restarts += 1
        process.not_before = now + process.wait
        log = self.home.logs / f"{process.line.name}.log"
        _say(f"{process.line.name}: ended ({process.last_code}); again in {process.wait:g} s, its log is {log}")

    def _tell(self) -> None:
        """Write down what runs. On a full disk that waits: the processes are tended all the same."""
        content = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": psutil.Process().create_time(),
            "processes": {each.line.name: _told(each) for each in self.processes},
        }
        try:
            self.home.write(content)
            self.untold = False
        except OSError as error:
            if not self.untold:  # once: it is tried several times a second
                _say(f"what runs can't be written down: {error}")
            self.untold = True

    def _end(self) -> None:
        """Stop in the reverse order of the Procfile, each with its own grace: the queue goes last."""
        for process in reversed(self.processes):
            stop(process.running, process.line.grace)
            process.running, process.own = None, None
            self._tell()
        self.home.state.unlink(missing_ok=True)


def _say(text: str) -> None:
    with suppress(OSError):  # its log may be on a full disk
        print(plain(text, lines=True), flush=True)


def _told(process: Process) -> dict[str, Any]:
    running = process.running
    facts: dict[str, Any] = {
        "command": list(process.line.command),
        "restarts": process.restarts,
        "last_code": process.last_code,
    }
    with suppress(psutil.Error):
        if running is not None:
            facts |= {"pid": running.pid, "started": running.create_time()}
    return facts


def stop(running: psutil.Process | None, grace: float) -> None:
    """SIGTERM, then SIGKILL after `grace` seconds."""
    if running is None:
        return
    with suppress(psutil.Error):
        running.terminate()
        try:
            running.wait(grace)
        except psutil.TimeoutExpired:
            running.kill()
            running.wait(5)


def main() -> None:
    """Run the supervisor of FTS_HOME, unless there is one."""
    using = settings()
    os.environ["FTS_HOME"] = str(using.root)
    os.environ["FTS_PROJECT"] = str(using.project.resolve())
    home = Home(using.root)
    home.prepare()
    lock = home.take()
    if lock is None:
        sys.exit(f"the studio of {using.root} is already up")
    Supervisor(home, using).run()


if __name__ == "__main__":
    main()
