"""The same training twice: the studio's child, and the script that one writes by hand with TRL; for start.py and overhead.py.

    python benchmarks/training.py hand|studio ATTEMPT_DIR

trains what ATTEMPT_DIR/spec.json says, and leaves ATTEMPT_DIR/took.json: when the first optimiser step ended, how many
steps there were, and the processor seconds of this process (all threads) between the first step's end and the last's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from common import ROOT

assert ROOT  # common makes the tests importable
ROWS = 400


def make_spec(job_id: str, home: Path, model: Path, **arguments: Any) -> dict[str, Any]:
    """A job's specification: rows of one length each, all of them trained on, on one processor thread."""
    from tests.runner.tiny import tiny_spec

    rows = home / "rows.jsonl"
    if not rows.exists():
        words = "w1 w2 w3 w4 w5 w6 w7 w8 w9 w1 w2 w3 w4 w5 w6 w7"
        rows.write_text(
            "".join(
                json.dumps({"question": f"{words} w{n % 90 + 10}", "answer": f"c w{n % 80 + 10}"}) + "\n"
                for n in range(ROWS)
            )
        )
    made = tiny_spec(job_id, home, model, rows, sampling={"split": 1.0}, max_length=64)
    made["training_arguments"] |= arguments
    return made


def attempt(home: Path, job_id: str, spec: dict[str, Any]) -> Path:
    """The directory of a first attempt, with its specification."""
    directory = home / "artifacts" / "jobs" / job_id / "1"
    directory.mkdir(parents=True)
    (directory / "spec.json").write_text(json.dumps(spec))
    return directory


def medium_model(directory: Path) -> Path:
    """A Llama with steps of some tens of milliseconds, and the tests' tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from tests.runner.tiny import WORDS, make_model

    make_model(directory)
    config = LlamaConfig(
        hidden_size=256, intermediate_size=1024, num_hidden_layers=4, num_attention_heads=4,
        vocab_size=len(WORDS), max_position_embeddings=128,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def by_hand(directory: Path) -> None:
    """What one writes with TRL's documentation at hand: no studio."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import SFTConfig, SFTTrainer

    spec = json.loads((directory / "spec.json").read_text())
    torch.set_num_threads(spec["resources"]["cpus"])
    set_seed(42)
    rows = [json.loads(line) for line in Path(spec["dataset"]["location"]).read_text().splitlines()]
    texts = Dataset.from_list([{"text": f"{row['question']} {row['answer']}"} for row in rows])
    where = spec["model"]["location"]
    config = SFTConfig(
        output_dir=str(directory / "out"), max_length=spec["max_length"], packing=False, bf16=False, use_cpu=True,
        gradient_checkpointing=False, report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
        **spec["training_arguments"],
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(where, dtype=torch.float32),
        args=config,
        train_dataset=texts,
        processing_class=AutoTokenizer.from_pretrained(where),
        peft_config=LoraConfig(**spec["lora"]),
    )
    trainer.train()
    trainer.save_model()


def run(way: str, directory: Path) -> None:
    """Train, with a clock that is the same for both ways."""
    _put_clock(directory / "took.json")
    if way == "hand":
        by_hand(directory)
        return
    from gpu_runner.child import run as run_child

    if run_child(directory, None):
        raise RuntimeError((directory / "events.jsonl").read_text()[-3000:])


def _put_clock(file: Path) -> None:
    """Give every trainer of TRL a callback that keeps times."""
    from transformers import TrainerCallback
    from trl import SFTTrainer

    class Clock(TrainerCallback):  # type: ignore[misc]
        first, cpu, steps = 0.0, 0.0, 0

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if not self.first:
                self.first, self.cpu, self.steps = time.time(), time.process_time(), state.global_step

        def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            spent, steps = time.process_time() - self.cpu, state.global_step - self.steps
            file.write_text(json.dumps({"first": self.first, "steps": steps, "cpu": spent}))

    train = SFTTrainer.train

    def timed(self: Any, *given: Any, **named: Any) -> Any:
        self.add_callback(Clock())
        return train(self, *given, **named)

    SFTTrainer.train = timed


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
