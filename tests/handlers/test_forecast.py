"""When jobs might start: told from what runs, and not at all where nothing tells it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from actors.allotting import Holding, Host
from actors.forecast import forecast
from actors.scheduling import Offer, Room, Shape, Waiting

NOW = 1_000.0
ONE = Room(1, 0, 1)


def waiting(id: str, cpus: int = 1) -> Waiting:
    return Waiting(id, Shape("legacy", Room(cpus, 0, 1)), 0, 0.0)


def host(id: str, cpus: int, *ends: float | None) -> Host:
    capacity = Room(cpus, 0, 100)
    free = capacity.without(ONE.times(len(ends)))
    held = tuple(Holding(f"{id}{n}", ONE, 0, 0.0, at) for n, at in enumerate(ends))
    return Host(id, Offer(capacity, free, frozenset({"legacy"})), held)


def test_jobs_start_as_those_that_run_end_and_those_before_them() -> None:
    hosts = [host("a", 2, NOW + 100, NOW + 30), host("b", 1, NOW + 50)]
    queued = [waiting("first"), waiting("second"), waiting("third"), waiting("fourth")]
    assert forecast(queued, hosts, NOW, 40) == {
        "first": NOW + 30,
        "second": NOW + 50,
        "third": NOW + 70,  # after the first, which began at 30
        "fourth": NOW + 90,  # after the second
    }


def test_a_large_job_waits_for_several_and_is_not_passed_on_its_runner() -> None:
    hosts = [host("a", 2, NOW + 100, NOW + 30)]
    assert forecast([waiting("wide", 2), waiting("narrow")], hosts, NOW, 40) == {
        "wide": NOW + 100,
        "narrow": NOW + 140,
    }


def test_what_can_not_be_told_is_not_guessed() -> None:
    assert forecast([waiting("a")], [host("a", 1, None)], NOW, 40) == {}
    assert forecast([waiting("a", 3)], [host("a", 2)], NOW, 40) == {}
    assert forecast([waiting("a"), waiting("b")], [host("a", 1, NOW + 5)], NOW, None) == {"a": NOW + 5}
    assert forecast([waiting("a")], [], NOW, 40) == {}


hosts_drawn = st.lists(
    st.builds(
        lambda cpus, ends: host("", cpus, *ends[:cpus]),
        st.integers(1, 4),
        st.lists(st.none() | st.floats(NOW - 10, NOW + 500), max_size=4),
    ).map(lambda made: made),
    max_size=4,
).map(lambda made: [replace(each, id=str(place)) for place, each in enumerate(made)])
queues = st.lists(st.integers(1, 4), max_size=10).map(
    lambda sizes: [waiting(str(place), cpus) for place, cpus in enumerate(sizes)]
)


@given(queues, hosts_drawn, st.none() | st.floats(1, 1000))
def test_nobody_starts_in_the_past_or_before_a_like_one_whose_turn_is_first(
    queued: list[Waiting], hosts: list[Host], seconds: float | None
) -> None:
    starts = forecast(queued, hosts, NOW, seconds)
    assert all(at >= NOW for at in starts.values())
    for place, job in enumerate(queued):
        earlier = [each for each in queued[:place] if each.shape == job.shape]
        assert job.id not in starts or all(starts[each.id] <= starts[job.id] for each in earlier)


@given(queues, hosts_drawn)
def test_the_first_that_fits_now_starts_now_and_with_a_usual_time_all_that_have_a_runner_are_told(
    queued: list[Waiting], hosts: list[Host]
) -> None:
    known = [replace(each, held=tuple(replace(one, ends_at=one.ends_at or NOW) for one in each.held)) for each in hosts]
    starts = forecast(queued, known, NOW, 10)
    assert set(starts) == {job.id for job in queued if any(each.offer.can_ever_run(job.shape) for each in hosts)}
    if queued and any(each.offer.has_room(queued[0].shape) for each in hosts):
        assert starts[queued[0].id] == NOW
