"""Runs attempts one after another, each forked from this process as the warm process does: `dying_jobs.py PLAN`.

PLAN is a JSON list of [attempt directory, fate]; fate is null, "step N" (killed as optimiser step N ends) or "saving N"
(killed when checkpoint N is written but has not got its name).
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from gpu_runner import bnb


def doom(fate: str) -> None:
    """Make this process kill itself at its fate."""
    from gpu_runner import checkpoint
    from gpu_runner.trainer import Reporter

    kind, number = fate.split()
    end_step, publish = Reporter.on_step_end, checkpoint.publish

    def die(self: Reporter, args: Any, state: Any, control: Any, **others: Any) -> Any:
        if state.global_step == int(number):
            os.kill(os.getpid(), signal.SIGKILL)
        return end_step(self, args, state, control, **others)

    def die_saving(draft: Path, final: Path) -> dict[str, str]:
        if final.name == f"checkpoint-{number}":
            os.kill(os.getpid(), signal.SIGKILL)
        return publish(draft, final)

    if kind == "step":
        Reporter.on_step_end = die
    else:
        checkpoint.publish = die_saving


def main() -> None:
    bnb.keep_out()
    import gpu_runner.train  # noqa: F401  # what takes seconds is imported once
    from gpu_runner import child

    gc.collect()
    gc.freeze()
    for directory, fate in json.loads(sys.argv[1]):
        job = os.fork()
        if job == 0:
            if fate:
                doom(fate)
            os._exit(child.run(Path(directory), None))
        _, status = os.waitpid(job, 0)
        assert os.WIFSIGNALED(status) == bool(fate), (directory, fate, status)


if __name__ == "__main__":
    main()
