"""The real Axolotl, as `fts engine install axolotl` installs it: `make axolotl`. AXOLOTL_HOME names the studio that has it (.app)."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors import safe_open

from core import engines
from core.axolotl import shipped_template
from core.settings import Settings
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, tiny_spec

CONFIG = {
    "datasets": [{"type": "alpaca"}], "adapter": "lora", "lora_r": 4, "lora_alpha": 8, "lora_dropout": 0.1,
    "lora_target_modules": ["q_proj", "v_proj"], "sequence_len": 64, "micro_batch_size": 2, "num_epochs": 1,
    "gradient_accumulation_steps": 1, "learning_rate": 0.01, "optimizer": "adamw_torch", "logging_steps": 1, "save_steps": 3,
}  # fmt: skip
PROMPT = {"id": "p", "name": "p", "prompt_template": "{instruction} {output}"}
PROMPT |= {"input_template": "{instruction}", "completion_template": " {output}"}
pytestmark = [pytest.mark.axolotl, pytest.mark.timeout(1_800)]
Run = Callable[..., Attempt]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run an attempt of a job with the real Axolotl on the processor: 21 rows, 11 steps."""
    monkeypatch.setenv("FTS_HOME", os.environ.get("AXOLOTL_HOME", ".app"))
    assert engines.installed(Settings(), "axolotl") is not None, "fts engine install axolotl"
    model = make_model(tmp_path / "model")
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"instruction": f"w{n} a b", "output": f"c w{n}"}) + "\n" for n in range(24)))

    def run(job: str, number: int, config: dict[str, Any], during: Any = None, **extra: Any) -> Attempt:
        fields = {"framework": "axolotl", "axolotl_config": yaml.safe_dump(config), "prompt": PROMPT, **extra}
        attempt = Attempt(tmp_path, number, job)
        if during is not None:
            threading.Thread(target=during, args=(attempt,), daemon=True).start()
        attempt.run(tiny_spec(job, tmp_path, model, rows, **fields))
        return attempt

    return run


def pausing(attempt: Attempt) -> None:
    """Pause once the fourth step is told."""
    while not any(record["step"] >= 4 for record in attempt.records("metrics")):
        time.sleep(0.1)
    (attempt.directory / "control.json").write_text(json.dumps({"order": "pause"}))


def test_a_paused_training_goes_on_to_the_adapter_of_one_that_was_left_alone_to_the_bit(run: Run) -> None:
    spared = run("spared", 1, CONFIG)
    assert spared.finished()["outcome"] == "succeeded" and spared.finished()["summary"]["steps"] == 11
    losses = [record["values"]["loss"] for record in spared.records("metrics") if "loss" in record["values"]]
    assert len(losses) == 11 and all(0 < loss < 10 for loss in losses)
    paused = run("job", 1, CONFIG, during=pausing)
    assert paused.finished()["outcome"] == "paused"
    step = paused.records("checkpoint")[-1]["step"]
    resumed = run("job", 2, CONFIG)
    assert [record["from_step"] for record in resumed.records("resumed")] == [step]
    assert resumed.adapter().read_bytes() == spared.adapter().read_bytes()
    with safe_open(resumed.adapter(), "pt") as weights:
        assert any(weights.get_tensor(name).abs().sum() > 0 for name in weights.keys() if "lora_B" in name)  # noqa: SIM118


def test_the_shipped_template_trains_by_the_prompt(run: Run) -> None:
    template = yaml.safe_load(shipped_template())
    attempt = run("template", 1, {**template, "load_in_8bit": False, "sequence_len": 64, "num_epochs": 1})
    assert attempt.finished()["outcome"] == "succeeded", attempt.finished()["error"]["message"]
    assert attempt.records("artifact")


def test_what_axolotl_refuses_is_told_by_its_keys(run: Run) -> None:
    error = run("refused", 1, {**CONFIG, "lora_r": "many", "micro_batch_size": "few"}).finished()["error"]
    assert error["kind"] == "user_error" and "lora_r" in error["message"] and "micro_batch_size" in error["message"]
