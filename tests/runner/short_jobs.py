"""Runs attempts one after another, each forked from this process and with so much memory to spare: `short_jobs.py PLAN`.

PLAN is a JSON list of [attempt directory, MiB of address space beyond what the process has when the job begins, or null].
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
from pathlib import Path

from gpu_runner import bnb


def main() -> None:
    bnb.keep_out()
    import gpu_runner.train  # noqa: F401  # what takes seconds is imported once
    from gpu_runner import child

    gc.collect()
    gc.freeze()
    for directory, spare in json.loads(sys.argv[1]):
        job = os.fork()
        if job == 0:
            if spare is not None:
                has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
                resource.setrlimit(resource.RLIMIT_AS, (has + (spare << 20),) * 2)
            os._exit(child.run(Path(directory), None))
        os.waitpid(job, 0)


if __name__ == "__main__":
    main()
