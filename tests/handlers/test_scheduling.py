"""The choice of jobs for free room: never too much, in turn, and nobody waits for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.scheduling import PATIENCE, Offer, Room, Waiting, choose

NOW = 10_000.0
rooms = st.builds(Room, st.integers(1, 8), st.integers(0, 2), st.integers(1, 16))
jobs = st.builds(
    Waiting,
    id=st.uuids().map(str),
    room=rooms,
    engine=st.sampled_from(["legacy", "evaluation", "axolotl"]),
    priority=st.integers(-2, 2),
    since=st.floats(NOW - 2 * PATIENCE, NOW),
    label=st.sampled_from([None, None, "1"]),
)
queues = st.lists(jobs, max_size=12, unique_by=lambda job: job.id)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    capacity = draw(rooms)
    free = Room(
        draw(st.integers(0, int(capacity.cpus))),
        draw(st.integers(0, capacity.gpus)),
        draw(st.integers(0, int(capacity.memory))),
    )
    return Offer(capacity, free, frozenset({"legacy", "evaluation"}), draw(st.sampled_from([None, "1"])))


@given(queues, offers())
def test_no_more_is_given_than_is_free_and_nothing_that_never_fits(queued: list[Waiting], offer: Offer) -> None:
    chosen = [job for id in choose(queued, offer, NOW) for job in queued if job.id == id]
    assert sum(job.room.cpus for job in chosen) <= offer.free.cpus
    assert sum(job.room.gpus for job in chosen) <= offer.free.gpus
    assert sum(job.room.memory for job in chosen) <= offer.free.memory
    assert all(job.engine in offer.engines and job.label in {None, offer.label} for job in chosen)


@given(queues, offers(), st.randoms())
def test_the_order_of_rows_does_not_matter(queued: list[Waiting], offer: Offer, random: object) -> None:
    shuffled = list(queued)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert choose(shuffled, offer, NOW) == choose(queued, offer, NOW)


@given(queues, offers())
def test_the_chosen_come_by_priority_and_then_by_age(queued: list[Waiting], offer: Offer) -> None:
    known = {job.id: job for job in queued}
    turns = [(-known[id].priority, known[id].since) for id in choose(queued, offer, NOW)]
    assert turns == sorted(turns)


@given(queues, offers())
def test_whoever_is_passed_over_while_a_later_one_gets_room_has_patience_left(
    queued: list[Waiting], offer: Offer
) -> None:
    chosen = set(choose(queued, offer, NOW))
    turns = sorted(queued, key=lambda job: (-job.priority, job.since, job.id))
    for place, job in enumerate(turns):
        later = any(other.id in chosen for other in turns[place + 1 :])
        if later and job.id not in chosen and offer.can_ever_run(job):
            assert NOW - job.since < PATIENCE


@given(queues, offers())
def test_room_is_not_left_empty_while_a_fresh_job_would_fit(queued: list[Waiting], offer: Offer) -> None:
    fresh = [Waiting(job.id, job.room, job.engine, job.priority, NOW, job.label) for job in queued]
    chosen = set(choose(fresh, offer, NOW))
    free = offer.free
    for job in fresh:
        free = free.without(job.room) if job.id in chosen else free
    assert not any(free.holds(job.room) and offer.can_ever_run(job) for job in fresh if job.id not in chosen)


def test_small_jobs_can_not_starve_a_large_one() -> None:
    large = Waiting("large", Room(4, 0, 1), "legacy", 0, 0.0)
    running, now, began = [Room(1, 0, 1)] * 4, 0.0, None
    capacity = Room(4, 0, 64)
    queued = [large]
    while began is None:
        now += 60
        assert now < 3 * PATIENCE
        running = running[1:]  # one small job ends a minute, and another comes
        queued = [large, *[Waiting(f"small-{now}-{n}", Room(1, 0, 1), "legacy", 0, now) for n in range(4)]]
        free = Room(4 - len(running), 0, 64)
        for id in choose(queued, Offer(capacity, free, frozenset({"legacy"})), now):
            began = now if id == "large" else began
            running.append(Room(1, 0, 1))
