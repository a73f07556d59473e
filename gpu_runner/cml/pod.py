"""What runs in a pod of Cloudera's: a part of an attempt, by the contract that children of a runner on this host keep.

`python -m gpu_runner.cml.pod`, started by job.py. Its environment tells which: FTS_ATTEMPT_DIR, FTS_PART, FTS_RUNNER_ID. It
talks to nobody: what it has to say it writes below parts/<part> of the attempt's directory, on the project's file system,
which the steward reads. Without FTS_ATTEMPT_DIR the job was made by hand: JOB_ARGUMENTS tell what to do.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpu_runner.cml import leader
from gpu_runner.cml.meeting_file import Meeting, NobodyThere
from gpu_runner.cml.shares import leads
from gpu_runner.files import Files, read_json
from gpu_runner.gpus import inventory
from gpu_runner.launch import SECRETS, Launch, begin
from gpu_runner.processes import die_with_parent
from gpu_runner.starter import pipe_with

TOKEN = "HUGGINGFACE_ACCESS_TOKEN"
OTHERS = (
    300.0  # seconds in which a pod that Cloudera replaces is gone; a network's file system keeps its lock for a while
)
LOOK = 0.5
USAGE, GONE, BUSY = (
    2,
    74,
    75,
)  # exit codes: what is asked can't be read; the pod that leads is gone; another runs this part


@dataclass(frozen=True)
class Task:
    """What a pod is to run: a part of an attempt, in whose name."""

    files: Files
    part: int
    runner_id: str

    @classmethod
    def told(cls) -> Task:
        """By the environment. Raises ValueError."""
        directory, part = Path(os.environ["FTS_ATTEMPT_DIR"]), int(os.environ.get("FTS_PART", "0"))
        if not directory.is_absolute() or not (directory / "spec.json").is_file():
            raise ValueError(f"FTS_ATTEMPT_DIR is no directory of an attempt: there is no {directory / 'spec.json'}")
        return cls(Files(directory, part), part, os.environ.get("FTS_RUNNER_ID", ""))

    @property
    def done(self) -> int | None:
        """The exit code of a pod that has run it to its end; None when none has."""
        code = (read_json(self.files.exit) or {}).get("code")
        return code if isinstance(code, int) else None


def take_secrets(kept: tuple[str, ...] = ()) -> dict[str, str]:
    """Take the secrets out of the environment, but for those that are `kept`: no process that a job starts is to find them."""
    return {name: os.environ.pop(name) for name in SECRETS if name in os.environ and name not in kept}


def alone(files: Files) -> int | None:
    """The lock of the part, once nobody else holds it; None when another pod goes on. Raises OSError.

    Cloudera may start a pod anew while the one before still ends.
    """
    files.make()
    deadline, told = time.monotonic() + OTHERS, False
    while (lock := files.take_lock()) is None and time.monotonic() < deadline:
        if not told:
            told = True
            _say(f"another pod runs this part ({_holder(files)}): waiting for its end")
        time.sleep(LOOK)
    return lock


def prepared(task: Task) -> Launch | int:
    """How the part is to be run in this process; an exit code when it is done, or another pod runs it. Raises OSError."""
    spec: dict[str, Any] = read_json(task.files.spec) or {}
    place = json.loads(
        os.environ.get("FTS_PLACE", "null")
    )  # among the pods of the job, of one that another has launched
    # Who leads asks for workers; Cloudera's plugin of MLflow, which an export writes to its registry with, asks with them too.
    asks = spec.get("kind") == "export" or (place is None and leads(spec))
    secrets = take_secrets(leader.CALLS if asks else ())
    lock = alone(task.files)
    if lock is None:
        _say(f"another pod runs this part ({_holder(task.files)}) and does not end: this one does")
        return BUSY
    if (code := task.done) is not None:
        return code
    token = secrets.get(TOKEN) or secrets.get("HF_TOKEN")
    _say(f"the job's log is {task.files.log}")
    if place is not None:
        try:
            place |= {"address": leader.address(), "rendezvous": rendezvous(task.files)}
        except NobodyThere as error:
            _say(f"{error}: this pod, which was to train with it, ends")
            return GONE
    gpus = tuple(gpu.uuid or str(gpu.index) for gpu in inventory())
    return Launch(
        attempt_dir=str(task.files.directory),
        runner_id=task.runner_id,
        cpus=_threads(spec),
        gpus=gpus,
        # Named one by one, even where Cloudera names none: a job's workers share them out by their names.
        env={"CUDA_VISIBLE_DEVICES": os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(gpus))},
        place=place,
        part=task.part,
        lock_fd=lock,
        token_fd=pipe_with(token) if token and spec.get("needs_token") else -1,
    )


def rendezvous(files: Files) -> str:
    """Tell the first pod that this one is there, and wait for where to meet. Raises NobodyThere, OSError."""
    told = json.loads(os.environ["FTS_MEETING"])
    meeting = Meeting(Path(told["path"]), str(told["name"]))
    meeting.come(files.own)
    _say("waiting for the first pod of the job")
    return meeting.address()


def _threads(spec: dict[str, Any]) -> int:
    """Threads to compute with. A process whose workers are forked from it must not compute with several before."""
    resources = spec.get("resources") or {}
    return 1 if resources.get("workers", 1) > 1 else max(1, int(resources.get("cpus", 1)))


def _holder(files: Files) -> str:
    child = files.child()
    return f"{child.host}, pid {child.pid}" if child else "unknown"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    """Run what the environment tells; an exit code."""
    die_with_parent()
    if "FTS_ATTEMPT_DIR" not in os.environ:
        from gpu_runner.cml import by_hand  # late: a job of the studio's own never needs it

        return by_hand.main()
    try:
        task = Task.told()
    except ValueError as error:
        _say(f"this is no job of the studio's: {error}")
        return USAGE
    launch = prepared(task)
    if isinstance(launch, int):
        return launch
    if launch.place is None and leads(read_json(task.files.spec) or {}):
        return leader.lead(launch)
    return begin(launch)


if __name__ == "__main__":
    sys.exit(main())
