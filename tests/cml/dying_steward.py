"""Stewards that are killed (-9) at a line of theirs: `dying_steward.py`, told on standard input which attempt and which line.

Lines are counted as they are run, in the rooms below and in all threads. Answered is how it ended, and of one that ended by
itself at which counts a line was run for the first time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

from core import cml, cml_asking
from core.settings import Settings
from gpu_runner import spool
from gpu_runner.cml import book, copying, definition, errand, merging, run, single

ROOMS = {
    str(Path(room.__file__ or "")) for room in (book, copying, definition, errand, merging, run, single, spool, cml)
}


class Killer:
    """Kills its process at the nth line; 0: never."""

    def __init__(self, at: int) -> None:
        self.at, self.lines, self.lock = at, 0, threading.Lock()
        self.first: dict[tuple[str, int], int] = {}

    def trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in ROOMS:
            return None
        return self.line

    def line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            with self.lock:
                self.lines += 1
                self.first.setdefault((frame.f_code.co_filename, frame.f_lineno), self.lines)
                if self.lines == self.at:
                    os.kill(os.getpid(), signal.SIGKILL)
        return self.line


def steward(directory: str, home: str, at: int, telling: int) -> None:
    """Look after the attempt until it is over, or dead."""
    killer = Killer(at)
    threading.settrace(killer.trace)
    sys.settrace(killer.trace)
    using = Settings(home=Path(home), cml_poll=0.05, cml_seconds=5.0)
    code = single.look_after(errand.Errand(Path(directory), using, "runner"))
    sys.settrace(None)
    os.write(telling, json.dumps(sorted(killer.first.values())).encode())
    os._exit(code)


def main() -> None:
    """Do what is asked, line by line."""
    import cmlapi  # noqa: F401  # once: the forks have it then

    cml_asking.PATIENCE = 1.0
    single.LEAST_LAG = 0.3
    run.LOST = 100  # looks: what a steward asked for as it was killed comes late on a machine that does much else
    for line in sys.stdin:
        asked = json.loads(line)
        listening, telling = os.pipe()
        if (child := os.fork()) == 0:
            try:
                steward(asked["directory"], asked["home"], asked["at"], telling)
            finally:
                os._exit(99)
        os.close(telling)
        with os.fdopen(listening) as pipe:
            lines = json.loads(pipe.read() or "[]")
        _, status = os.waitpid(child, 0)
        told = {"code": os.waitstatus_to_exitcode(status), "lines": lines}
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
