"""What runners say: each record once, by whoever holds the job, and nothing of anyone else."""

from __future__ import annotations

import random
import string
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import func, select

from actors.answering import answer
from actors.desk import Desk
from actors.runners import HELD
from actors.ticking import tick
from core import labels
from core.events import Event
from core.queue import stream
from core.store.eventlog import events_after
from core.store.tables import Metric
from tests.handlers.work import (
    STARTED,
    SUCCEEDED,
    Speaker,
    add_inputs,
    change,
    folded,
    job,
    say,
    start,
    types,
    write_script,
)


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def metrics(step: int, **values: float) -> dict[str, Any]:
    return {"type": "metrics", "at": float(step), "step": step, "values": values or {"loss": 1.0 / step}}


def loss(desk: Desk) -> dict[int, float]:
    with desk.store.read() as session:
        rows = session.execute(select(Metric.step, Metric.value).where(Metric.name == "loss"))
        return {row.step: row.value for row in rows}


STANDS_STILL = {
    "type": "held",
    "at": 2.0,
    "needed": 3 << 20,
    "free": 1 << 20,
    "text": "no room: a checkpoint needs 3.0 MiB",
}


def test_a_job_that_stands_still_says_so_once_keeps_its_lease_and_goes_on(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    change(desk, id, lease_expires_at=time.time() + 1)
    assert a.tell(id, STANDS_STILL, STANDS_STILL, begin=10)["order"] == "run"
    shown = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    assert shown["status"] == "running" and shown["held"]["reason"] == STANDS_STILL["text"]
    assert (shown["held"]["needed"], shown["held"]["free"]) == (3 << 20, 1 << 20)
    assert job(desk, id).lease_expires_at > time.time() + 20  # type: ignore[operator]
    assert a.tell(id, {"type": "unheld", "at": 3.0}, begin=30)["accepted"] == 40
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["held"] is None
    assert types(desk, id)[-2:] == ["JobHeld", "JobHasRoom"] and folded(desk)[id] == "running"


@pytest.mark.parametrize(
    ("verb", "ordered", "outcome"), [("CancelJob", "cancel", "cancelled"), ("PauseJob", "pause", "paused")]
)
def test_a_job_that_stands_still_is_cancelled_and_paused_like_any_other(
    desk: Desk, verb: str, ordered: str, outcome: str
) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, STANDS_STILL, begin=10)
    say(desk, verb, id=id)
    assert a.tell(id, begin=20)["order"] == ordered
    a.tell(id, {"type": "finished", "at": 3.0, "outcome": outcome}, begin=20)
    assert (job(desk, id).status, job(desk, id).held) == (outcome, None)


