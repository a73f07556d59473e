"""What a combination learned is found however its adapter was renamed, copied, or cut off from the job that trained it."""

from __future__ import annotations

from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.spec import EvaluationSpec
from core.store.tables import Adapter, Dataset, Job, Model, TrainingRow
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, start

WEIGHTS = {"adapter_model.safetensors": "aa", "adapter_config.json": "cc"}


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def trained(desk: Desk, name: str = "first", weights: dict[str, str] | None = None, **asked: Any) -> str:
    """A job that ran to its end; its adapter lies at `name` in the project."""
    id = start(desk, name, **asked)
    runner = Speaker(desk)
    runner.begin(id)
    path = str(desk.settings.project / name)
    made = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": path, "job_id": id, "files": weights or WEIGHTS}
    runner.tell(id, made, SUCCEEDED, begin=10)
    return id


def adapter(desk: Desk, id: str, **fields: Any) -> None:
    with desk.store.write() as unit:
        known: dict[str, Any] = {"type": "project", "name": id, "model_id": "m", "location": id}
        unit.session.add(Adapter(id=id, **{**known, **fields}))


def sealed(desk: Desk, *adapters: str | None, dataset: str = "d", model: str = "m") -> EvaluationSpec:
    pairs = [{"base_model_id": model, "adapter_id": each} for each in adapters]
    asked = {"model_adapter_combinations": pairs, "dataset_id": dataset, "prompt_id": "p", "num_cpu": 1, "num_gpu": 0}
    return EvaluationSpec.model_validate(job(desk, say(desk, "StartEvaluationJob", **asked)["parent_job_id"]).spec)


def made_by(desk: Desk, id: str) -> str:
    return str(say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["adapter_id"])


def learned(spec: EvaluationSpec) -> list[str]:
    return [each.job_id for each in spec.learned]


def test_a_renamed_adapter_is_still_that_of_its_job(desk: Desk) -> None:
    id = trained(desk, train_test_split=0.8)
    say(desk, "EditAdapter", id=made_by(desk, id), name="other")
    spec = sealed(desk, made_by(desk, id))
    assert learned(spec) == [id] and spec.sampling is not None and spec.sampling.split == 0.8


@pytest.mark.parametrize("removed", [False, True], ids=["beside the first", "after it was removed"])
def test_an_adapter_that_is_added_again_is_known_by_its_weights(desk: Desk, removed: bool) -> None:
    id = trained(desk, train_test_split=0.8)
    if removed:
        say(desk, "RemoveAdapter", id=made_by(desk, id))
        say(desk, "RemoveFineTuningJob", id=id)
    adapter(desk, "copy", location="elsewhere", files={"renamed.safetensors": "aa"})
    spec = sealed(desk, "copy")
    assert learned(spec) == [id] and spec.sampling is not None and spec.sampling.split == 0.8
    assert spec.untold == []


def test_weights_without_a_known_hash_are_known_by_the_place_they_lie_at(desk: Desk) -> None:
    id = trained(desk)
    checkpoint = desk.settings.artifacts_root / "jobs" / id / "1" / "checkpoints" / "checkpoint-5"
    adapter(desk, "early", location=str(checkpoint), files={"adapter_model.safetensors": "bb"})
    assert learned(sealed(desk, "early")) == [id]


def test_the_weights_of_a_checkpoint_are_known_wherever_they_are_copied_to(desk: Desk) -> None:
    id = start(desk, "first")
    runner = Speaker(desk)
    runner.begin(id)
    saved = {"type": "checkpoint", "at": 1.0, "step": 5, "path": "x", "files": {"adapter_model.safetensors": "bb"}}
    runner.tell(id, saved, begin=10)
    adapter(desk, "early", location="elsewhere", files={"adapter_model.safetensors": "bb"})
    assert learned(sealed(desk, "early")) == [id]


def test_a_merged_model_knows_what_its_adapter_learned_and_so_does_its_commit_on_the_hub(desk: Desk) -> None:
    id = trained(desk)
    asked = {"type": "merged", "base_model_id": "m", "adapter_id": made_by(desk, id), "model_name": "whole"}
    job_id = say(desk, "ExportModel", **asked, num_cpu=1, num_gpu=0, num_memory=1)["export_job"]["id"]
    runner = Speaker(desk, engines=["export"])
    runner.begin(job_id)
    parity = {"prompts": 1, "max_logit_difference": 0.0, "same_text": True}
    files = {"model.safetensors": "99", "config.json": "98"}
    made = {"location": "/x", "files": files, "commit": "c0ffee", "parity": parity}
    runner.tell(job_id, {**SUCCEEDED, "summary": {"exported": made}}, begin=10)
    with desk.store.write() as unit:
        copy: dict[str, Any] = {"location": "elsewhere", "files": {"renamed.safetensors": "99"}}
        unit.session.add(Model(id="whole", type="project", name="whole", **copy))
        pushed: dict[str, Any] = {"huggingface_model_name": "org/whole", "revision": "c0ffee"}
        unit.session.add(Model(id="pushed", type="huggingface", name="pushed", **pushed))
    for model in ("whole", "pushed"):
        spec = sealed(desk, None, model=model)
        assert learned(spec) == [id] and spec.sampling is not None


