"""Early stopping, and the best weights in place of the last ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.spec import Sampling
from gpu_runner.data import sample_and_split
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
# So fast that it soon learns the training rows by heart, and nothing more of the held-out ones.
OVERFITS = {
    "learning_rate": 0.03,
    "num_train_epochs": 20,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "lr_scheduler_type": "constant",
}


@pytest.fixture
def spec(tmp_path: Path) -> Any:
    base = make_model(tmp_path / "base")

    def of(arguments: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
        lora = {"r": 8, "target_modules": "all-linear", "modules_to_save": ["lm_head"]}
        made = tiny_spec("job", tmp_path, base, make_rows(tmp_path / "rows.jsonl"), sampling={"split": 0.5}, lora=lora)
        made["training_arguments"].update(OVERFITS | (arguments or {}))
        return made | extra

    return of


def losses(attempt: Attempt) -> dict[int, float]:
    """Step -> the held-out loss that was told."""
    told = [record for record in attempt.records("metrics") if "eval_loss" in record["values"]]
    return {record["step"]: record["values"]["eval_loss"] for record in told}


def test_a_job_stops_when_its_held_out_loss_has_not_fallen_for_so_many_evaluations(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec(early_stopping_patience=3))
    assert end["outcome"] == "succeeded", end["error"]
    told, summary = losses(attempt), end["summary"]
    best = min(told, key=lambda step: told[step])
    assert summary["steps"] == best + 6 == max(told) < attempt.records("started")[0]["total_steps"]
    assert summary["stopped_early"] and summary["best_step"] == best and summary["best_eval_loss"] == told[best]
    assert summary["eval_loss"] == told[summary["steps"]]
    assert any("not fallen for 3 evaluations" in record["text"] for record in attempt.records("log"))


def test_a_job_with_patience_enough_goes_to_its_end(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 4}, early_stopping_patience=3))
    assert end["summary"]["steps"] == 4 and not end["summary"]["stopped_early"]


@pytest.mark.parametrize("method", ["lora", "full"])
def test_what_is_saved_are_the_weights_with_the_lowest_held_out_loss(spec: Any, tmp_path: Path, method: str) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 24}, keep_best=True, method=method))
    assert end["outcome"] == "succeeded", end["error"]
    best = end["summary"]["best_step"]
    assert 0 < best < 24 and end["summary"]["eval_loss"] == min(losses(attempt).values())
    until = Attempt(tmp_path, 1, "until")
    until.run(spec({"max_steps": best}, job_id="until", method=method))
    name = "model.safetensors" if method == "full" else "adapter_model.safetensors"
    assert attempt.adapter(name).read_bytes() == until.adapter(name).read_bytes()
    assert not (attempt.directory / "best.safetensors").exists()


def test_the_libraries_own_word_for_it_is_understood(spec: Any, tmp_path: Path) -> None:
    end = Attempt(tmp_path).run(spec({"max_steps": 24, "load_best_model_at_end": True}))
    assert end["summary"]["best_step"] < 24 and end["summary"]["eval_loss"] == end["summary"]["best_eval_loss"]


def test_without_an_eval_strategy_of_its_own_a_job_that_compares_losses_evaluates_ten_times(
    spec: Any, tmp_path: Path
) -> None:
    attempt = Attempt(tmp_path)
    whole = spec({"max_steps": 20}, keep_best=True)
    for name in ("eval_strategy", "eval_steps"):
        del whole["training_arguments"][name]
    attempt.run(whole)
    assert list(losses(attempt)) == list(range(2, 21, 2))


def test_where_nothing_is_held_out_that_is_told_and_the_last_weights_are_saved(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 2}, keep_best=True, early_stopping_patience=1, sampling={"split": 1.0}))
    assert end["outcome"] == "succeeded" and "best_step" not in end["summary"]
    assert any("no held-out rows" in record["text"] for record in attempt.records("warning"))


def test_a_job_paused_at_an_evaluation_makes_it_before_it_pauses(spec: Any, tmp_path: Path) -> None:
    spared = Attempt(tmp_path / "spared")
    whole = spec({"eval_steps": 1, "max_steps": 6}, keep_best=True, early_stopping_patience=4)
    spared.run(whole | {"out_dir": str(tmp_path / "other")})
    first, second = Attempt(tmp_path, 1), Attempt(tmp_path, 2)
    assert first.run(whole, order="pause")["outcome"] == "paused"
    assert list(losses(first)) == [1] and (first.directory / "checkpoints/checkpoint-1/best.safetensors").exists()
    second.run(whole)
    assert losses(first) | losses(second) == losses(spared)
    assert second.adapter().read_bytes() == spared.adapter().read_bytes()
    assert second.finished()["summary"]["best_step"] == spared.finished()["summary"]["best_step"]


def test_a_checkpoint_with_an_epochs_last_step_comes_after_its_evaluation(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    attempt.run(
        spec(
            {"num_train_epochs": 2, "eval_strategy": "epoch", "save_strategy": "steps", "save_steps": 3}, keep_best=True
        )
    )
    kinds = [record for record in attempt.records("metrics", "checkpoint") if "loss" not in record.get("values", {})]
    assert [(record["type"], record["step"]) for record in kinds] == [
        ("metrics", 3), ("checkpoint", 3), ("metrics", 6), ("checkpoint", 6),
    ]  # fmt: skip
    saved = load_file(attempt.directory / "checkpoints/checkpoint-6/best.safetensors")
    assert saved and all("lora_" in name or "modules_to_save" in name for name in saved)


def test_a_saved_best_adapter_has_the_loss_that_is_told(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 24, "per_device_eval_batch_size": 12}, keep_best=True))
    tokens = AutoTokenizer.from_pretrained(tmp_path / "base")
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), attempt.adapter().parent)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    _, held_out = sample_and_split({"train": rows}, Sampling(split=0.5))
    ids = [[*tokens(f"{row['question']} {row['answer']}")["input_ids"], tokens.eos_token_id] for row in held_out]
    with torch.no_grad():
        batch = torch.tensor(ids)
        loss = model(input_ids=batch, labels=batch).loss
    assert float(loss) == pytest.approx(end["summary"]["eval_loss"], rel=1e-4)


def test_a_job_paused_within_an_epoch_lets_go_without_an_evaluation(spec: Any, tmp_path: Path) -> None:
    first = Attempt(tmp_path, 1)
    whole = spec({"num_train_epochs": 2, "eval_strategy": "epoch"})
    assert first.run(whole, order="pause")["outcome"] == "paused"
    assert losses(first) == {} and first.checkpoints() == ["checkpoint-1"]
    second = Attempt(tmp_path, 2)
    second.run(whole)
    assert list(losses(second)) == [3, 6]  # at the epochs' ends
