"""Exports to Cloudera ML (docs/decisions.md, D-030 and D-202): endpoints that only a runner there takes."""

from __future__ import annotations

from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.spec import SPEC, EndpointSpec
from core.store.tables import Adapter, Model
from tests.handlers.work import Speaker, add_inputs, job, say

ASKED = {"type": "cml_model", "base_model_id": "h", "adapter_id": "ha", "model_name": " support "}


@pytest.fixture(autouse=True)
def pair(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(Model(id="h", type="huggingface", name="hub", huggingface_model_name="org/m", revision="c0"))
        unit.session.add(Adapter(id="ha", type="project", name="tickets", model_id="h", location="ha"))


def refused(desk: Desk, **payload: Any) -> list[str]:
    reply = answer(desk, "ExportModel", {**ASKED, **payload}, None)
    assert reply["code"] == "refused", reply
    return [each["rule"] for each in reply["breaches"]]


def at_cloudera(desk: Desk) -> Speaker:
    return Speaker(desk, engines=["legacy", "cml_model"], extra={"kind": "cml", "gpus": [{"index": 0}]})


def test_it_becomes_an_endpoint_with_clouderas_defaults_that_only_a_runner_there_takes(desk: Desk) -> None:
    other, there = (
        Speaker(desk, engines=["legacy", "endpoint", "vllm"], extra={"gpus": [{"index": 0}]}),
        at_cloudera(desk),
    )
    reply = say(desk, "ExportModel", **ASKED, model_description="answers tickets")
    told = reply["endpoint"]
    assert (reply["base_model_id"], reply["adapter_id"], reply["export_job"]) == ("h", "ha", None)
    assert (told["name"], told["engine"], told["models"], told["auth"]) == ("support", "cml_model", ["tickets"], True)
    assert (told["num_cpu"], told["num_gpu"], told["num_memory"]) == (2, 1, 8)
    spec = SPEC.validate_python(job(desk, told["id"]).spec)
    assert isinstance(spec, EndpointSpec) and (spec.model.hub_name, spec.model.revision) == ("org/m", "c0")
    assert spec.adapters[0].location == str(desk.settings.project / "ha")
    assert (spec.description, spec.auth, spec.needs_token) == ("answers tickets", True, False)
    assert other.report()["jobs"] == []
    assert [each["job_id"] for each in there.report()["jobs"]] == [told["id"]]


def test_without_authentication_or_on_a_processor_when_that_is_asked_for(desk: Desk) -> None:
    at_cloudera(desk)
    told = say(desk, "ExportModel", **ASKED, auth=False, num_gpu=0, num_cpu=1)["endpoint"]
    assert (told["auth"], told["num_gpu"], told["num_cpu"]) == (False, 0, 1)
    assert job(desk, told["id"]).spec["auth"] is False


def test_the_model_that_it_is_there_and_its_address_are_told_and_stopping_it_is_a_success(desk: Desk) -> None:
    speaker = at_cloudera(desk)
    id = say(desk, "ExportModel", **ASKED)["endpoint"]["id"]
    speaker.begin(id)
    serving = {
        "type": "serving",
        "at": 5.0,
        "address": "https://modelservice.x/model",
        "port": 443,
        "models": ["tickets"],
    }
    placed = {"type": "placed", "at": 3.0, "where": "cml", "job": "abcd-efgh-ijkl-mnop", "name": "support"}
    speaker.tell(id, placed, serving, begin=10)
    told = say(desk, "GetEndpoint", id=id)["endpoint"]
    assert (told["cml_model_id"], told["address"]) == ("abcd-efgh-ijkl-mnop", "https://modelservice.x/model")
    assert say(desk, "StopEndpoint", id=id)["status"] == "cancel_requested"
    speaker.tell(id, {"type": "finished", "at": 90.0, "outcome": "cancelled"}, begin=30)
    told = say(desk, "GetEndpoint", id=id)["endpoint"]
    assert (told["status"], told["address"]) == ("succeeded", None)


def test_where_no_runner_of_clouderas_has_registered_it_is_refused_with_what_to_do(desk: Desk) -> None:
    Speaker(desk, engines=["legacy", "endpoint"])
    reply = answer(desk, "ExportModel", ASKED, None)
    assert [each["rule"] for each in reply["breaches"]] == ["EX-109"]
    assert "fts runner --backend cml" in reply["breaches"][0]["message"]
    assert say(desk, "ListEndpoints")["endpoints"] == []


def test_a_name_is_one_endpoints_and_one_line_and_its_adapter_stays(desk: Desk) -> None:
    at_cloudera(desk)
    id = say(desk, "ExportModel", **ASKED)["endpoint"]["id"]
    assert refused(desk) == ["EX-112"] and refused(desk, model_name="a\nb") == ["EX-112"]
    for name, used in (("RemoveAdapter", "ha"), ("RemoveModel", "h")):
        reply = answer(desk, name, {"id": used}, None)
        assert reply["code"] == "refused" and id in str(reply["breaches"])
    say(desk, "StopEndpoint", id=id)
    say(desk, "ExportModel", **ASKED)


def test_an_export_that_is_no_endpoint_asks_nobody_for_a_key(desk: Desk) -> None:
    assert refused(desk, type="model_registry", auth=False) == ["EX-113"]
