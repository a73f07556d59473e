"""What this host does and what the jobs take of it, measured once a second: it costs more than a report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from gpu_runner import limits
from gpu_runner.attempt import Attempt, Stage
from gpu_runner.usage import Sampler, of_gpus

MEASURE = 1.0  # seconds between measurements


class Measuring:
    """The newest measurements. `ask` tells of the host; of jobs nothing is measured when they are `elsewhere`."""

    def __init__(self, ask: Callable[[], dict[str, Any]], *, elsewhere: bool = False) -> None:
        self.telemetry: dict[str, Any] = {}
        self._elsewhere = elsewhere
        self._ask, self._sampler = ask, Sampler()
        self._measured = -MEASURE
        self._oom_kills = (limits.oom_kills(),) * 3  # when it was measured, and before: a death is seen later

    @property
    def starving(self) -> bool:
        """Whether the kernel has ended processes for want of memory just now."""
        return not self._elsewhere and limits.oom_kills() > self._oom_kills[0]

    def take(self, now: float, attempts: Iterable[Attempt]) -> None:
        """Measure, when it is time to; what running attempts take is noted with them. `now` is monotonic."""
        if now < self._measured + MEASURE:
            return
        self._measured, self.telemetry = now, self._ask()
        self._oom_kills = (*self._oom_kills[1:], limits.oom_kills())
        if self._elsewhere:
            return
        running = {each.child.pid: each for each in attempts if each.stage is Stage.running and each.child is not None}
        taken = self._sampler.sample(running, now)
        for pid, attempt in running.items():
            gpus = of_gpus(attempt.gpus, self.telemetry.get("gpus", ()))
            attempt.usage.add(time.time(), taken.get(pid, {}) | gpus)
