"""How far the memory that a plan tells is from what the training then takes: real runs of differing shapes on a processor.

    python benchmarks/estimate.py [--only NAME ...] [--factor 1.0] [--steps 4] [--json FILE]

Each model is made on the spot, from a few thousand parameters to SmolLM2-135M's size. Each run is planned first, by a job
forked from the warm process as the daemon does it, then trained by another; the estimate is made of what the plan found,
before the training begins. Measured is the child's VmHWM less what it held after the fork (gpu_runner/measure.py).
Memory does not depend on how busy the machine is: this may be run at any time. `--factor` makes other sizes and lengths
of all of them, which nothing was fitted to.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from common import MIB, heading, table, target, until

from actors.reckoning import tuning
from core.memory import estimate
from core.shapes import Shape
from core.spec import FineTuningSpec
from gpu_runner.files import Files
from gpu_runner.launch import Launch
from gpu_runner.starter import Starter

NEAR = 0.15  # of the measured peak
ENOUGH = 10 / 12  # of the runs
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
NF4 = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}


@dataclass(frozen=True)
class Model:
    """A model's sizes; `stored` is the type of its weights on disk."""

    hidden: int
    wide: int
    layers: int
    heads: int
    shared: int  # heads of keys and values
    words: int
    tied: bool = False
    stored: str = "float32"
    kind: str = "llama"


MODELS = {
    "tiny": Model(64, 256, 2, 4, 4, 500),
    "small": Model(192, 512, 6, 6, 6, 4_000),
    "gpt2": Model(320, 1280, 6, 5, 5, 10_000, kind="gpt2"),
    "medium": Model(448, 1280, 10, 7, 7, 24_000, stored="bfloat16"),
    "smollm2": Model(576, 1536, 30, 9, 3, 49_152, tied=True),  # SmolLM2-135M's own sizes
}


@dataclass(frozen=True)
class Run:
    """A training: a model, rows of up to `longest` words, sequences a micro-batch, and what it is told besides."""

    model: str
    longest: int
    batch: int
    arguments: dict[str, Any] = field(default_factory=dict)
    lora: dict[str, Any] = field(default_factory=lambda: {"r": 8, "target_modules": ["q_proj", "v_proj"]})
    more: dict[str, Any] = field(default_factory=dict)


EVERYWHERE = {
    "r": 16,
    "lora_alpha": 32,
    "lora_dropout": 0.05,
    "target_modules": ALL,
}  # all linear layers, as families' defaults
PLAIN = {"r": 16, "lora_alpha": 32, "target_modules": ALL}
GUIDE = {"optim": "paged_adamw_32bit", "gradient_accumulation_steps": 4}  # the guide's default arguments
RUNS = {
    "tiny LoRA": Run("tiny", 60, 8),
    "small LoRA, all layers": Run("small", 190, 8, lora=EVERYWHERE),
    "small packed": Run("small", 300, 2, lora=EVERYWHERE, more={"packing": True}),
    "small, one long row": Run("small", 1000, 1),
    "small full": Run("small", 120, 4, more={"method": "full"}),
    "small full, checkpointing": Run("small", 250, 8, {"gradient_checkpointing": True}, more={"method": "full"}),
    "gpt2-like LoRA": Run("gpt2", 160, 4, lora={"r": 8, "target_modules": ["c_attn"], "fan_in_fan_out": True}),
    "medium LoRA": Run("medium", 190, 4, lora=PLAIN),
    "medium DoRA": Run("medium", 120, 2, lora={**PLAIN, "use_dora": True}),
    "medium bf16": Run("medium", 250, 4, {"bf16": True}, PLAIN),
    "medium QLoRA 4 bit": Run("medium", 190, 4, lora=PLAIN, more={"model_bnb": NF4}),
    "medium QLoRA 8 bit": Run("medium", 250, 2, more={"model_bnb": {"load_in_8bit": True}}),
    "135M LoRA, completion": Run("smollm2", 120, 2, lora=PLAIN, more={"loss_on": "completion"}),
    "135M the guide's defaults": Run("smollm2", 60, 1, GUIDE, EVERYWHERE, {"packing": True, "max_length": 512}),
    "135M checkpointing": Run("smollm2", 250, 4, {"gradient_checkpointing": True}),
    "135M full": Run("smollm2", 90, 1, more={"method": "full"}),
}


def scaled(sizes: Model, factor: float) -> Model:
    """The model with widths, layers and words multiplied, as far as its heads allow."""
    hidden = sizes.heads * 2 * max(1, round(sizes.hidden * factor / sizes.heads / 2))
    layers, words = max(1, round(sizes.layers * factor)), max(500, round(sizes.words * factor))
    return replace(sizes, hidden=hidden, wide=round(sizes.wide * factor), layers=layers, words=words)


def in_a_fork(do: Callable[[], object]) -> None:
    """Do it in a child: this process must not compute before it forks the jobs' parent."""
    if (pid := os.fork()) == 0:
        try:
            do()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def make(sizes: Model, directory: Path) -> None:
    """Write a model of these sizes with random weights, and a tokenizer of as many words."""
    import torch
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", "<pad>", *(f"w{number}" for number in range(sizes.words - 4))]
    model: Any
    if sizes.kind == "gpt2":
        shape = {"n_embd": sizes.hidden, "n_inner": sizes.wide, "n_layer": sizes.layers, "n_head": sizes.heads}
        model = GPT2LMHeadModel(
            GPT2Config(**shape, vocab_size=sizes.words, n_positions=2048, bos_token_id=1, eos_token_id=2)
        )
    else:
        config = LlamaConfig(
            hidden_size=sizes.hidden, intermediate_size=sizes.wide, num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads, num_key_value_heads=sizes.shared, vocab_size=sizes.words,
            tie_word_embeddings=sizes.tied, max_position_embeddings=2048,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
    model.to(getattr(torch, sizes.stored)).save_pretrained(directory)
    made = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    ).save_pretrained(directory)


