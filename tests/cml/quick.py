"""A pod that keeps the contract and trains nothing, so that runs are begun and over in no time: the script of a template.

What it does is in the project's plan.json, which it reads again at each step: steps (how many), rate (a second), hold (stay at
this step), deaf (hear no order), silent (end with code 1 and without a word), crash (end by a signal at this step). Who began
which run is added to begun.txt in the attempt's directory, and who found another at work there to twice.txt.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from gpu_runner.cml.pod import Task, prepared
from gpu_runner.files import Files, read_json, write_json
from gpu_runner.launch import Launch, enter
from gpu_runner.spool import Spool, read_records

SCRIPT = "from tests.cml.quick import main\nmain()\n"
OUTCOMES = {"cancel": "cancelled", "pause": "paused"}


def plan(project: Path, **said: Any) -> None:
    """Say what pods do from now on."""
    write_json(project / "plan.json", {"steps": 5, "rate": 50, **said})


def _mark(files: Files, name: str) -> None:
    with (files.directory / name).open("a", encoding="utf-8") as told:
        told.write(os.environ["CDSW_ENGINE_ID"] + "\n")


def main() -> None:
    """Be the pod that the environment tells."""
    task = Task.told()
    if task.files.lock.exists() and task.files.locked():
        _mark(task.files, "twice.txt")
    launch = prepared(task)
    if not isinstance(launch, Launch):
        sys.exit(launch)
    _mark(task.files, "begun.txt")
    enter(launch)
    _work(task.files)


def _work(files: Files) -> None:
    before = [each["step"] for each in read_records(files.spool, 0, 1 << 26)[0] if each["type"] == "metrics"]
    spool, step = Spool(files.spool), max(before, default=0)
    spool.write("started", pid=os.getpid(), details={})
    while True:
        told: dict[str, Any] = read_json(Path("plan.json")) or {}
        order = (read_json(files.control) or {}).get("order")
        if order in OUTCOMES and not told.get("deaf"):
            _end(files, spool, OUTCOMES[order])
        if told.get("silent"):
            os._exit(1)
        if step == told.get("crash"):
            os.kill(os.getpid(), signal.SIGKILL)
        if step >= told["steps"]:
            _end(files, spool, "succeeded")
        if step != told.get("hold"):
            step += 1
            spool.metrics(step, {"loss": 1.0 / step})
        time.sleep(1 / told["rate"])


def _end(files: Files, spool: Spool, outcome: str) -> None:
    spool.write("finished", outcome=outcome, error=None, summary={})
    spool.end()
    files.exit.write_text(json.dumps({"outcome": outcome, "code": 0}))
    sys.exit(0)
