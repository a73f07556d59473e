"""Evaluations as a runner's child does them, in this process: a tiny base, adapters good and bad, an attempt's directory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_runner import child
from gpu_runner.spool import read_records
from tests.runner.tiny import make_model, make_rows

ROWS = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model, rows, and adapters: two good ones, one without a weight, one that is cut short."""
    import torch
    from peft import LoraConfig, get_peft_model
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForCausalLM

    root = tmp_path_factory.mktemp("made")
    make_model(root / "base")
    make_rows(root / "rows.jsonl", ROWS)
    for number, name in enumerate(("one", "two")):
        torch.manual_seed(number)
        model = AutoModelForCausalLM.from_pretrained(root / "base")
        config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
        get_peft_model(model, config).save_pretrained(root / name)
    shutil.copytree(root / "one", root / "lacking")
    weights = load_file(root / "one" / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, root / "lacking" / "adapter_model.safetensors")
    shutil.copytree(root / "one", root / "torn")
    torn = root / "torn" / "adapter_model.safetensors"
    torn.write_bytes(torn.read_bytes()[:200])
    return root


@pytest.fixture
def spec(made: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """A specification of the combinations named: "base", "gone" (a base that is not there), or an adapter."""

    def of(*names: str, **extra: Any) -> dict[str, Any]:
        return {
            "kind": "evaluation",
            "job_id": "batch",
            "name": "compare",
            "combinations": [combination(made, name, number) for number, name in enumerate(names, 1)],
            "dataset": {"id": "d", "name": "d", "type": "project_jsonl", "location": str(made / "rows.jsonl")},
            "prompt": {
                "id": "p",
                "name": "p",
                "prompt_template": "{question} {answer}",
                "input_template": "{question}",
                "completion_template": " {answer} ",
            },
            "selected_features": ["answer"],
            "generation": {"do_sample": False, "max_new_tokens": 4},
            "resources": {"cpus": 1, "gpus": 0, "memory": 1},
            **extra,
        }

    return of


def combination(made: Path, name: str, number: int) -> dict[str, Any]:
    base = "gone" if name == "gone" else "base"
    adapter = None if name in ("base", "gone") else {"id": name, "name": name, "location": str(made / name)}
    model = {"id": base, "name": base, "location": str(made / base)}
    return {"job_id": f"{number}-{name}", "run_number": number, "model": model, "adapter": adapter}


class Attempt:
    """An attempt's directory, run as the child runs it."""

    def __init__(self, root: Path, number: int = 1) -> None:
        self.root, self.directory = root, root / "jobs" / "batch" / str(number)
        self.directory.mkdir(parents=True)

    def run(self, spec: dict[str, Any]) -> list[dict[str, Any]]:
        (self.directory / "spec.json").write_text(json.dumps(spec))
        child.run(self.directory, None)
        return self.records()

    def order(self, **control: Any) -> None:
        (self.directory / "control.json").write_text(json.dumps(control))

    def records(self) -> list[dict[str, Any]]:
        return read_records(self.directory / "events.jsonl", 0, 1 << 24)[0]

    def scored(self) -> dict[str, dict[str, Any]]:
        """The last word on each combination."""
        return {record["job_id"]: record for record in self.records() if record["type"] == "scored"}

    def answers(self, name: str) -> list[dict[str, Any]]:
        return self.answers_of(self.root, name)

    @staticmethod
    def answers_of(root: Path, name: str) -> list[dict[str, Any]]:
        """What the newest attempt below `root` that has them answered."""
        *_, path = sorted(root.glob(f"jobs/batch/*/answers-{name}.jsonl"))
        return [json.loads(line) for line in path.read_text().splitlines()]


def finished(records: list[dict[str, Any]]) -> dict[str, Any]:
    assert records[-1]["type"] == "finished"
    return records[-1]


def texts(attempt: Attempt, name: str) -> list[str]:
    return [each["answer"] for each in attempt.answers(name)]
