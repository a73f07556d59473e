"""Fine-tuning jobs from their specification to their adapter, on a tiny Llama."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from core.events import RECORD
from gpu_runner import device as device_module
from gpu_runner.tokens import set_padding
from tests.runner.attempts import Attempt
from tests.runner.tiny import make_model, make_rows, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


@pytest.fixture
def spec(base: Path, tmp_path: Path) -> Any:
    """A specification of the tiny job with some fields replaced; `arguments` go over its training arguments."""

    def of(arguments: dict[str, Any] | None = None, **extra: Any) -> dict[str, Any]:
        made = tiny_spec("job", tmp_path, base, make_rows(tmp_path / "rows.jsonl")) | extra
        made["training_arguments"].update(arguments or {})
        return made

    return of


def test_a_job_tells_what_it_does_and_leaves_an_adapter_that_loads(spec: Any, base: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec())
    assert end["outcome"] == "succeeded" and end["error"] is None
    for record in attempt.records():
        RECORD.validate_python(record)
    (started,) = attempt.records("started")
    steps = [record for record in attempt.records("metrics") if "loss" in record["values"]]
    assert started["total_steps"] == len(steps) == steps[-1]["step"] == end["summary"]["steps"] == 6
    assert {"loss", "learning_rate", "grad_norm", "tokens_per_second"} <= steps[0]["values"].keys()
    assert [record for record in attempt.records("metrics") if "eval_loss" in record["values"]]
    last = attempt.records("progress")[-1]
    assert (last["step"], last["total_steps"], last["eta_seconds"]) == (6, 6, 0.0)
    assert {"train_loss", "eval_loss", "seconds", "tokens", "rows", "cut", "trained_parameters"} <= end[
        "summary"
    ].keys()
    (artifact,) = attempt.records("artifact")
    out = Path(artifact["path"])
    assert out == tmp_path / "out" / "job" / "1"
    for name, recorded in artifact["files"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == recorded
    assert {"adapter_model.safetensors", "adapter_config.json"} <= artifact["files"].keys()
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), out)
    assert any(each.abs().sum() > 0 for name, each in model.named_parameters() if "lora_B" in name)
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == str(base)
    assert json.loads((attempt.directory / "exit.json").read_text()) == {"outcome": "succeeded", "code": 0}
    assert attempt.noted()


@pytest.fixture(scope="module")
def gpt2_like(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """A base whose tokenizer has EOS and nothing to pad with."""
    made = shutil.copytree(base, tmp_path_factory.mktemp("gpt2") / "base")
    config = json.loads((made / "tokenizer_config.json").read_text())
    (made / "tokenizer_config.json").write_text(
        json.dumps({name: value for name, value in config.items() if name not in ("pad_token", "unk_token")})
    )
    raw = json.loads((made / "tokenizer.json").read_text())
    raw["added_tokens"] = [each for each in raw["added_tokens"] if each["content"] in ("<s>", "</s>")]
    (made / "tokenizer.json").write_text(json.dumps(raw))
    return made


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("loss_on", ["all", "completion"])
def test_a_model_learns_to_end_even_when_eos_pads(
    spec: Any, gpt2_like: Path, tmp_path: Path, packing: bool, loss_on: str
) -> None:
    rows = tmp_path / "ends.jsonl"
    rows.write_text(
        "".join(json.dumps({"question": "a " * (1 + n % 4) + "b", "answer": "c d"}) + "\n" for n in range(32))
    )
    attempt = Attempt(tmp_path)
    end = attempt.run(
        spec(
            {"max_steps": 80, "learning_rate": 0.02, "per_device_train_batch_size": 4, "logging_steps": 40},
            model={"id": "m", "name": "m", "location": str(gpt2_like)},
            dataset={"id": "d", "name": "d", "type": "project_jsonl", "location": str(rows)},
            sampling={"split": 1.0},
            lora={"r": 8, "target_modules": "all-linear", "modules_to_save": ["lm_head"]},
            packing=packing,
            loss_on=loss_on,
        )
    )
    assert end["outcome"] == "succeeded", end["error"]
    tokens = AutoTokenizer.from_pretrained(gpt2_like)
    assert set_padding(tokens) == tokens.eos_token
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(gpt2_like), end["summary"]["location"])
    asked = tokens("a a b", return_tensors="pt")["input_ids"]
    answer = model.generate(input_ids=asked, do_sample=False, max_new_tokens=6, pad_token_id=tokens.eos_token_id)
    assert tokens.convert_ids_to_tokens(answer[0, asked.shape[1] :]) == ["c", "d", "</s>"]


def test_a_paused_job_goes_on_in_its_next_attempt_and_ends_as_if_it_had_not_been_paused(
    spec: Any, tmp_path: Path
) -> None:
    whole = Attempt(tmp_path / "whole")
    whole.run(spec(out_dir=str(tmp_path / "other")))
    first, second = Attempt(tmp_path, 1), Attempt(tmp_path, 2)
    assert first.run(spec(), order="pause")["outcome"] == "paused"
    assert first.checkpoints() == ["checkpoint-1"] and first.records("artifact") == []
    weights = first.directory / "checkpoints" / "checkpoint-1" / "adapter_model.safetensors"
    assert first.records("checkpoint")[0]["files"] == {weights.name: hashlib.sha256(weights.read_bytes()).hexdigest()}
    assert json.loads((first.directory / "exit.json").read_text())["outcome"] == "paused"
    assert second.run(spec())["outcome"] == "succeeded"
    (resumed,) = second.records("resumed")
    assert resumed["from_step"] == 1 and resumed["path"] == "jobs/job/1/checkpoints/checkpoint-1"
    assert second.adapter().read_bytes() == whole.adapter().read_bytes()


def test_a_cancelled_job_ends_without_an_adapter(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    assert attempt.run(spec(), order="cancel")["outcome"] == "cancelled"
    assert not (tmp_path / "out").exists() and attempt.checkpoints() == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"arguments": {"lerning_rate": 1}}, "lerning_rate"),
        ({"arguments": {"save_strategy": "now and then"}}, "now and then"),
        ({"lora": {"r": 4, "target_modules": ["no_such"]}}, "no_such"),
        ({"lora": {"rank": 4}}, "rank"),
        ({"model": {"id": "m", "name": "m", "location": "/nowhere"}}, "/nowhere of the model m is gone"),
        ({"max_length": 1, "loss_on": "completion"}, "max_length"),
        ({"framework": "axolotl"}, "Axolotl"),
        ({"model_bnb": {"load_in_5bit": True}}, "load_in_5bit"),
    ],
)
def test_what_the_user_can_mend_is_told_with_a_hint(spec: Any, tmp_path: Path, change: Any, said: str) -> None:
    error = Attempt(tmp_path).run(spec(**change))["error"]
    assert error["kind"] == "user_error" and said in error["message"] and error["hint"]


def test_a_base_without_safetensors_or_with_torn_ones_is_refused(spec: Any, base: Path, tmp_path: Path) -> None:
    broken = shutil.copytree(base, tmp_path / "broken")
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    model = {"id": "m", "name": "m", "location": str(broken)}
    error = Attempt(tmp_path, 1).run(spec(model=model))["error"]
    assert error["kind"] == "user_error" and "m can't be loaded" in error["message"]
    weights.unlink()
    torch.save({}, broken / "pytorch_model.bin")  # a pickle can run code
    error = Attempt(tmp_path, 2).run(spec(model=model))["error"]
    assert error["kind"] == "user_error" and "m can't be loaded" in error["message"]


def test_a_base_whose_weights_changed_since_it_was_added_is_refused(spec: Any, base: Path, tmp_path: Path) -> None:
    model = {"id": "m", "name": "m", "location": str(base), "files": {"model.safetensors": "0" * 64}}
    error = Attempt(tmp_path).run(spec(model=model))["error"]
    assert "changed since the model was added" in error["message"]


def test_precision_that_the_device_lacks_is_told(spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: False)
    for number, asked in enumerate(("fp16", "bf16"), 1):
        attempt = Attempt(tmp_path, number)
        assert attempt.run(spec({asked: True, "max_steps": 1}))["outcome"] == "succeeded"
        assert any(asked in record["text"] for record in attempt.records("warning"))
        assert attempt.records("started")[0]["details"]["precision"] == "fp32"


def test_bf16_is_honoured_over_fp32_weights(spec: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: True)
    attempt = Attempt(tmp_path)
    assert attempt.run(spec({"bf16": True, "max_steps": 2}))["outcome"] == "succeeded"
    assert attempt.records("started")[0]["details"]["precision"] == "bf16" and not attempt.records("warning")
    from safetensors.torch import load_file

    assert {each.dtype for each in load_file(attempt.adapter()).values()} == {torch.float32}


def test_a_training_that_diverges_says_so_and_still_ends(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"learning_rate": 1e38, "max_grad_norm": 0.0, "logging_nan_inf_filter": False}))
    assert end["outcome"] == "succeeded"
    assert any("diverged" in record["text"] for record in attempt.records("warning"))


def test_rows_that_are_cut_are_told(spec: Any, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 1}, max_length=5))
    assert end["summary"]["cut"] > 0
    assert any("cut" in record["text"] for record in attempt.records("warning"))
    told = [record["text"] for record in attempt.records("log") if record["level"] == "warning"]
    assert any(text.startswith("only 1 step, which hardly changes the model") for text in told)
