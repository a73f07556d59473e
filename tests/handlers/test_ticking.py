"""Once a second: leases end in time, never because the studio was away, and nothing is kept for ever."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from sqlalchemy import func, select

from actors.desk import Desk
from actors.ticking import retain, tick
from core.store.tables import EventRow, Inbox, Metric
from tests.handlers.work import Speaker, add_inputs, change, job, start, types


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def test_a_job_is_kept_until_its_lease_ends_and_not_longer(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    ends = job(desk, id).lease_expires_at or 0.0
    for at in range(int(ends) - 29, int(ends) + 1):
        tick(desk, float(at))
    assert job(desk, id).status == "running"
    tick(desk, ends + 1)
    row = job(desk, id)
    assert (row.status, row.runner_id, row.losses, row.retries) == ("queued", None, 1, 1)
    assert types(desk, id)[-1] == "JobLost"


def test_a_job_whose_runners_are_lost_again_and_again_fails_with_the_last_lines_of_its_log(desk: Desk) -> None:
    desk.settings.max_losses = 1
    id, a, began = start(desk), Speaker(desk), time.time()
    for attempt in (1, 2):
        a.register()
        a.begin(id)
        directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
        directory.mkdir(parents=True)
        (directory / "events.jsonl").write_text(f'{{"type": "log", "at": 1, "text": "attempt {attempt}\\nbegins"}}\n')
        for second in range(40 * attempt):
            tick(desk, began + second)
    row = job(desk, id)
    assert (row.status, row.failure_class, row.losses, row.retries) == ("failed", "runner_lost", 2, 1)
    assert row.error is not None and row.error["log_tail"] == ["attempt 1", "begins", "attempt 2", "begins"]
    assert "has said nothing for 30 s" in row.error["message"] and "fts runner list" in row.error["hint"]
    assert types(desk, id)[-3:] == ["JobAssigned", "JobStarted", "JobFailed"]


@pytest.mark.parametrize("error", [redis.ConnectionError("refused"), redis.ResponseError("MISCONF Errors writing")])
def test_while_the_queue_takes_nothing_in_no_lease_ends_and_after_it_a_whole_one_must_pass(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, error: redis.RedisError
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise error

    id, a, began = start(desk), Speaker(desk), time.time()
    a.begin(id)
    tick(desk, began)
    monkeypatch.setattr(desk.redis, "set", refused)
    for second in range(0, 3600, 60):
        tick(desk, began + second)
    monkeypatch.undo()
    for second in range(3600, 3630):
        tick(desk, began + second)
    assert job(desk, id).status == "running" and "RunnerLost" not in types(desk, a.id)
    for second in range(3630, 3640):
        tick(desk, began + second)
    assert job(desk, id).status == "queued"


def test_after_an_outage_no_lease_ends_before_a_whole_one_has_passed(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    tick(desk, time.time())
    back = time.time() + 3600
    for second in range(30):
        tick(desk, back + second)
    assert job(desk, id).status == "running"
    assert types(desk, a.id) == ["RunnerRegistered"]
    tick(desk, back + 31)
    assert job(desk, id).status == "queued"


def test_two_processes_that_tick_at_once_take_a_job_back_once(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    now = time.time()
    tick(desk, now)
    change(desk, id, lease_expires_at=now - 1)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: tick(desk, now + 2), range(8)))
    assert types(desk, id).count("JobLost") == 1


def test_what_settings_let_go_is_forgotten_and_the_rest_stays(desk: Desk) -> None:
    ids = [start(desk, name) for name in ("old", "new")]
    now = time.time()
    change(desk, ids[0], finished_at=now - 400 * 86_400)
    with desk.store.write() as unit:
        for id in ids:
            unit.session.add_all(Metric(job_id=id, name="loss", step=n, value=1, at=1, attempt=1) for n in range(9))
        for key, at in (("stale", now - 80 * 3600), ("fresh", now)):
            unit.session.add(Inbox(key=key, name="x", payload_hash="x", reply="{}", at=at))
    desk.settings.keep_events = 2
    retain(desk, now)
    with desk.store.read() as session:
        assert set(session.scalars(select(Metric.job_id))) == {ids[1]}
        assert "stale" not in set(session.scalars(select(Inbox.key)))
        assert "fresh" in set(session.scalars(select(Inbox.key)))
        assert session.scalar(select(func.count()).select_from(EventRow)) == 2
