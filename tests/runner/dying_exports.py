"""Runs attempts of exports one after another, each forked from this process: `dying_exports.py PLAN`.

PLAN is a JSON list of [attempt directory, fate]; fate is null or "MODULE NAME before|after": the attempt is killed when it
comes to that function, or when that has done what it does.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from gpu_runner import bnb


def doom(module: str, name: str, when: str) -> None:
    """Make this process kill itself at its fate; NAME may be CLASS.METHOD."""
    holder: Any = import_module(module)
    *classes, name = name.split(".")
    for each in classes:
        holder = getattr(holder, each)
    real = getattr(holder, name)

    def die(*args: Any, **others: Any) -> None:
        if when == "after":
            real(*args, **others)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(holder, name, die)


def main() -> None:
    bnb.keep_out()
    import gpu_runner.export  # what takes seconds is imported once

    if "registered" in sys.argv[1]:
        import gpu_runner.registered  # noqa: F401
    from gpu_runner import child

    gc.collect()
    gc.freeze()
    for directory, fate in json.loads(sys.argv[1]):
        job = os.fork()
        if job == 0:
            if fate:
                doom(*fate.split())
            os._exit(child.run(Path(directory), os.environ.get("TEST_TOKEN")))
        _, status = os.waitpid(job, 0)
        assert os.WIFSIGNALED(status) == bool(fate), (directory, fate, status)


if __name__ == "__main__":
    main()
