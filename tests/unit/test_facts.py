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
        ({"output_dir": "/x"}, "output_dir can't be set here"),
        ({"__class__": 1}, "is not a key of"),
    ],
)
def test_what_would_fail_or_harm_is_told(content: dict[str, object], said: str) -> None:
    (text,) = wrong(TRAINING, content)
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
