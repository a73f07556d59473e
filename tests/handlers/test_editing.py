"""Renaming and describing every resource: what changes, what stays, what is refused (D-047: unique names)."""

from __future__ import annotations

from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.messages.configs import content_hash
from core.store.eventlog import events_after
from core.store.tables import Adapter, Config, Dataset, Model, Prompt
from tests.handlers.crowd import together
from tests.handlers.test_removal import batch, rules
from tests.handlers.work import Speaker, add_inputs, folded, job, say, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    """Of each named resource one to edit, and one that has the name `taken`."""
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", location="a"))
        unit.session.add(Adapter(id="a2", type="project", name="taken", model_id="m", location="a2"))
        unit.session.add(Dataset(id="d2", type="project_csv", name="taken", location="d2", features="[]"))
        unit.session.add(Model(id="m2", type="project", name="taken", location="m2"))
        unit.session.add(Prompt(id="p2", type="in_place", name="taken", dataset_id="d", prompt_template="x"))


NAMED = [
    ("Dataset", "d", "DS-101", "DS-102"),
    ("Model", "m", "MD-101", "MD-102"),
    ("Adapter", "a", "AD-001", "AD-001"),
    ("Prompt", "p", "PR-001", "PR-001"),
]


def changed(desk: Desk) -> list[tuple[str, str, Any]]:
    with desk.store.read() as session:
        found = events_after(session, 0, 10_000, type="ResourceChanged")
        return [(each.kind, each.resource_id, each.data["name"]) for each in found]


@pytest.mark.parametrize(("kind", "id", "twice", "blank"), NAMED)
def test_a_name_and_a_description_are_changed_apart_or_together(
    desk: Desk, kind: str, id: str, twice: str, blank: str
) -> None:
    field = kind.lower()
    before = say(desk, f"Get{kind}", id=id)[field]
    named = say(desk, f"Edit{kind}", id=id, name="  New name ")[field]
    assert named == {**before, "name": "New name"}
    told = say(desk, f"Edit{kind}", id=id, description="what it is for\nin two lines")[field]
    assert told == {**named, "description": "what it is for\nin two lines"}
    assert say(desk, f"Get{kind}", id=id)[field] == told
    assert say(desk, f"Edit{kind}", id=id, name="x", description=" ")[field] == {**before, "name": "x"}
    assert changed(desk) == [(f"{field}s", id, "New name")] * 2 + [(f"{field}s", id, "x")]


@pytest.mark.parametrize(("kind", "id", "twice", "blank"), NAMED)
def test_a_name_that_is_taken_or_blank_is_refused_by_the_domains_own_rule(
    desk: Desk, kind: str, id: str, twice: str, blank: str
) -> None:
    assert rules(desk, f"Edit{kind}", id=id, name="taken") == [twice]
    assert rules(desk, f"Edit{kind}", id=id, name=" taken ") == [twice]
    assert rules(desk, f"Edit{kind}", id=id, name=" ", description="x") == [blank]
    assert say(desk, f"Get{kind}", id=id)[kind.lower()]["description"] is None
    assert changed(desk) == []


@pytest.mark.parametrize(("kind", "id", "twice", "blank"), NAMED)
def test_its_own_name_again_is_no_change(desk: Desk, kind: str, id: str, twice: str, blank: str) -> None:
    name = say(desk, f"Get{kind}", id=id)[kind.lower()]["name"]
    assert say(desk, f"Edit{kind}", id=id, name=f" {name}")[kind.lower()]["name"] == name
    assert changed(desk) == []


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("EditDataset", "DS-123"),
        ("EditModel", "MD-123"),
        ("EditAdapter", "AD-123"),
        ("EditPrompt", "PR-123"),
        ("EditConfig", "CF-123"),
        ("EditFineTuningJob", "FT-123"),
        ("EditEvaluationJob", "EV-123"),
    ],
)
def test_an_edit_of_nothing_is_refused_and_one_of_what_is_not_there_not_found(desk: Desk, name: str, rule: str) -> None:
    assert rules(desk, name, id="d") == [rule]
    reply = answer(desk, name, {"id": "nowhere", "description": "x"}, None)
    assert (reply["code"], "'nowhere'" in reply["message"]) == ("not_found", True)


def test_a_name_lost_to_another_sender_gives_the_breach(desk: Desk) -> None:
    ids = ["d", "d2"] * 4
    replies = together(8, lambda index: answer(desk, "EditDataset", {"id": ids[index], "name": "wanted"}, None))
    winners = {reply["value"]["dataset"]["id"] for reply in replies if reply["ok"]}
    assert len(winners) == 1
    assert {each["rule"] for reply in replies for each in reply["breaches"]} == {"DS-101"}


def test_a_configs_description_changes_neither_its_content_nor_its_family(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").family = "LlamaForCausalLM"
    made = say(desk, "AddConfig", type="custom", config='{"x": 1}', description="plain")["config"]
    told = say(desk, "EditConfig", id=made["id"], description="tiny")["config"]
    assert told == {**made, "description": "tiny"}, "tiny is a model's name, and the config stays of no family"
    with desk.store.read() as session:
        assert session.get_one(Config, made["id"]).content_hash == content_hash("custom", None, {"x": 1})
    assert say(desk, "AddConfig", type="custom", config='{"x": 1}')["deduplicated"]
    assert say(desk, "EditConfig", id=made["id"], description="")["config"]["description"] is None
    breaches = answer(desk, "EditConfig", {"id": made["id"], "name": "x", "description": "y"})["breaches"]
    assert [each["rule"] for each in breaches] == ["MS-102"]


def test_a_job_is_renamed_and_its_adapter_is_not(desk: Desk) -> None:
    id = start(desk)
    told = say(desk, "EditFineTuningJob", id=id, name="weekly run", description="with the new rows")["fine_tuning_job"]
    assert [told[each] for each in ("name", "description", "adapter_name")] == [
        "weekly run",
        "with the new rows",
        "tickets",
    ]
    assert say(desk, "ListFineTuningJobs")["fine_tuning_jobs"][0] == told
    assert changed(desk) == [("jobs", id, "weekly run")]
    assert rules(desk, "EditFineTuningJob", id=id, name="") == ["FT-124"]
    Speaker(desk).begin(id)
    assert say(desk, "EditFineTuningJob", id=id, description="")["fine_tuning_job"]["description"] is None
    assert job(desk, id).status == "running" == folded(desk)[id]


def test_a_batch_is_renamed_by_its_own_id_and_by_an_evaluations(desk: Desk) -> None:
    parent, (one, two) = batch(desk, None, "a")
    assert say(desk, "GetEvaluationJob", id=one)["evaluation_job"]["name"] == "evaluation on t"
    by_parent = say(desk, "EditEvaluationJob", id=parent, name="first look")
    assert (by_parent["parent_job_id"], [each["id"] for each in by_parent["evaluation_jobs"]]) == (parent, [one, two])
    by_child = say(desk, "EditEvaluationJob", id=two, description="base against a")
    assert {(each["name"], each["description"]) for each in by_child["evaluation_jobs"]} == {
        ("first look", "base against a")
    }
    assert changed(desk) == [("jobs", parent, "first look")] * 2
    assert rules(desk, "EditEvaluationJob", id=one, name=" ") == ["EV-124"]
    fine_tuning = start(desk)
    assert answer(desk, "EditEvaluationJob", {"id": fine_tuning, "name": "x"}, None)["code"] == "not_found"
