"""The studio at a glance says what the tables and the queue hold, on both databases, and nothing of it grows with them."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import func, insert, select, update

from actors.desk import Desk
from core.store.tables import Dataset, FineTuningJob, Job, Model, Prompt, Runner
from tests.handlers.work import STARTED, Speaker, add_inputs, change, say, spooled, start


def overview(desk: Desk, **fields: Any) -> dict[str, Any]:
    return say(desk, "GetOverview", **fields)


def counted(desk: Desk, field: str = "jobs") -> dict[tuple[str, str], int]:
    return {(each["kind"], each["status"]): each["count"] for each in overview(desk)[field]}


def a_job(id: str, **fields: Any) -> dict[str, Any]:
    """A row of jobs."""
    now = time.time()
    must = {
        "kind": "fine_tuning",
        "engine": "legacy",
        "status": "queued",
        "spec": {},
        "cpus": 1,
        "gpus": 0,
        "memory": 1,
    }
    return {**must, "id": id, "name": id, "created_at": now, "queued_at": now, **fields}


def add_jobs(desk: Desk, *rows: dict[str, Any]) -> None:
    with desk.store.write() as unit:
        for row in rows:
            unit.session.execute(insert(Job), [row])


def test_an_empty_studio_has_nothing_to_tell(desk: Desk) -> None:
    told = overview(desk)
    shipped = {"datasets", "models", "prompts", "adapters", "fine_tuning_jobs", "evaluation_jobs"}
    assert {name: told["resources"][name] for name in shipped} == dict.fromkeys(shipped, 0)
    nothing = ("jobs", "ended", "running", "waiting", "runners", "concerns")
    assert {name: told[name] for name in nothing} == {name: [] for name in nothing}
    assert told["letters"] == 0 and told["queues"] == {"commands": 0, "runners": 0, "slow": 0}


def test_what_is_counted_is_what_the_tables_hold(desk: Desk) -> None:
    add_inputs(desk.store)
    for number in range(3):
        start(desk, f"adapter-{number}")
    with desk.store.write() as unit:
        unit.session.add(Prompt(id="p2", type="in_place", name="p2"))
    told = overview(desk)
    with desk.store.read() as session:
        for table in (Dataset, Prompt, FineTuningJob):
            assert told["resources"][table.__tablename__] == session.scalar(select(func.count()).select_from(table))
    assert counted(desk) == {("fine_tuning", "queued"): 3}


def test_what_can_be_trained_with_is_here_or_was_found_on_the_hub(desk: Desk) -> None:
    hub = {"type": "huggingface", "name": "n"}
    with desk.store.write() as unit:
        unit.session.add_all([Dataset(id="d1", **hub), Model(id="m1", **hub)])
        unit.session.flush()
        unit.session.add(Prompt(id="p1", type="in_place", name="p1", dataset_id="d1"))
    assert overview(desk)["ready"] == {"datasets": False, "models": False, "prompts": False}
    with desk.store.write() as unit:
        unit.session.add(Model(id="m2", type="project", name="m2", location="/m"))
        unit.session.execute(update(Dataset).values(revision="c0ffee"))
    assert overview(desk)["ready"] == {"datasets": True, "models": True, "prompts": True}


def test_jobs_are_told_by_kind_and_state_and_plans_are_left_out(desk: Desk) -> None:
    rows = [a_job(f"q{number}", priority=number) for number in range(3)]
    rows += [a_job("e", kind="evaluation", engine="lm_eval", status="running", started_at=1.0)]
    rows += [a_job("x", kind="export", engine="export", status="paused")]
    rows += [a_job("s", kind="endpoint", engine="vllm", status="running", started_at=2.0)]
    rows += [a_job("plan", kind="plan", engine="plan"), a_job("over", status="succeeded", finished_at=time.time())]
    rows += [a_job("old", status="failed", finished_at=time.time() - 90_000)]
    add_jobs(desk, *rows)
    assert counted(desk) == {
        ("fine_tuning", "queued"): 3,
        ("evaluation", "running"): 1,
        ("export", "paused"): 1,
        ("endpoint", "running"): 1,
    }
    assert counted(desk, "ended") == {("fine_tuning", "succeeded"): 1}
    told = overview(desk)
    assert [job["id"] for job in told["running"]] == ["s", "e"]
    assert [job["id"] for job in told["waiting"]] == ["q2", "q1", "q0"], "whose turn is next comes first"
    assert "none has registered" in told["waiting"][0]["waiting_for"]
    assert told["concerns"] == []


def test_a_running_job_is_told_with_its_progress_and_its_runner(desk: Desk) -> None:
    add_inputs(desk.store)
    id = start(desk)
    runner = Speaker(desk)
    runner.report()
    runner.report({"job_id": id, "attempt": 1, **spooled(STARTED)})
    (job,) = overview(desk)["running"]
    assert (job["id"], job["kind"], job["status"], job["runner"]) == (id, "fine_tuning", "running", "a")
    assert job["total_steps"] == 10
    (told,) = overview(desk)["runners"]
    assert told["host"] == "a" and told["jobs"] == [id] and told["free"]["cpus"] == 1


def test_what_needs_a_person_is_told_what_is_worst_first(desk: Desk) -> None:
    now = time.time()
    failed = {"kind": "out_of_memory", "message": "memory ran out at step 40\nand more"}
    held = {"since": now - 60, "reason": "no room on the disk", "needed": 2, "free": 1}
    add_jobs(
        desk,
        a_job("bad", status="failed", finished_at=now - 10, error=failed, failure_class="out_of_memory"),
        a_job("older", status="failed", finished_at=now - 20, error=None),
        a_job("still", status="running", started_at=now - 99, held=held),
    )
    Speaker(desk, host="gone")
    full = Speaker(desk, host="full")
    with desk.store.write() as unit:
        unit.session.execute(update(Runner).where(Runner.host == "gone").values(lost=True, last_seen_at=now - 30))
        unit.session.execute(update(Runner).where(Runner.id == full.id).values(telemetry={"disk_free": 0.5}))
    Speaker(desk, host="blind", extra={"marker": "another's"})
    desk.redis.xadd(f"{desk.settings.namespace}:dead", {"queue": "commands", "reason": "?", "raw": "?"})
    concerns = overview(desk)["concerns"]
    assert [(each["kind"], each["name"], each["level"]) for each in concerns] == [
        ("jobs", "bad", "error"),
        ("jobs", "older", "error"),
        ("runners", "gone", "error"),
        ("runners", "blind", "warning"),
        ("runners", "full", "warning"),
        ("letters", "", "warning"),
        ("jobs", "still", "warning"),
    ]
    texts = {each["name"]: each["text"] for each in concerns}
    assert texts["bad"] == "out of memory: memory ran out at step 40"
    assert texts["still"] == "stands still: no room on the disk"
    assert "0.5 GiB" in texts["full"] and "1 message" in texts[""]
    change(desk, "bad", status="queued")
    assert "bad" not in {each["name"] for each in overview(desk)["concerns"]}, "one that runs again is mended"


def test_the_newest_events_come_last(desk: Desk) -> None:
    add_inputs(desk.store)
    start(desk, "first")
    start(desk, "second")
    told = overview(desk, events=1)["events"]
    assert [event["message"] for event in told] == ["second is queued"]
    assert overview(desk, events=0)["events"] == []


def test_a_crowd_is_counted_up_to_a_bound_and_told_in_part(desk: Desk) -> None:
    now = time.time()
    rows = [a_job(f"{number:05}") for number in range(10_050)]
    rows += [a_job(f"f{number}", status="failed", finished_at=now - number) for number in range(1_050)]
    with desk.store.write() as unit:
        unit.session.execute(insert(Dataset), [{"id": row["id"], "name": row["id"]} for row in rows])
        for waiting in (True, False):
            unit.session.execute(insert(Job), [row for row in rows if (row["status"] == "queued") is waiting])
    told = overview(desk)
    assert told["resources"]["datasets"] == 10_001
    assert counted(desk) == {("fine_tuning", "queued"): 10_001} and len(told["waiting"]) == 5
    assert counted(desk, "ended") == {("fine_tuning", "failed"): 1_000}
    assert [each["id"] for each in told["concerns"]] == [f"f{number}" for number in range(20)]