def test_the_same_file_is_the_same_dataset_whatever_it_is_called_and_a_changed_one_is_another(desk: Desk) -> None:
    id = trained(desk, train_test_split=0.7)
    with desk.store.write() as unit:
        for name, sha256 in (("again", "2"), ("changed", "3")):
            known: dict[str, Any] = {"type": "project_csv", "location": f"{name}.csv", "features": '["q", "a"]'}
            unit.session.add(Dataset(id=name, name=name, sha256=sha256, **known))
    for name, split in (("again", 0.7), ("changed", None)):
        spec = sealed(desk, made_by(desk, id), dataset=name)
        assert (spec.sampling and spec.sampling.split) == split
        assert learned(spec) == [id] and spec.learned[0].dataset.sha256 == "2"


def test_a_dataset_that_was_removed_and_added_again_is_still_the_one_that_was_split(desk: Desk) -> None:
    id = trained(desk, train_test_split=0.7)
    assert say(desk, "RemoveDataset", id="d", remove_prompts=True)["removed"]
    with desk.store.write() as unit:
        unit.session.add(
            Dataset(id="new", type="project_csv", name="t", location="d.csv", features='["q", "a"]', sha256="2")
        )
    pairs = [{"base_model_id": "m", "adapter_id": made_by(desk, id)}]
    prompt = say(desk, "AddPrompt", prompt={"name": "p", "dataset_id": "new", "prompt_template": "{q}{a}", "input_template": "{q}", "completion_template": "{a}"})["prompt"]["id"]  # fmt: skip
    asked = {"model_adapter_combinations": pairs, "dataset_id": "new", "prompt_id": prompt, "num_cpu": 1, "num_gpu": 0}
    spec = EvaluationSpec.model_validate(job(desk, say(desk, "StartEvaluationJob", **asked)["parent_job_id"]).spec)
    assert spec.sampling is not None and spec.sampling.split == 0.7 and learned(spec) == [id]


@pytest.mark.decision("D-185")
def test_all_that_a_batch_learned_is_left_out_also_what_a_base_was_trained_on_before(desk: Desk) -> None:
    one, two = trained(desk, "one"), trained(desk, "two", {"adapter_model.safetensors": "dd"}, train_test_split=0.5)
    first = trained(desk, "whole", {"model.safetensors": "ee"}, method="full", auto_add_adapter=False)
    with desk.store.write() as unit:
        unit.session.add(
            Model(id="whole", type="project", name="again", location="x", files={"model.safetensors": "ee"})
        )
    third = trained(desk, "three", {"adapter_model.safetensors": "ff"}, base_model_id="whole")
    assert learned(sealed(desk, None, made_by(desk, one), made_by(desk, two))) == [one, two]
    assert learned(sealed(desk, made_by(desk, third), model="whole")) == [third, first]


def test_an_adapter_from_elsewhere_is_asked_and_named_as_one_that_is_not_known(desk: Desk) -> None:
    adapter(desk, "foreign", files={"adapter_model.safetensors": "00"})
    spec = sealed(desk, None, "foreign")
    assert (spec.learned, spec.untold, spec.sampling) == ([], ["foreign"], None)


def test_a_job_that_came_with_an_import_tells_its_split_by_its_row(desk: Desk) -> None:
    id = trained(desk, train_test_split=0.8, dataset_fraction=0.5)
    with desk.store.write() as unit:
        unit.session.delete(unit.session.get_one(TrainingRow, id))
        unit.session.get_one(Job, id).spec = {}
    spec = sealed(desk, made_by(desk, id))
    assert spec.sampling is not None and (spec.sampling.fraction, spec.sampling.split) == (0.5, 0.8)
    assert learned(spec) == [id]


def test_weights_that_a_training_left_as_they_were_are_not_taken_for_its_own(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").files = {"model-1.safetensors": "base", "model-2.safetensors": "ee"}
    trained(desk, "whole", {"model-1.safetensors": "new", "model-2.safetensors": "ee"}, method="full")
    assert learned(sealed(desk, None)) == []


def test_a_refusal_when_nothing_was_held_out_is_the_same_for_a_copy(desk: Desk) -> None:
    trained(desk, train_test_split=1.0)
    adapter(desk, "copy", files=WEIGHTS)
    pairs = [{"base_model_id": "m", "adapter_id": "copy"}]
    asked = {"model_adapter_combinations": pairs, "dataset_id": "d", "prompt_id": "p"}
    assert [each["rule"] for each in answer(desk, "StartEvaluationJob", asked, None)["breaches"]] == ["EV-106"]
