"""Jobs that several runners do together: claimed whole or not at all, and stopped as one."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import select

from actors.allotting import Host, possible, spread
from actors.answering import answer
from actors.desk import Desk
from actors.making_room import make_room
from actors.scheduling import Offer, Room, Shape, Waiting, choose
from actors.ticking import tick
from core.queue import stream
from core.store.tables import Job, JobMember
from tests.handlers.crowd import together
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, folded, job, say, start, types

MET = {"type": "rendezvous", "at": 1.0, "address": "10.0.0.1:4000"}
PHASE = {"type": "phase", "at": 1.0, "name": "training with the others"}
PAUSED = {"type": "finished", "at": 2.0, "outcome": "paused"}


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def members(desk: Desk) -> dict[str, list[tuple[int, str, int]]]:
    with desk.store.read() as session:
        found: dict[str, list[tuple[int, str, int]]] = {}
        for each in session.scalars(select(JobMember).order_by(JobMember.job_id, JobMember.rank)):
            found.setdefault(each.job_id, []).append((each.rank, each.runner_id, each.workers))
        return found


def test_a_runner_of_cloudera_takes_a_job_of_several_workers_whole_or_leaves_it() -> None:
    job = Waiting("j", Shape("legacy", Room(1, 0, 1), 4), 0, 0.0)

    def host(id: str, cores: int, *, apart: bool = False) -> Host:
        room = Room(cores, 0, 9)
        return Host(id, Offer(room, room, frozenset({"legacy"}), apart=apart))

    assert spread(job, [host("a", 2), host("b", 2)]) == [("a", 2), ("b", 2)]
    assert spread(job, [host("a", 2), host("b", 2, apart=True)]) == []
    assert not possible(job, [host("a", 2), host("b", 2, apart=True)])
    assert choose([job], host("c", 4, apart=True).offer, 0.0) == ["j"]


class Pair:
    """Two runners of two cores, and a job of four workers that is theirs."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.a, self.b = sorted((Speaker(desk), Speaker(desk, host="b")), key=lambda each: each.id)
        self.id = start(desk, "wide", num_workers=4)
        make_room(desk, time.time())

    def order(self, one: Speaker) -> dict[str, Any]:
        (found,) = one.report()["jobs"]
        return dict(found)

    def begin(self) -> None:
        """All have met, and train."""
        self.a.tell(self.id, MET, STARTED)
        self.b.tell(self.id, PHASE)


@pytest.fixture
def pair(desk: Desk) -> Pair:
    return Pair(desk)


@pytest.mark.decision("D-171")
def test_a_job_that_no_runner_holds_alone_is_given_to_several_who_learn_where_to_meet(desk: Desk, pair: Pair) -> None:
    id, a, b = pair.id, pair.a, pair.b
    assert members(desk) == {id: [(0, a.id, 2), (1, b.id, 2)]}
    first, second = pair.order(a), pair.order(b)
    assert first["gang"] == {"rank": 0, "runners": 2, "workers": 2, "rendezvous": None}
    assert second["gang"] == {"rank": 1, "runners": 2, "workers": 2, "rendezvous": None}
    assert first["spec"] == second["spec"] and first["attempt"] == second["attempt"] == 1
    desk.redis.delete(f"{desk.settings.namespace}:wake:{b.id}")
    assert a.tell(id, MET)["accepted"] == 10
    assert stream.await_wake(desk.redis, desk.settings.namespace, b.id, 20)
    assert pair.order(b)["gang"]["rendezvous"] == MET["address"]
    b.tell(id, PHASE)
    a.tell(id, STARTED, begin=10)
    assert job(desk, id).status == "running"
    assert [(each["host"], each["jobs"], each["free"]["cpus"]) for each in say(desk, "ListRunners")["runners"]] == [
        ("a", [id], 0),
        ("b", [id], 0),
    ]
    assert a.tell(id, SUCCEEDED, begin=20)["order"] == "stop"
    assert b.tell(id, begin=10)["order"] == "stop"
    assert job(desk, id).status == "succeeded" and members(desk) == {}
    assert types(desk, id) == ["JobQueued", "JobAssigned", "JobStarted", "JobSucceeded"]


def test_it_is_not_given_while_a_part_has_no_room(desk: Desk) -> None:
    a, b = Speaker(desk), Speaker(desk, host="b")
    small = start(desk, "small")
    a.begin(small)
    id = start(desk, "wide", num_workers=4)
    for _ in range(2):
        make_room(desk, time.time())
        assert [each["job_id"] for each in (*a.report()["jobs"], *b.report()["jobs"])] == [small]
    assert members(desk) == {} and job(desk, id).status == "queued"
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["waiting_for"] == (
        "room for its 4 workers on several runners at once"
    )
    a.tell(small, SUCCEEDED, begin=10)
    make_room(desk, time.time())
    assert job(desk, id).status == "assigned"


def test_what_all_runners_together_lack_is_told(desk: Desk) -> None:
    Speaker(desk)
    Speaker(desk, host="b")
    id = start(desk, "wide", num_workers=5)
    make_room(desk, time.time())
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["waiting_for"] == (
        "runners with room for 5 workers together: those that could take part have it for 4"
    )


