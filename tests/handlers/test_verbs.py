"""What people ask of jobs that are there, on the level of messages: every verb in every state, and what runners are told."""

from __future__ import annotations

from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.events import Event
from core.queue import stream
from core.store.eventlog import events_after
from core.store.tables import Adapter
from core.types import JobStatus
from tests.handlers.test_evaluation_messages import add_adapter, rows, scored
from tests.handlers.test_evaluation_messages import batch as start_batch
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, change, folded, job, say, start, types

S = JobStatus
PAUSED = {"type": "finished", "at": 2.0, "outcome": "paused"}
FAILED = {"type": "finished", "at": 2.0, "outcome": "failed", "error": {"kind": "user_error", "message": "no rows"}}
VERBS: dict[str, dict[str, Any]] = {
    "CancelJob": {},
    "PauseJob": {},
    "ResumeJob": {},
    "RetryJob": {},
    "CheckpointJob": {},
    "SetJobPriority": {"priority": 5},
}
# verb -> the states it is for, and where each leads; in all others it is a conflict that changes nothing.
LEADS: dict[str, dict[JobStatus, JobStatus]] = {
    "CancelJob": {
        S.queued: S.cancelled,
        S.paused: S.cancelled,
        **dict.fromkeys((S.assigned, S.running, S.pausing, S.cancel_requested), S.cancel_requested),
    },
    "PauseJob": {
        **dict.fromkeys((S.queued, S.paused), S.paused),
        **dict.fromkeys((S.assigned, S.running, S.pausing), S.pausing),
    },
    "ResumeJob": {
        **dict.fromkeys((S.paused, S.queued), S.queued),
        **dict.fromkeys((S.pausing, S.running), S.running),
        S.assigned: S.assigned,
    },
    "RetryJob": dict.fromkeys((S.failed, S.cancelled), S.queued),
    "CheckpointJob": {S.assigned: S.assigned, S.running: S.running},
    "SetJobPriority": {state: state for state in S if not state.finished},
}


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def refused(desk: Desk, name: str, /, **payload: Any) -> dict[str, Any]:
    reply = answer(desk, name, payload, None)
    assert not reply["ok"]
    return reply


def happened(desk: Desk, id: str, type: str) -> Event:
    with desk.store.read() as session:
        return [event for event in events_after(session, 0, resource_id=id) if event.type == type][-1]


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_does_in_each_state_what_the_table_says_or_is_a_conflict_and_changes_nothing(
    desk: Desk, verb: str
) -> None:
    id = start(desk)
    for state in S:
        change(desk, id, status=state.value, runner_id="r" if state.held else None, attempt=3)
        reply = answer(desk, verb, {"id": id, **VERBS[verb]}, None)
        priority = job(desk, id).priority
        to = LEADS[verb].get(state)
        if to is None:
            assert (reply["ok"], reply["code"], job(desk, id).status) == (False, "conflict", state), state
        else:
            assert (
                reply["ok"]
                and reply["value"] == {"id": id, "status": to, "priority": priority}
                and job(desk, id).status == to
            ), state
            assert folded(desk)[id] == to or state == to
    assert answer(desk, verb, {"id": "gone", **VERBS[verb]}, None)["code"] == "not_found"


def test_a_job_that_waits_is_held_back_and_queued_at_the_end_again(desk: Desk) -> None:
    first, second, a = start(desk, "first"), start(desk, "second"), Speaker(desk, cpus=1)
    assert say(desk, "PauseJob", id=first)["status"] == "paused"
    say(desk, "ResumeJob", id=first)
    assert [each["job_id"] for each in a.report()["jobs"]] == [second]
    assert types(desk, first) == ["JobQueued", "JobPaused", "JobQueued"]


