"""What the studio costs a training: processor seconds a step, and the daemon's share of a core.

    python benchmarks/overhead.py [--pairs 12] [--steps 80]

Pairs of one training through the studio's child (with its spool, its orders and its trainer) and one by hand with TRL, in
turn and in changing order: the same model, rows, arguments and clock, one thread each, every one a fork of one process
that has the libraries imported. The clock counts the processor time of the training's process from the first step's end
to the last's. Then the real daemon watches a child that writes a record every tenth of a second.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import statistics
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import psutil
from common import heading, interval, studio, table, target, until
from progress import begin_job
from training import attempt, make_spec, medium_model, run

WATCHED = 10.0  # seconds


def forked(way: str, directory: Path) -> float:
    """Train in a fork of this process; processor seconds a step."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            printed = os.open(directory / "log.txt", os.O_CREAT | os.O_WRONLY)
            os.dup2(printed, 1)
            os.dup2(printed, 2)
            run(way, directory)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(code)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError((directory / "log.txt").read_text()[-3000:])
    took = json.loads((directory / "took.json").read_text())
    return float(took["cpu"] / took["steps"])


def pairs(home: Path, model: Path, count: int, steps: int) -> dict[str, list[float]]:
    """Processor seconds a step of both ways; the first pair does not count."""
    took: dict[str, list[float]] = {"hand": [], "studio": []}
    for number in range(count + 1):
        for way in ("hand", "studio") if number % 2 else ("studio", "hand"):
            job = f"{way}-{number}"
            spec = make_spec(job, home, model, max_steps=steps, per_device_train_batch_size=8)
            spec |= {"out_dir": str(home / "out")}
            took[way].append(forked(way, attempt(home, job, spec)))
    return {way: each[1:] for way, each in took.items()}


def show(took: dict[str, list[float]]) -> None:
    """Print the medians, and how much more the studio's child takes."""
    table(
        ["processor ms a step", "median", "least", "most"],
        [[way, *(1000 * f(each) for f in (statistics.median, min, max))] for way, each in took.items()],
    )
    more = [100 * (ours / theirs - 1) for ours, theirs in zip(took["studio"], took["hand"], strict=True)]
    mean, half = interval(more)
    print(
        f"the studio's child takes {mean:+.2f} % (95 % interval {mean - half:+.2f} to {mean + half:+.2f}) of {len(more)} pairs"
    )
    target("its mean, %", mean, at_most=2)


def daemon_share(rate: float) -> float:
    """Percent of a core that the daemon takes while its child writes `rate` records a second."""
    with studio() as running:
        running.actors("commands", "runners")
        daemon = psutil.Process(begin_job(running, rate=rate, records=1_000_000).pid)
        (running.settings.artifacts_root / "jobs" / f"{rate:g}" / "1" / "go").touch()

        def spent() -> float:
            times: Any = daemon.cpu_times()
            return float(times.user + times.system)

        time.sleep(2)  # past its start
        before = spent()
        time.sleep(WATCHED)
        return 100 * (spent() - before) / WATCHED


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--rate", type=float, default=10, help="records a second that the daemon's child writes")
    given = parser.parse_args()
    heading(f"the daemon's share of a core, {given.rate:g} records a second")
    target("percent of a core", daemon_share(given.rate), at_most=2)
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    for name in ("trl.trainer.sft_trainer", "peft", "datasets", "gpu_runner.train"):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with tempfile.TemporaryDirectory(prefix="fts-bench-") as made:
        home = Path(made)
        if (pid := os.fork()) == 0:  # this process must not compute before it forks
            medium_model(home / "medium")
            os._exit(0)
        os.waitpid(pid, 0)
        until((home / "medium" / "tokenizer.json").exists, "the model")
        heading(f"processor seconds a step, {given.pairs} pairs of {given.steps} steps")
        show(pairs(home, home / "medium", given.pairs, given.steps))


if __name__ == "__main__":
    main()
