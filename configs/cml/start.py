"""The studio's application in a project of Cloudera ML: installs what an update changed, then runs the studio until it is stopped.

A kernel runs this file's text, in the project's directory: nothing but the standard library, and no __file__.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LONGEST = 60.0  # seconds between two tries
HEALTHY = 300.0  # seconds of life after which the pauses begin anew
USAGE = 2  # what trying again does not change


def studio() -> Path:
    """The directory of the studio: the project's own, or below it as a part of another (IS_COMPOSABLE)."""
    for each in (Path.cwd(), Path.cwd() / "fine-tuning-studio"):
        if (each / "configs" / "cml" / "start.py").is_file():
            return each
    raise RuntimeError(f"the studio is neither in {Path.cwd()} nor in fine-tuning-studio below it")


def run(*command: object) -> int:
    """Run a program to its end and show what it prints, which a kernel does not do by itself; its exit code.

    The runtime's own packages are left out: the studio has an environment of its own.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if os.environ.get("FTS_PYTHON"):  # an environment that somebody else made, and knows
        environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
    process = subprocess.Popen(
        [str(each) for each in command], env={**environment, "PYTHONUNBUFFERED": "1"}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    )  # fmt: skip
    with contextlib.suppress(ValueError):  # a kernel's other thread can't hear: the studio then ends with its pod
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    assert process.stdout is not None
    try:
        for line in process.stdout:
            print(line, end="", flush=True)
        return process.wait()
    finally:  # the application is stopped: the studio ends in order, what runs at Cloudera's goes on
        process.terminate()
        process.wait()


def main() -> None:
    """Install, then keep the studio running."""
    os.chdir(studio())
    python, pause = os.environ.get("FTS_PYTHON"), 1.0
    if not python:
        if run(sys.executable, "configs/cml/install.py") != 0:
            raise RuntimeError(
                "the studio could not be installed: see above; the job Install Dependencies does it again"
            )
        python = ".venv/bin/python"
    while True:
        begun = time.monotonic()
        code = run(python, "-m", "tui.cli.main", "cloudera", "start")
        if code == USAGE:
            raise RuntimeError("the studio can't run here: see above")
        pause = 1.0 if time.monotonic() - begun > HEALTHY else min(LONGEST, pause * 2)
        print(f"the studio ended with {code}; again in {pause:g} s", flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    main()
