"""The queue as it was: at a time or after an event, honest where the log no longer reaches back, and quick.

That it tells of every step what the rows were then, the machine of all commands shows (machine/past.py).
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from sqlalchemy import insert, text, update
from sqlalchemy.event import listen

from actors.answering import answer
from actors.desk import Desk
from actors.ticking import retain
from core.store.session import Store
from core.store.tables import EventRow, Job
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, say, start

PARTS = ("queued", "held", "paused", "ended", "unknown")


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def then(desk: Desk, **fields: Any) -> dict[str, Any]:
    value: dict[str, Any] = answer(desk, "GetQueueAt", fields)["value"]
    return value


def names(value: dict[str, Any]) -> dict[str, list[str]]:
    return {part: [job["name"] for job in value[part]] for part in PARTS if value[part]}


def last(desk: Desk) -> int:
    return int(then(desk)["event"]["id"])


def test_a_day_of_a_studio_is_walked_event_by_event(desk: Desk) -> None:
    first, second = start(desk, "first"), start(desk, "second", priority=5)
    queued = last(desk)
    a = Speaker(desk, cpus=1)
    a.report()
    a.tell(second, STARTED)
    running = last(desk)
    a.tell(second, SUCCEEDED, begin=10)
    say(desk, "PauseJob", id=first)
    assert names(then(desk, event=queued)) == {"queued": ["second", "first"]}
    assert [job["place"] for job in then(desk, event=queued)["queued"]] == [0, 1]
    at = then(desk, event=running)
    assert names(at) == {"queued": ["first"], "held": ["second"]}
    assert (at["held"][0]["runner"], at["held"][0]["status"]) == ("a", "running")
    assert at["runners"] == [{"id": a.id, "host": "a", "status": "online", "jobs": 1}]
    assert at["counts"]["running"] == 1 and at["complete"]
    seen, place = [], then(desk)
    while place["earlier"] is not None:
        seen.append(place["event"]["type"])
        place = then(desk, event=place["earlier"])
    assert seen == [
        "JobPausing",
        "JobAssigned",
        "JobSucceeded",
        "JobStarted",
        "JobAssigned",
        "RunnerRegistered",
        "JobQueued",
    ]
    assert then(desk, event=then(desk, event=running)["later"])["event"]["id"] > running


def test_a_time_finds_the_last_event_by_then(desk: Desk) -> None:
    id = start(desk)
    began = then(desk)["event"]["at"]
    assert names(then(desk, at=began)) == {"queued": ["tickets"]}
    assert names(then(desk, at=began - 1000)) == {}
    say(desk, "CancelJob", id=id)
    assert names(then(desk, at=time.time() + 30))["ended"] == ["tickets"]
    assert "ended" not in names(then(desk, at=time.time() + 120))
    assert then(desk, at=1.0)["event"] is None
    assert answer(desk, "GetQueueAt", {"at": float(10**12)})["code"] == "refused"


def test_a_removed_job_is_there_where_it_was(desk: Desk) -> None:
    id = start(desk, "gone")
    there = last(desk)
    say(desk, "CancelJob", id=id)
    say(desk, "RemoveFineTuningJob", id=id)
    assert names(then(desk)) == {}
    assert names(then(desk, event=there)) == {"queued": ["gone"]}


def test_a_priority_that_was_changed_later_counts_only_later(desk: Desk) -> None:
    one, _ = start(desk, "one", priority=1), start(desk, "two", priority=2)
    before = last(desk)
    say(desk, "SetJobPriority", id=one, priority=9)
    assert names(then(desk)) == {"queued": ["one", "two"]}
    assert names(then(desk, event=before)) == {"queued": ["two", "one"]}
    with desk.store.write() as unit:  # a log of before priorities were told with the queue
        for row in unit.session.query(EventRow).filter_by(type="JobQueued"):
            row.data = {name: value for name, value in row.data.items() if name != "priority"}
    assert [job["priority"] for job in then(desk, event=before)["queued"]] == [2, 1]


def test_it_says_where_the_log_no_longer_reaches_back(desk: Desk) -> None:
    waits, ran = start(desk, "waits"), start(desk, "ran")
    removed = start(desk, "removed")
    there = last(desk)
    say(desk, "CancelJob", id=ran)
    say(desk, "CancelJob", id=removed)
    say(desk, "RemoveFineTuningJob", id=removed)
    with desk.store.write() as unit:
        unit.session.execute(text("DELETE FROM events WHERE id < :id"), {"id": there})
        unit.session.execute(text("DELETE FROM events WHERE type = 'JobQueued'"))
    then_ = then(desk, event=there - 1)
    assert not then_["complete"] and then_["event"] is None and then_["oldest_at"] is not None
    assert names(then_)["queued"] == ["waits"], "it has been the same ever since"
    assert set(names(then_)["unknown"]) == {"ran", "removed"}
    assert then_["counts"]["unknown"] == 2
    assert waits in [job["id"] for job in then(desk)["queued"]]


def test_what_the_settings_let_be_forgotten_is_told_as_unknown(desk: Desk) -> None:
    start(desk, "old")
    desk.settings.keep_events = 1
    for n in range(3):
        answer(desk, "AddConfig", {"type": "lora_config", "config": json.dumps({"r": n + 1})}, str(n))
    retain(desk, time.time())
    value = then(desk)
    assert names(value) == {"queued": ["old"]} and value["complete"]
    assert not then(desk, at=time.time() - 3600)["complete"]


def test_a_page_of_events_can_be_asked_for_by_time_and_backwards(desk: Desk) -> None:
    for n in range(6):
        answer(desk, "AddConfig", {"type": "lora_config", "config": json.dumps({"r": n + 1})}, str(n))
    whole = say(desk, "ListEvents")["events"]
    page = say(desk, "ListEvents", last=True, limit=2)
    assert page["events"] == whole[-2:] and page["has_before"] and not page["has_more"]
    earlier = say(desk, "ListEvents", last=True, limit=2, before=page["events"][0]["id"])
    assert earlier["events"] == whole[-4:-2]
    assert say(desk, "ListEvents", last=True, before=whole[2]["id"]) | {"oldest": 0} == {
        "events": whole[:2],
        "oldest": 0,
        "has_more": False,
        "has_before": False,
    }
    middle = whole[len(whole) // 2]["at"]
    assert say(desk, "ListEvents", since=middle)["events"] == [event for event in whole if event["at"] >= middle]
    assert say(desk, "ListEvents", until=middle)["events"] == [event for event in whole if event["at"] < middle]
    assert say(desk, "ListEvents", since=time.time() + 1000)["events"] == []
    assert say(desk, "ListEvents", contains="LORA added")["events"] == [
        event for event in whole if "lora" in event["message"] and "added" in event["message"]
    ]


def _course(n: int, events: int) -> list[tuple[float, str, dict[str, Any]]]:
    """What happens to a job, and how many seconds after it was queued."""
    return [
        (0, "JobQueued", {"status": "queued", "reason": "new", "attempt": 0, "name": f"n{n}", "priority": 0}),
        (30, "JobAssigned", {"status": "assigned", "attempt": 1, "runner_id": "r"}),
        (31, "JobStarted", {"status": "running", "attempt": 1, "runner_id": "r"}),
        *((40 + i / events, "CheckpointSaved", {"step": i}) for i in range(events - 4)),
        (95, "JobSucceeded", {"status": "succeeded", "attempt": 1}),
    ]


def fill(store: Store, events: int, jobs: int) -> float:
    """A long log: jobs that were queued, ran and ended one after another, ten seconds apart, with much in between."""
    began, each = 1_600_000_000.0, events // jobs
    with store.write() as unit:
        unit.session.execute(text("DELETE FROM events"))
        row = unit.session.query(Job).first()
        assert row is not None
        columns = {c.name: getattr(row, c.name) for c in Job.__table__.columns}
        done = {"status": "succeeded", "attempt": 1}
        rows = [
            {**columns, **done, "id": f"j{n}", "created_at": began + 10 * n, "finished_at": began + 10 * n + 95}
            for n in range(jobs)
        ]
        unit.session.execute(insert(Job), rows)
        log = sorted(
            ((began + 10 * n + s, n, type, data) for n in range(jobs) for s, type, data in _course(n, each)),
            key=lambda event: event[:2],
        )
        for begin in range(0, len(log), 10_000):
            some = log[begin : begin + 10_000]
            same = {"level": "info", "message": "", "kind": "jobs"}
            told = [
                {**same, "at": at, "type": type, "resource_id": f"j{n}", "data": data} for at, n, type, data in some
            ]
            unit.session.execute(insert(EventRow), told)
        unit.session.execute(update(Job).where(Job.id == row.id).values(created_at=began + 1e9))
    return began


def test_a_moment_of_a_long_log_is_found_by_its_indexes(desk: Desk) -> None:
    """Not by time, which a busy machine has other ideas of: by what SQLite says that it will read."""
    if not desk.store.is_sqlite:
        pytest.skip("a plan of SQLite's")
    start(desk)
    began = fill(desk.store, 2_000, 200)
    asked: list[tuple[str, Any]] = []
    listen(desk.store.reader, "before_cursor_execute", lambda *given: asked.append(given[2:4]))
    value = then(desk, at=began + 10 * 100 + 35)
    assert (len(value["queued"]), len(value["held"]), len(value["ended"])) == (3, 6, 6) and value["complete"]
    say(desk, "ListEvents", since=began + 500, until=began + 600, last=True)
    read = [given for given in asked if given[0].startswith("SELECT") and "events" in given[0]]
    with desk.store.read() as session:
        for sql, parameters in read:
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", parameters)
            whole = [line[3] for line in plan if line[3] == "SCAN events"]
            assert not whole or "ORDER BY events.id\n LIMIT" in sql, f"it goes through the whole log: {sql}"
    assert len(read) > 8


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_moment_of_a_million_events_is_told_in_half_a_second(desk: Desk) -> None:
    start(desk)
    began = fill(desk.store, 1_000_000, 20_000)
    took = []
    for place in (10, 10_000, 19_990):
        before = time.process_time()
        value = then(desk, at=began + 10 * place + 35)
        took.append(time.process_time() - before)
        assert value["counts"]["unknown"] == 0 and len(value["held"]) >= 5
    assert max(took) < 0.5, took