def test_a_job_that_one_runner_could_hold_waits_for_it(desk: Desk) -> None:
    a, b = Speaker(desk), Speaker(desk, host="b")
    for name, one in (("x", a), ("y", b)):
        one.begin(start(desk, name))
    id = start(desk, "both", num_workers=2)
    make_room(desk, time.time())
    assert job(desk, id).status == "queued" and members(desk) == {}


def test_runners_that_report_at_once_claim_each_job_whole_or_not_at_all(desk: Desk) -> None:
    runners = [Speaker(desk, host=f"h{number}", cpus=2 + number % 2) for number in range(6)]
    for number in range(8):
        start(desk, f"wide-{number}", num_workers=4 + number % 2)
        start(desk, f"narrow-{number}")
    for _ in range(3):
        together(8, lambda index: runners[index].report() if index < 6 else make_room(desk, time.time()))
        with desk.store.read() as session:
            jobs = {each.id: each for each in session.scalars(select(Job))}
        parts, taken = members(desk), dict.fromkeys((each.id for each in runners), 0)
        for id, each in jobs.items():
            if each.workers > 1:
                assert each.status in {"queued", "assigned"}
                assert sum(workers for _, _, workers in parts.get(id, [])) == (
                    each.workers if each.status == "assigned" else 0
                )
            elif each.runner_id:
                taken[each.runner_id] += 1
        for id, several in parts.items():
            assert [rank for rank, _, _ in several] == list(range(len(several)))
            assert jobs[id].runner_id == several[0][1]
            for _, runner_id, workers in several:
                taken[runner_id] += workers
        assert all(taken[each.id] <= each.cpus for each in runners)
    assert any(each.workers > 1 and each.status == "assigned" for each in jobs.values())
    assert {id: state.value for id, state in folded(desk).items()} == {id: each.status for id, each in jobs.items()}


@pytest.mark.parametrize("lost", ["first", "other"])
def test_when_one_runner_falls_silent_all_are_stopped_and_the_job_waits_again(
    desk: Desk, pair: Pair, lost: str
) -> None:
    pair.begin()
    silent, heard = (pair.a, pair.b) if lost == "first" else (pair.b, pair.a)
    begin = 10 if heard is pair.b else 20
    now = time.time()
    tick(desk, now)
    for second in range(1, 34):
        with desk.store.write() as unit:  # the one that is heard renews its lease; the clock is ours
            for member in unit.session.scalars(select(JobMember).where(JobMember.runner_id == heard.id)):
                member.lease_expires_at = now + second + 30
            if heard is pair.a:
                unit.session.get_one(Job, pair.id).lease_expires_at = now + second + 30
        tick(desk, now + second)
    assert job(desk, pair.id).status == "queued" and members(desk) == {}
    assert types(desk, pair.id)[-1] == "JobLost"
    assert stream.await_wake(desk.redis, desk.settings.namespace, heard.id, 20)
    heard.desk = desk
    assert heard.tell(pair.id, begin=begin)["order"] == "stop"
    assert silent.tell(pair.id, STARTED, SUCCEEDED, begin=begin)["order"] == "stop"
    assert job(desk, pair.id).status == "queued"


@pytest.mark.parametrize("who", ["first", "other"])
def test_when_a_child_dies_the_attempt_is_over_for_all_and_the_next_is_fenced_from_it(
    desk: Desk, pair: Pair, who: str
) -> None:
    pair.begin()
    one = pair.a if who == "first" else pair.b
    assert one.tell(pair.id, begin=20 if who == "first" else 10, alive=False, exit_code=-9)["order"] == "stop"
    assert (job(desk, pair.id).status, job(desk, pair.id).losses) == ("queued", 1)
    other = pair.b if who == "first" else pair.a
    assert other.tell(pair.id, begin=10 if who == "first" else 20)["order"] == "stop"
    make_room(desk, time.time())
    assert job(desk, pair.id).attempt == 2 and len(members(desk)[pair.id]) == 2
    for stale in (pair.a, pair.b):
        assert stale.tell(pair.id, PHASE, SUCCEEDED, begin=30, attempt=1)["order"] == "stop"
    assert job(desk, pair.id).status == "assigned"
    assert {each["attempt"] for one in (pair.a, pair.b) for each in one.report()["jobs"]} == {2}


def test_a_member_without_room_for_its_files_holds_the_job_which_says_where_and_goes_on_when_there_is(
    desk: Desk, pair: Pair
) -> None:
    pair.a.tell(pair.id, MET)
    short = {"needed": 8 << 20, "free": 5 << 10}
    for _ in range(2):
        pair.b.tell(pair.id, short=short)
        pair.a.tell(pair.id, begin=10)
    held = say(desk, "GetFineTuningJob", id=pair.id)["fine_tuning_job"]["held"]
    assert held["reason"].startswith(f"no room to begin on {pair.b.host} (8 MiB are needed, and 0 MiB are free")
    assert types(desk, pair.id).count("JobHeld") == 1
    pair.b.tell(pair.id)
    assert job(desk, pair.id).held is None and types(desk, pair.id)[-1] == "JobHasRoom"


