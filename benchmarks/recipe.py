"""The preset fast beside the guide's defaults: useful tokens a second, held-out score, and where the time of a step goes.

    python benchmarks/recipe.py [tune] [compare] [floor] [report] [--results FILE] [--minutes N] [--smoke]

Both fine-tune SmolLM2-135M on configs/demo, one epoch, on this machine's processors. `tune` tries a grid of learning rates
for each, by exact match on rows that the job itself holds out; `compare` trains with the best one and three seeds, in turn,
and asks the rows of heldout.csv; `floor` times the parts of a step beside a bare forward and backward pass of the same
batch. Every run is a process of its own, and its figures are in the results file when it ends: what is there is not run
again, so that all of it can be done in parts (--minutes ends after the run that is under way). Useful tokens are those of
rows, without padding; their time is that of the optimiser's steps, without reading, loading, evaluating and saving.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from common import ROOT, heading, table, target

from core.facts import default
from core.families import family
from core.messages import parse
from core.messages.choosing import translate
from core.types import ConfigType

DEMO = ROOT / "configs" / "demo"
MODEL = ROOT / "models" / "SmolLM2-135M-Instruct"
PRESETS = ("guide", "fast")
GRID = {"guide": (2e-4, 5e-4, 1e-3, 2e-3, 4e-3), "fast": (2e-4, 5e-4, 1e-3, 2e-3, 4e-3)}
OWN = {"guide": 2e-4, "fast": 1e-3}  # the presets' own rates, where none is tuned yet
SEEDS = (1, 2, 3)
PARTS = ("tune", "compare", "floor", "report")
FLOOR_STEPS = 12  # micro-batches that are timed; the first few warm up
WARM = 2
RATIO = 1.4


@dataclass(frozen=True)
class Run:
    """One training: its preset, learning rate and seed; what is asked after it (heldout, validation), or the floor."""

    part: str
    preset: str
    rate: float
    seed: int
    rows: int | None = None
    threads: int = 1

    @property
    def key(self) -> str:
        """Its name in the results file."""
        return f"{self.part} {self.preset} {self.rate:g} {self.seed}"


def main() -> None:
    """Do what is left of the parts that are asked for, and tell what there is."""
    asked = _arguments()
    if asked.run:
        print(json.dumps(execute(Run(**json.loads(asked.run)), asked.model)))
        return
    results = Results(asked.results)
    ends = time.monotonic() + 60 * asked.minutes
    heading("recipe: the preset fast beside the guide's defaults, SmolLM2-135M on configs/demo")
    for part in asked.parts or PARTS:
        if part == "report":
            report(results)
            continue
        for run in _runs(part, results, asked):
            if run.key in results.found:
                continue
            if time.monotonic() > ends:
                print("time is up: the same command goes on from here")
                return
            results.keep(run, _apart(run, asked.model))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="what to do; nothing: all")
    parser.add_argument("--results", type=Path, default=Path("recipe-results.json"), help="where figures are kept")
    parser.add_argument("--minutes", type=float, default=1e9, help="begin no run after so many")
    parser.add_argument("--model", type=Path, default=MODEL, help="SmolLM2 as safetensors; made when it is not there")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="processor cores of each training")
    parser.add_argument("--smoke", action="store_true", help="64 rows, one rate, one seed: whether it works at all")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    return parser.parse_args()


class Results:
    """Figures of runs by their keys, in a file that is whole at any moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.found: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}

    def keep(self, run: Run, figures: dict[str, Any]) -> None:
        """Add a run's figures."""
        self.found[run.key] = {**asdict(run), **figures}
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(self.found, indent=1))
        draft.replace(self.path)
        told = {name: value for name, value in figures.items() if isinstance(value, int | float)}
        print(run.key, " ".join(f"{name} {value:.4g}" for name, value in told.items()), flush=True)

    def of(self, part: str, preset: str) -> list[dict[str, Any]]:
        """The figures of a part's runs with that preset."""
        return [each for each in self.found.values() if (each["part"], each["preset"]) == (part, preset)]

    def best_rate(self, preset: str) -> float | None:
        """The learning rate with the best score on rows that its job held out; of equal ones that with the lower loss."""
        runs = self.of("tune", preset)
        return max(runs, key=lambda each: (each["score"], -each["eval_loss"]))["rate"] if runs else None


def _runs(part: str, results: Results, asked: argparse.Namespace) -> Iterator[Run]:
    """The runs of a part, presets in turn."""
    more, seeds = (64 if asked.smoke else None, asked.threads), SEEDS[:1] if asked.smoke else SEEDS
    if part == "tune":
        for place in range(len(GRID["guide"])):
            for preset in PRESETS:
                if not asked.smoke or place == 2:
                    yield Run(part, preset, GRID[preset][place], 0, *more)
        return
    for seed in seeds if part == "compare" else seeds[:1]:
        for preset in PRESETS:
            rate = results.best_rate(preset) or (OWN[preset] if part == "floor" else None)
            if rate is not None:
                yield Run(part, preset, rate, seed, *more)


