"""A clone is the same job: the request rebuilt from a job's row leads to the specification that the job has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.desk import Desk
from core.cloning import request_of
from core.spec import FineTuningSpec
from tests.handlers.work import add_inputs, job, say, start

REQUESTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "a preset": {"preset": "fast"},
    "configs of its own": {
        "training_arguments_config": '{"num_train_epochs": 5, "learning_rate": 0.5, "warmup_ratio": 0.1}',
        "lora_config": '{"r": 4, "lora_alpha": 8}',
        "model_bnb_config": '{"load_in_4bit": true}',
        "num_epochs": 2,
    },
    "everything else": {
        "dataset_fraction": 0.5,
        "train_test_split": 0.8,
        "num_cpu": 2,
        "max_length": 64,
        "packing": False,
        "loss_on": "completion",
        "length_grouped": True,
        "priority": 7,
        "gpu_label_id": 3,
        "auto_add_adapter": False,
        "out_dir": "mine",
    },
}
STEMS = ("training_arguments_config", "lora_config", "model_bnb_config")


@pytest.mark.parametrize("name", REQUESTS)
@pytest.mark.parametrize("forgotten", [False, True])
def test_a_clone_has_the_specification_of_the_job(desk: Desk, name: str, forgotten: bool) -> None:
    add_inputs(desk.store)
    (desk.settings.project / "mine").mkdir()
    id = start(desk, "tickets-1", **REQUESTS[name])
    told = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    if forgotten:
        for stem in STEMS:
            told[f"{stem}_id"] = None  # as when the config was removed
    request = request_of(told, str(desk.settings.adapters_root))
    again = say(desk, "StartFineTuningJob", adapter_name="tickets-2", **request)["fine_tuning_job"]
    first, second = (FineTuningSpec.model_validate(job(desk, each).spec) for each in (id, again["id"]))
    assert second.model_copy(update={"job_id": id, "name": "tickets-1", "day": first.day}) == first
    own = {"id", "name", "adapter_name", "created_at", *(f"{stem}_id" for stem in STEMS)}
    differing = {field for field in told if _read(field, told[field]) != _read(field, again[field])}
    assert differing <= own


def _read(field: str, value: Any) -> Any:
    """A config by what it says, however it is written."""
    return json.loads(value) if field in STEMS and value else value
