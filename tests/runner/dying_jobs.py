"""Runs attempts one after another, each forked from this process as the warm process does: `dying_jobs.py PLAN`.

PLAN is a JSON list of [attempt directory, fate]; fate is null, "step N" (killed as optimiser step N ends), "saving N"
(killed when checkpoint N is written but has not got its name), "error N" or "memory N" (an exception at step N), "write N" (the
same, of a write, after which nothing can be written), "full N" (the disk of the job is filled up at step N). Of a job of several
workers it befalls one: "step N 1" the second. "moment N MS" kills it from outside, so many milliseconds after it told
of step N, wherever it then is. Several fates are joined by "+".
"""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_runner import bnb


def doom(fate: str) -> None:
    """Make this process kill itself at its fate."""
    from gpu_runner import checkpoint
    from gpu_runner.trainer import Reporter

    kind, number, rank = [*fate.split(), "0"][:3]
    end_step, publish = Reporter.on_step_end, checkpoint.publish

    def die(self: Reporter, args: Any, state: Any, control: Any, **others: Any) -> Any:
        if state.global_step == int(number) and os.environ.get("RANK", "0") == rank:
            if kind == "step":
                os.kill(os.getpid(), signal.SIGKILL)
            if kind == "full":
                fill(self.context.root / "filler")
                return end_step(self, args, state, control, **others)
            raise FAULTS[kind]()
        return end_step(self, args, state, control, **others)

    def die_saving(draft: Path, final: Path) -> dict[str, str]:
        if final.name == f"checkpoint-{number}":
            os.kill(os.getpid(), signal.SIGKILL)
        return publish(draft, final)

    if kind == "saving":
        checkpoint.publish = die_saving
    else:
        Reporter.on_step_end = die


def no_room() -> OSError:
    """The disk is full from now on."""

    def fails(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    Path.write_text = Path.write_bytes = os.write = fails  # type: ignore[method-assign]
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


FAULTS: dict[str, Callable[[], Exception]] = {
    "memory": lambda: MemoryError("CUDA out of memory"),
    "error": lambda: RuntimeError("a fault"),
    "write": no_room,
}


def fill(path: Path) -> None:
    """Take all of a disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as filler:
        while filler.write(bytes(1 << 16)):
            pass


def strike(job: int, spool: Path, step: int, milliseconds: float) -> None:
    """Kill a process so long after its spool told of a step."""
    told = f'"step": {step},'.encode()
    while not (spool.exists() and told in spool.read_bytes()):
        assert os.waitpid(job, os.WNOHANG) == (0, 0), f"it ended before step {step}"
        time.sleep(0.001)
    time.sleep(milliseconds / 1000)
    os.kill(job, signal.SIGKILL)


def main() -> None:
    bnb.keep_out()
    import gpu_runner.train  # noqa: F401  # what takes seconds is imported once
    from gpu_runner import child

    gc.collect()
    gc.freeze()
    for directory, fate in json.loads(sys.argv[1]):
        job = os.fork()
        if job == 0:
            for each in (fate or "").split("+"):
                if each and not each.startswith("moment"):
                    doom(each)
            os._exit(child.run(Path(directory), None))
        if fate and fate.startswith("moment"):
            step, milliseconds = map(float, fate.split()[1:])
            strike(job, Path(directory) / "events.jsonl", int(step), milliseconds)
        _, status = os.waitpid(job, 0)
        killed = bool(fate) and fate.split()[0] in ("step", "saving", "moment")
        assert os.WIFSIGNALED(status) == killed, (directory, fate, status)


if __name__ == "__main__":
    main()
