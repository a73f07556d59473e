"""What the benchmarks share: a studio of their own, processes that end with them, percentiles, and a table to print.

Each is a script: `python benchmarks/roundtrip.py`. What is compared is measured interleaved in one run, and what was
started is stopped. A target that is missed is said so; the figures are never an error.
"""

from __future__ import annotations

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from core.queue import embedded
from core.settings import Settings
from gpu_runner.processes import started_at

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the tests' tiny model and stand-ins, before what a library installs under that name
os.environ["HF_HUB_OFFLINE"] = "1"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped then, too
for variable in [name for name in os.environ if name.startswith("FTS_")]:
    del os.environ[variable]

Row = Sequence[object]
MIB = 1 << 20


class Studio:
    """A studio in a temporary home with a Valkey of its own; what it starts ends with it."""

    def __init__(self, home: Path, stack: ExitStack) -> None:
        self.home, self._stack = home, stack
        self.settings = Settings(home=home / ".app", project=home)
        self.url = self.settings.redis_url
        self.environment = {
            **os.environ,
            "FTS_HOME": str(self.settings.root),
            "FTS_PROJECT": str(home),
            "FTS_TRACKING": "false",
            "PYTHONPATH": str(ROOT),
        }
        stack.callback(self._end_jobs)
        stack.callback(stop, embedded.start(self.settings.root))

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a Python process in the studio's environment; its log is LOG in the home."""
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *command], env=self.environment, cwd=self.home, stdout=log, stderr=log
            )
        self._stack.callback(stop, process)
        return process

    def actors(self, *queues: str) -> tuple[subprocess.Popen[bytes], float]:
        """Start the actors of some queues; the process, and the seconds until it served."""
        said, begun = self.said(), time.perf_counter()
        process = self.start("-m", "actors.app", *queues)
        until(
            lambda: b"ready:" in self.said()[len(said) :] or process.poll() is not None, "the actors serve", pause=0.002
        )
        if process.poll() is not None:
            raise RuntimeError(self.said().decode())
        return process, time.perf_counter() - begun

    def _end_jobs(self) -> None:
        """Jobs outlive their daemon: end those of this studio."""
        for path in self.settings.artifacts_root.glob("jobs/*/*/child.json"):
            child = json.loads(path.read_text())
            if started_at(child["pid"]) == child["started"]:
                os.killpg(child["pid"], signal.SIGKILL)

    @property
    def log(self) -> Path:
        """What its processes print."""
        return self.home / "log"

    def said(self) -> bytes:
        """What its processes printed so far."""
        return self.log.read_bytes() if self.log.exists() else b""


@contextmanager
def studio() -> Iterator[Studio]:
    """A studio without actors yet; it ends with the block."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fts-bench-", ignore_cleanup_errors=True)))
        yield Studio(home, stack)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process: asked first, killed after five seconds."""
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def until(true: Callable[[], Any], what: str, seconds: float = 60, pause: float = 0.01) -> Any:
    """Wait until it is true; its value. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not (value := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {what}")
        time.sleep(pause)
    return value


def milliseconds(exchange: Callable[[], object]) -> float:
    """How long a call takes."""
    begun = time.perf_counter()
    exchange()
    return 1000 * (time.perf_counter() - begun)


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of the values don't exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def interleaved(
    ways: dict[str, Callable[[], object]], rounds: int, spacing: float, warm: int = 3
) -> dict[str, list[float]]:
    """Milliseconds of each way in turn, `spacing` seconds before every call; the first `warm` rounds don't count."""
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds + warm):
        for name, exchange in ways.items():
            time.sleep(spacing)
            took[name].append(milliseconds(exchange))
    return {name: each[warm:] for name, each in took.items()}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and the half-width of its 95 % confidence interval (Student's t)."""
    half = _T95[min(len(values) - 1, 30)] * statistics.stdev(values) / math.sqrt(len(values))
    return statistics.fmean(values), half


# Two-sided 95 % points of Student's t by degrees of freedom, from any table of it; beyond 30 hardly anything changes.
_T95 = [
    math.inf, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
]  # fmt: skip


def table(heads: Sequence[str], rows: Sequence[Row]) -> None:
    """Print rows under their heads; numbers with three figures after the point at most."""
    lines = [list(heads), *([_shown(cell) for cell in row] for row in rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(heads))]
    for line in lines:
        first, *rest = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join([line[0].ljust(len(first)), *rest]))


def target(what: str, value: float, *, at_most: float | None = None, at_least: float | None = None) -> None:
    """Print a figure beside what was promised."""
    held = (at_most is None or value <= at_most) and (at_least is None or value >= at_least)
    bound = f"≤ {at_most:g}" if at_most is not None else f"≥ {at_least:g}"
    print(f"{'ok    ' if held else 'MISSED'} {what}: {_shown(value)} (target {bound})")


def heading(what: str) -> None:
    """Say what is measured, and how busy the machine is."""
    load = os.getloadavg()[0]
    print(f"{what}   [{os.cpu_count()} processors, load {load:.1f}, Python {sys.version.split()[0]}]", flush=True)


def _shown(cell: object) -> str:
    if not isinstance(cell, float):
        return str(cell)
    return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.1f}" if abs(cell) >= 10 else f"{cell:.3f}"
