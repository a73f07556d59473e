"""The choice of jobs for free room: never too much, in turn, and nobody waits for ever."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.allotting import Holding, Host, keep, spread
from actors.scheduling import AGEING, Kept, Offer, Room, Shape, Waiting, choose

NOW, PATIENCE = 1_000_000.0, 300.0
rooms = st.builds(Room, st.integers(1, 8), st.integers(0, 2), st.integers(1, 16))
shapes = st.builds(
    Shape,
    engine=st.sampled_from(["legacy", "evaluation", "axolotl"]),
    worker=rooms,
    workers=st.sampled_from([1, 1, 2]),
    label=st.sampled_from([None, None, "1"]),
)
jobs = st.builds(
    Waiting,
    id=st.uuids().map(str),
    shape=shapes,
    priority=st.integers(-2, 2),
    since=st.floats(NOW - 3 * AGEING, NOW),
)
queues = st.lists(jobs, max_size=12, unique_by=lambda job: job.id)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    capacity = draw(rooms)
    free = Room(
        draw(st.integers(0, int(capacity.cpus))),
        draw(st.integers(0, capacity.gpus)),
        draw(st.floats(0, capacity.memory)),
    )
    return Offer(capacity, free, frozenset({"legacy", "evaluation"}), draw(st.sampled_from([None, "1"])))


@st.composite
def keeping(draw: st.DrawFn) -> tuple[list[Waiting], Offer]:
    """A queue, and an offer that keeps room for one of its jobs, like which others wait."""
    queued = draw(queues.filter(lambda queue: len(queue) > 0))
    offer, job = draw(offers()), draw(st.sampled_from(queued))
    more, open_now = job.shape.room, draw(st.booleans())
    free = offer.free.plus(more) if open_now else offer.free
    label = job.shape.label or offer.label
    offer = replace(offer, capacity=offer.capacity.plus(more), free=free, label=label)
    ages = draw(st.lists(st.floats(NOW - 3 * AGEING, NOW), max_size=3))
    queued += [replace(job, id=f"like-{number}", since=since) for number, since in enumerate(ages)]
    kept = Kept(job.id, job.shape, job.priority, job.shape.room)
    return queued, replace(offer, kept=kept if offer.serves(job.shape) else None)


def taken(queued: list[Waiting], ids: list[str]) -> list[Waiting]:
    known = {job.id: job for job in queued}
    return [known[id] for id in ids]


def left(offer: Offer, chosen: list[Waiting]) -> Room:
    free = offer.free
    for job in chosen:
        free = free.without(job.shape.room)
    return free


@given(keeping() | st.tuples(queues, offers()))
def test_no_more_is_given_than_is_free_and_nothing_that_never_fits(given: tuple[list[Waiting], Offer]) -> None:
    queued, offer = given
    chosen = taken(queued, choose(queued, offer, NOW))
    rest = left(offer, chosen)
    assert min(rest.cpus, rest.gpus, rest.memory) >= 0
    assert len(set(chosen)) == len(chosen)
    assert all(job.shape.engine in offer.engines and job.shape.label in {None, offer.label} for job in chosen)


@given(queues, offers(), st.randoms())
def test_the_order_of_rows_does_not_matter(queued: list[Waiting], offer: Offer, random: Random) -> None:
    shuffled = list(queued)
    random.shuffle(shuffled)
    assert choose(shuffled, offer, NOW) == choose(queued, offer, NOW)


@given(queues, offers())
def test_the_chosen_come_by_priority_and_then_by_age(queued: list[Waiting], offer: Offer) -> None:
    recent = [replace(job, since=NOW - (NOW - job.since) / 4) for job in queued]  # nobody has waited a day
    turns = [(-job.priority, job.since) for job in taken(recent, choose(recent, offer, NOW))]
    assert turns == sorted(turns)


@given(queues, offers(), st.sampled_from([0.0, AGEING]))
def test_who_is_passed_over_did_not_fit_what_was_left_at_its_turn(
    queued: list[Waiting], offer: Offer, ageing: float
) -> None:
    chosen = taken(queued, choose(queued, offer, NOW, ageing))
    for job in set(queued) - set(chosen):
        before = [other for other in chosen if other.turn(NOW, ageing) < job.turn(NOW, ageing)]
        assert not offer.can_ever_run(job.shape) or not left(offer, before).holds(job.shape.room)


@given(keeping())
def test_kept_room_goes_to_the_oldest_of_its_jobs_kind_or_to_a_higher_priority(
    given: tuple[list[Waiting], Offer],
) -> None:
    queued, offer = given
    chosen = taken(queued, choose(queued, offer, NOW))
    kept = offer.kept
    if kept is None:
        return
    higher = [job for job in chosen if job.priority > kept.priority]
    oldest = min((job for job in queued if kept.alike(job)), key=lambda job: (job.since, job.id))
    if oldest in chosen:
        assert left(offer, higher).holds(kept.room)
    else:
        assert chosen == higher
        assert not left(offer, chosen).holds(kept.room)


@given(keeping() | st.tuples(queues, offers()), st.sampled_from([0.0, AGEING]))
def test_nobody_passes_an_older_one_of_its_own_kind(given: tuple[list[Waiting], Offer], ageing: float) -> None:
    queued, offer = given
    chosen = taken(queued, choose(queued, offer, NOW, ageing))
    for job in chosen:
        alike = [other for other in queued if (other.shape, other.priority) == (job.shape, job.priority)]
        assert all(other in chosen for other in alike if (other.since, other.id) < (job.since, job.id))


@given(keeping())
def test_room_kept_for_a_part_of_a_gang_is_taken_by_none_below_it(given: tuple[list[Waiting], Offer]) -> None:
    queued, offer = given
    kept = Kept("gang", Shape("legacy", Room(1, 0, 1), 2), 0, Room(1, 0, 1), whole=False)
    chosen = taken(queued, choose(queued, replace(offer, kept=kept), NOW))
    assert all(job.priority > 0 for job in chosen) or left(offer, chosen).holds(kept.room)


@given(queues, offers(), st.integers(1, 4))
def test_the_oldest_of_each_lane_are_enough(queued: list[Waiting], offer: Offer, times: int) -> None:
    alike = [replace(job, id=f"{job.id}-{n}", since=job.since - n) for job in queued for n in range(times)]
    lanes: dict[tuple[Shape, int], list[Waiting]] = {}
    for job in sorted(alike, key=lambda job: (job.since, job.id)):
        lane = lanes.setdefault((job.shape, job.priority), [])
        if len(lane) < offer.free.count(job.shape.room):
            lane.append(job)
    assert choose([job for lane in lanes.values() for job in lane], offer, NOW) == choose(alike, offer, NOW)


def run(room: Room, priority: int = 0, since: float = 0.0) -> Waiting:
    return Waiting(f"{room}-{priority}-{since}", Shape("legacy", room), priority, since)


@pytest.mark.parametrize("keeps", [True, False])
def test_small_jobs_starve_a_large_one_unless_room_is_kept_for_it(keeps: bool) -> None:
    small, capacity = Room(1, 0, 1), Room(4, 0, 64)
    large, running = run(Room(4, 0, 1)), [Holding(f"first-{n}", small, 0, 0, None) for n in range(4)]
    offer, now, began = Offer(capacity, Room(0, 0, 60), frozenset({"legacy"})), 0.0, None
    while began is None and now < 4 * PATIENCE:
        now += 60
        running = running[1:]  # one small job ends a minute, and others come
        offer = replace(offer, free=capacity.without(small.times(len(running))))
        if keeps and now >= PATIENCE and offer.kept is None:
            assert keep([large], [Host("a", offer, tuple(running))]) == [("a", large.id, 1)]
            offer = replace(offer, kept=Kept(large.id, large.shape, 0, large.shape.room))
        for id in choose([large, *(run(small, since=now + n / 10) for n in range(4))], offer, now):
            began = now if id == large.id else began
            running.append(Holding(id, small, 0, now, None))
    assert (began is not None) is keeps
    assert began is None or began <= PATIENCE + 4 * 60


@pytest.mark.parametrize("ageing", [AGEING, 0.0])
def test_no_stream_of_better_jobs_keeps_one_waiting_for_ever_where_waiting_counts(ageing: float) -> None:
    one = Room(1, 0, 1)
    low, offer = run(one, priority=-1), Offer(one, one, frozenset({"legacy"}))
    waited = next(
        (
            day
            for day in range(30)
            if choose([low, run(one, 2, day * AGEING)], offer, day * AGEING + 1, ageing) == [low.id]
        ),
        None,
    )
    assert waited == (3 if ageing else None)


@given(
    st.lists(jobs.filter(lambda job: job.shape.workers == 1), max_size=6, unique_by=lambda job: job.id),
    st.lists(offers(), max_size=5),
)
def test_room_is_kept_once_for_a_job_and_by_runners_that_can_run_it(queued: list[Waiting], given: list[Offer]) -> None:
    hosts = [Host(str(place), offer) for place, offer in enumerate(given)]
    kept = keep(queued, hosts)
    assert len({runner for runner, _, _ in kept}) == len({job for _, job, _ in kept}) == len(kept)
    for runner, id, workers in kept:
        (job,) = [job for job in queued if job.id == id]
        offer = hosts[int(runner)].offer
        assert offer.can_ever_run(job.shape) and workers == 1
        assert not any(host.offer.has_room(job.shape) for host in hosts)


def test_room_is_kept_where_it_will_be_free_first() -> None:
    job, one = run(Room(2, 0, 1)), Room(1, 0, 1)
    busy = Offer(Room(2, 0, 4), Room(0, 0, 2), frozenset({"legacy"}))

    def host(id: str, *ends: float | None) -> Host:
        return Host(id, busy, tuple(Holding(f"{id}{n}", one, 0, 0, at) for n, at in enumerate(ends)))

    assert keep([job], [host("a", 50, None), host("b", 90, 80), host("c", 10, 200)]) == [("b", job.id, 1)]
    one_large = Host("b", busy, (Holding("b0", Room(2, 0, 2), 0, 0, None),))
    assert keep([job], [host("a", None, None), one_large]) == [("b", job.id, 1)]  # unknown ends: the fewest jobs


parts_free = st.builds(
    Offer,
    capacity=st.just(Room(4, 2, 8)),
    free=st.builds(Room, st.integers(0, 4), st.integers(0, 2), st.integers(0, 8)),
    engines=st.just(frozenset({"legacy"})),
    label=st.sampled_from([None, "1"]),
    kept=st.none()
    | st.builds(Kept, st.just("other"), shapes, st.integers(-1, 1), st.just(Room(1, 0, 1)), st.booleans()),
)


@given(
    st.integers(1, 9),
    st.builds(Room, st.integers(1, 2), st.integers(0, 1), st.integers(1, 3)),
    st.sampled_from([None, "1"]),
    st.lists(parts_free, max_size=5),
)
def test_a_job_is_spread_whole_over_room_that_is_there_and_over_as_few_runners_as_do(
    workers: int, worker: Room, label: str | None, there: list[Offer]
) -> None:
    asked = Waiting("w", Shape("legacy", worker, workers, label), 0, 0.0)
    hosts = [Host(str(place), offer) for place, offer in enumerate(there)]
    parts = spread(asked, hosts)
    room = [offer.free_for(asked).count(worker) if offer.serves(asked.shape) else 0 for offer in there]
    possible = sum(room) >= workers and workers > 1 and not any(offer.can_ever_run(asked.shape) for offer in there)
    assert bool(parts) is possible
    if parts:
        assert sum(number for _, number in parts) == workers
        assert all(0 < number <= room[int(id)] for id, number in parts)
        assert sum(sorted(room, reverse=True)[: len(parts) - 1]) < workers
