"""The heads of the lanes tell as much as the whole queue would, and are found without reading it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from sqlalchemy import event, insert, select

from actors import lanes
from actors.desk import Desk
from actors.scheduling import Offer, Room, Waiting, choose, shape_of
from core.store.tables import Job

NOW = 1_000_000.0


def fill(desk: Desk, number: int, seed: int = 0) -> None:
    """So many jobs of a few shapes and priorities, most of them queued."""
    dice = random.Random(seed)

    def row(place: int) -> dict[str, Any]:
        label, gpus = dice.choice([None, None, 3]), dice.choice([0, 1])
        return {
            "id": f"{place:05}-{dice.random()}",
            "kind": "fine_tuning",
            "name": "n",
            "engine": dice.choice(["legacy", "evaluation"]),
            "status": dice.choice(["queued", "queued", "queued", "running", "succeeded"]),
            "spec": {"resources": {"gpu_label_id": label}},
            "priority": dice.choice([-1, 0, 0, 5]),
            "cpus": dice.choice([1, 2]),
            "gpus": gpus,
            "memory": 1,
            "workers": dice.choice([1, 1, 2]),
            "created_at": NOW,
            "queued_at": NOW - dice.randrange(100),
        }

    with desk.store.write() as unit:
        for place in range(number):
            unit.session.execute(insert(Job), row(place))


def everything(desk: Desk) -> list[Waiting]:
    with desk.store.read() as session:
        rows = session.scalars(select(Job).where(Job.status == "queued"))
        return [Waiting(row.id, shape_of(row.shape), row.priority, row.queued_at) for row in rows]


@pytest.mark.parametrize("number", [0, 1, 30, 300])
def test_each_lanes_head_is_its_oldest_and_no_lane_is_left_out(desk: Desk, number: int) -> None:
    fill(desk, number)
    first: dict[Any, Waiting] = {}
    for job in sorted(everything(desk), key=lambda job: (job.since, job.id)):
        first.setdefault((job.shape, job.priority), job)
    with desk.store.read() as session:
        found = lanes.heads(session)
    assert len(found) == len(first) and set(found) == set(first.values())


@pytest.mark.parametrize("seed", range(4))
def test_a_choice_from_what_is_read_is_the_choice_from_all(desk: Desk, seed: int) -> None:
    fill(desk, 200, seed)
    dice = random.Random(seed)
    queued = everything(desk)
    for _ in range(20):
        free = Room(dice.randrange(12), dice.randrange(4), dice.randrange(12))
        offer = Offer(free.plus(Room(2, 1, 2)), free, frozenset({"legacy"}), dice.choice([None, "3"]))
        passed = {job.id for job in dice.sample(queued, 20)}
        with desk.store.read() as session:
            assert choose(lanes.open_to(session, offer), offer, NOW) == choose(queued, offer, NOW)
            rest = [job for job in queued if job.id not in passed]
            assert choose(lanes.open_to(session, offer, passed), offer, NOW) == choose(rest, offer, NOW)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_queue_is_not_read_to_find_them(desk: Desk) -> None:
    fill(desk, 100)
    seen: list[tuple[str, Any]] = []

    @event.listens_for(desk.store.reader, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "jobs" in statement:
            seen.append((statement, parameters))

    offer = Offer(Room(9, 9, 99), Room(9, 9, 99), frozenset({"legacy"}))
    with desk.store.read() as session:
        lanes.open_to(session, offer)
    event.remove(desk.store.reader, "before_cursor_execute", note)
    with desk.store.read() as session:
        run = session.connection().exec_driver_sql
        plans = [row[-1] for statement, given in seen for row in run(f"EXPLAIN QUERY PLAN {statement}", given)]
    assert len(seen) == 2
    assert not [plan for plan in plans if plan.startswith("SCAN jobs") or "TEMP B-TREE" in plan], plans
    assert all(
        "ix_jobs_lane" in plan or "PRIMARY" in plan or "sqlite_autoindex" in plan for plan in plans if "SEARCH" in plan
    ), plans
