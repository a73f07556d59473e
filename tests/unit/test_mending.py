"""What is offered for a job that failed, and how two jobs are told to differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from core.types import FailureClass
from tui.view import differing, mending


def failed(kind: str, message: str = "m", **fields: Any) -> dict[str, Any]:
    return {"error": {"kind": kind, "message": message}, **fields}


def event(type: str, **data: Any) -> dict[str, Any]:
    return {"type": type, "data": data}


def test_running_again_says_from_where() -> None:
    saved = [event("CheckpointSaved", step=20), event("CheckpointSaved", step=1040)]
    assert mending.again(saved).endswith("it goes on from the checkpoint at step 1,040")
    assert mending.again([]).endswith("it has no checkpoint")
    assert mending.again([*saved, event("JobFilesFreed")]).endswith("it has no checkpoint")


def test_what_ran_out_of_memory_is_offered_with_less_and_its_effective_batch_stays() -> None:
    arguments = json.dumps({"per_device_train_batch_size": 5, "gradient_accumulation_steps": 2, "learning_rate": 1e-3})
    job = failed("out_of_memory", training_arguments_config=arguments, max_length=512, num_memory=8, num_gpu=0)
    ways = mending.clones(job)
    assert [way.text.split(":")[0].split(" at ")[0] for way in ways] == [
        "half the batch", "gradient checkpointing", "rows cut", "ask for 16 GiB of memory instead of 8"
    ]  # fmt: skip
    halved = json.loads(ways[0].fields["training_arguments_config"])
    assert (halved["per_device_train_batch_size"], halved["gradient_accumulation_steps"], halved["learning_rate"]) == (
        2,
        5,
        1e-3,
    )
    assert ways[2].fields == {"max_length": 256} and ways[3].fields == {"num_memory": 16}
    assert len(mending.clones({**job, "num_gpu": 1})) == 3, "a host's memory is no help for a GPU's"


@pytest.mark.parametrize(
    "arguments",
    [None, "", "not json", "[1]", '{"per_device_train_batch_size": 1}', '{"per_device_train_batch_size": "x"}'],
)
def test_arguments_that_tell_no_batch_offer_no_smaller_one(arguments: str | None) -> None:
    job = failed("killed", training_arguments_config=arguments, max_length=100, num_memory=None)
    assert [way.text.split(":")[0] for way in mending.clones(job)] == ["gradient checkpointing"]


@pytest.mark.parametrize("kind", sorted({*FailureClass} - set(mending.LESS)))
def test_what_less_is_no_help_for_is_offered_none_of_it(kind: str) -> None:
    assert mending.clones(failed(kind, max_length=512, num_memory=8)) == []
    ways = mending.clones(failed(kind, "loss is nan: the training has diverged", learning_rate=3e-4))
    assert [way.fields for way in ways] == [{"learning_rate": 1e-4}]


def test_the_difference_of_two_jobs_is_told_key_by_key_then_what_is_the_same() -> None:
    one = {"adapter_name": "a", "num_epochs": 1, "lora_config": '{"r": 16, "alpha": 32}', "max_length": 512}
    other = {"adapter_name": "b", "num_epochs": 2, "lora_config": '{"r": 8, "alpha": 32}', "max_length": 512}
    rows = differing.table(one, other, ("this job", "b"), 80)
    assert rows[0] == "2 of 4 settings differ"
    cells = [row.split() for row in rows]
    assert ["≠", "num_epochs", "1", "2"] in cells and ["≠", "lora_config.r", "16", "8"] in cells
    same = rows.index("── the same in both (2)")
    assert [row.split() for row in rows[same + 1 :]] == [["lora_config.alpha", "32"], ["max_length", "512"]]
    assert differing.table(one, one, ("x", "y"), 80)[0] == "They were asked for the same."


def test_hostile_settings_are_told_safely() -> None:
    evil = "\x1b]52;c;eA==\x07[red]" + "x" * 5_000
    rows = differing.table({"lora_config": json.dumps({evil: evil})}, {"user_script": evil}, (evil, evil), 60)
    assert "\x1b" not in "".join(rows) and "\x07" not in "".join(rows)
