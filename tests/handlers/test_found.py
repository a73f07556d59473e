"""What the state machine (test_state_machine.py) found, each in a plain test of its own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from actors.world import INSPECTORS
from core.errors import Unavailable
from core.store.tables import Prompt
from tests.handlers.work import add_inputs, job, say


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
