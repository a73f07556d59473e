"""A job that obeys a child's contract and trains nothing: what it does is in the specification's user_config.

Keys: rate (records a second), records (how many, then it succeeds), deaf (ignores orders and SIGTERM), burst (bytes at once),
printed (a line on its standard error), crash_after (records, then it breaks in native code).
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any, TextIO

from gpu_runner.files import Files, read_json
from gpu_runner.launch import Launch, enter, read_token

OUTCOMES = {"cancel": "cancelled", "pause": "paused"}  # by order


@cache
def spool_of(files: Files) -> TextIO:
    """Opened once, as a real child does: it goes on when the path is away."""
    return files.spool.open("a", encoding="utf-8", buffering=1)


def write(files: Files, **record: Any) -> None:
    spool_of(files).write(json.dumps({"at": time.time(), **record}) + "\n")


def end(files: Files, outcome: str) -> None:
    write(files, type="finished", outcome=outcome)
    files.exit.write_text(json.dumps({"outcome": outcome, "code": 0}))
    os._exit(0)


def main() -> None:
    launch = Launch.from_json(sys.argv[1])
    enter(launch)
    files = Files(Path(launch.attempt_dir))
    plan = json.loads((read_json(files.spec) or {}).get("user_config") or "{}")
    if plan.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if plan.get("printed"):
        sys.stderr.write(plan["printed"] + "\n")
    token = read_token(launch.token_fd)
    write(
        files,
        type="started",
        pid=os.getpid(),
        details={"token": token, "gpus": os.environ["CUDA_VISIBLE_DEVICES"], "env": sorted(os.environ)},
    )
    if plan.get("burst"):
        with files.spool.open("a", encoding="utf-8") as spool:
            for number in range(plan["burst"] // 100):
                spool.write(json.dumps({"at": 1.0, "type": "log", "text": f"{number:070d}"}) + "\n")
    for step in range(1, plan.get("records", 1_000_000) + 1):
        write(files, type="metrics", step=step, values={"loss": 1.0})
        if step == plan.get("crash_after"):
            ctypes.string_at(0)
        order = (read_json(files.control) or {}).get("order")
        if order in OUTCOMES and not plan.get("deaf"):
            end(files, OUTCOMES[order])
        time.sleep(1 / plan.get("rate", 50))
    end(files, "succeeded")


if __name__ == "__main__":
    main()
