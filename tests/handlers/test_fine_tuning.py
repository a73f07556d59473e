"""From a request to a sealed job, and from its end to an adapter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from actors.answering import answer
from actors.desk import Desk
from core.spec import FineTuningSpec
from core.store.tables import Adapter, Config, FineTuningJob, Job, Metric
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, start, types


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def spec(desk: Desk, id: str) -> FineTuningSpec:
    return FineTuningSpec.model_validate(job(desk, id).spec)


def test_every_input_is_frozen(desk: Desk, tmp_path: Path) -> None:
    sealed = spec(desk, start(desk))
    assert (sealed.model.files, sealed.dataset.sha256, sealed.dataset.features) == ({"w": "1"}, "2", ["q", "a"])
    assert (sealed.prompt.prompt_template, sealed.sampling.seed, sealed.needs_token) == ("{q}{a}", 42, False)
    assert Path(sealed.out_dir) == tmp_path / "data/adapters"
    assert Path(sealed.out_dir).is_dir()
    assert (sealed.lora["r"], sealed.model_bnb, sealed.adapter_bnb) == (16, None, None)


def test_the_request_overrides_its_config_and_older_keys_are_translated(desk: Desk) -> None:
    inline = json.dumps({"num_train_epochs": 1, "warmup_ratio": 0.1, "group_by_length": True, "no_cuda": True})
    id = start(desk, training_arguments_config=inline, num_epochs=3, learning_rate=0.01)
    assert spec(desk, id).training_arguments == {
        "num_train_epochs": 3,
        "learning_rate": 0.01,
        "warmup_steps": 0.1,
        "train_sampling_strategy": "group_by_length",
    }
    told = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    assert json.loads(told["training_arguments_config"]) == json.loads(inline)
    assert (told["num_epochs"], told["learning_rate"]) == (3, 0.01)


def test_inline_configs_are_stored_once_and_the_defaults_are_the_shipped_ones(desk: Desk) -> None:
    with desk.store.read() as session:
        before = set(session.scalars(select(Config.id)))
    ids = [start(desk, name, lora_config='{"r": 4}') for name in ("one", "two")]
    with desk.store.read() as session:
        first, second = (session.get_one(FineTuningJob, id) for id in ids)
        assert first.lora_config_id == second.lora_config_id
        assert first.training_arguments_config_id in before
        assert len(set(session.scalars(select(Config.id))) - before) == 1


@pytest.mark.parametrize(
    "asked",
    [
        {"lora_config_id": ""},
        {"axolotl_config_id": ""},
        {"user_script": ""},
        {"training_arguments_config": '{"num_train_epochs": null}'},
    ],
)
def test_empty_text_and_null_mean_nothing_given(desk: Desk, asked: dict[str, Any]) -> None:
    id = start(desk, **asked)
    assert job(desk, id).engine == "legacy"


def test_an_empty_out_dir_is_the_default_one_and_not_the_project_itself(desk: Desk, tmp_path: Path) -> None:
    assert job(desk, start(desk, output_dir="")).spec["out_dir"] == str(tmp_path / "data" / "adapters")


def test_workers_occupy_what_each_of_them_asks_for(desk: Desk) -> None:
    id = start(desk, num_workers=3, dist_cpu=4, num_memory=2)
    row = job(desk, id)
    assert (row.cpus, row.gpus, row.memory, row.workers) == (4, 0, 2, 3)


@pytest.mark.parametrize("taken", [False, True])
def test_a_trained_adapter_is_registered_under_a_free_name(desk: Desk, taken: bool) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    if taken:
        with desk.store.write() as unit:
            unit.session.add(Adapter(id="x", type="project", name="tickets", model_id="m"))
    saved = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": "/out/1", "files": {"w": "3"}}
    a.tell(id, saved, SUCCEEDED, begin=10)
    with desk.store.read() as session:
        row = session.scalars(select(Adapter).where(Adapter.fine_tuning_job_id == id)).one()
    assert row.name == (f"tickets-{id[:8]}" if taken else "tickets")
    assert (row.type, row.model_id, row.prompt_id, row.location, row.files) == (
        "project",
        "m",
        "p",
        "/out/1",
        {"w": "3"},
    )
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["adapter_id"] == row.id
    assert ("JobWarning" in types(desk, id)) is taken


def test_a_name_in_use_by_an_unfinished_job_is_refused(desk: Desk) -> None:
    start(desk)
    again = {"adapter_name": "tickets", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p"}
    assert [each["rule"] for each in answer(desk, "StartFineTuningJob", again, None)["breaches"]][:1] == ["FT-002"]


def test_a_job_is_removed_when_it_is_over_and_its_adapter_stays(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    refused = answer(desk, "RemoveFineTuningJob", {"id": id}, None)
    assert [each["rule"] for each in refused["breaches"]] == ["FT-107"]
    saved = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": "/out/1"}
    numbers = {"type": "metrics", "at": 1.0, "step": 1, "values": {"loss": 1.0}}
    a.tell(id, numbers, saved, SUCCEEDED, begin=10)
    assert say(desk, "RemoveFineTuningJob", id=id)["removed"]
    assert not say(desk, "RemoveFineTuningJob", id=id)["removed"]
    with desk.store.read() as session:
        assert session.scalars(select(Adapter)).one().fine_tuning_job_id is None
        assert session.get(Job, id) is None
        assert session.scalars(select(Metric)).all() == []
    assert types(desk, id)[-1] == "ResourceRemoved"


def test_pages_are_newest_first_and_miss_none(desk: Desk) -> None:
    ids = [start(desk, f"job-{number}") for number in range(5)]
    first = say(desk, "ListFineTuningJobs", limit=3)
    second = say(desk, "ListFineTuningJobs", limit=3, after=first["fine_tuning_jobs"][-1]["id"])
    assert [each["id"] for page in (first, second) for each in page["fine_tuning_jobs"]] == ids[::-1]
    assert (first["has_more"], second["has_more"]) == (True, False)


def test_an_out_dir_that_no_file_system_can_hold_is_refused(desk: Desk) -> None:
    asked = {"adapter_name": "a", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "out_dir": "x" * 300}
    reply = answer(desk, "StartFineTuningJob", asked)
    assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("FT-003", "out_dir")]
