"""An evaluation of a base model and three adapters of it, against the same by four scripts: one process each, a pipeline of two.

    python benchmarks/evaluation.py [MODEL] [--rows 100] [--steps 40]

MODEL is the demo's, converted (gpu_runner/demo_model.py); without it, it is converted first. The adapters are trained
here with differing settings, for a few steps. Both sides begin with a fresh process, answer the demo's held-out tickets
greedily in fp32 with as many threads as this process may use, and are timed to their end; ours scores the answers too.
Answers that differ are looked at: where they part, the two best logits must lie within 1e-4.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

from common import ROOT, heading, table, target

DEMO = ROOT / "configs" / "demo"
PROMPT = json.loads((DEMO / "prompt.json").read_text())
NEW, TIE = 12, 1e-4
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
ADAPTERS: dict[str, dict[str, Any]] = {
    "small": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "wide": {"r": 16, "lora_alpha": 32, "target_modules": ALL},
    "bold": {"r": 32, "lora_alpha": 128, "target_modules": ALL},
}
THREADS = len(os.sched_getaffinity(0))


def main() -> None:
    """Train, time both sides, compare the answers."""
    parser = argparse.ArgumentParser(description="Measure an evaluation against four separate scripts.")
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--steps", type=int, default=40)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fts-bench-", ignore_cleanup_errors=True) as place:
        home = Path(place)
        model = given.model.resolve() if given.model else _converted(home / "model")
        rows = _rows(home / "rows.csv", given.rows)
        adapters = {name: _trained(home, name, model, given.steps) for name in ADAPTERS}
        heading(f"base and {len(adapters)} adapters on {len(rows)} rows, {THREADS} threads")
        ours, answers = _ours(home, model, adapters)
        theirs, alone = _theirs(home, model, adapters)
        whole = reduce(add, theirs.values())
        took = {"one evaluation, scored": ours, **{f"script: {name}": each for name, each in theirs.items()}}
        took["four scripts"] = whole
        table(["", "seconds", "of the processor"], [[name, each.wall, each.cpu] for name, each in took.items()])
        parted = _parted(model, adapters, rows, answers, alone)
        table(["", "equal", "near ties", "other"], parted)
        target("answers that differ without a tie", float(sum(int(str(row[3])) for row in parted)), at_most=0)
        target("share of the four scripts' wall time", ours.wall / whole.wall, at_most=0.4)
        target("share of their processor time", ours.cpu / whole.cpu, at_most=0.4)


def _converted(target: Path) -> Path:
    from gpu_runner.demo_model import convert

    convert(target)
    return target


def _rows(file: Path, count: int) -> list[dict[str, str]]:
    """The first tickets of the demo that are held out, as a file too."""
    with (DEMO / "heldout.csv").open(newline="") as held_out:
        rows = list(csv.DictReader(held_out))[:count]
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return rows


def _source(name: str, where: Path) -> dict[str, str]:
    return {"id": name, "name": name, "location": str(where)}


def _prompt() -> dict[str, str]:
    return {"id": "p", **PROMPT}


def _run(home: Path, spec: dict[str, Any]) -> tuple[Took, Path]:
    """Run a job's child as a process of its own; (what it took, the attempt's directory). Raises RuntimeError when it fails."""
    directory = home / "artifacts" / "jobs" / str(spec["job_id"]) / "1"
    directory.mkdir(parents=True)
    (directory / "spec.json").write_text(json.dumps(spec))
    command = f"from pathlib import Path; from gpu_runner.child import run; run(Path({str(directory)!r}), None)"
    seconds = _timed([sys.executable, "-c", command])
    last = json.loads((directory / "events.jsonl").read_text().splitlines()[-1])
    if last.get("outcome") != "succeeded":
        raise RuntimeError(json.dumps(last)[:3000])
    return seconds, directory


@dataclass(frozen=True)
class Took:
    """Seconds by the clock, and of the processor: on a machine that others use these tell more."""

    wall: float
    cpu: float

    def __add__(self, other: Took) -> Took:
        return Took(self.wall + other.wall, self.cpu + other.cpu)


def _spent() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _timed(command: list[str]) -> Took:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(THREADS)}
    begun, spent = time.perf_counter(), _spent()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    took = Took(time.perf_counter() - begun, _spent() - spent)
    print(f"  {took.wall:.1f} s", flush=True)
    return took


def _trained(home: Path, name: str, model: Path, steps: int) -> Path:
    arguments = {
        "max_steps": steps, "per_device_train_batch_size": 4, "learning_rate": 1e-3, "save_strategy": "no", "bf16": True,
        "logging_steps": steps, "warmup_steps": 2,
    }  # fmt: skip
    data = {"id": "d", "name": "d", "type": "project_csv", "location": str(DEMO / "train.csv")}
    spec = {
        "kind": "fine_tuning", "job_id": name, "name": name, "model": _source("m", model), "dataset": data,
        "prompt": _prompt(), "sampling": {"split": 1.0}, "training_arguments": arguments, "packing": False,
        "lora": {**ADAPTERS[name], "task_type": "CAUSAL_LM"}, "max_length": 160, "loss_on": "completion",
        "length_grouped": True, "out_dir": str(home / "adapters"),
        "resources": {"cpus": THREADS, "gpus": 0, "memory": 4},
    }  # fmt: skip
    _run(home, spec)
    return home / "adapters" / name / "1"


def _ours(home: Path, model: Path, adapters: dict[str, Path]) -> tuple[Took, dict[str, list[str]]]:
    """The studio's evaluation: seconds, and each combination's answers."""
    pairs: list[tuple[str, Path | None]] = [("base", None), *adapters.items()]
    spec = {
        "kind": "evaluation", "job_id": "batch", "name": "batch", "prompt": _prompt(),
        "combinations": [
            {
                "job_id": name, "run_number": number, "model": _source("m", model),
                "adapter": _source(name, where) if where else None,
            }
            for number, (name, where) in enumerate(pairs, 1)
        ],
        "dataset": {"id": "d", "name": "d", "type": "project_csv", "location": str(home / "rows.csv")},
        "generation": {"do_sample": False, "max_new_tokens": NEW},
        "resources": {"cpus": THREADS, "gpus": 0, "memory": 4},
    }  # fmt: skip
    seconds, directory = _run(home, spec)
    lines = {name: (directory / f"answers-{name}.jsonl").read_text().splitlines() for name, _ in pairs}
    return seconds, {name: [json.loads(line)["answer"] for line in each] for name, each in lines.items()}


def _theirs(home: Path, model: Path, adapters: dict[str, Path]) -> tuple[dict[str, Took], dict[str, list[str]]]:
    """The scripts, one after the other: seconds of each, and its answers."""
    seconds, answers = {}, {}
    for name, where in {"base": None, **adapters}.items():
        out = home / f"{name}.json"
        asked = [sys.executable, __file__, "--script", str(model), str(where or ""), str(home / "rows.csv"), str(out)]
        seconds[name] = _timed(asked)
        answers[name] = json.loads(out.read_text())
    return seconds, answers


def by_hand(model: str, adapter: str, rows: str, out: str) -> None:
    """What one writes with the libraries' documentation at hand: no studio."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, pipeline

    torch.set_num_threads(THREADS)
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    asked: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    if adapter:
        from peft import PeftModel

        asked = PeftModel.from_pretrained(asked, adapter).eval()
    answers = pipeline("text-generation", model=asked, tokenizer=tokenizer)
    with Path(rows).open(newline="") as file:
        prompts = [PROMPT["input_template"].format(**row) for row in csv.DictReader(file)]
    made = answers(prompts, batch_size=2, max_new_tokens=NEW, do_sample=False, return_full_text=False)
    Path(out).write_text(json.dumps([each[0]["generated_text"].strip() for each in made]))


