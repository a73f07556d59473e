"""Families (docs/decisions.md, D-113): each architecture's LoRA config is shipped, listed first for its models, and what a job takes by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.defaults import ship_library
from actors.desk import Desk
from core.facts import default, wrong
from core.families import families, family
from core.store.tables import Model
from core.types import ConfigType
from tests.handlers.work import add_inputs, job, say, start

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


@pytest.fixture
def shipped(desk: Desk) -> Desk:
    ship_library(desk.store)
    add_inputs(desk.store)
    return desk


def model(desk: Desk, architecture: str, id: str = "f") -> str:
    with desk.store.write() as unit:
        unit.session.add(Model(id=id, type="project", name=id, location="f", family=architecture))
    return id


def of_job(desk: Desk, **fields: Any) -> dict[str, Any]:
    lora: dict[str, Any] = job(desk, start(desk, **fields)).spec["lora"]
    return lora


@pytest.mark.parametrize(
    "architecture",
    [
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "MixtralForCausalLM",
        "Qwen2ForCausalLM",
        "Qwen3ForCausalLM",
        "GemmaForCausalLM",
        "Gemma2ForCausalLM",
        "Gemma3ForCausalLM",
        "PhiForCausalLM",
        "Phi3ForCausalLM",
        "GPT2LMHeadModel",
        "GPTNeoXForCausalLM",
        "GPTJForCausalLM",
        "BloomForCausalLM",
        "FalconForCausalLM",
        "OPTForCausalLM",
        "MptForCausalLM",
        "StableLmForCausalLM",
        "Starcoder2ForCausalLM",
    ],
)
def test_the_common_families_are_known_with_legal_lora_configs_and_padding(architecture: str) -> None:
    known = family(architecture)
    assert known is not None
    assert list(wrong(ConfigType.lora_config, known.lora_config)) == []
    assert known.lora_config["target_modules"]
    assert {"models", "eos", "pad", "pads_with"} == set().union(*known.tokenizers)
    for each in known.tokenizers:
        assert (each["pad"] == each["eos"]) == (each["pads_with"] == "eos")


@pytest.mark.parametrize(
    ("architecture", "target"),
    [("LlamaForCausalLM", LINEAR), ("GPT2LMHeadModel", ["c_attn", "c_proj", "c_fc"])],
)
def test_every_linear_layer_of_attention_and_mlp_is_adapted(architecture: str, target: list[str]) -> None:
    known = family(architecture)
    assert known is not None
    assert known.lora["target_modules"] == target
    assert known.lora.get("fan_in_fan_out", False) == (architecture == "GPT2LMHeadModel")


def test_a_familys_default_comes_first_and_users_are_never_hidden(shipped: Desk) -> None:
    mine = say(shipped, "AddConfig", type="lora_config", config='{"r": 3}')["config"]["id"]
    found = say(shipped, "ListConfigs", type="lora_config", model_id=model(shipped, "BloomForCausalLM"))["configs"]
    assert (found[0]["model_family"], found[0]["is_default"]) == ("BloomForCausalLM", 1)
    assert json.loads(found[0]["config"])["target_modules"][0] == "query_key_value"
    assert mine in [each["id"] for each in found]
    assert len(found) == len(families()) + 2


def test_a_job_without_a_lora_config_takes_its_familys_then_the_general_one(shipped: Desk) -> None:
    model(shipped, "GPTNeoXForCausalLM")
    model(shipped, "NoSuchModel", "odd")
    known = family("GPTNeoXForCausalLM")
    assert known is not None
    assert of_job(shipped, name="a", base_model_id="f") == known.lora_config
    assert of_job(shipped, name="b", base_model_id="odd") == default(ConfigType.lora_config)
    assert of_job(shipped, name="c") == default(ConfigType.lora_config)
    assert of_job(shipped, name="d", base_model_id="f", lora_config='{"r": 2}') == {"r": 2}


def test_a_removed_family_default_leaves_the_general_one(shipped: Desk) -> None:
    model(shipped, "LlamaForCausalLM")
    (found,) = say(shipped, "ListConfigs", model_family="LlamaForCausalLM")["configs"]
    assert of_job(shipped, name="a", base_model_id="f")["target_modules"] == LINEAR
    say(shipped, "RemoveConfig", id=found["id"])
    ship_library(shipped.store)
    assert say(shipped, "ListConfigs", model_family="LlamaForCausalLM")["configs"] == []
    assert of_job(shipped, name="b", base_model_id="f") == default(ConfigType.lora_config)