def test_members_that_all_lack_room_are_waited_for_one_after_another(desk: Desk, pair: Pair) -> None:
    short = {"needed": 8 << 20, "free": 5 << 10}
    for each in (pair.a, pair.b, pair.a, pair.b):
        each.tell(pair.id, short=short)
    assert "on " + pair.b.host not in job(desk, pair.id).held["reason"]  # type: ignore[index]
    pair.a.tell(pair.id, MET)
    pair.b.tell(pair.id, short=short)
    assert f"on {pair.b.host}" in job(desk, pair.id).held["reason"]  # type: ignore[index]
    pair.b.tell(pair.id)
    assert [each for each in types(desk, pair.id) if each.startswith("JobH")] == ["JobHeld", "JobHasRoom"] * 2


def test_what_fails_on_one_runner_fails_the_job(desk: Desk, pair: Pair) -> None:
    pair.begin()
    error = {"kind": "out_of_memory", "message": "memory ran out"}
    pair.b.tell(pair.id, {**PAUSED, "outcome": "failed", "error": error}, begin=10)
    row = job(desk, pair.id)
    assert row.status == "failed" and row.error is not None and row.error["message"] == "memory ran out"
    assert pair.a.tell(pair.id, begin=20)["order"] == "stop"


@pytest.mark.parametrize("asked", ["pause", "drain", "cancel"])
def test_orders_go_to_all_and_the_first_ones_word_is_the_jobs(desk: Desk, pair: Pair, asked: str) -> None:
    pair.begin()
    if asked == "drain":
        say(desk, "DrainRunner", id=pair.b.id)
        assert stream.await_wake(desk.redis, desk.settings.namespace, pair.a.id, 20)
    else:
        say(desk, "PauseJob" if asked == "pause" else "CancelJob", id=pair.id)
    order = "cancel" if asked == "cancel" else "pause"
    assert pair.a.tell(pair.id, begin=20)["order"] == pair.b.tell(pair.id, begin=10)["order"] == order
    end = {**PAUSED, "outcome": "cancelled" if asked == "cancel" else "paused"}
    pair.b.tell(pair.id, end, begin=10)
    assert job(desk, pair.id).status == {"pause": "pausing", "drain": "running", "cancel": "cancel_requested"}[asked]
    pair.a.tell(pair.id, end, begin=20)
    assert job(desk, pair.id).status == {"pause": "paused", "drain": "queued", "cancel": "cancelled"}[asked]
    assert members(desk) == {}


def test_a_member_that_ends_before_it_met_the_others_ends_the_attempt(desk: Desk, pair: Pair) -> None:
    say(desk, "DrainRunner", id=pair.b.id)
    assert pair.order(pair.b)["order"] == "pause"
    pair.b.tell(pair.id, PAUSED)
    assert job(desk, pair.id).status == "queued"
    assert pair.a.tell(pair.id)["order"] == "stop"


def test_a_restarted_daemon_is_still_a_member_and_is_heard_from_where_it_was(desk: Desk, pair: Pair) -> None:
    pair.begin()
    pair.b.register()
    again = pair.order(pair.b)
    assert (again["gang"]["rank"], again["accepted"], again["order"]) == (1, 10, "run")
    old = {"runner_id": pair.b.id, "incarnation": pair.b.incarnation - 1, "jobs": []}
    assert answer(desk, "ReportProgress", old)["code"] == "conflict"


def test_a_member_is_heard_once_and_not_over_a_gap(desk: Desk, pair: Pair) -> None:
    warning = {"type": "warning", "at": 1.0, "text": "w"}
    for _ in range(2):
        assert pair.b.tell(pair.id, warning)["accepted"] == 10
    assert pair.b.tell(pair.id, warning, begin=50)["accepted"] == 10
    assert types(desk, pair.id).count("JobWarning") == 1


def test_room_is_kept_on_several_runners_for_a_job_that_small_ones_pass_by(desk: Desk) -> None:
    a, b = Speaker(desk), Speaker(desk, host="b")
    small = [start(desk, f"small-{number}") for number in range(4)]
    owners = {each["job_id"]: one for one in (a, b) for each in one.report()["jobs"]}
    assert set(owners) == set(small)
    for id, one in owners.items():
        one.tell(id, STARTED)
    wide = start(desk, "wide", num_workers=4)
    make_room(desk, time.time() + desk.settings.patience_seconds + 1)
    assert [each["kept_for"] for each in say(desk, "ListRunners")["runners"]] == [wide, wide]
    later = start(desk, "later")
    for id, one in owners.items():
        one.tell(id, SUCCEEDED, begin=10)
    assert job(desk, later).status == "queued"
    make_room(desk, time.time())
    assert job(desk, wide).status == "assigned"
    assert [each["kept_for"] for each in say(desk, "ListRunners")["runners"]] == [None, None]
