"""Endpoints: frozen and queued with a key that nothing keeps, served, stopped, lost, and in the way of removals while they are there."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import text

from actors.answering import answer
from actors.desk import Desk
from core.spec import SPEC, EndpointSpec
from core.store.tables import Adapter, Job
from tests.handlers.work import STARTED, Speaker, add_inputs, job, say, types

ASKED = {"base_model_id": "m", "adapter_ids": ["a", "b"], "name": "support", "num_memory": 1}
SERVING = {"type": "serving", "at": 5.0, "address": "http://127.0.0.1:8123", "port": 8123, "models": ["tiny", "a"]}
CANCELLED = {"type": "finished", "at": 90.0, "outcome": "cancelled"}


@pytest.fixture(autouse=True)
def adapters(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        for id in ("a", "b"):
            unit.session.add(Adapter(id=id, type="project", name=f"tickets-{id}", model_id="m", location=id))


def shown(desk: Desk, id: str) -> dict[str, Any]:
    found: dict[str, Any] = say(desk, "GetEndpoint", id=id)["endpoint"]
    return found


def started(desk: Desk, **more: Any) -> str:
    return str(say(desk, "StartEndpoint", **{**ASKED, **more})["endpoint"]["id"])


def runner(desk: Desk, **fields: Any) -> Speaker:
    return Speaker(desk, engines=["legacy", "endpoint"], **fields)


def serving(desk: Desk) -> tuple[Speaker, str]:
    """An endpoint that a runner serves."""
    id, speaker = started(desk), runner(desk)
    speaker.begin(id)
    speaker.tell(id, SERVING, begin=10)
    return speaker, id


def died(speaker: Speaker, id: str, attempt: int = 1, offset: int = 20, read: int = 0) -> None:
    """Its runner tells that its process is gone, with what it read of its spool before."""
    place = {"offset": offset, "next_offset": offset + read}
    speaker.report({"job_id": id, "attempt": attempt, **place, "alive": False, "exit_code": -9})


def test_an_endpoint_is_queued_with_its_inputs_frozen_and_told_by_names(desk: Desk) -> None:
    id = started(desk, generation_config='{"max_new_tokens": 8}', idle_seconds=60)
    told = shown(desk, id)
    assert (told["models"], told["base_model_name"], told["status"]) == (
        ["tiny", "tickets-a", "tickets-b"],
        "tiny",
        "queued",
    )
    assert told["waiting_for"] == "a runner: none has registered; `fts up` starts one"
    spec = SPEC.validate_python(job(desk, id).spec)
    assert isinstance(spec, EndpointSpec)
    assert [each.location for each in spec.adapters] == [str(desk.settings.project / each) for each in ("a", "b")]
    assert (spec.generation, spec.idle_seconds, spec.engine) == ({"max_new_tokens": 8}, 60, "studio")


@pytest.mark.decision("D-191")
def test_the_key_is_told_once_and_kept_nowhere(desk: Desk) -> None:
    first = answer(desk, "StartEndpoint", ASKED, "k-1")
    key = first["value"]["key"]
    again = answer(desk, "StartEndpoint", ASKED, "k-1")
    assert again["value"] == {"endpoint": first["value"]["endpoint"]} and again["as_of"] == first["as_of"]
    spec = job(desk, first["value"]["endpoint"]["id"]).spec
    assert spec["key_sha256"] == hashlib.sha256(key.encode()).hexdigest() and len(key) > 40
    with desk.store.read() as session:
        for table in ("endpoints", "jobs", "events", "inbox", "meta"):
            rows = session.execute(text(f"SELECT * FROM {table}")).all()
            assert rows and key not in str(rows), table
    assert say(desk, "StartEndpoint", **{**ASKED, "name": "open", "auth": False})["key"] is None
    own = say(desk, "StartEndpoint", **{**ASKED, "name": "own", "key_sha256": "0a" * 32})
    assert (own["key"], own["endpoint"]["auth"], job(desk, own["endpoint"]["id"]).spec["key_sha256"]) == (
        None,
        True,
        "0a" * 32,
    )


def test_what_it_answers_is_told_while_a_runner_serves_it(desk: Desk) -> None:
    speaker, id = serving(desk)
    assert (shown(desk, id)["address"], shown(desk, id)["serving_at"]) == (SERVING["address"], 5.0)
    counts = {"type": "served", "at": 9.0, "requests": 2, "refused": 1, "tokens": 40, "active": 1}
    speaker.tell(id, counts, {**counts, "at": 11.0, "active": 0, "failures": 1}, begin=20)
    told = shown(desk, id)
    assert (told["requests"], told["refused"], told["failures"], told["tokens"], told["active"]) == (4, 2, 1, 80, 0)
    assert told["last_used_at"] == 11.0
    assert "EndpointServing" in types(desk, id)


def test_an_endpoint_whose_runner_is_gone_has_no_address_until_it_serves_again(desk: Desk) -> None:
    speaker, id = serving(desk)
    died(speaker, id)
    assert (shown(desk, id)["address"], shown(desk, id)["last_address"]) == (None, SERVING["address"])
    assert job(desk, id).attempt == 2  # it got it at once
    speaker.tell(id, STARTED, SERVING, attempt=2)
    assert shown(desk, id)["address"] == SERVING["address"]


def test_one_that_has_served_for_a_while_has_earned_another_try(desk: Desk) -> None:
    speaker, id = serving(desk)
    for attempt in range(1, 8):
        if attempt > 1:
            speaker.tell(id, STARTED, SERVING, attempt=attempt)
        speaker.tell(id, {"type": "served", "at": 70.0, "requests": 1}, attempt=attempt, begin=20)
        died(speaker, id, attempt, offset=30)
    assert (job(desk, id).status, job(desk, id).attempt) == ("assigned", 8)


def test_one_that_dies_before_it_serves_fails_with_a_reason(desk: Desk) -> None:
    id, speaker = started(desk), runner(desk)
    speaker.begin(id)
    for attempt in range(1, 5):
        died(speaker, id, attempt, offset=0, read=10)
    told = shown(desk, id)
    assert (told["status"], told["failure_class"]) == ("failed", "killed")


@pytest.mark.decision("D-192")
def test_an_endpoint_that_is_stopped_has_succeeded_and_one_that_is_cancelled_not(desk: Desk) -> None:
    speaker, id = serving(desk)
    assert say(desk, "StopEndpoint", id=id)["status"] == "cancel_requested"
    assert speaker.tell(id, begin=20)["order"] == "cancel"
    speaker.tell(id, CANCELLED, begin=20)
    assert (shown(desk, id)["status"], shown(desk, id)["address"]) == ("succeeded", None)
    other = started(desk)
    speaker.begin(other)
    say(desk, "CancelJob", id=other)
    speaker.tell(other, CANCELLED, begin=10)
    assert shown(desk, other)["status"] == "cancelled"
    assert answer(desk, "StopEndpoint", {"id": id})["code"] == "conflict"


def test_one_that_was_cancelled_stays_so_when_it_is_stopped_as_well(desk: Desk) -> None:
    speaker, id = serving(desk)
    say(desk, "CancelJob", id=id)
    assert say(desk, "StopEndpoint", id=id)["status"] == "cancel_requested"
    speaker.tell(id, CANCELLED, begin=20)
    assert shown(desk, id)["status"] == "cancelled"


def test_one_that_dies_while_it_stops_has_stopped(desk: Desk) -> None:
    speaker, id = serving(desk)
    say(desk, "StopEndpoint", id=id)
    died(speaker, id)
    assert shown(desk, id)["status"] == "succeeded"


def test_one_that_waits_is_stopped_at_once(desk: Desk) -> None:
    id = started(desk)
    assert say(desk, "StopEndpoint", id=id)["status"] == "cancelled"
    assert answer(desk, "StopEndpoint", {"id": "gone"})["code"] == "not_found"


def test_one_that_was_stopped_before_it_served_is_run_again_as_one_that_was_not(desk: Desk) -> None:
    id = started(desk)
    say(desk, "StopEndpoint", id=id)
    say(desk, "RetryJob", id=id)
    speaker = runner(desk)
    speaker.begin(id)
    say(desk, "CancelJob", id=id)
    speaker.tell(id, CANCELLED, begin=10)
    assert shown(desk, id)["status"] == "cancelled"


def test_what_it_serves_is_not_removed_until_it_is_over(desk: Desk) -> None:
    id = started(desk)
    for name, used, rule in (("RemoveAdapter", "b", "AD-121"), ("RemoveModel", "m", "MD-121")):
        reply = answer(desk, name, {"id": used, **({"cascade": True} if used == "m" else {})})
        assert rule in {each["rule"] for each in reply["breaches"]}, reply
        assert "'support'" in reply["breaches"][0]["message"]
    assert answer(desk, "RemoveEndpoint", {"id": id})["breaches"][0]["rule"] == "EP-121"
    say(desk, "StopEndpoint", id=id)
    assert say(desk, "RemoveModel", id="m", cascade=True)["removed"]
    assert shown(desk, id)["base_model_id"] is None and shown(desk, id)["models"][0] == "tiny"
    assert say(desk, "RemoveEndpoint", id=id)["removed"] and not say(desk, "RemoveEndpoint", id=id)["removed"]
    with desk.store.read() as session:
        assert session.get(Job, id) is None


def test_all_breaches_of_an_endpoint_come_at_once(desk: Desk) -> None:
    asked = {"base_model_id": "x", "adapter_ids": ["a", "a"], "host": "0.0.0.0", "port": 70000, "auth": False}
    reply = answer(desk, "StartEndpoint", asked)
    told = {(each["rule"], each["field"]) for each in reply["breaches"]}
    wanted = {("EP-101", "base_model_id"), ("EP-102", "adapter_ids"), ("EP-104", "name"), ("EP-106", "port")}
    assert told == {*wanted, ("EP-107", "auth")}
    started(desk)
    (taken,) = answer(desk, "StartEndpoint", ASKED)["breaches"]
    assert (taken["rule"], taken["field"]) == ("EP-104", "name")


def test_vllm_is_taken_by_itself_where_a_runner_has_it_and_a_gpu_is_asked_for(desk: Desk) -> None:
    assert job(desk, started(desk, num_gpu=1)).engine == "endpoint"
    runner(desk, extra={"engines": ["vllm", "endpoint"], "gpus": [{"index": 0}]})
    id = started(desk, num_gpu=1, name="b")
    assert (job(desk, id).engine, job(desk, id).spec["engine"], shown(desk, id)["engine"]) == ("vllm",) * 3
    assert job(desk, started(desk, name="c")).engine == "endpoint"
    assert job(desk, started(desk, name="d", engine="studio", num_gpu=1)).engine == "endpoint"
    assert job(desk, started(desk, name="e", engine="vllm")).engine == "vllm"


def test_endpoints_are_listed_newest_first_and_leave_no_trace_in_an_export(desk: Desk) -> None:
    ids = [started(desk, name=name) for name in ("one", "two", "three")]
    say(desk, "StopEndpoint", id=ids[1])
    first = say(desk, "ListEndpoints", limit=2)
    assert [each["id"] for each in first["endpoints"]] == [ids[2], ids[1]] and first["has_more"]
    assert [each["id"] for each in say(desk, "ListEndpoints", after=ids[1])["endpoints"]] == [ids[0]]
    assert [each["id"] for each in say(desk, "ListEndpoints", status="cancelled")["endpoints"]] == [ids[1]]
    assert [each["id"] for each in say(desk, "ListEndpoints", name_contains="TH")["endpoints"]] == [ids[2]]
    exported = json.loads(say(desk, "ExportDatabase")["exported_json"])
    assert exported["jobs"]["data"] == []
