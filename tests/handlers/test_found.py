"""What the state machine (test_state_machine.py) found, each in a plain test of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from actors.world import INSPECTORS
from core.errors import Unavailable
from core.store.tables import Adapter, Model, Prompt
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, start, types


def rules(desk: Desk, name: str, /, **payload: Any) -> set[str]:
    reply = answer(desk, name, payload, None)
    assert reply["code"] == "refused", reply
    return {each["rule"] for each in reply["breaches"]}


@pytest.mark.parametrize("link", ["prompt_id", "fine_tuning_job_id"])
def test_a_link_of_an_adapter_that_is_left_empty_is_none(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, link: str
) -> None:
    add_inputs(desk.store)
    monkeypatch.setitem(INSPECTORS, "adapter", lambda message, world: {"location": "a"})
    asked = {"name": "a", "model_id": "m", "location": "a", link: ""}
    assert say(desk, "AddAdapter", **asked)["adapter"][link] is None


def test_a_model_gets_no_name_that_is_blank_or_has_blanks_at_its_ends(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INSPECTORS, "model", lambda message, world: {"location": message.location})
    asked = {"type": "project", "location": "models/tiny "}
    assert say(desk, "AddModel", **asked)["model"]["name"] == "tiny"
    assert rules(desk, "AddModel", **asked) == {"MD-101"}
    asked = {"type": "huggingface", "huggingface_name": "org/m", "location": " "}
    assert say(desk, "AddModel", **asked)["model"]["name"] == "org/m"


def test_an_adapter_that_names_no_repository_is_refused_without_asking_the_hub(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(message: object, world: object) -> Any:
        raise Unavailable("the Hub is away")

    add_inputs(desk.store)
    monkeypatch.setitem(INSPECTORS, "adapter", away)
    asked = {"type": "huggingface", "name": "a", "model_id": "m", "location": "adapters/a"}
    assert rules(desk, "AddAdapter", **asked) == {"AD-103"}


def test_an_imported_evaluation_of_a_batch_that_is_over_is_not_cancelled(desk: Desk) -> None:
    rows = [{"id": id, "parent_job_id": "batch"} for id in ("one", "two")]
    say(desk, "ImportDatabase", imported_json=json.dumps({"evaluation_jobs": rows}))
    assert answer(desk, "CancelJob", {"id": "one"}, None)["code"] == "conflict"
    assert job(desk, "batch").cancelled is None


def test_a_prompt_whose_dataset_is_nowhere_is_not_shown_until_one_is_named(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Prompt(id="p", name="p", prompt_template="{q}"))
    reply = answer(desk, "PreviewPrompt", {"prompt_id": "p"}, None)
    assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("PR-106", "dataset_id")]


def test_an_adapter_is_registered_however_many_of_its_names_were_taken(desk: Desk) -> None:
    add_inputs(desk.store)
    id, runner = start(desk, "tickets"), Speaker(desk)
    runner.begin(id)
    with desk.store.write() as unit:
        for name in ("tickets", f"tickets-{id[:8]}", f"tickets-{id[:9]}"):
            unit.session.add(Adapter(id=name, type="project", name=name, model_id="m", location=name))
    artifact = {"type": "artifact", "at": 2.0, "kind": "adapter", "path": "o"}
    runner.tell(id, artifact, SUCCEEDED, begin=10)
    assert job(desk, id).status == "succeeded" and "JobWarning" in types(desk, id)
    named = {each["name"] for each in say(desk, "ListAdapters")["adapters"]}
    assert f"tickets-{id[:10]}" in named


@pytest.mark.parametrize("amount", [float("inf"), float("nan")])
def test_an_amount_of_a_runner_is_a_number(desk: Desk, amount: float) -> None:
    runner = Speaker(desk)
    for fields in ({"gpus": amount}, {"memory": amount}):
        report = {"runner_id": runner.id, "incarnation": runner.incarnation, "free": fields}
        assert rules(desk, "ReportProgress", **report) == {"MS-101"}
    offer: dict[str, Any] = {"host": "a", "cpus": 1, "engines": []}
    assert rules(desk, "RegisterRunner", **offer, memory=amount) == {"MS-101"}
    assert rules(desk, "RegisterRunner", **offer, memory=1.0, gpus=[{"index": 0, "memory": amount}]) == {"MS-101"}


def test_a_job_that_asks_for_more_than_a_column_holds_keeps_no_runner_from_being_heard(desk: Desk) -> None:
    add_inputs(desk.store)
    start(desk, "huge", num_cpu=2**31 - 1, num_memory=2**31 - 1, num_gpu=2**31 - 1, num_workers=2)
    small = start(desk, "small")
    Speaker(desk).begin(small)


def test_defaults_of_no_family_do_not_come_first_for_a_model_of_none(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Model(id="m", type="project", name="m", created_at=1.0))
    mine = say(desk, "AddConfig", type="custom", config='{"x": 1}')["config"]["id"]
    row = {"id": "later", "type": "custom", "config": "{}", "is_default": 1, "created_at": 4e9}
    say(desk, "ImportDatabase", imported_json=json.dumps({"configs": [row]}))
    listed = [each["id"] for each in say(desk, "ListConfigs", model_id="m", limit=1000)["configs"]]
    assert listed == [each["id"] for each in say(desk, "ListConfigs", limit=1000)["configs"]]
    assert listed.index(mine) < listed.index("later")


def test_of_two_formats_of_one_name_the_older_is_meant(desk: Desk) -> None:
    add_inputs(desk.store)
    rows = [
        {"id": "young", "config": '{"a": "string"}', "created_at": 9.0},
        {"id": "old", "config": '{"q": "string"}', "created_at": 1.0},
    ]
    for row in rows:
        made = {**row, "type": "axolotl_dataset_formats", "description": "mine", "is_default": 0}
        say(desk, "ImportDatabase", imported_json=json.dumps({"configs": [made]}))
    (format,) = say(desk, "MatchAxolotlFormats", dataset_id="d")["formats"]
    assert format["shared"] == ["q"]


def test_a_place_in_a_spool_and_a_count_are_what_columns_hold(desk: Desk) -> None:
    add_inputs(desk.store)
    id, runner = start(desk), Speaker(desk)
    runner.begin(id)
    told = {"job_id": id, "attempt": 1, "offset": 0, "next_offset": 2**63, "records": []}
    report = {"runner_id": runner.id, "incarnation": runner.incarnation, "jobs": [told]}
    assert rules(desk, "ReportProgress", **report) == {"MS-101"}
    assert rules(desk, "RegisterRunner", host="a", cpus=2**31, memory=1.0, engines=[]) == {"MS-101"}


@pytest.mark.parametrize("steps", [2**31, 2**40, 2**70, "many"])
def test_steps_that_no_column_holds_are_passed_over(desk: Desk, steps: Any) -> None:
    add_inputs(desk.store)
    id, runner = start(desk), Speaker(desk)
    runner.begin(id)
    runner.tell(id, {"type": "progress", "at": 1.0, "step": steps, "total_steps": 3}, begin=10)
    runner.tell(id, {"type": "metrics", "at": 1.0, "step": steps, "values": {"loss": 1.0}}, begin=20)
    runner.tell(id, {**SUCCEEDED, "summary": {"steps": steps}}, begin=30)
    assert (job(desk, id).status, job(desk, id).step) == ("succeeded", 10)
    assert say(desk, "GetJobMetrics", id=id)["series"] == []


def test_a_job_of_chosen_splits_comes_back_as_it_was_exported(desk: Desk) -> None:
    add_inputs(desk.store)
    id = start(desk, train_splits=["train"])
    say(desk, "CancelJob", id=id)
    exported = say(desk, "ExportDatabase")["exported_json"]
    say(desk, "RemoveFineTuningJob", id=id)
    told = say(desk, "ImportDatabase", imported_json=exported)["tables"]
    assert [(each["inserted"], each["failed"]) for each in told if each["table"] == "fine_tuning_jobs"] == [(1, 0)]
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["train_splits"] == ["train"]


def test_an_evaluation_of_a_batch_is_asked_for_no_checkpoint_and_an_imported_one_not_run(desk: Desk) -> None:
    add_inputs(desk.store)
    pairs = [{"base_model_id": "m"}]
    batch = say(desk, "StartEvaluationJob", model_adapter_combinations=pairs, dataset_id="d", prompt_id="p")
    assert rules(desk, "CheckpointJob", id=batch["evaluation_jobs"][0]["id"]) == {"JB-102"}
    row = {"id": "one", "parent_job_id": "batch"}
    say(desk, "ImportDatabase", imported_json=json.dumps({"evaluation_jobs": [row]}))
    assert rules(desk, "RetryJob", id="one") == {"JB-103"}
