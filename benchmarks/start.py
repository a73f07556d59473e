"""How soon a job trains: from the request for its process to the end of its first optimiser step.

    python benchmarks/start.py [--rounds 5] [--smollm2 models/SmolLM2-135M-Instruct]

A job forked from the warm process (gpu_runner.starter, as the daemon does it) and a TRL script by hand that starts as a
process of its own, in turn, with the same model, rows and arguments. Seconds; ratios are of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from common import ROOT, heading, table, target, until
from training import attempt, make_spec

from gpu_runner.files import Files
from gpu_runner.launch import Launch
from gpu_runner.starter import Starter

STEPS = {"metrics", "progress"}  # what the child's spool says at the end of a step


def warm(starter: Starter, home: Path, job_id: str, spec: dict[str, Any]) -> float:
    """Seconds to the first step of a job forked from the warm process."""
    directory = attempt(home, job_id, spec)
    files, begun = Files(directory), time.time()
    lock = files.take_lock()
    assert lock is not None
    how = starter.start(Launch(str(directory), "bench", cpus=os.cpu_count() or 1), lock, None)
    os.close(lock)
    until(lambda: starter.exit_code(str(directory)) is not None, "the warm job's end", 120)
    said = [json.loads(line) for line in files.spool.read_text().splitlines()]
    if how != "warm" or said[-1].get("outcome") != "succeeded":
        raise RuntimeError(f"{how}: {said[-3:]}")
    return float(next(record["at"] for record in said if record["type"] in STEPS)) - begun


def cold(home: Path, job_id: str, spec: dict[str, Any]) -> float:
    """Seconds to the first step of the script by hand."""
    directory = attempt(home, job_id, spec)
    script, begun = str(Path(__file__).parent / "training.py"), time.time()
    subprocess.run([sys.executable, script, "hand", str(directory)], check=True, capture_output=True, cwd=ROOT)
    return float(json.loads((directory / "took.json").read_text())["first"]) - begun


def measure(starter: Starter, home: Path, model: Path, rounds: int) -> dict[str, list[float]]:
    """Seconds of both ways; the first round fills the disk's cache and does not count."""
    took: dict[str, list[float]] = {"cold script": [], "warm process": []}
    for number in range(rounds + 1):
        spec = make_spec("x", home, model, max_steps=2)
        spec["resources"]["cpus"] = os.cpu_count() or 1
        by_hand, forked = (f"{model.name}-{way}-{number}" for way in ("cold", "warm"))
        took["cold script"].append(cold(home, by_hand, {**spec, "job_id": by_hand}))
        took["warm process"].append(warm(starter, home, forked, {**spec, "job_id": forked}))
    return {name: each[1:] for name, each in took.items()}


def show(name: str, took: dict[str, list[float]], times: float) -> None:
    """Print the medians and what was promised."""
    middle = {way: statistics.median(each) for way, each in took.items()}
    table([name, "median s", "least", "most"], [[way, middle[way], min(each), max(each)] for way, each in took.items()])
    target(f"{name}: cold / warm", middle["cold script"] / middle["warm process"], at_least=times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--smollm2", type=Path, help="directory of the demo's model (gpu_runner.demo_model makes it)")
    given = parser.parse_args()
    from tests.runner.tiny import make_model

    starter = Starter(threading.Event().set)
    starter.tend(time.monotonic())
    try:
        with tempfile.TemporaryDirectory(prefix="fts-bench-") as made:
            home = Path(made)
            model = make_model(home / "tiny")
            until(lambda: starter.warm is not None and starter.warm.ready, "the warm process", 120)
            heading(f"request to first optimiser step, {given.rounds} rounds")
            show("tiny Llama", measure(starter, home, model, given.rounds), 10)
            if given.smollm2:
                show("SmolLM2-135M", measure(starter, home, given.smollm2.resolve(), given.rounds), 2)
    finally:
        starter.close()


if __name__ == "__main__":
    main()
