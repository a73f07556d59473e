"""A more urgent job has others pause for it, as few as will do, and they go on afterwards."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.allotting import Holding, Host, preempt, preemptions, victims
from actors.desk import Desk
from actors.making_room import make_room
from actors.scheduling import Kept, Offer, Room, Shape, Waiting
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, folded, job, say, start, types

PAUSED = {"type": "finished", "at": 2.0, "outcome": "paused"}
ENGINES = frozenset({"legacy"})
ONE = Shape("legacy", Room(1, 0, 1))
parts = st.builds(
    Holding,
    id=st.uuids().map(str),
    room=st.builds(Room, st.integers(1, 3), st.integers(0, 1), st.integers(1, 4)),
    priority=st.integers(-1, 2),
    since=st.floats(0, 100),
    leaving=st.booleans(),
)


@st.composite
def hosts(draw: st.DrawFn) -> list[Host]:
    made = []
    for place in range(draw(st.integers(0, 3))):
        held, taken = draw(st.lists(parts, max_size=4, unique_by=lambda part: part.id)), Room(0, 0, 0)
        for part in held:
            taken = taken.plus(part.room)
        spare = Room(draw(st.integers(0, 2)), draw(st.integers(0, 1)), draw(st.integers(0, 4)))
        kept = draw(st.none() | st.builds(Kept, st.just("kept"), st.just(ONE), st.integers(-1, 2), st.just(ONE.room)))
        made.append(Host(str(place), Offer(taken.plus(spare), spare, ENGINES, kept=kept), tuple(held)))
    return made


waiting = st.builds(
    Waiting,
    id=st.uuids().map(str),
    shape=st.builds(Shape, st.just("legacy"), st.builds(Room, st.integers(1, 4), st.integers(0, 2), st.integers(1, 6))),
    priority=st.integers(-1, 3),
    since=st.floats(0, 100),
)


def freed(host: Host, ids: list[str]) -> Host:
    return replace(host, held=tuple(replace(each, leaving=each.leaving or each.id in ids) for each in host.held))


@given(waiting, hosts())
def test_only_lower_priorities_pause_and_then_the_job_fits(job: Waiting, there: list[Host]) -> None:
    found = preempt(job, there)
    if found is None:
        return
    host, ids = there[int(found[0])], found[1]
    known = {each.id: each for each in host.held}
    assert ids and all(known[id].priority < job.priority and not known[id].leaving for id in ids)
    assert preempt(job, [freed(host, ids)]) is None  # it fits as soon as they have left
    for spared in ids:
        assert preempt(job, [freed(host, [id for id in ids if id != spared])]) is not None  # and not before


@given(waiting, hosts())
def test_no_other_runner_would_do_with_fewer(job: Waiting, there: list[Host]) -> None:
    found = preempt(job, there)
    if found is not None:
        costs = [cost[0] for host in there if host.offer.can_ever_run(job.shape) and (cost := victims(job, host))]
        assert len(found[1]) == min(cost[0] for cost in costs)


@given(waiting, hosts())
def test_nobody_pauses_for_a_job_that_fits_or_for_one_that_would_still_not(job: Waiting, there: list[Host]) -> None:
    able = [host for host in there if host.offer.can_ever_run(job.shape)]
    if any(host.offer.free_for(job).holds(job.shape.room) for host in able):
        assert preempt(job, there) is None
    if all(each.priority >= job.priority for host in there for each in host.held):
        assert preempt(job, there) is None


@given(st.lists(waiting, max_size=4, unique_by=lambda job: job.id), hosts())
def test_nobody_pauses_for_two(queued: list[Waiting], there: list[Host]) -> None:
    paused = [id for _, _, ids in preemptions(queued, there) for id in ids]
    assert len(paused) == len(set(paused))


@pytest.mark.decision("D-172")
def test_the_least_urgent_goes_and_of_those_the_youngest() -> None:
    one = Room(1, 0, 1)
    held = tuple(Holding(f"{priority}-{since}", one, priority, since) for priority in (0, 1) for since in (10.0, 20.0))
    host = Host("a", Offer(Room(4, 0, 9), Room(0, 0, 5), ENGINES), held)
    asked = Waiting("w", Shape("legacy", one), 2, 0.0)
    assert preempt(asked, [host]) == ("a", ["0-20.0"])
    assert preempt(replace(asked, shape=Shape("legacy", Room(3, 0, 1))), [host]) == (
        "a",
        ["0-20.0", "0-10.0", "1-20.0"],
    )


def test_on_a_runner_of_many_small_jobs_those_that_will_do_are_found_at_once() -> None:
    held = tuple(Holding(f"{n:02}", Room(1, 0, 1), 0, float(n)) for n in range(64))
    host = Host("a", Offer(Room(64, 0, 99), Room(0, 0, 35), ENGINES), held)
    began = time.process_time()
    found = preempt(Waiting("w", Shape("legacy", Room(40, 0, 1)), 1, 0.0), [host])
    assert found == ("a", [f"{n:02}" for n in range(63, 23, -1)])
    assert time.process_time() - began < 0.5


@pytest.fixture
def running(desk: Desk) -> tuple[Speaker, list[str]]:
    """A runner of two cores with two jobs of its own, in a studio that preempts."""
    add_inputs(desk.store)
    desk.settings.preempt = True
    a = Speaker(desk)
    ids = [start(desk, f"small-{number}") for number in range(2)]
    a.report()
    for place, id in enumerate(ids):
        a.tell(id, {**STARTED, "at": 1.0 + place})
    return a, ids


def orders(a: Speaker) -> dict[str, str]:
    return {each["job_id"]: each["order"] for each in a.report()["jobs"]}


def test_an_urgent_job_gets_room_and_who_made_it_goes_on_afterwards(
    desk: Desk, running: tuple[Speaker, list[str]]
) -> None:
    a, (first, second) = running
    urgent = start(desk, "urgent", priority=1)
    for _ in range(3):
        make_room(desk, time.time())
    assert orders(a) == {first: "run", second: "pause"}
    assert job(desk, second).preempted_by == urgent
    start(desk, "another")  # what is made room for is not taken by others
    assert a.tell(second, PAUSED, begin=10)["order"] == "stop"
    assert orders(a) == {first: "run", urgent: "run"}
    assert types(desk, second) == ["JobQueued", "JobAssigned", "JobStarted", "JobPausing", "JobPreempted"]
    assert types(desk, urgent) == ["JobQueued", "RoomKept", "JobAssigned"]
    assert (job(desk, second).status, job(desk, second).preempted_by) == ("queued", None)
    a.tell(urgent, STARTED, SUCCEEDED)
    assert orders(a) == {first: "run", second: "run"}
    assert job(desk, second).attempt == 2
    assert folded(desk)[second] == "assigned"


@pytest.mark.parametrize("priority", [0, -1])
def test_a_job_that_is_not_more_urgent_waits(desk: Desk, running: tuple[Speaker, list[str]], priority: int) -> None:
    a, ids = running
    start(desk, "later", priority=priority)
    make_room(desk, time.time())
    assert orders(a) == dict.fromkeys(ids, "run")


@pytest.mark.decision("D-172")
def test_nobody_is_paused_where_the_studio_is_not_set_so(desk: Desk, running: tuple[Speaker, list[str]]) -> None:
    a, ids = running
    desk.settings.preempt = False
    start(desk, "urgent", priority=9)
    make_room(desk, time.time())
    assert orders(a) == dict.fromkeys(ids, "run")


def test_who_asks_for_a_pause_meanwhile_gets_it(desk: Desk, running: tuple[Speaker, list[str]]) -> None:
    a, (_, second) = running
    start(desk, "urgent", priority=1)
    make_room(desk, time.time())
    assert say(desk, "ResumeJob", id=second)["status"] == "pausing"
    say(desk, "PauseJob", id=second)
    a.tell(second, PAUSED, begin=10)
    assert job(desk, second).status == "paused"


@pytest.mark.parametrize("end", ["dies", "cancelled", "finishes"])
def test_who_is_to_make_room_may_end_otherwise(desk: Desk, running: tuple[Speaker, list[str]], end: str) -> None:
    a, (_, second) = running
    urgent = start(desk, "urgent", priority=1)
    make_room(desk, time.time())
    told: dict[str, Any] = {"begin": 10}
    if end == "dies":
        a.tell(second, **told, alive=False, exit_code=-9)
    elif end == "cancelled":
        say(desk, "CancelJob", id=second)
        a.tell(second, {**PAUSED, "outcome": "cancelled"}, **told)
    else:
        a.tell(second, SUCCEEDED, **told)
    assert job(desk, second).status == {"dies": "queued", "cancelled": "cancelled", "finishes": "succeeded"}[end]
    assert urgent in orders(a)


def test_a_job_makes_room_on_the_runner_where_the_fewest_have_to_pause(
    desk: Desk, running: tuple[Speaker, list[str]]
) -> None:
    a, ids = running
    b, large = Speaker(desk, host="b"), start(desk, "large", num_cpu=2)
    b.begin(large)
    urgent = start(desk, "urgent", num_cpu=2, priority=1)
    make_room(desk, time.time())
    assert orders(a) == dict.fromkeys(ids, "run")
    assert orders(b) == {large: "pause"}
    b.tell(large, PAUSED, begin=10)
    assert orders(b) == {urgent: "run"}