def write_rows(path: Path, run: Run, number: int) -> Path:
    """Rows of 30 % to 100 % of the run's longest, a tenth of each the answer."""
    dice = random.Random(path.name)
    lines = []
    for _ in range(number):
        size = dice.randint(max(4, run.longest * 3 // 10), run.longest)
        words = [f"w{dice.randint(0, 400)}" for _ in range(size - 1)]
        cut = max(1, len(words) // 10)
        lines.append(json.dumps({"question": " ".join(words[:-cut]), "answer": " ".join(words[-cut:])}))
    path.write_text("\n".join(lines) + "\n")
    return path


def specification(name: str, run: Run, home: Path, steps: int) -> dict[str, Any]:
    """The run as a runner is told of it."""
    from tests.runner.tiny import tiny_spec

    arguments = {"per_device_train_batch_size": run.batch, "max_steps": steps, "optim": "adamw_torch", **run.arguments}
    a_step = run.batch * int(arguments.get("gradient_accumulation_steps", 1))
    packs = 8 if run.more.get("packing") else 1
    rows = write_rows(home / f"{name}.jsonl", run, a_step * steps * packs)
    extra = {"lora": {"task_type": "CAUSAL_LM", **run.lora}, "max_length": 1024, "sampling": {"split": 1.0}}
    made = tiny_spec(name, home, home / run.model, rows, **{**extra, **run.more})
    return {**made, "training_arguments": arguments, "resources": {"cpus": os.cpu_count() or 1, "gpus": 0, "memory": 8}}


def forked(starter: Starter, home: Path, job: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The summary of a job that is forked from the warm process, as the daemon does it."""
    files = Files(home / "artifacts" / "jobs" / job / "1")
    files.directory.mkdir(parents=True)
    files.spec.write_text(json.dumps(spec))
    lock = files.take_lock()
    assert lock is not None
    how = starter.start(Launch(str(files.directory), "bench", cpus=os.cpu_count() or 1), lock, None)
    os.close(lock)
    until(lambda: starter.exit_code(str(files.directory)) is not None, f"the end of {job}", 3600, pause=0.05)
    last = json.loads(files.spool.read_text().splitlines()[-1])
    if how != "warm" or last.get("outcome") != "succeeded":
        raise RuntimeError(f"{job}: {how}: {json.dumps(last)[:3000]}")
    summary: dict[str, Any] = last["summary"]
    return summary


def measure(starter: Starter, home: Path, name: str, steps: int, factor: float) -> dict[str, Any]:
    """One run, planned and then trained; bytes."""
    run = replace(RUNS[name], longest=round(RUNS[name].longest * factor))
    if not (home / run.model).exists():
        in_a_fork(lambda: make(scaled(MODELS[run.model], factor), home / run.model))
    job = name.replace(" ", "-").replace(",", "").replace("'", "")
    spec = specification(job, run, home, steps)
    plan = forked(starter, home, f"{job}-plan", {"kind": "plan", "job_id": "p", "name": "plan", "request": spec})
    shape = Shape.model_validate(plan["shape"])
    parts = estimate(shape, tuning(FineTuningSpec.model_validate(spec), plan, "cpu"))
    took = forked(starter, home, job, spec)
    return {
        "run": name,
        "parameters": shape.parameters,
        "measured": took["peak_memory_bytes"],
        "estimated": parts.total,
        "parts": vars(parts),
        "planned_in": plan["took"],
        "seconds": took["seconds"],
    }


def show(found: list[dict[str, Any]]) -> None:
    """Print the table and what was promised."""
    rows = [
        [
            each["run"],
            f"{each['parameters'] / 1e6:.1f}M",
            round(each["measured"] / MIB),
            round(each["estimated"] / MIB),
            f"{100 * (each['estimated'] / each['measured'] - 1):+.0f} %",
            each["planned_in"],
        ]
        for each in found
    ]
    table(["run", "parameters", "measured MiB", "estimated MiB", "error", "planned in s"], rows)
    near = sum(abs(each["estimated"] / each["measured"] - 1) <= NEAR for each in found)
    target(f"runs within {NEAR:.0%} of the measured peak, of {len(found)}", near, at_least=int(ENOUGH * len(found)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="names of runs, or their beginnings")
    parser.add_argument("--factor", type=float, default=1.0, help="of all models' sizes and rows' lengths")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--json", type=Path, help="where the figures are left, too")
    given = parser.parse_args()
    chosen = [name for name in RUNS if not given.only or name.startswith(tuple(given.only))]
    starter = Starter(threading.Event().set)
    starter.tend(time.monotonic())
    found: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="fts-bench-") as made:
            until(lambda: starter.warm is not None and starter.warm.ready, "the warm process", 120)
            heading(f"peak memory of {len(chosen)} trainings, {given.steps} steps each")
            for name in chosen:
                found.append(measure(starter, Path(made), name, given.steps, given.factor))
                print(
                    f"{name}: {found[-1]['measured'] / MIB:.0f} MiB measured, {found[-1]['estimated'] / MIB:.0f} estimated",
                    flush=True,
                )
                if given.json:
                    given.json.write_text(json.dumps(found, indent=1))
    finally:
        starter.close()
    show(found)


if __name__ == "__main__":
    main()
