"""What the studio lays over an Axolotl config, and what it tells of that."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from core.axolotl import shipped_template
from gpu_runner.engines.overlay import Laid, Places, lay

PLACES = Places(
    base="/models/base",
    revision=None,
    train="/a/train.jsonl",
    held_out="/a/held.jsonl",
    output="/a/out",
    prepared="/a/p",
)


def laid(asked: dict[str, Any], places: Places = PLACES, gpus: int = 0, prompted: bool = False) -> Laid:
    return lay(asked, places, gpus=gpus, processes=2, prompted=prompted)


def test_data_model_and_places_are_the_jobs_own() -> None:
    config = laid({"datasets": [{"path": "someones/rows", "type": "alpaca", "split": "x", "field": "kept"}]}).config
    own = {"path": "/a/train.jsonl", "ds_type": "json", "split": "train", "type": "alpaca", "field": "kept"}
    assert config["datasets"] == [own]
    assert config["test_datasets"] == [{**own, "path": "/a/held.jsonl"}] and "val_set_size" not in config
    assert (config["base_model"], config["output_dir"], config["dataset_prepared_path"]) == (
        "/models/base",
        "/a/out",
        "/a/p",
    )


def test_without_held_out_rows_nothing_is_evaluated() -> None:
    places = Places(**{**vars(PLACES), "held_out": None})
    config = laid({"val_set_size": 0.1, "evals_per_epoch": 4, "early_stopping_patience": 2}, places).config
    assert config["val_set_size"] == 0.0
    assert not {"evals_per_epoch", "early_stopping_patience", "test_datasets"} & config.keys()


def test_without_a_gpu_what_needs_one_is_done_otherwise_and_that_is_told() -> None:
    asked = {
        "bf16": True,
        "flash_attention": True,
        "optimizer": "adamw_bnb_8bit",
        "lora_mlp_kernel": True,
        "tf32": None,
    }
    found = laid(asked)
    assert found.config["attn_implementation"] == "sdpa" and "flash_attention" not in found.config
    assert (found.config["bf16"], found.config["optimizer"], found.config["lora_mlp_kernel"]) == (
        False,
        "adamw_torch",
        False,
    )
    told = " ".join(found.warnings)
    assert all(name in told for name in asked if name != "tf32") and len(found.warnings) == 4


def test_with_a_gpu_nothing_of_that_is_touched() -> None:
    asked = {"bf16": True, "flash_attention": True, "optimizer": "adamw_bnb_8bit", "lora_mlp_kernel": True}
    found = laid(asked, gpus=1)
    assert asked.items() <= found.config.items() and not found.warnings


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trainer_cls", "evil.Trainer"),
        ("deepspeed", "/tmp/ds.json"),
        ("hub_model_id", "me/mine"),
        ("wandb_project", "p"),
        ("use_mlflow", True),
        ("comet_api_key", "k"),
        ("hf_use_auth_token", True),
    ],
)
def test_what_would_run_others_code_or_tell_others_is_left_out_and_told(key: str, value: Any) -> None:
    found = laid({key: value}, gpus=1)
    assert key not in found.config and [text.partition(":")[0] for text in found.warnings] == [key]


def test_only_plugins_that_ship_with_axolotl_are_run() -> None:
    shipped = "axolotl.integrations.liger.LigerPlugin"
    found = laid({"plugins": [shipped, "evil.Plugin"]})
    assert found.config["plugins"] == [shipped, "fts_axolotl.Plugin"] and "evil.Plugin" in found.warnings[0]


def test_code_of_a_models_repository_is_never_run() -> None:
    assert (
        laid({"trust_remote_code": True, "datasets": [{"trust_remote_code": True}]}).config["trust_remote_code"]
        is False
    )


def test_sharegpt_is_written_as_what_took_its_place() -> None:
    (dataset,) = laid({"datasets": [{"type": "sharegpt"}]}).config["datasets"]
    assert (dataset["type"], dataset["field_messages"]) == ("chat_template", "conversations")
    assert dataset["message_property_mappings"] == {"role": "from", "content": "value"}


def test_rows_written_by_a_prompt_are_taken_as_they_are() -> None:
    (dataset,) = laid({"datasets": [{"path": None, "type": None}]}, prompted=True).config["datasets"]
    assert dataset["type"] == {
        "field_instruction": "input", "field_output": "output", "format": "{instruction}", "no_input_format": "{instruction}"
    }  # fmt: skip


@pytest.mark.parametrize(("asked", "seed"), [({}, 42), ({"seed": None}, 42), ({"seed": 0}, 0)])
def test_there_is_always_a_seed_for_without_one_a_resume_would_see_the_rows_in_another_order(
    asked: dict[str, Any], seed: int
) -> None:
    assert laid(asked).config["seed"] == seed


@pytest.mark.parametrize(
    ("asked", "rate"), [({}, 2e-4), ({"learning_rate": None}, 2e-4), ({"learning_rate": "2e-5"}, "2e-5")]
)
def test_without_a_learning_rate_there_is_the_original_studios_and_that_is_told(
    asked: dict[str, Any], rate: Any
) -> None:
    found = laid(asked)
    assert found.config["learning_rate"] == rate
    assert any("learning_rate" in text for text in found.notes) is (rate == 2e-4)


def test_two_checkpoints_are_kept_at_least() -> None:
    assert [laid({"save_total_limit": n}).config["save_total_limit"] for n in (None, 1, 5)] == [2, 2, 5]


def test_of_the_shipped_template_only_what_the_processor_lacks_is_warned_of() -> None:
    warned = {text.partition(":")[0] for text in laid(yaml.safe_load(shipped_template())).warnings}
    assert warned == {"flash_attention", "optimizer"}
    assert not laid(yaml.safe_load(shipped_template()), gpus=1).warnings
