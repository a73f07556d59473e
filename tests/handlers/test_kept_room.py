"""Room that is kept: for whom, on how many runners, and how those that wait alike hand it over; which runner is woken."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from sqlalchemy import select

from actors import allotting
from actors.desk import Desk
from actors.making_room import make_room
from core.queue import stream
from core.store.tables import JobMember, Runner
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, job, say, start, types


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


@pytest.fixture
def every(monkeypatch: pytest.MonkeyPatch) -> None:
    """All runners may keep room at once."""
    monkeypatch.setattr(allotting, "KEEPING", 1.0)


def filled(desk: Desk, hosts: str) -> tuple[list[Speaker], list[str]]:
    """Runners of two cores, each with a job that takes one of them."""
    runners = [Speaker(desk, host=host) for host in hosts]
    small = []
    for one in runners:
        small.append(start(desk, f"small-{one.host}"))
        one.begin(small[-1])
    return runners, small


def waited(desk: Desk, seconds: float = 1.0) -> None:
    make_room(desk, time.time() + desk.settings.patience_seconds + seconds)


def kept(desk: Desk) -> dict[str, str | None]:
    with desk.store.read() as session:
        return {runner.host: runner.kept_for for runner in session.scalars(select(Runner))}


def rooms(desk: Desk, hosts: str, job_ids: Sequence[str], workers: int = 1) -> None:
    """Have each runner keep room for a job, or for so many of its workers."""
    for host, id in zip(hosts, job_ids, strict=True):
        with desk.store.write() as unit:
            runner = unit.session.scalars(select(Runner).where(Runner.host == host)).one()
            runner.kept_for, runner.kept_workers = id, workers


@pytest.mark.decision("D-173")
def test_the_oldest_takes_the_first_room_that_is_there_and_leaves_its_own_to_the_one_like_it(desk: Desk) -> None:
    (a, b), (on_a, on_b) = filled(desk, "ab")
    first, second = (start(desk, name, num_cpu=2) for name in ("first", "second"))
    rooms(desk, "ab", [first, second])
    b.tell(on_b, SUCCEEDED, begin=10)
    assert (job(desk, first).runner_id, job(desk, second).status) == (b.id, "queued")
    assert kept(desk) == {"a": second, "b": None}
    assert types(desk, second).count("RoomKept") == 1
    a.tell(on_a, SUCCEEDED, begin=10)
    assert job(desk, second).runner_id == a.id and kept(desk) == {"a": None, "b": None}


@pytest.mark.usefixtures("every")
def test_a_part_of_kept_room_whose_rest_was_given_up_keeps_the_job_from_nothing(desk: Desk) -> None:
    filled(desk, "ab")
    wide = start(desk, "wide", num_workers=4)
    rooms(desk, "a", [wide], workers=2)  # b was given up while a's row was locked by its report
    waited(desk)
    assert kept(desk) == {"a": None, "b": None}
    waited(desk, 2)
    assert kept(desk) == {"a": wide, "b": wide} and types(desk, wide).count("RoomKept") == 2
    waited(desk, 3)
    assert kept(desk) == {"a": wide, "b": wide}


def test_a_job_of_another_kind_takes_no_kept_room(desk: Desk) -> None:
    (a, b), (on_a, on_b) = filled(desk, "ab")
    older = start(desk, "older", num_cpu=2, num_memory=2)
    first = start(desk, "first", num_cpu=2)
    rooms(desk, "ab", [older, first])
    b.tell(on_b, SUCCEEDED, begin=10)
    assert job(desk, first).runner_id == b.id and kept(desk) == {"a": older, "b": None}
    a.tell(on_a, SUCCEEDED, begin=10)
    assert job(desk, older).runner_id == a.id


def test_jobs_for_several_runners_hand_over_what_is_kept_for_them_too(desk: Desk) -> None:
    runners, small = filled(desk, "abcd")
    first, second = (start(desk, name, num_workers=4) for name in ("first", "second"))
    rooms(desk, "abcd", [first, first, second, second], workers=2)
    for one, id in zip(runners[2:], small[2:], strict=True):
        one.tell(id, SUCCEEDED, begin=10)
    make_room(desk, time.time())
    with desk.store.read() as session:
        members = set(session.execute(select(JobMember.job_id, JobMember.runner_id)).all())
    assert members == {(first, one.id) for one in runners[2:]}
    assert kept(desk) == {"a": second, "b": second, "c": None, "d": None}


@pytest.mark.decision("D-173")
def test_room_is_kept_on_a_quarter_of_the_runners_for_those_whose_turn_is_first(desk: Desk) -> None:
    filled(desk, "abcdefgh")
    large = [start(desk, f"large-{number}", num_cpu=2) for number in range(4)]
    for _ in range(2):
        waited(desk)
    assert {id for id in kept(desk).values() if id} == set(large[:2])


@pytest.mark.parametrize("how", ["CancelJob", "PauseJob"])
def test_what_a_full_runner_keeps_for_a_job_that_waits_no_more_hinders_no_other(desk: Desk, how: str) -> None:
    runners, _ = filled(desk, "abcd")
    for one in runners:
        start(desk, f"more-{one.host}")
        one.report()  # it is full
    gone, waits = (start(desk, name, num_cpu=2) for name in ("gone", "waits"))
    rooms(desk, "a", [gone])
    waited(desk)
    assert waits not in kept(desk).values(), "a quarter of the runners is kept already"
    say(desk, how, id=gone)
    waited(desk)
    assert waits in kept(desk).values()


@pytest.mark.usefixtures("every")
def test_jobs_that_no_runner_could_run_take_nobodys_chance_of_kept_room(desk: Desk) -> None:
    filled(desk, "a")
    for number in range(allotting.AT_ONCE + 1):
        start(desk, f"never-{number}", num_cpu=9)
    possible = start(desk, "large", num_cpu=2)
    waited(desk)
    assert kept(desk) == {"a": possible}


@pytest.mark.parametrize("how", ["drained", "smaller"])
def test_what_can_not_be_kept_any_more_is_kept_elsewhere_with_all_its_parts(desk: Desk, how: str) -> None:
    runners, _ = filled(desk, "abc")
    wide = start(desk, "wide", num_workers=4)
    rooms(desk, "ab", [wide, wide], workers=2)
    if how == "drained":
        say(desk, "DrainRunner", id=runners[1].id)
    else:
        runners[1].cpus = 1
        runners[1].register()
    assert kept(desk) == {"a": None, "b": None, "c": None}
    waited(desk)
    assert kept(desk) == {"a": wide, "b": None, "c": wide}


def woken(desk: Desk, runners: list[Speaker]) -> str:
    """The hosts that are told to report now; they are told no more."""
    hosts = ""
    for one in runners:
        hosts += one.host if stream.await_wake(desk.redis, desk.settings.namespace, one.id, 0.01) else ""
        desk.redis.delete(f"{desk.settings.namespace}:wake:{one.id}")
    return hosts


def test_the_fullest_runner_with_room_is_woken_so_that_the_room_of_others_stays_whole(desk: Desk) -> None:
    runners = [Speaker(desk, host=host, cpus=4) for host in "abc"]
    a, b, _ = runners
    a.begin(start(desk, "small"))
    b.begin(start(desk, "medium", num_cpu=2))
    woken(desk, runners)
    start(desk, "next")
    assert woken(desk, runners) == "b"
    start(desk, "too-large-for-b", num_cpu=3)
    assert woken(desk, runners) == "a"
    b.report()  # it takes what it was woken for, and has a core left; the other is too large for it
    assert woken(desk, runners) == "a"
    rooms(desk, "b", [start(desk, "kept", num_cpu=4)])
    woken(desk, runners)
    start(desk, "beside-what-is-kept")
    assert woken(desk, runners) == "a"
    say(desk, "DrainRunner", id=a.id)
    woken(desk, runners)
    start(desk, "last")
    assert woken(desk, runners) == "c"


def test_a_runner_of_another_label_or_engine_is_not_woken(desk: Desk) -> None:
    runners = [Speaker(desk, host="a", cpus=1, engines=["evaluation"]), Speaker(desk, host="b", cpus=2)]
    woken(desk, runners)
    start(desk)
    assert woken(desk, runners) == "b"