def test_a_running_job_pauses_when_its_runner_has_saved_and_goes_on_when_it_is_asked_to(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    assert say(desk, "PauseJob", id=id)["status"] == "pausing"
    assert stream.await_wake(desk.redis, desk.settings.namespace, a.id, 20)
    assert a.tell(id, begin=10)["order"] == "pause"
    a.tell(id, {"type": "checkpoint", "at": 1.0, "step": 4, "path": "c"}, PAUSED, begin=10)
    assert (job(desk, id).status, job(desk, id).runner_id, a.report()["jobs"]) == ("paused", None, [])
    assert say(desk, "ResumeJob", id=id)["status"] == "queued"
    assert stream.await_wake(desk.redis, desk.settings.namespace, a.id, 20)
    (order,) = a.report()["jobs"]
    assert (order["attempt"], order["order"], order["fresh"]) == (2, "run", False)
    assert (job(desk, id).retries, job(desk, id).losses) == (0, 0)


@pytest.mark.parametrize("heard", [False, True])
def test_a_pause_that_is_taken_back_leaves_the_job_running_or_puts_it_in_the_queue(desk: Desk, heard: bool) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    say(desk, "PauseJob", id=id)
    assert say(desk, "ResumeJob", id=id)["status"] == "running"
    assert a.tell(id, begin=10)["order"] == "run"
    if heard:
        a.tell(id, PAUSED, begin=10)
        assert (job(desk, id).status, job(desk, id).attempt) == (
            "assigned",
            2,
        )  # queued, and given out by the same report
    assert folded(desk)[id] == job(desk, id).status
    assert happened(desk, id, "JobContinued").data["status"] == "running"


def test_a_child_that_dies_or_a_runner_that_is_gone_while_a_job_pauses_leaves_it_paused(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    say(desk, "PauseJob", id=id)
    a.tell(id, begin=10, alive=False, exit_code=-9)
    assert (job(desk, id).status, job(desk, id).retries) == ("paused", 0)


@pytest.mark.decision("D-163")
def test_a_failed_job_is_run_again_as_the_same_job_from_its_checkpoint(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, {"type": "checkpoint", "at": 1.0, "step": 4, "path": "c"}, FAILED, begin=10)
    before = job(desk, id)
    assert (before.status, before.failure_class, before.error["message"]) == ("failed", "user_error", "no rows")
    assert say(desk, "RetryJob", id=id) == {"id": id, "status": "queued", "priority": 0}
    row = job(desk, id)
    assert (row.error, row.failure_class, row.finished_at, row.retries, row.checkpoint) == (None, None, None, 1, "c")
    told = happened(desk, id, "JobRetried").data
    assert (told["status"], told["attempt"], told["from_checkpoint"]) == ("queued", 1, True)
    (order,) = a.report()["jobs"]
    assert (order["job_id"], order["attempt"], order["fresh"]) == (id, 2, False)
    a.tell(id, STARTED, SUCCEEDED, attempt=2)
    assert job(desk, id).status == "succeeded" == folded(desk)[id]
    assert refused(desk, "RetryJob", id=id)["code"] == "conflict"


def test_a_job_run_again_anew_begins_anew_until_an_attempt_has_begun(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, {"type": "checkpoint", "at": 1.0, "step": 4, "path": "c"}, FAILED, begin=10)
    say(desk, "RetryJob", id=id, from_checkpoint=False)
    row = job(desk, id)
    assert (row.step, row.summary, row.checkpoint, row.last_metrics) == (0, None, None, None)
    assert [each["fresh"] for each in a.report()["jobs"]] == [True]
    a.tell(id, attempt=2)  # it dies before it said a word
    a.report({"job_id": id, "attempt": 2, "offset": 0, "next_offset": 0, "alive": False})
    assert [(each["attempt"], each["fresh"]) for each in a.report()["jobs"]] == [(3, True)]
    assert a.tell(id, STARTED, attempt=3)["fresh"] is False
    a.report({"job_id": id, "attempt": 3, "offset": 10, "next_offset": 10, "alive": False})
    assert [(each["attempt"], each["fresh"]) for each in a.report()["jobs"]] == [(4, False)]


def test_a_cancelled_job_can_be_run_again_and_says_when_its_adapters_name_was_taken(desk: Desk) -> None:
    id = start(desk, "tickets")
    say(desk, "CancelJob", id=id)
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="x", name="tickets"))
    reply = answer(desk, "RetryJob", {"id": id}, None)
    assert reply["ok"] and [(each["rule"], each["severity"]) for each in reply["breaches"]] == [("JB-104", "INFO")]
    assert job(desk, id).status == "queued"