def _parted(
    model: Path,
    adapters: dict[str, Path],
    rows: list[dict[str, str]],
    ours: dict[str, list[str]],
    theirs: dict[str, list[str]],
) -> list[list[object]]:
    """Of each combination, how many answers are equal, part at a tie, or part otherwise."""
    found: list[list[object]] = []
    for name in ours:
        apart = [place for place, pair in enumerate(zip(ours[name], theirs[name], strict=True)) if pair[0] != pair[1]]
        ties = _ties(model, adapters.get(name), [rows[place] for place in apart]) if apart else 0
        found.append([name, len(ours[name]) - len(apart), ties, len(apart) - ties])
    return found


def _ties(model: Path, adapter: Path | None, rows: list[dict[str, str]]) -> int:
    """Of how many rows, answered alone, the two best logits lie within TIE somewhere in the answer."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    asked: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    asked = PeftModel.from_pretrained(asked, adapter).eval() if adapter else asked
    count = 0
    for row in rows:
        given = tokenizer(PROMPT["input_template"].format(**row), return_tensors="pt")
        out = asked.generate(
            **given, max_new_tokens=NEW, do_sample=False, output_logits=True, return_dict_in_generate=True
        )
        best = torch.stack([each[0].topk(2).values for each in out.logits])
        count += bool((best[:, 0] - best[:, 1] < TIE).any())
    return count


if __name__ == "__main__":
    if sys.argv[1:2] == ["--script"]:
        by_hand(*sys.argv[2:])
    else:
        main()
