"""What is trained and how: whole models, quantised bases, variants of LoRA, and what this machine can't do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from gpu_runner import abilities
from gpu_runner import device as device_module
from gpu_runner.device import Device
from tests.runner.attempts import Attempt
from tests.runner.tiny import WORDS, make_model, make_rows, tiny_spec

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
FOUR = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_use_double_quant": True}
EIGHT = {"load_in_8bit": True}


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


def evaluated(spec: dict[str, Any], attempt: Attempt, model: Path, adapter: Path | None = None) -> dict[str, Any]:
    """The scores of a model, with an adapter or without, on the rows that a training held out."""
    adapted = None if adapter is None else {"id": "a", "name": "a", "location": str(adapter)}
    combination = {
        "job_id": "1", "run_number": 1, "model": {"id": "m", "name": "m", "location": str(model)}, "adapter": adapted,
        "chat_template": spec.get("chat_template", False),
    }  # fmt: skip
    made = {name: spec[name] for name in ("dataset", "prompt", "sampling", "resources")}
    more = {"kind": "evaluation", "job_id": "batch", "name": "n", "combinations": [combination]}
    attempt.run({**made, **more, "generation": {"do_sample": False, "max_new_tokens": 4}})
    scored = attempt.records("scored")[-1]
    assert scored["status"] == "succeeded", scored["error"]
    return dict(scored["values"])


def test_full_fine_tuning_leaves_a_model_that_is_a_base_like_any_other(spec: Any, base: Path, tmp_path: Path) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"num_train_epochs": 30, "logging_steps": 100}, method="full"))
    assert end["outcome"] == "succeeded", end["error"]
    assert end["summary"]["trained_parameters"] == end["summary"]["parameters"]
    (artifact,) = attempt.records("artifact")
    made = Path(artifact["path"])
    assert artifact["kind"] == "model" and made == tmp_path / "out" / "job" / "1"
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= artifact["files"].keys()
    before, after = (load_file(path / "model.safetensors") for path in (base, made))
    assert before.keys() == after.keys() and all(not torch.equal(before[name], after[name]) for name in before)
    assert AutoModelForCausalLM.from_pretrained(made).config.use_cache
    whole = spec(sampling={"split": 0.5})
    scores = [evaluated(whole, Attempt(tmp_path, 1, name), path) for name, path in (("b", base), ("f", made))]
    assert scores[0]["exact_match"] < 0.2 < 0.5 < scores[1]["exact_match"] and scores[1]["stopped_by_eos"] == 1
    model = {
        "id": "f",
        "name": "f",
        "location": str(made),
        "files": {"model.safetensors": artifact["files"]["model.safetensors"]},
    }
    second = Attempt(tmp_path, 1, "second")
    assert second.run(spec({"max_steps": 2}, job_id="second", model=model))["outcome"] == "succeeded"
    config = json.loads(second.adapter("adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(made)


def test_full_fine_tuning_of_half_precision_weights_trains_and_saves_full_ones(
    spec: Any, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: True)
    half = tmp_path / "half"
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(half)
    AutoTokenizer.from_pretrained(base).save_pretrained(half)
    attempt = Attempt(tmp_path)
    model = {"id": "m", "name": "m", "location": str(half)}
    assert attempt.run(spec({"bf16": True, "max_steps": 2}, method="full", model=model))["outcome"] == "succeeded"
    assert attempt.records("started")[0]["details"]["precision"] == "bf16"
    assert {each.dtype for each in load_file(attempt.adapter("model.safetensors")).values()} == {torch.float32}


def test_quantised_weights_are_not_trained_whole(spec: Any, tmp_path: Path) -> None:
    error = Attempt(tmp_path).run(spec(method="full", model_bnb=FOUR))["error"]
    assert error["kind"] == "user_error" and "quantised weights can't be trained" in error["message"]


@pytest.mark.parametrize("bnb", [FOUR, EIGHT], ids=["4 bit", "8 bit"])
def test_a_quantised_base_trains_on_a_processor_and_goes_on_after_a_pause_as_if_it_had_none(
    spec: Any, base: Path, tmp_path: Path, bnb: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_module, "cpu_has_bf16", lambda: True)
    whole = spec({"max_steps": 4, "bf16": True}, model_bnb=bnb, lora={"r": 4})
    spared = Attempt(tmp_path / "spared")
    end = spared.run(whole | {"out_dir": str(tmp_path / "other")})
    assert end["outcome"] == "succeeded", end["error"]
    assert ["quantised" in record["text"] for record in spared.records("warning")] == [True]
    weights = load_file(spared.adapter())
    assert {each.dtype for each in weights.values()} == {torch.float32}
    assert all(each.abs().sum() > 0 for name, each in weights.items() if "lora_B" in name)
    assert Attempt(tmp_path, 1).run(whole, order="pause")["outcome"] == "paused"
    second = Attempt(tmp_path, 2)
    second.run(whole)
    assert second.records("resumed")[0]["from_step"] == 1
    assert second.adapter().read_bytes() == spared.adapter().read_bytes()


@pytest.mark.parametrize(
    ("lora", "holds"),
    [({"use_dora": True}, "lora_magnitude_vector"), ({"use_rslora": True}, "lora_A"), ({"bias": "all"}, "lora_A")],
)
def test_variants_of_lora_train_and_load(
    spec: Any, base: Path, tmp_path: Path, lora: dict[str, Any], holds: str
) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 3}, lora={"r": 4, "target_modules": ["q_proj"], **lora}))
    assert end["outcome"] == "succeeded", end["error"]
    assert any(holds in name for name in load_file(attempt.adapter()))
    config = json.loads(attempt.adapter("adapter_config.json").read_text())
    assert all(config[name] == value for name, value in lora.items())
    PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), attempt.adapter().parent)


def test_without_target_modules_the_layers_of_the_models_family_are_adapted(
    spec: Any, base: Path, tmp_path: Path
) -> None:
    gpt2 = make_model(tmp_path / "gpt2")
    GPT2LMHeadModel(GPT2Config(n_embd=32, n_layer=1, n_head=2, vocab_size=len(WORDS), n_positions=64)).save_pretrained(
        gpt2
    )
    for number, (path, targets) in enumerate(
        [(base, {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}), (gpt2, {"c_attn", "c_proj", "c_fc"})], 1
    ):  # fmt: skip
        attempt = Attempt(tmp_path, 1, f"j{number}")
        model = {"id": "m", "name": "m", "location": str(path)}
        end = attempt.run(spec({"max_steps": 1}, job_id=f"j{number}", lora={"r": 2}, model=model))
        assert end["outcome"] == "succeeded", end["error"]
        assert set(json.loads(attempt.adapter("adapter_config.json").read_text())["target_modules"]) == targets
        (told,) = [each for each in attempt.records("log") if "adapter is trained on" in each["text"]]
        assert all(name in told["text"] for name in targets) and told["text"].endswith("as is usual for this model")


@pytest.mark.parametrize("method", ["lora", "full"])
def test_gradient_checkpointing_changes_memory_and_nothing_else(spec: Any, tmp_path: Path, method: str) -> None:
    lora = {"r": 4, "lora_dropout": 0.1, "target_modules": ["q_proj"]}
    weights = []
    for number, on in enumerate((False, True), 1):
        attempt = Attempt(tmp_path, 1, f"j{number}")
        end = attempt.run(
            spec({"max_steps": 3, "gradient_checkpointing": on}, job_id=f"j{number}", method=method, lora=lora)
        )
        assert end["outcome"] == "succeeded", end["error"]
        weights.append(
            load_file(attempt.adapter("model.safetensors" if method == "full" else "adapter_model.safetensors"))
        )
    for name, each in weights[0].items():
        torch.testing.assert_close(weights[1][name], each, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"attn_implementation": "flash_attention_2"},
            "flash_attention_2 was asked for, but there is no GPU: sdpa is used",
        ),
        ({"use_liger_kernel": True}, "use_liger_kernel was asked for, but liger-kernel is not installed here"),
        ({"tf32": True}, "tf32 was asked for, but there is no GPU"),
        ({"activation_offloading": True}, "activation_offloading was asked for, but there is no GPU"),
    ],
)
def test_what_this_machine_cant_do_is_told_and_done_without(spec: Any, tmp_path: Path, asked: Any, said: str) -> None:
    attempt = Attempt(tmp_path)
    end = attempt.run(spec({"max_steps": 1, **asked}))
    assert end["outcome"] == "succeeded", end["error"]
    assert [record["text"][: len(said)] for record in attempt.records("warning")] == [said]


@pytest.mark.parametrize(
    ("device", "installed", "used", "said"),
    [
        (Device("cuda", "bf16"), True, "flash_attention_2", None),
        (Device("cuda", "bf16"), False, "sdpa", "its package is not installed"),
        (Device("cuda", "fp32"), True, "sdpa", "half precision only"),
    ],
)
def test_flash_attention_is_used_where_a_gpu_a_half_precision_and_the_package_are(
    device: Device, installed: bool, used: str, said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(abilities.FLASH, "flash_attention_2", lambda: installed)
    told: list[str] = []
    asked = {"attn_implementation": "flash_attention_2", "tf32": True}
    assert abilities.able(asked, device, told.append) == asked | {"attn_implementation": used}
    assert len(told) == (said is not None) and all(str(said) in text for text in told)


def test_a_model_without_gradient_checkpointing_is_trained_without_and_that_is_told() -> None:
    told: list[str] = []
    model = type("Model", (), {"supports_gradient_checkpointing": False})()
    assert not abilities.checkpoints_gradients({"gradient_checkpointing": True}, model, told.append)
    assert "more memory" in told[0]


@pytest.mark.parametrize(
    "change",
    [
        {"arguments": {"optim": "galore_adamw"}},
        {"arguments": {"padding_free": True}},
        {"lora": {"r": 4, "target_modules": ["lm_head"]}},
    ],
)
def test_what_the_trainer_refuses_is_the_users_to_mend(spec: Any, tmp_path: Path, change: Any) -> None:
    error = Attempt(tmp_path).run(spec(**change))["error"]
    assert error["kind"] == "user_error" and "the trainer refuses the job" in error["message"] and error["hint"]
