"""What the training libraries accept: unknown, forbidden and older keys are told before a job begins."""

from __future__ import annotations

import pytest

from core.facts import default, facts, renamed, wrong
from core.types import ConfigType

TRAINING = ConfigType.training_arguments


@pytest.mark.parametrize(
    "kind", [TRAINING, ConfigType.lora_config, ConfigType.bitsandbytes_config, ConfigType.generation_config]
)
def test_the_shipped_defaults_are_legal(kind: ConfigType) -> None:
    assert default(kind)
    assert list(wrong(kind, default(kind))) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"learning_rat": 1e-4}, "the nearest known key is learning_rate"),
        ({"learning_rate": "high"}, "learning_rate must be float"),
        ({"learning_rate": True}, "learning_rate must be float"),
        ({"num_train_epochs": [1]}, "num_train_epochs must be"),
        ({"optim": "adamw_tourch"}, "the nearest is adamw_torch"),
        ({"eval_strategy": "sometimes"}, "eval_strategy must be one of no, steps, epoch"),
        ({"per_device_train_batch_size": 0}, "per_device_train_batch_size must be at least 1"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"adam_beta1": 2}, "adam_beta1 must be at most 1"),
        ({"eval_steps": -4}, "eval_steps must be at least 0"),
        ({"max_steps": -5}, "max_steps must be at least -1"),
        ({"output_dir": "/x"}, "output_dir can't be set here"),
        ({"__class__": 1}, "is not a key of"),
    ],
)
def test_what_would_fail_or_harm_is_told(content: dict[str, object], said: str) -> None:
    (text,) = wrong(TRAINING, content)
    assert said in text


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        (ConfigType.lora_config, {"r": 0}, "r must be at least 1"),
        (ConfigType.lora_config, {"lora_alpha": 0}, "lora_alpha must be at least 1"),
        (ConfigType.lora_config, {"lora_dropout": 1.5}, "lora_dropout must be at most 1"),
        (ConfigType.lora_config, {"bias": "some"}, "bias must be one of none, all, lora_only"),
        (ConfigType.lora_config, {"target_modules": 3}, "target_modules must be"),
        (ConfigType.bitsandbytes_config, {"bnb_4bit_quant_type": "int4"}, "must be one of fp4, nf4"),
        (ConfigType.bitsandbytes_config, {"bnb_4bit_compute_dtype": "torch.float16"}, "must be one of float16"),
        (ConfigType.bitsandbytes_config, {"load_in_4bit": "yes"}, "load_in_4bit must be bool"),
        (ConfigType.generation_config, {"top_p": 2}, "top_p must be at most 1"),
        (ConfigType.generation_config, {"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        (ConfigType.generation_config, {"temperature": "hot"}, "temperature must be float"),
        (ConfigType.generation_config, {"eos_token_id": "</s>"}, "eos_token_id must be int or list"),
    ],
)
def test_values_that_the_libraries_would_stumble_over_are_told(
    kind: ConfigType, content: dict[str, object], said: str
) -> None:
    (text,) = wrong(kind, content)
    assert said in text


@pytest.mark.parametrize(
    "content", [{"learning_rate": 1}, {"learning_rate": 1e-4, "max_steps": 10}, {"gradient_checkpointing": True}]
)
def test_legal_arguments_pass(content: dict[str, object]) -> None:
    assert list(wrong(TRAINING, content)) == []
    assert list(renamed(TRAINING, content)) == []


def test_older_keys_are_legal_and_their_new_names_told() -> None:
    content = {"warmup_ratio": 0.03, "evaluation_strategy": "steps"}
    assert list(wrong(TRAINING, content)) == []
    found = list(renamed(TRAINING, content))
    assert [text.split()[0] for text in found] == ["warmup_ratio", "evaluation_strategy"]
    assert "warmup_steps" in found[0]


def test_types_whose_content_is_free_have_no_facts() -> None:
    assert facts(ConfigType.custom) is None
    assert list(wrong(ConfigType.custom, {"anything": object()})) == []