def test_a_job_whose_files_have_no_room_is_held_before_it_begins(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.report()
    for _ in range(2):
        a.tell(id, short={"needed": 8 << 20, "free": 5 << 10})
    held = job(desk, id).held
    assert held is not None and "no room to begin (8 MiB are needed, and 0 MiB are free" in held["reason"]
    a.tell(id, STARTED)
    assert job(desk, id).held is None
    assert [each for each in types(desk, id) if each.startswith("JobH")] == ["JobHeld", "JobHasRoom"]


def test_a_job_whose_files_are_away_is_held_before_it_begins_and_keeps_its_lease(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.report()
    change(desk, id, lease_expires_at=time.time() + 1)
    for _ in range(2):
        a.tell(id, short={"needed": 0, "free": 0, "away": "the artifacts directory /x can't be reached\x1b"})
    assert job(desk, id).held["reason"] == "the artifacts directory /x can't be reached\\x1b"  # type: ignore[index]
    assert job(desk, id).lease_expires_at > time.time() + 20  # type: ignore[operator]
    a.tell(id, STARTED)
    with desk.store.read() as session:
        told = [event.message for event in events_after(session, 0, resource_id=id) if event.type.startswith("JobHa")]
    assert told == ["tickets goes on: its files can be reached again"]
    assert types(desk, id).count("JobHeld") == 1


def test_a_job_goes_its_way_from_the_queue_to_its_end(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    [order] = a.report()["jobs"]
    assert (order["job_id"], order["attempt"], order["order"], order["accepted"]) == (id, 1, "run", 0)
    assert order["spec"]["job_id"] == id
    assert a.tell(id, STARTED, metrics(1))["accepted"] == 20
    assert job(desk, id).status == "running"
    assert a.tell(id, metrics(2), SUCCEEDED, begin=20)["order"] == "stop"
    assert job(desk, id).status == "succeeded"
    assert types(desk, id) == ["JobQueued", "JobAssigned", "JobStarted", "JobSucceeded"]
    assert loss(desk) == {1: 1.0, 2: 0.5}


def test_a_lost_reply_is_healed_by_the_next(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.report()
    [again] = a.report()["jobs"]
    assert (again["job_id"], again["attempt"]) == (id, 1)
    assert again["spec"] is not None
    assert a.tell(id, has_spec=False)["spec"] is not None
    assert a.tell(id)["spec"] is None


def test_a_report_told_twice_counts_once_and_a_longer_one_adds_what_is_new(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    warning = {"type": "warning", "at": 1.0, "text": "w"}
    for _ in range(2):
        assert a.tell(id, warning, begin=10)["accepted"] == 20
    assert a.tell(id, warning, warning, begin=10)["accepted"] == 30
    assert types(desk, id).count("JobWarning") == 2


def test_a_gap_is_not_taken_and_the_reply_says_where_to_begin(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    assert a.tell(id, metrics(5), begin=50)["accepted"] == 10
    assert a.tell(id, begin=50, alive=False)["order"] == "run"
    assert loss(desk) == {}


def test_a_stopped_runner_that_comes_back_changes_nothing_and_is_told_to_stop(desk: Desk) -> None:
    id, a, b = start(desk), Speaker(desk), Speaker(desk, host="b")
    a.begin(id)
    now = time.time()
    tick(desk, now)
    for second in range(1, 32):  # a says nothing, b does; the clock is ours
        tick(desk, now + second)
    assert job(desk, id).status == "queued"
    assert "JobLost" in types(desk, id)
    assert [each["attempt"] for each in b.report()["jobs"]] == [2]
    b.tell(id, STARTED, attempt=2)
    before = types(desk, id)
    order = a.tell(id, metrics(7), SUCCEEDED, begin=10)
    assert (order["order"], order["attempt"]) == ("stop", 1)
    row = job(desk, id)
    assert (row.status, row.attempt, row.runner_id, row.accepted) == ("running", 2, b.id, 10)
    assert types(desk, id) == before
    assert loss(desk) == {}


def test_an_older_daemon_is_refused_and_its_jobs_are_the_newer_ones(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    old = a.incarnation
    a.register()
    told = {
        "runner_id": a.id,
        "incarnation": old,
        "jobs": [{"job_id": id, "attempt": 1, "offset": 0, "next_offset": 0}],
    }
    assert answer(desk, "ReportProgress", told)["code"] == "conflict"
    assert a.tell(id, metrics(1), begin=10)["order"] == "run"


def happened(desk: Desk, id: str) -> list[Event]:
    with desk.store.read() as session:
        return events_after(session, 0, resource_id=id)


def test_a_runner_that_the_store_does_not_know_or_knows_as_younger_registers_again(desk: Desk) -> None:
    a = Speaker(desk)
    assert not say(desk, "ReportProgress", runner_id="x", incarnation=1)["known"]
    assert not say(desk, "ReportProgress", runner_id=a.id, incarnation=a.incarnation + 1)["known"]


@pytest.mark.decision("D-162")
def test_a_child_that_dies_is_run_again_until_it_keeps_dying(desk: Desk) -> None:
    desk.settings.max_losses = 2
    id, a = start(desk), Speaker(desk)
    for attempt in (1, 2, 3):
        a.report()
        a.tell(id, STARTED, attempt=attempt)
        a.tell(id, attempt=attempt, begin=10, alive=False, exit_code=-9)
    row = job(desk, id)
    assert (row.status, row.attempt, row.losses, row.retries) == ("failed", 3, 3, 2)
    assert row.error is not None
    assert "SIGKILL" in row.error["message"] and "3" in row.error["message"]
    assert "batch size" in row.error["hint"]


@pytest.mark.parametrize(
    ("code", "kind", "cause"),
    [(-11, "killed", "native code"), (-9, "killed", "memory"), (1, "bug", "installation"), (None, "killed", "outside")],
)
def test_how_a_child_died_tells_the_class_and_the_likely_cause(
    desk: Desk, code: int | None, kind: str, cause: str
) -> None:
    desk.settings.max_losses = 0
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, begin=10, alive=False, exit_code=code, log_tail=["the last", "word\0"])
    row = job(desk, id)
    assert (row.status, row.failure_class) == ("failed", kind)
    assert row.error is not None and cause in row.error["cause"] and row.error["hint"]
    assert row.error["log_tail"] == ["the last", "word\ufffd"]


def test_a_child_that_the_kernel_ended_for_want_of_memory_is_told_as_that_and_gets_its_chances_with_less(
    desk: Desk,
) -> None:
    desk.settings.max_losses = 1
    id, a = start(desk), Speaker(desk)
    for attempt, starved in ((1, False), (2, True), (3, False)):
        a.begin(id)
        oom = {"type": "oom", "at": 1.0, "step": 3, "batch": 2, "accumulation": 4, "text": "less", "starved": starved}
        a.tell(id, oom, attempt=attempt, begin=10, alive=False, exit_code=-9, starved=True)
    row = job(desk, id)
    assert (row.status, row.failure_class, row.retries) == ("failed", "out_of_memory", 2)
    assert row.error is not None and "kernel" in row.error["cause"] and "max_length" in row.error["hint"]
    told = [event for event in happened(desk, id) if event.type == "JobMemoryReduced"]
    assert [(event.level, event.data["attempt"]) for event in told] == [("warning", 1), ("warning", 2), ("warning", 3)]
    assert [told[0].data[name] for name in ("step", "batch", "accumulation")] == [3, 2, 4]


@pytest.mark.parametrize("kind", ["user_error", "out_of_memory", "disk_full", "bug", "unheard of"])
def test_a_failure_that_the_child_told_is_final_and_always_has_a_cause_and_a_next_step(desk: Desk, kind: str) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, {"type": "finished", "at": 2.0, "outcome": "failed", "error": {"kind": kind, "message": "m"}}, begin=10)
    row = job(desk, id)
    assert (row.status, row.attempt, row.retries) == ("failed", 1, 0)
    assert row.failure_class == (kind if kind != "unheard of" else "bug")
    assert row.error is not None and row.error["cause"] and row.error["hint"]


def test_only_a_checkpoint_that_is_further_forgives_deaths(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)

    def die(attempt: int, step: int) -> int:
        a.report()
        saved = {"type": "checkpoint", "at": 1.0, "step": step, "path": f"c-{step}"}
        a.tell(id, STARTED, saved, attempt=attempt)
        a.tell(id, attempt=attempt, begin=20, alive=False, exit_code=1)
        return job(desk, id).losses

    assert [die(1, 5), die(2, 5), die(3, 9)] == [1, 2, 1]


def test_a_resumed_attempt_cuts_what_comes_again(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, *[metrics(step) for step in range(1, 9)], begin=10)
    a.tell(id, begin=90, alive=False)
    a.report()
    resumed = {"type": "resumed", "at": 1.0, "from_step": 5, "path": "c"}
    a.tell(id, resumed, STARTED, metrics(6, loss=9.0), attempt=2)
    assert sorted(loss(desk)) == [1, 2, 3, 4, 5, 6]
    assert loss(desk)[6] == 9.0
    assert "JobResumed" in types(desk, id)


LONG = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))  # nothing that compression makes short


def test_what_a_child_writes_can_not_keep_its_runner_from_being_heard(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    hostile: list[dict[str, Any]] = [
        {"type": "warning", "at": 1.0, "text": "a\0b"},
        {"type": "log", "at": 1.0, "text": "\0"},
        {"type": "metrics", "at": 1.0, "step": 1, "values": {"loss": float("nan"), "eval_loss": float("inf")}},
        {"type": "metrics", "at": 1.0, "step": 2**70, "values": {"loss": 1.0}},
        {"type": "progress", "at": 1.0, "step": 2**70, "total_steps": 3},
        {"type": "metrics", "at": 1.0, "step": "one", "values": []},
        {"type": "no such thing"},
        {},
        {"type": "phase", "at": 1.0, "name": "half \ud800"},
        {"type": "warning", "at": 1.0, "text": "half \udfff", "\ud800": 1},
        {"type": "metrics", "at": 1.0, "step": 1, "values": {"x\ud800": 1.0, LONG: 1.0}},
        metrics(3),
        SUCCEEDED,
        SUCCEEDED,
        {"type": "finished", "at": 1.0, "outcome": "failed"},
        metrics(4),
    ]
    assert a.tell(id, *hostile, begin=10)["order"] == "stop"
    assert job(desk, id).status == "succeeded"
    assert loss(desk) == {3: 1 / 3}


def test_a_job_that_stopped_early_tells_where_and_one_that_did_not_says_nothing(desk: Desk) -> None:
    best = {"best_step": 3, "best_eval_loss": 0.5, "steps": 6}
    for early, summary in ((True, best), (False, best), (True, {"best_step": "x", "best_eval_loss": float("nan")})):
        id, a = start(desk, f"a-{early}-{len(summary)}"), Speaker(desk, cpus=1)
        a.begin(id)
        a.tell(id, {**SUCCEEDED, "summary": {**summary, "stopped_early": early}}, begin=10)
        told = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["stopped_early"]
        known = {"step": 6, "best_step": 3, "best_eval_loss": 0.5} if summary is best else {"best_step": None}
        assert (told or {}).items() >= known.items() if early else told is None
        say(desk, "DrainRunner", id=a.id)


def test_a_job_tells_its_runner_by_the_name_that_commands_take(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk, host="gpu-host")
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["runner"] is None
    assert [each["job_id"] for each in a.report()["jobs"]] == [id]
    (listed,) = say(desk, "ListFineTuningJobs")["fine_tuning_jobs"]
    assert (listed["runner"], listed["runner_id"]) == ("gpu-host", a.id)
    assert [each["host"] for each in say(desk, "ListRunners")["runners"]] == ["gpu-host"]


def test_a_runner_without_the_studios_artifacts_gets_no_work_and_the_list_says_so(desk: Desk) -> None:
    id = start(desk)
    other = Speaker(desk, extra={"marker": "another studio's"})
    assert other.report()["jobs"] == []
    assert [each["status"] for each in say(desk, "ListRunners")["runners"]] == ["no shared artifacts"]
    waiting = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["waiting_for"]
    assert waiting == "a runner that sees the studio's artifacts directory"


def said_of(desk: Desk, runner: Speaker) -> list[str]:
    with desk.store.read() as session:
        return [event.message for event in events_after(session, 0, resource_id=runner.id)]


def test_a_runner_that_looked_before_the_studio_had_marked_its_artifacts_is_not_told_to_be_blind(desk: Desk) -> None:
    early = Speaker(desk, extra={"marker": ""})
    early.extra = {}
    early.register()
    early.report()
    assert said_of(desk, early) == ["runner a is here"], "once"
    early.extra = {"marker": ""}  # and later it is told at once
    early.register()
    assert said_of(desk, early)[1:] == ["runner a does not see the studio's artifacts"]


def test_a_new_runner_that_still_sees_no_artifacts_when_it_reports_says_so_once(desk: Desk) -> None:
    blind = Speaker(desk, extra={"marker": ""})
    for _ in range(3):
        blind.report()
    assert said_of(desk, blind) == ["runner a is here", "runner a does not see the studio's artifacts"]


def test_a_draining_runner_pauses_its_jobs_and_another_goes_on(desk: Desk, client: Any, ns: str) -> None:
    id, a, b = start(desk), Speaker(desk), Speaker(desk, host="b")
    a.begin(id)
    say(desk, "DrainRunner", id=a.id)
    assert stream.await_wake(client, ns, a.id, 20)
    start(desk, "other")
    assert a.tell(id, begin=10)["order"] == "pause"
    client.delete(f"{ns}:wake:{b.id}")
    a.tell(id, {"type": "finished", "at": 1.0, "outcome": "paused"}, begin=10)
    assert stream.await_wake(client, ns, b.id, 20)
    assert a.report()["jobs"] == []
    assert {(each["job_id"], each["attempt"]) for each in b.report()["jobs"]} >= {(id, 2)}
    say(desk, "DrainRunner", id=a.id, draining=False)
    assert [each["status"] for each in say(desk, "ListRunners")["runners"]] == ["online", "online"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"num_gpu": 1}, "a runner with 1 GPU: the largest has 0"),
        (
            {"num_cpu": 2, "num_workers": 2},
            "runners with room for 2 workers together: those that could take part have it for 1",
        ),
        ({"num_memory": 99}, "a runner with 99 GiB of memory: the largest has 16.0"),
        ({"user_script": "s.py"}, "a runner that offers user_script: none does"),
        ({"gpu_label_id": 3}, "a runner with accelerator label 3: none has it"),
    ],
)
def test_a_job_that_no_runner_can_take_stays_and_says_why(desk: Desk, asked: dict[str, Any], why: str) -> None:
    write_script(desk, "s.py")
    id, a = start(desk, **asked), Speaker(desk)
    assert a.report()["jobs"] == []
    assert say(desk, "ListFineTuningJobs")["fine_tuning_jobs"][0]["waiting_for"] == why
    assert job(desk, id).status == "queued"


def test_room_is_what_the_store_and_the_runner_both_call_free(desk: Desk) -> None:
    ids = [start(desk, name) for name in ("one", "two", "three")]
    a = Speaker(desk)
    assert a.report(free={"cpus": 0, "memory": 9, "gpus": 0})["jobs"] == []
    assert [each["job_id"] for each in a.report(free={"cpus": 1, "memory": 9, "gpus": 0})["jobs"]] == ids[:1]
    assert len(a.report(free={"cpus": 99, "memory": 99, "gpus": 9})["jobs"]) == 2
    waiting = say(desk, "GetFineTuningJob", id=ids[2])["fine_tuning_job"]["waiting_for"]
    assert waiting == "room on a"


def test_jobs_that_no_one_can_take_do_not_hide_one_that_fits(desk: Desk) -> None:
    for number in range(4):
        start(desk, f"large-{number}", num_gpu=4, priority=number)
        start(desk, f"labelled-{number}", gpu_label_id=number, priority=number)
    id = start(desk, "small")
    assert [each["job_id"] for each in Speaker(desk).report()["jobs"]] == [id]


def test_an_empty_runner_gets_as_many_of_each_kind_as_it_has_room_for_by_turn(desk: Desk) -> None:
    wide = [start(desk, f"wide-{number}", num_cpu=2, priority=number % 2) for number in range(4)]
    narrow = [start(desk, f"narrow-{number}") for number in range(4)]
    a = Speaker(desk, cpus=7)
    given = [each["job_id"] for each in a.report()["jobs"]]
    assert sorted(given) == sorted([wide[1], wide[3], wide[0], narrow[0]])
    assert [each["job_id"] for each in Speaker(desk, cpus=1, host="b").report()["jobs"]] == [narrow[1]]


def test_a_hundred_reports_at_once_lose_and_double_nothing(desk: Desk) -> None:
    runners = [Speaker(desk, host=f"h{number}", cpus=1) for number in range(10)]
    ids = [start(desk, f"job-{number}") for number in range(10)]
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(lambda runner: runner.report(), runners * 10))
    held = {job(desk, id).runner_id for id in ids}
    assert held == {runner.id for runner in runners}
    assert all(job(desk, id).attempt == 1 and job(desk, id).status in HELD for id in ids)
    assert {id: state.value for id, state in folded(desk).items()} == dict.fromkeys(ids, "assigned")


