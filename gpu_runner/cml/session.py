"""The workers of this run at Cloudera's, asked for through the kernel's own Python (workers.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpu_runner.cml import workers

ASKING = 120.0  # seconds that an answer may take


class Refused(Exception):
    """Cloudera's workers API does not do what it is asked."""


class Workers:
    """The other pods, by the ids that Cloudera gave them."""

    def __init__(self) -> None:
        self.ids: dict[int, str] = {}  # by rank
        self._seen: set[int] = set()  # that were listed; one that waits for its pod may be in no list yet
        path = {"PYTHONPATH": os.environ["FTS_KERNEL_PATH"]} if "FTS_KERNEL_PATH" in os.environ else {}
        self._environment = {**os.environ, **path}

    def launch(self, rank: int, resources: dict[str, Any], environment: dict[str, str]) -> None:
        """Have a pod launched. Raises Refused."""
        script = os.environ.get("FTS_JOB_SCRIPT") or str(Path(__file__).with_name("job.py"))
        worker = {
            "cpu": resources["cpus"],
            "memory": resources["memory"],
            "nvidia_gpu": resources["gpus"],
            "script": script,
            "env": environment,
        }
        [self.ids[rank]] = self._ask(do="launch", worker=worker)

    def gone(self) -> list[int]:
        """The ranks of those that Cloudera has listed and lists no more; none while it can't be asked."""
        try:
            there = self._ask(do="list")
        except Refused:
            return []
        listed = {rank for rank, id in self.ids.items() if id in there}
        self._seen |= listed
        return sorted(self._seen - listed)

    def stop(self) -> None:
        """Have all of them stopped."""
        if self.ids:
            with suppress(Refused):
                self._ask(do="stop", ids=list(self.ids.values()))

    def _ask(self, **question: Any) -> Any:
        command = [os.environ.get("FTS_KERNEL") or sys.executable, workers.__file__]
        try:
            done = subprocess.run(
                command, input=json.dumps(question), env=self._environment, capture_output=True, text=True,
                timeout=ASKING, check=True,
            )  # fmt: skip
            return json.loads(done.stdout.splitlines()[-1])
        except subprocess.CalledProcessError as error:
            raise Refused((error.stderr.strip().splitlines() or ["it says nothing"])[-1][:500]) from None
        except (OSError, subprocess.TimeoutExpired, ValueError, IndexError) as error:
            raise Refused(str(error)[:500]) from None
