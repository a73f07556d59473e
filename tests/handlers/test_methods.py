"""How a job trains, from the request to what it leaves: presets, whole models, chat templates, splits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from actors.answering import answer
from actors.desk import Desk
from core.spec import EvaluationSpec, FineTuningSpec
from core.store.tables import Adapter, Dataset, Model, TrainingRow
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, start, types


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(
            Dataset(id="c", type="project_jsonl", name="c", location="c.jsonl", features='["messages"]', is_chat=True)
        )
        unit.session.get_one(Dataset, "d").splits = {"train": 10, "extra": 5, "test": 2}


def spec(desk: Desk, id: str) -> FineTuningSpec:
    return FineTuningSpec.model_validate(job(desk, id).spec)


def evaluation(desk: Desk, *pairs: tuple[str, str | None], **asked: Any) -> EvaluationSpec:
    """The specification of a batch of (model, adapter)."""
    combinations = [{"base_model_id": model, "adapter_id": adapter} for model, adapter in pairs]
    request = {"model_adapter_combinations": combinations, "dataset_id": "d", "prompt_id": "p", "num_gpu": 0}
    parent = say(desk, "StartEvaluationJob", **{**request, **asked})["parent_job_id"]
    return EvaluationSpec.model_validate(job(desk, parent).spec)


def trained(desk: Desk, path: Path, name: str = "whole", **asked: Any) -> str:
    """A job of method full that has ended and left weights; its id."""
    path.mkdir(exist_ok=True)
    (path / "model.safetensors").write_bytes(b"12345")
    id, a = start(desk, name, method="full", **asked), Speaker(desk, host=name)
    a.begin(id)
    files = {"model.safetensors": "5", "config.json": "6"}
    saved = {"type": "artifact", "at": 1.0, "kind": "model", "path": str(path), "files": files}
    a.tell(id, saved, {**SUCCEEDED, "summary": {"steps": 7}}, begin=10)
    return id


def test_a_job_carries_how_it_trains_and_tells_it(desk: Desk) -> None:
    asked: dict[str, Any] = {
        "method": "full", "chat_template": True, "train_splits": ["extra"], "eval_split": "test",
        "early_stopping_patience": 3, "keep_best": True,
    }  # fmt: skip
    id = start(desk, **asked)
    sealed = spec(desk, id)
    assert (sealed.method, sealed.chat_template, sealed.early_stopping_patience, sealed.keep_best) == (
        "full",
        True,
        3,
        True,
    )
    assert (sealed.sampling.train_splits, sealed.sampling.eval_split) == (["extra"], "test")
    told = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    assert {name: told[name] for name in asked} == asked


@pytest.mark.decision("D-165")
def test_a_preset_is_recorded_and_gives_what_was_left_out(desk: Desk) -> None:
    id = start(desk, preset="fast", max_length=99)
    sealed, told = spec(desk, id), say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    assert (told["preset"], sealed.max_length, sealed.packing, sealed.loss_on) == ("fast", 99, False, "completion")
    assert sealed.lora["lora_dropout"] == 0.0 and json.loads(told["lora_config"])["lora_dropout"] == 0.0


def test_conversations_need_no_prompt_and_other_rows_do(desk: Desk) -> None:
    asked = {"adapter_name": "a", "base_model_id": "m", "chat_template": True}
    assert answer(desk, "StartFineTuningJob", {**asked, "dataset_id": "c"}, None)["ok"]
    reply = answer(desk, "StartFineTuningJob", {**asked, "adapter_name": "b", "dataset_id": "d"}, None)
    assert [each["rule"] for each in reply["breaches"]] == ["FT-015"]


@pytest.mark.parametrize("taken", [False, True])
def test_a_whole_model_is_registered_as_a_model_under_a_free_name(desk: Desk, tmp_path: Path, taken: bool) -> None:
    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").family = "LlamaForCausalLM"
    id, a = start(desk, "whole", method="full"), Speaker(desk)
    a.begin(id)
    if taken:
        say(desk, "CancelJob", id=start(desk, "other"))
        with desk.store.write() as unit:
            unit.session.add(Model(id="x", type="project", name="whole", location="x"))
    files = {"model.safetensors": "5", "config.json": "6"}
    saved = {"type": "artifact", "at": 1.0, "kind": "model", "path": str(tmp_path), "files": files}
    a.tell(id, saved, {**SUCCEEDED, "summary": {"steps": 7}}, begin=10)
    with desk.store.read() as session:
        row = session.scalars(select(Model).where(Model.fine_tuning_job_id == id)).one()
        assert session.scalars(select(Adapter)).all() == []
    assert row.name == (f"whole-{id[:8]}" if taken else "whole")
    assert (row.type, row.family, row.files) == ("project", "LlamaForCausalLM", {"model.safetensors": "5"})
    told = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    assert (told["trained_model_id"], told["adapter_id"], told["step"]) == (row.id, None, 7)
    assert say(desk, "GetModel", id=row.id)["model"]["fine_tuning_job_id"] == id
    assert ("JobWarning" in types(desk, id)) is taken
    assert types(desk, row.id) == ["ResourceAdded"]


def test_a_trained_model_is_a_base_like_any_other_and_its_name_is_taken(desk: Desk, tmp_path: Path) -> None:
    made = say(desk, "GetFineTuningJob", id=trained(desk, tmp_path / "w"))["fine_tuning_job"]["trained_model_id"]
    sealed = spec(desk, start(desk, "next", base_model_id=made))
    assert sealed.model.location == str(tmp_path / "w") and sealed.model.files == {"model.safetensors": "5"}
    asked = {"adapter_name": "whole", "base_model_id": "m", "dataset_id": "d", "prompt_id": "p"}
    assert answer(desk, "StartFineTuningJob", {**asked, "method": "lora"}, None)["ok"]
    say(desk, "CancelJob", id=say(desk, "ListFineTuningJobs", limit=1)["fine_tuning_jobs"][0]["id"])
    reply = answer(desk, "StartFineTuningJob", {**asked, "method": "full"}, None)
    assert [each["rule"] for each in reply["breaches"]] == ["FT-002"]


def test_a_model_that_is_not_to_be_registered_is_not(desk: Desk, tmp_path: Path) -> None:
    id = trained(desk, tmp_path / "w", auto_add_adapter=False)
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["trained_model_id"] is None
    assert (job(desk, id).summary or {})["model"] == str(tmp_path / "w")


def test_a_trained_model_is_scored_on_what_its_own_job_held_out(desk: Desk, tmp_path: Path) -> None:
    id = trained(desk, tmp_path / "w", train_splits=["train", "extra"], eval_split="test", dataset_fraction=0.5)
    made = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["trained_model_id"]
    sealed = evaluation(desk, ("m", None), (made, None))
    assert sealed.sampling is not None
    assert (sealed.sampling.train_splits, sealed.sampling.eval_split) == (["train", "extra"], "test")
    assert sealed.sampling.fraction == 0.5


@pytest.mark.parametrize("eval_split", ["test", None])
def test_a_job_that_split_nothing_off_is_scored_on_the_datasets_own_held_out_rows(
    desk: Desk, tmp_path: Path, eval_split: str | None
) -> None:
    id = trained(desk, tmp_path / "w", train_test_split=1.0, eval_split=eval_split)
    made = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["trained_model_id"]
    assert evaluation(desk, (made, None)).sampling is not None
    with desk.store.write() as unit:
        unit.session.get_one(Dataset, "d").splits = {"train": 10}
        noted = unit.session.get_one(TrainingRow, id)
        noted.told = {**noted.told, "sampling": {**noted.told["sampling"], "eval_split": None}}
    pairs = [{"base_model_id": made}]
    reply = answer(
        desk, "StartEvaluationJob", {"model_adapter_combinations": pairs, "dataset_id": "d", "prompt_id": "p"}
    )
    assert [each["rule"] for each in reply["breaches"]] == ["EV-106"]


def test_everyone_is_asked_as_taught_and_a_bare_model_as_the_first_adapter(desk: Desk) -> None:
    jobs = {name: start(desk, name, chat_template=chat) for name, chat in (("chat", True), ("plain", False))}
    for id in jobs.values():
        say(desk, "CancelJob", id=id)
    with desk.store.write() as unit:
        for name, id in jobs.items():
            unit.session.add(
                Adapter(id=name, type="project", name=name, model_id="m", location=name, fine_tuning_job_id=id)
            )
    asked = evaluation(desk, ("m", None), ("m", "chat"), ("m", "plain"))
    assert [each.chat_template for each in asked.combinations] == [True, True, False]
    asked = evaluation(desk, ("m", None), ("m", "plain"), ("m", "chat"))
    assert [each.chat_template for each in asked.combinations] == [False, False, True]


def test_conversations_are_evaluated_without_a_prompt_where_all_were_taught_so(desk: Desk) -> None:
    request = {"adapter_name": "talk", "base_model_id": "m", "dataset_id": "c", "chat_template": True}
    id = say(desk, "StartFineTuningJob", **request)["fine_tuning_job"]["id"]
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="t", type="project", name="t", model_id="m", location="t", fine_tuning_job_id=id))
    sealed = evaluation(desk, ("m", None), ("m", "t"), dataset_id="c", prompt_id="")
    assert [each.chat_template for each in sealed.combinations] == [True, True] and sealed.prompt.id == ""
    pairs = [{"base_model_id": "m"}]
    reply = answer(desk, "StartEvaluationJob", {"model_adapter_combinations": pairs, "dataset_id": "c"}, None)
    assert [each["rule"] for each in reply["breaches"]] == ["EV-003"]


def test_how_an_adapter_was_split_is_told_with_its_splits(desk: Desk) -> None:
    id = start(desk, train_splits=["train", "extra"], eval_split="test")
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", location="a", fine_tuning_job_id=id))
    split = say(desk, "GetDatasetSplitByAdapter", adapter_id="a")["response"]
    assert (split["train_splits"], split["eval_split"]) == (["train", "extra"], "test")