def test_cancelling_races_with_the_end_and_the_log_agrees_with_the_row(desk: Desk) -> None:
    for number in range(5):
        id, a = start(desk, f"race-{number}"), Speaker(desk, host=f"h{number}")
        a.begin(id)
        barrier = threading.Barrier(2)

        def cancel(id: str = id, barrier: threading.Barrier = barrier) -> dict[str, Any]:
            barrier.wait()
            return answer(desk, "CancelJob", {"id": id}, None)

        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(cancel)
            barrier.wait()
            a.tell(id, SUCCEEDED, begin=10)
            reply = asked.result()
        assert job(desk, id).status == "succeeded"
        assert reply["ok"] or reply["code"] == "conflict"
        assert folded(desk)[id] == "succeeded"


def test_a_thousand_metrics_are_taken_in_a_few_milliseconds(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    took = []
    for batch in range(5):
        records = [metrics(batch * 1000 + step, loss=0.5) for step in range(1, 1001)]
        began = time.perf_counter()
        a.tell(id, *records, begin=10 + batch * 10_000)
        took.append(time.perf_counter() - began)
    with desk.store.read() as session:
        assert session.scalar(select(func.count()).select_from(Metric)) == 5000
    assert min(took) < 0.25


def test_a_watcher_gets_the_records_and_where_to_follow_from(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    place = say(desk, "GetJobMetrics", id=id)
    a.tell(id, metrics(1), begin=10)
    [(_, entry)] = stream.read_records(desk.redis, desk.settings.namespace, id, place["records_id"], block=1000)
    assert (entry["attempt"], entry["from"], entry["to"]) == (1, place["offset"], 20)
    assert say(desk, "GetJobMetrics", id=id)["series"][0]["steps"] == [1]


def test_a_lost_runner_comes_back_with_an_event(desk: Desk) -> None:
    a = Speaker(desk)
    now = time.time()
    for second in range(0, 60, 5):
        tick(desk, now + second)
    assert say(desk, "ListRunners")["runners"][0]["status"] == "lost"
    a.report()
    assert types(desk, a.id) == ["RunnerRegistered", "RunnerLost", "RunnerBack"]


def test_a_runner_that_was_there_for_one_job_takes_no_other_and_is_forgotten_when_it_is_gone(desk: Desk) -> None:
    own = labels.of_job("a job made by hand")
    other, mine = start(desk), start(desk, "mine", gpu_label_id=own)
    a = Speaker(desk, extra={"labels": {labels.NAME: f"{labels.ONLY}{own}"}})
    assert [each["job_id"] for each in a.report()["jobs"]] == [mine]
    assert job(desk, other).status == "queued"
    now = time.time()
    for second in range(0, 60, 5):
        tick(desk, now + second)
    assert say(desk, "ListRunners")["runners"] == []
    waits = say(desk, "GetFineTuningJob", id=mine)["fine_tuning_job"]
    assert waits["status"] == "queued" and types(desk, a.id)[-1] == "ResourceRemoved"
    Speaker(desk)
    assert "made by hand" in say(desk, "GetFineTuningJob", id=mine)["fine_tuning_job"]["waiting_for"]


def test_a_renewed_lease_keeps_the_job(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    change(desk, id, lease_expires_at=1.0)
    a.tell(id, begin=10)
    expires = job(desk, id).lease_expires_at
    assert expires is not None
    assert expires > time.time() + 25


def test_an_earlier_attempt_on_the_same_runner_is_stale_too(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, begin=10, alive=False)
    a.report()
    assert a.tell(id, metrics(1), SUCCEEDED)["order"] == "stop"
    row = job(desk, id)
    assert (row.status, row.attempt, row.accepted) == ("assigned", 2, 0)
    assert loss(desk) == {}


def test_a_job_that_was_stopped_elsewhere_is_cancelled_and_says_where(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    why = {"kind": "stopped", "message": "its run was stopped in Cloudera ML"}
    a.tell(id, {"type": "finished", "at": 2.0, "outcome": "cancelled", "error": why}, begin=10)
    row = job(desk, id)
    assert (row.status, row.failure_class) == ("cancelled", "stopped")
    assert row.error is not None and row.error["message"] == why["message"] and "checkpoint" in row.error["hint"]
    assert happened(desk, id)[-1].message.endswith("is cancelled: its run was stopped in Cloudera ML")


def test_what_a_runner_says_went_wrong_is_kept_without_the_studios_secrets(desk: Desk) -> None:
    desk.settings.hub_token = SecretStr("any-words-of-ours")
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    told = "403 for any-words-of-ours at https://me:hunter22@hub"
    warning = {"type": "warning", "at": 1.0, "text": told}
    failure = {"type": "finished", "at": 2.0, "outcome": "failed", "error": {"kind": "bug", "message": told}}
    a.tell(id, warning, failure, begin=10)
    row = job(desk, id)
    texts = [str(row.error), *(f"{event.message} {event.data}" for event in happened(desk, id))]
    assert row.status == "failed" and sum("403 for" in text for text in texts) >= 3
    assert not any(secret in text for text in texts for secret in ("any-words-of-ours", "hunter22"))


def test_a_runner_that_takes_so_many_jobs_gets_no_more_and_the_rest_goes_to_others(desk: Desk) -> None:
    few, other = Speaker(desk, cpus=16), Speaker(desk, host="b", cpus=16)
    ids = [start(desk, name) for name in ("first", "second", "third", "fourth")]
    room = {"cpus": 16, "memory": 16, "gpus": 0}

    def has(runner: Speaker, *told: str, **free: float) -> list[str]:
        known = [{"job_id": id, "attempt": 1, "offset": 0, "next_offset": 0} for id in told]
        found = {each["job_id"] for each in runner.report(*known, free=room | free)["jobs"]}
        return [id for id in ids if id in found]

    assert has(few, jobs=2) == ids[:2]
    assert has(few, jobs=2) == ids[:2]  # the answer was lost: those that it was given then are among the two
    assert has(few, *ids[:2], jobs=0) == ids[:2]
    assert has(few, *ids[:2], jobs=1) == ids[:3]
    assert has(other) == ids[3:]