def test_what_has_nothing_to_be_run_by_or_no_checkpoints_is_refused_by_its_rule(desk: Desk) -> None:
    add_adapter(desk)
    batch, _ = start_batch(desk)
    assert [each["rule"] for each in refused(desk, "CheckpointJob", id=batch)["breaches"]] == ["JB-102"]
    id = start(desk)
    change(desk, id, spec={}, status="cancelled")
    assert [each["rule"] for each in refused(desk, "RetryJob", id=id)["breaches"]] == ["JB-103"]
    change(desk, id, kind="export", status="queued")
    assert [each["rule"] for each in refused(desk, "PauseJob", id=id)["breaches"]] == ["JB-101"]


def test_a_checkpoint_is_asked_of_the_attempt_that_runs_and_not_of_the_next(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    for count in (1, 2):
        say(desk, "CheckpointJob", id=id)
        assert stream.await_wake(desk.redis, desk.settings.namespace, a.id, 20)
        assert a.tell(id, begin=10)["checkpoint"] == count
    a.tell(id, begin=10, alive=False)
    (order,) = a.report()["jobs"]
    assert (order["attempt"], order["checkpoint"]) == (2, 0)
    assert types(desk, id).count("JobCheckpointAsked") == 2


def test_a_job_of_higher_priority_goes_first_whenever_it_got_it(desk: Desk) -> None:
    first, second, a = start(desk, "first"), start(desk, "second"), Speaker(desk, cpus=1)
    told = say(desk, "SetJobPriority", id=second, priority=10)
    assert (told["id"], told["status"], told["priority"]) == (second, "queued", 10)
    assert [each["job_id"] for each in a.report()["jobs"]] == [second]
    told = happened(desk, second, "JobPriorityChanged").data
    assert (told["priority"], told["before"]) == (10, 0)
    say(desk, "SetJobPriority", id=second, priority=10)
    assert types(desk, second).count("JobPriorityChanged") == 1
    assert refused(desk, "SetJobPriority", id=first, priority=101)["breaches"][0]["rule"] == "MS-101"


def test_a_batch_is_paused_and_resumed_by_any_of_its_ids(desk: Desk) -> None:
    add_adapter(desk)
    batch, children = start_batch(desk)
    assert say(desk, "PauseJob", id=children[0])["id"] == batch
    assert {row["status"] for row in rows(desk, batch)} == {"paused"}
    say(desk, "ResumeJob", id=batch)
    assert {row["status"] for row in rows(desk, batch)} == {"queued"}


@pytest.mark.parametrize("anew", [False, True])
def test_a_batch_run_again_keeps_what_is_scored_unless_it_begins_anew_and_what_was_left_out_stays_out(
    desk: Desk, anew: bool
) -> None:
    add_adapter(desk)
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="b", type="project", name="b", model_id="m", location="b"))
    pairs = [{"base_model_id": "m", "adapter_id": adapter} for adapter in ("a", "b", None)]
    batch, (one, two, three) = start_batch(desk, model_adapter_combinations=pairs)
    a = Speaker(desk)
    a.begin(batch)
    say(desk, "CancelJob", id=three)
    a.tell(batch, scored(one), begin=10)
    a.tell(batch, FAILED, begin=20)
    assert {row["id"]: row["status"] for row in rows(desk, batch)}[two] == "failed"
    say(desk, "RetryJob", id=batch, from_checkpoint=not anew)
    after = {row["id"]: row for row in rows(desk, batch)}
    assert [after[id]["status"] for id in (one, two, three)] == [
        "queued" if anew else "succeeded",
        "queued",
        "cancelled",
    ]
    assert after[two]["error"] is None and bool(after[one]["scores"]) is not anew
    (order,) = a.report()["jobs"]
    assert (order["job_id"], order["fresh"], order["cancelled"]) == (batch, anew, [three])
