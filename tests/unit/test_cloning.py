"""A job's request, rebuilt from what is known of the job: what leads to the same job, and gives way to changes."""

from __future__ import annotations

import json
from typing import Any

from core.cloning import changed, next_name, request_of
from core.messages.fine_tuning import FineTuningJobMetadata

ARGUMENTS = json.dumps({"num_train_epochs": 2, "learning_rate": 0.001})


def of(**fields: Any) -> dict[str, Any]:
    known = {"adapter_name": "a", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_gpu": 1, "num_cpu": 2}
    return request_of(FineTuningJobMetadata(id="1", **{**known, **fields}).model_dump(mode="json"), "/p/data/adapters")


def test_defaults_states_and_the_name_are_left_out() -> None:
    assert of(out_dir="/p/data/adapters", attempt=3, error={"kind": "bug", "message": "x"}, max_length=512) == {
        "base_model_id": "m",
        "dataset_id": "d",
        "prompt_id": "p",
    }
    other = of(out_dir="/p/mine", max_length=64, packing=False, priority=5, gpu_label_id=2, train_splits=["a", "b"])
    assert {**other, "base_model_id": "m"} == {
        **of(),
        "out_dir": "/p/mine",
        "max_length": 64,
        "packing": False,
        "priority": 5,
        "gpu_label_id": 2,
        "train_splits": ["a", "b"],
    }


def test_a_config_goes_by_its_id_and_one_that_is_gone_by_what_it_was() -> None:
    there = of(training_arguments_config_id="c", training_arguments_config=ARGUMENTS, num_epochs=2, learning_rate=0.001)
    assert there == {**of(), "training_arguments_config_id": "c"}
    gone = of(training_arguments_config=ARGUMENTS, num_epochs=2, learning_rate=0.001)
    assert gone == {**of(), "training_arguments_config": ARGUMENTS}


def test_what_the_request_overrode_is_overridden_again_and_only_that() -> None:
    told = of(training_arguments_config_id="c", training_arguments_config=ARGUMENTS, num_epochs=5, learning_rate=0.001)
    assert told == {**of(), "training_arguments_config_id": "c", "num_epochs": 5}


def test_a_changed_config_takes_the_place_of_the_old_one_however_each_is_told() -> None:
    by_id, by_text = {"lora_config_id": "old", "max_length": 64}, {"lora_config": "{}"}
    assert changed(by_id, {"lora_config": '{"r": 4}'}) == {"lora_config": '{"r": 4}', "max_length": 64}
    assert changed(by_text, {"lora_config_id": "new"}) == {"lora_config_id": "new"}
    assert changed(by_id, {"max_length": 32}) == {"lora_config_id": "old", "max_length": 32}


def test_the_next_name_is_the_first_free_number() -> None:
    assert next_name("tickets", []) == "tickets-2"
    assert next_name("tickets-2", ["tickets-3", "tickets-4"]) == "tickets-5"
    assert next_name("run-2024-1", []) == "run-2024-2"
    assert next_name("-7", []) == "-7-2"
