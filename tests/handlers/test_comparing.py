"""Sessions are queued, asked, answered piece by piece, stopped and ended; what dies is told."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select

from actors.allotting import Holding, Host
from actors.answering import answer
from actors.desk import Desk
from actors.giving_way import Quiet, for_one, give_way
from actors.scheduling import Offer, Room, Shape, Waiting
from core.store.eventlog import events_after, last_events
from core.store.tables import Adapter, Comparison, ComparisonAdapter, ComparisonQuestion, Dataset, FineTuningJob
from tests.handlers.work import STARTED, Speaker, add_inputs, change, job, say, start, types

ASKED = {"base_model_id": "m", "adapter_ids": ["a", "b"], "num_cpu": 1, "num_memory": 1}
ENGINES = ["legacy", "evaluation", "comparison"]


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(
            FineTuningJob(
                id="j", adapter_name="a", dataset_id="d", prompt_id="p", dataset_fraction=0.5, train_test_split=0.8
            )
        )
        for id in ("a", "b"):
            trained = {"fine_tuning_job_id": "j"} if id == "a" else {}
            unit.session.add(Adapter(id=id, type="project", name=f"n{id}", model_id="m", location=id, **trained))


@pytest.fixture
def runner(desk: Desk) -> Speaker:
    return Speaker(desk, engines=ENGINES)


def begin(desk: Desk, **fields: Any) -> str:
    return str(say(desk, "StartComparison", **{**ASKED, **fields})["comparison"]["id"])


def ask(desk: Desk, id: str, prompt: str = "hello", **fields: Any) -> int:
    return int(say(desk, "AskComparison", id=id, prompt=prompt, **fields)["number"])


def piece(question: int, voice: str, start: int, text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "said", "at": 2.0, "question": question, "voice": voice, "start": start, "text": text, **fields}


def question(desk: Desk, id: str, number: int) -> dict[str, Any]:
    found = say(desk, "GetComparison", id=id)["questions"]
    return next(each for each in found if each["number"] == number)


def refused(desk: Desk, name: str, **payload: Any) -> list[tuple[str, str]]:
    reply = answer(desk, name, payload, None)
    assert reply["code"] == "refused", reply
    return [(each["rule"], each["field"]) for each in reply["breaches"]]


def test_a_session_is_frozen_with_what_its_first_adapter_was_trained_on(desk: Desk) -> None:
    shown = say(desk, "StartComparison", **ASKED, generation_config='{"max_new_tokens": 8}')["comparison"]
    assert (shown["status"], shown["dataset_id"], shown["prompt_id"]) == ("queued", "d", "p")
    assert [(each["id"], each["name"]) for each in shown["adapters"]] == [("a", "na"), ("b", "nb")]
    spec = job(desk, shown["id"]).spec
    assert [each["adapter"] and each["adapter"]["id"] for each in spec["voices"]] == [None, "a", "b"]
    assert (spec["dataset"]["id"], spec["prompt"]["id"], spec["generation"]) == ("d", "p", {"max_new_tokens": 8})
    assert (spec["sampling"]["fraction"], spec["sampling"]["split"]) == (0.5, 0.8)
    assert [each["job_id"] for each in spec["learned"]] == ["j"]
    told = say(desk, "GetComparison", id=shown["id"])
    assert (told["comparison"], told["input_template"]) == (shown, "{q}")
    assert [each["id"] for each in say(desk, "ListComparisons", status="queued")["comparisons"]] == [shown["id"]]
    assert say(desk, "ListComparisons", after=shown["id"])["comparisons"] == []


def test_all_breaches_come_at_once(desk: Desk) -> None:
    wrong = {"adapter_ids": ["a", "x", "a"], "num_gpu": -1, "idle_seconds": 0, "model_bnb_config": "{"}
    assert {rule for rule, _ in refused(desk, "StartComparison", **wrong)} == {
        "CP-101", "CP-102", "CP-103", "CP-106", "CP-107", "CP-108",
    }  # fmt: skip
    id = begin(desk)
    assert refused(desk, "AskComparison", id=id) == [("CP-111", "prompt")]
    assert refused(desk, "AskComparison", id=id, prompt="x", voices=["c"]) == [("CP-112", "voices")]
    (told,) = answer(desk, "AskComparison", {"id": id, "prompt": "x", "voices": ["c"]}, None)["breaches"]
    assert told["message"].startswith("adapter 'c' is not in the session; there are: '' (the base model), 'a' (")
    assert answer(desk, "AskComparison", {"id": "x", "prompt": "x"}, None)["code"] == "not_found"
    bare = begin(desk, adapter_ids=["b"])
    assert refused(desk, "AskComparison", id=bare, random=True) == [("CP-114", "random")]


def test_a_question_goes_out_with_the_orders_until_every_answer_is_done(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    early = ask(desk, id, voices=["", "a"], generation_config='{"do_sample": true}', seed=7)
    runner.begin(id)
    order = runner.tell(id, begin=10)
    expected = {"number": early, "prompt": "hello", "voices": ["", "a"], "generation": {"do_sample": True}, "seed": 7}
    assert order["asked"] == [{**expected, "held": False, "stopped": False}]
    told = [piece(early, "", 0, "one "), piece(early, "a", 0, "x"), piece(early, "", 4, "two", done=True, reason="eos")]
    assert [each["number"] for each in runner.tell(id, *told, begin=10)["asked"]] == [early]
    held = {**expected, "held": True, "prompt": None, "generation": {}, "stopped": False}
    assert runner.tell(id, begin=30, asked=[early])["asked"] == [held]
    half = question(desk, id, early)
    assert (half["answers"][""]["text"], half["answers"][""]["reason"], half["done"]) == ("one two", "eos", False)
    runner.tell(id, piece(early, "a", 9, "lost before"), begin=40)
    assert question(desk, id, early)["answers"]["a"]["text"] == "x"
    last = piece(early, "a", 0, "xy", done=True, reason="length", tokens=2, first_seconds=0.1)
    assert runner.tell(id, last, begin=50)["asked"] == []
    whole = question(desk, id, early)
    assert whole["done"] and whole["answers"]["a"] | {"seconds": 0} == {
        "text": "xy", "tokens": 2, "prompt_tokens": 0, "seconds": 0, "first_seconds": 0.1, "done": True,
        "reason": "length", "error": None,
    }  # fmt: skip


def test_a_piece_that_comes_twice_or_for_nobody_changes_nothing(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    number = ask(desk, id, voices=["a"])
    runner.begin(id)
    told = [
        piece(number, "a", 0, "ab"),
        piece(number, "a", 0, "ab"),
        piece(number, "b", 0, "no"),
        piece(9, "a", 0, "no"),
    ]
    runner.tell(id, *told, begin=10)
    assert {voice: each["text"] for voice, each in question(desk, id, number)["answers"].items()} == {"a": "ab"}
    runner.tell(id, piece(number, "a", 0, "whole", done=True), piece(number, "a", 0, "late"), begin=50)
    assert question(desk, id, number)["answers"]["a"]["text"] == "whole"


def test_a_row_is_drawn_by_the_child_and_told(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    number = int(say(desk, "AskComparison", id=id, random=True)["number"])
    runner.begin(id)
    drawn = {
        "type": "drawn",
        "at": 2.0,
        "question": number,
        "prompt": "q1",
        "expected": "a1",
        "row": 3,
        "held_out": True,
    }
    assert runner.tell(id, drawn, begin=10)["asked"][0]["prompt"] is None  # a next attempt draws the same by the seed
    told = question(desk, id, number)
    assert (told["prompt"], told["expected"], told["row"], told["held_out"]) == ("q1", "a1", 3, True)
    assert told["voices"] == ["", "a", "b"] and told["seed"] == number


def test_what_is_stopped_is_told_to_the_child_or_is_over_at_once(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    waiting = ask(desk, id)
    assert say(desk, "StopAnswers", id=id)["numbers"] == [waiting]
    assert question(desk, id, waiting)["answers"]["a"]["reason"] == "stopped"
    runner.begin(id)
    first, second = ask(desk, id), ask(desk, id)
    assert say(desk, "StopAnswers", id=id, number=second)["numbers"] == [second]
    asked = runner.tell(id, begin=10)["asked"]
    assert [(each["number"], each["stopped"]) for each in asked] == [(first, False), (second, True)]


def test_a_session_that_is_ended_succeeds_when_its_child_has(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    runner.begin(id)
    number = ask(desk, id, voices=[""])
    assert say(desk, "EndComparison", id=id)["status"] == "cancel_requested"
    assert answer(desk, "AskComparison", {"id": id, "prompt": "x"}, None)["code"] == "conflict"
    assert runner.tell(id, begin=10)["order"] == "cancel"
    last = {"type": "finished", "at": 2.0, "outcome": "cancelled", "offset": 20}
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [last]})
    assert job(desk, id).status == "succeeded" and types(desk, id)[-1] == "JobSucceeded"
    told = question(desk, id, number)
    assert told["done"] and "ended before" in told["answers"][""]["error"]
    assert answer(desk, "EndComparison", {"id": id}, None)["code"] == "conflict"


def test_a_child_that_dies_while_it_ends_has_ended(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    runner.begin(id)
    say(desk, "EndComparison", id=id)
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 10, "alive": False, "exit_code": -9})
    assert job(desk, id).status == "succeeded"


def test_a_session_that_waits_is_cancelled_when_it_is_ended(desk: Desk) -> None:
    id = begin(desk)
    number = ask(desk, id)
    assert say(desk, "EndComparison", id=id)["status"] == "cancelled"
    assert question(desk, id, number)["done"]


def test_another_attempt_answers_anew_what_is_open_and_keeps_what_is_done(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    runner.begin(id)
    done, half = ask(desk, id, voices=["a"]), ask(desk, id, voices=["a"])
    told = [piece(done, "a", 0, "all", done=True), piece(half, "a", 0, "ha")]
    runner.tell(id, *told, begin=10)
    runner.report({"job_id": id, "attempt": 1, "offset": 30, "next_offset": 30, "alive": False, "exit_code": -9})
    assert job(desk, id).attempt == 2 and job(desk, id).status == "assigned"
    assert [each["number"] for each in runner.tell(id, STARTED, attempt=2)["asked"]] == [half]
    assert question(desk, id, half)["answers"] == {} and question(desk, id, done)["answers"]["a"]["text"] == "all"


def test_a_session_that_fails_says_so_at_its_open_questions(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    number = ask(desk, id, voices=["a"])
    runner.begin(id)
    error = {"kind": "user_error", "message": "no such model at https://me:hunter2-hunter2@hub.example"}
    last = {"type": "finished", "at": 2.0, "outcome": "failed", "error": error, "offset": 20}
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [last]})
    assert question(desk, id, number)["answers"]["a"]["reason"] == "failed"
    assert job(desk, id).status == "failed"
    with desk.store.read() as session:
        told = [event.model_dump_json() for event in last_events(session, 20)]
    assert "no such model" in str(job(desk, id).error) and "hunter2" not in f"{job(desk, id).error}{told}"


def test_a_session_is_removed_with_what_was_said_when_it_is_over(desk: Desk) -> None:
    id = begin(desk)
    ask(desk, id)
    assert refused(desk, "RemoveComparison", id=id) == [("CP-121", "id")]
    say(desk, "EndComparison", id=id)
    assert say(desk, "RemoveComparison", id=id)["removed"] and not say(desk, "RemoveComparison", id=id)["removed"]
    assert answer(desk, "GetComparison", {"id": id}, None)["code"] == "not_found"
    with desk.store.read() as session:
        assert not [*session.scalars(select(ComparisonQuestion)), *session.scalars(select(ComparisonAdapter))]


def test_no_more_questions_are_open_than_a_session_takes(desk: Desk) -> None:
    id = begin(desk)
    for _ in range(8):
        ask(desk, id)
    assert answer(desk, "AskComparison", {"id": id, "prompt": "x"}, None)["code"] == "conflict"


def test_what_an_unfinished_session_uses_stays_and_no_file_takes_it_along(desk: Desk) -> None:
    id = begin(desk)
    for name, used in (("RemoveAdapter", "b"), ("RemoveModel", "m"), ("RemoveDataset", "d"), ("RemovePrompt", "p")):
        reply = answer(desk, name, {"id": used}, None)
        assert reply["code"] == "refused" and id in str(reply["breaches"]), name
    exported = json.loads(say(desk, "ExportDatabase")["exported_json"])
    assert exported["jobs"]["data"] == []
    say(desk, "EndComparison", id=id)
    assert say(desk, "RemoveAdapter", id="b")["removed"]
    assert say(desk, "GetComparison", id=id)["comparison"]["adapters"][1] == {"id": "b", "name": "nb"}


def test_what_every_voice_learned_is_told_to_the_child(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Dataset(id="e", type="project_csv", name="e", location="e.csv", features='["q", "a"]'))
        unit.session.add(
            FineTuningJob(id="k", adapter_name="b", dataset_id="d", train_test_split=0.6, chat_template=True)
        )
        unit.session.flush()
        unit.session.get_one(Adapter, "b").fine_tuning_job_id = "k"
    spec = job(desk, begin(desk)).spec
    assert {each["job_id"] for each in spec["learned"]} == {"j", "k"} and spec["sampling"]["split"] == 0.8
    assert [each["chat_template"] for each in spec["voices"]] == [False, False, True]
    other = job(desk, begin(desk, dataset_id="e")).spec
    assert other["sampling"] is None and len(other["learned"]) == 2


def test_a_session_that_was_cancelled_can_be_run_again(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    runner.begin(id)
    say(desk, "CancelJob", id=id)
    last = {"type": "finished", "at": 2.0, "outcome": "cancelled", "offset": 20}
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [last]})
    assert job(desk, id).status == "cancelled"
    assert say(desk, "RetryJob", id=id)["status"] == "queued"


def test_one_that_was_ended_before_it_answered_is_run_again_as_one_that_was_not(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    say(desk, "EndComparison", id=id)
    say(desk, "RetryJob", id=id)
    runner.begin(id)
    say(desk, "CancelJob", id=id)
    runner.tell(id, {"type": "finished", "at": 2.0, "outcome": "cancelled"}, begin=10)
    assert job(desk, id).status == "cancelled"


def test_one_that_begins_again_after_long_is_not_ended_before_it_can_be_asked(desk: Desk, runner: Speaker) -> None:
    id = begin(desk, num_cpu=2)
    runner.begin(id)
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 10, "alive": False, "exit_code": -9})
    quiet(desk, id, 3600)
    assert runner.tell(id, STARTED, attempt=2)["order"] == "run"
    waiting = start(desk, "waiting")
    give_way(desk, time.time())
    assert (job(desk, id).status, job(desk, waiting).status) == ("running", "queued")


def quiet(desk: Desk, id: str, seconds: float = 61) -> None:
    """Nobody has asked it for so long."""
    with desk.store.write() as unit:
        unit.session.get_one(Comparison, id).active_at -= seconds
    change(desk, id, started_at=1.0)


def test_a_session_that_nobody_asks_ends_for_a_job_that_waits(desk: Desk, runner: Speaker) -> None:
    id = begin(desk, num_cpu=2)
    runner.begin(id)
    give_way(desk, time.time())
    waiting = start(desk, "waiting")
    give_way(desk, time.time())
    assert job(desk, id).status == "running"  # it was asked a moment ago
    quiet(desk, id)
    give_way(desk, time.time())
    assert job(desk, id).status == "cancel_requested"
    with desk.store.read() as session:
        told = events_after(session, 0, resource_id=id)[-1]
    assert told.type == "JobCancelRequested" and "waiting needs its room" in told.message
    last = {"type": "finished", "at": 2.0, "outcome": "cancelled", "offset": 20}
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [last]})
    assert (job(desk, id).status, job(desk, waiting).status) == ("succeeded", "assigned")


def test_a_session_stays_while_it_is_asked_or_nobody_needs_its_room(desk: Desk, runner: Speaker) -> None:
    id = begin(desk)
    runner.begin(id)
    quiet(desk, id)
    fits, large = start(desk, "fits"), start(desk, "large", num_memory=500)
    give_way(desk, time.time())
    assert job(desk, id).status == "running"  # one has room beside it, the other never has
    ask(desk, id)
    quiet(desk, id)
    say(desk, "CancelJob", id=fits)
    whole = start(desk, "whole", num_cpu=2)
    give_way(desk, time.time())
    assert job(desk, id).status == "running" and {job(desk, each).status for each in (whole, large)} == {"queued"}


def test_no_more_sessions_end_than_a_job_needs() -> None:
    one, two = Room(1, 0, 4), Room(2, 0, 8)
    waiting = Waiting("w", Shape("legacy", two), 0, 0.0)
    offers = [Offer(Room(4, 0, 16), Room(1, 0, 4), frozenset({"legacy"})) for _ in range(2)]
    there = [Host(str(number), each) for number, each in enumerate(offers)]
    asleep = {
        "0": [Quiet("a", 1.0, Room(1, 0, 1)), Quiet("b", 2.0, one)],
        "1": [Quiet("c", 1.0, one), Quiet("d", 2.0, one)],
    }
    assert [each.id for each in for_one(waiting, there, asleep)] == ["c"]
    leaving = Holding("x", one, 0, 0.0, leaving=True)
    assert for_one(waiting, [replace(there[0], held=(leaving,)), there[1]], asleep) == []
    assert for_one(replace(waiting, shape=Shape("legacy", Room(9, 0, 1))), there, asleep) == []