def _apart(run: Run, model: Path) -> dict[str, Any]:
    """Execute a run in a process of its own; its figures."""
    command = [sys.executable, __file__, "--run", json.dumps(asdict(run)), "--model", str(model)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{run.key}: {done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def execute(run: Run, model: Path) -> dict[str, Any]:
    """Train, and ask what the run's part asks; in this process."""
    from gpu_runner.demo_model import convert

    convert(model)
    with tempfile.TemporaryDirectory(prefix="fts-recipe-") as home:
        spec = specification(run, Path(home), model)
        return _floor(spec, Path(home)) if run.part == "floor" else _score(run, spec, Path(home))


def specification(run: Run, home: Path, model: Path) -> dict[str, Any]:
    """The job as the studio would freeze it: the preset's values, and the rate and seed of the run."""
    fields = {"adapter_name": "recipe", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "preset": run.preset}
    asked: Any = parse("StartFineTuningJob", fields)
    arguments = json.loads(asked.training_arguments_config or "null") or default(ConfigType.training_arguments)
    lora = json.loads(asked.lora_config or "null") or family("LlamaForCausalLM").lora_config  # type: ignore[union-attr]
    train = (DEMO / "train.csv").read_text().splitlines(keepends=True)
    (home / "train.csv").write_text("".join(train[: run.rows + 1] if run.rows else train))
    return {
        "kind": "fine_tuning",
        "job_id": "recipe",
        "name": run.key,
        "model": {"id": "m", "name": "SmolLM2", "location": str(model)},
        "dataset": {"id": "d", "name": "d", "type": "project_csv", "location": str(home / "train.csv")},
        "prompt": {"id": "p", **json.loads((DEMO / "prompt.json").read_text())},
        "sampling": {"split": 0.9},
        "training_arguments": {**translate(arguments), "learning_rate": run.rate, "seed": run.seed},
        "lora": lora,
        **{name: getattr(asked, name) for name in ("max_length", "packing", "loss_on", "length_grouped")},
        "out_dir": str(home / "out"),
        "resources": {"cpus": run.threads, "gpus": 0, "memory": 4},
    }


def _child(home: Path, job: str, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a specification as a runner's child does; its records."""
    from gpu_runner import child
    from gpu_runner.spool import read_records

    directory = home / "artifacts" / "jobs" / job / "1"
    directory.mkdir(parents=True)
    (directory / "spec.json").write_text(json.dumps(spec))
    code = child.run(directory, None)
    records = read_records(directory / "events.jsonl", 0, 1 << 28)[0]
    if code:
        raise RuntimeError(json.dumps(records[-1]["error"])[-3000:])
    return records


def _score(run: Run, spec: dict[str, Any], home: Path) -> dict[str, Any]:
    """Speed of the training, and exact match of the adapter on rows that it did not see."""
    made = _child(home, "recipe", spec)[-1]["summary"]
    training = made["seconds"] - made["overhead_seconds"]
    heldout = {**spec["dataset"], "location": str(DEMO / "heldout.csv")}
    combination = {
        "job_id": "asked", "run_number": 1, "model": spec["model"],
        "adapter": {"id": "a", "name": "a", "location": made["location"]},
    }  # fmt: skip
    asked = {
        "kind": "evaluation", "job_id": "asked", "name": "asked", "combinations": [combination],
        "dataset": spec["dataset"] if run.part == "tune" else heldout, "prompt": spec["prompt"],
        "sampling": spec["sampling"] if run.part == "tune" else None,
        "generation": json.loads((DEMO / "generation.json").read_text()), "resources": spec["resources"],
    }  # fmt: skip
    scored = [each for each in _child(home, "asked", asked) if each["type"] == "scored"][-1]
    epochs = float(spec["training_arguments"]["num_train_epochs"])
    return {
        "tokens_per_second": made["tokens"] * epochs / training,
        "score": scored["values"]["exact_match"],
        "eval_loss": made["eval_loss"],
        "steps": made["steps"],
        "tokens": made["tokens"],
        "training_seconds": training,
        "peak_memory_bytes": made["peak_memory_bytes"],
    }


def _floor(spec: dict[str, Any], home: Path) -> dict[str, Any]:
    """Median milliseconds of a step's parts, per micro-batch, beside bare passes of the same batches, in turn."""
    import torch
    from transformers import TrainerCallback

    from gpu_runner.trainer import StudioTrainer

    took: dict[str, list[float]] = {}

    def note(name: str, since: float) -> float:
        now = time.perf_counter()
        took.setdefault(name, []).append(1000 * (now - since))
        return now

    class Parts(TrainerCallback):  # type: ignore[misc]
        at = 0.0

        def on_pre_optimizer_step(self, *given: Any, **others: Any) -> None:
            self.at = time.perf_counter()

        def on_optimizer_step(self, *given: Any, **others: Any) -> None:
            note("optimiser", self.at)

    def bare(self: Any, model: Any, inputs: dict[str, Any], positions: str) -> None:
        given = {name: value for name, value in inputs.items() if name != "labels"}
        began = time.perf_counter()
        if positions == "all":
            loss = model(**given, labels=inputs["labels"], use_cache=False).loss
        else:
            loss = model(**given, labels=inputs["labels"], fused_lm_head=True).loss
        trained = [each for each in model.parameters() if each.requires_grad]
        torch.autograd.grad(loss, trained)
        note(f"bare pass, loss on {positions} positions", began)

    step = StudioTrainer.training_step

    def timed(self: Any, model: Any, inputs: dict[str, Any], *others: Any, **more: Any) -> Any:
        given = self._prepare_inputs(inputs)
        for positions in ("all", "learned"):
            bare(self, model, given, positions)
        began = time.perf_counter()
        try:
            return step(self, model, inputs, *others, **more)
        finally:
            note("forward and backward", began)

    init = StudioTrainer.__init__
    StudioTrainer.training_step = timed  # type: ignore[method-assign]
    StudioTrainer.__init__ = lambda self, **given: (init(self, **given), self.add_callback(Parts()), None)[-1]  # type: ignore[method-assign]
    accumulation = int(spec["training_arguments"].get("gradient_accumulation_steps", 1))
    spec["training_arguments"]["max_steps"] = -(-FLOOR_STEPS // accumulation)
    spec["sampling"] = {"split": 1.0}
    made = _child(home, "recipe", spec)[-1]["summary"]
    medians = {name: statistics.median(values[WARM:] or values) for name, values in took.items()}
    medians["optimiser"] /= accumulation
    outside = sum(map(sum, took.values())) / 1000
    micro = len(took["forward and backward"])
    medians["all else"] = 1000 * max(0.0, made["seconds"] - made["overhead_seconds"] - outside) / micro
    return medians


def report(results: Results) -> None:
    """Tell what there is, and whether it is what was promised."""
    for preset in PRESETS:
        if tuned := results.of("tune", preset):
            told = ", ".join(
                f"{each['rate']:g}: {each['score']:.1%}" for each in sorted(tuned, key=lambda e: e["rate"])
            )
            print(f"\n{preset}: exact match by learning rate on rows held out by the job: {told}")
    compared = {preset: results.of("compare", preset) for preset in PRESETS}
    if all(compared.values()):
        _told(compared)
    for preset in PRESETS:
        for each in results.of("floor", preset):
            _told_floor(preset, each)


def _told(compared: dict[str, list[dict[str, Any]]]) -> None:
    middle = {
        preset: {
            name: statistics.median(each[name] for each in runs)
            for name in ("tokens_per_second", "score", "training_seconds", "steps", "peak_memory_bytes")
        }
        for preset, runs in compared.items()
    }
    rows = [
        (preset, f"{runs[0]['rate']:g}", len(runs), *(f"{value:.4g}" for value in middle[preset].values()))
        for preset, runs in compared.items()
    ]
    print()
    table(("preset", "rate", "seeds", "useful tokens/s", "held-out", "training s", "steps", "peak bytes"), rows)
    ratio = middle["fast"]["tokens_per_second"] / middle["guide"]["tokens_per_second"]
    target("useful tokens a second, fast beside guide", ratio, at_least=RATIO)
    target("held-out exact match, fast less guide", middle["fast"]["score"] - middle["guide"]["score"], at_least=0)


def _told_floor(preset: str, figures: dict[str, Any]) -> None:
    skipped = {"part", "preset", "rate", "seed", "rows", "threads"}
    parts = {name: value for name, value in figures.items() if name not in skipped}
    floor = parts["bare pass, loss on all positions"]
    print(f"\n{preset}: where the time of a micro-batch goes")
    table(("part", "ms", "of a bare pass"), [(name, value, f"{value / floor:.0%}") for name, value in parts.items()])
    step = sum(value for name, value in parts.items() if not name.startswith("bare"))
    print(f"a step's share: {step:.1f} ms, {step / floor:.2f} of a bare forward and backward pass")


if __name__ == "__main__":
    main()
