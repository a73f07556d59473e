"""Walking through a list page by page while rows come, go and change: what was there all the time is met once (D-204)."""

from __future__ import annotations

import base64
import json
from collections import Counter
from random import Random
from typing import Any

import pytest
from sqlalchemy import delete, insert, update

from actors import (
    adapters,
    comparing,
    configs,
    datasets,
    endpoints,
    evaluation,
    exporting,
    fine_tuning,
    models,
    notifying,
    promoting,
    prompts,
    runners,
    sent,
)
from actors.desk import Desk
from actors.pages import Shelf
from core.messages import REGISTRY
from core.messages.common import PagedQuery, choices
from core.store.tables import Config, Dataset, EvaluationJob, FineTuningJob, Job
from tests.handlers.test_filters import add, listed, paged
from tests.handlers.test_removal import breaches
from tests.handlers.work import add_inputs, say, start

SHELVES: dict[str, Shelf] = {
    "ListDatasets": datasets.SHELF,
    "ListModels": models.SHELF,
    "ListPrompts": prompts.SHELF,
    "ListAdapters": adapters.SHELF,
    "ListConfigs": configs.SHELF,
    "ListFineTuningJobs": fine_tuning.SHELF,
    "ListEvaluationJobs": evaluation.SHELF,
    "ListExportJobs": exporting.SHELF,
    "ListComparisons": comparing.SHELF,
    "ListPromotions": promoting.SHELF,
    "ListEndpoints": endpoints.SHELF,
    "ListRunners": runners.SHELF,
    "ListMessages": sent.SHELF,
    "ListNotifications": notifying.SHELF,
}


def rows_of(value: dict[str, Any]) -> list[Any]:
    """The rows of a reply."""
    (many,) = (each for each in value.values() if isinstance(each, list))
    return many


def test_every_list_can_be_ordered_by_what_its_message_says() -> None:
    paging = {name for name, message in REGISTRY.items() if issubclass(message, PagedQuery)}
    assert paging == set(SHELVES)
    for name, shelf in SHELVES.items():
        assert set(choices(REGISTRY[name].model_fields["order"])) == set(shelf.orders), name


@pytest.mark.parametrize("name", SHELVES)
def test_every_order_and_any_text_is_answered(desk: Desk, name: str) -> None:
    for order in (None, *SHELVES[name].orders):
        for descending in (False, True):
            reply = say(desk, name, order=order, descending=descending, contains="100% _x\\ é'", counts=True)
            assert (rows_of(reply), reply["matching"], reply["has_more"]) == ([], 0, False)
            assert reply["total"] == len(listed(desk, name))


def a_job(id: str, name: str, at: float, kind: str = "fine_tuning") -> dict[str, Any]:
    must = {"engine": "legacy", "status": "failed", "spec": {}, "cpus": 1, "gpus": 0, "memory": 1, "queued_at": at}
    return {**must, "id": id, "kind": kind, "name": name, "created_at": at}


class Place:
    """A list whose rows come, go and change. `orders` are columns that `change` changes."""

    def __init__(self, desk: Desk, name: str, random: Random) -> None:
        self.desk, self.name, self.random, self.made = desk, name, random, 0

    def add(self) -> str:
        """A row, somewhere in the list."""
        self.made += 1
        id, at = f"{self.random.randrange(10**9):09}", float(self.random.randrange(6))
        # An even number of names, and times that many rows share.
        name = f"{self.random.choice('aAbBé')}{self.random.randrange(4)} {self.made}"
        with self.desk.store.write() as unit:
            run = unit.session.execute
            if self.name == "ListDatasets":
                told = {"id": id, "name": name, "created_at": at or None, "rows": self.random.choice([None, 1, 2])}
                run(insert(Dataset), [{"type": "project", **told}])
            elif self.name == "ListEvaluationJobs":
                run(insert(Job), [a_job(f"b{id}", name, at, "evaluation")])
                numbers = range(1, self.random.randrange(2, 4))
                run(
                    insert(EvaluationJob),
                    [{"id": f"{id}-{n}", "parent_job_id": f"b{id}", "run_number": n} for n in numbers],
                )
            else:
                run(insert(FineTuningJob), [{"id": id, "adapter_name": name[:2]}])
                run(insert(Job), [a_job(id, name, at)])
        return id

    def change(self, id: str) -> None:
        """Another name, another age, or it goes."""
        go, name, at = (
            self.random.random() < 0.5,
            f"{self.random.choice('aAbB')}9 {id}",
            float(self.random.randrange(6)),
        )
        batch = f"b{id.partition('-')[0]}"
        with self.desk.store.write() as unit:
            run = unit.session.execute
            if self.name == "ListDatasets":
                run(
                    delete(Dataset).where(Dataset.id == id)
                    if go
                    else update(Dataset).where(Dataset.id == id).values(name=name, created_at=at)
                )
            elif self.name == "ListEvaluationJobs":
                run(
                    delete(EvaluationJob).where(EvaluationJob.id == id)
                    if go
                    else update(Job).where(Job.id == batch).values(name=name, created_at=at)
                )
            elif go:
                run(delete(FineTuningJob).where(FineTuningJob.id == id))
                run(delete(Job).where(Job.id == id))
            else:
                run(update(Job).where(Job.id == id).values(name=name, created_at=at))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["ListDatasets", "ListFineTuningJobs", "ListEvaluationJobs"])
def test_a_walk_meets_every_row_that_was_there_all_the_time_once(desk: Desk, name: str, seed: int) -> None:
    random = Random(f"{name}{seed}")
    place = Place(desk, name, random)
    for _ in range(40):
        place.add()
    order = random.choice([None, "name", *SHELVES[name].orders])
    asked = {"order": order, "descending": random.random() < 0.5, "contains": random.choice([None, None, "a"])}
    stayed = Counter(paged(desk, name, **asked, limit=1000))
    met: list[str] = []
    at: str | None = None
    while True:
        reply = say(desk, name, after=at, limit=random.randrange(1, 9), **asked)
        met += [each["id"] for each in rows_of(reply)]
        if not reply["has_more"]:
            break
        at = reply["ends"]
        place.add()
        # What goes or changes is as often as not the row where the page ended.
        for id in {met[-1], random.choice(list(stayed) or met)} if random.random() < 0.7 else ():
            place.change(id)
            for other in [each for each in stayed if each.partition("-")[0] == id.partition("-")[0]]:
                del stayed[other]
    seen = Counter(met)
    assert {id: seen[id] for id in stayed} == dict(stayed)


@pytest.mark.parametrize("name", ["ListDatasets", "ListFineTuningJobs", "ListEvaluationJobs"])
def test_a_list_goes_backwards_from_any_place_as_it_goes_forwards(desk: Desk, name: str) -> None:
    place = Place(desk, name, Random(name))
    for _ in range(12):
        place.add()
    for order in (None, *SHELVES[name].orders):
        ids = listed(desk, name, order=order, limit=1000)
        assert listed(desk, name, order=order, limit=1000, descending=True) == ids[::-1]
        page = say(desk, name, order=order, limit=3, after=ids[4])
        assert [each["id"] for each in rows_of(page)] == ids[5:8] and page["has_before"]
        again = say(desk, name, order=order, limit=3, after=page["begins"])
        assert (rows_of(again), again["begins"], again["ends"]) == (rows_of(page), page["begins"], page["ends"])
        assert listed(desk, name, order=order, limit=2, after=page["begins"], descending=True) == [ids[4], ids[3]]
        assert listed(desk, name, order=order, limit=2, after=page["ends"], descending=True) == [ids[7], ids[6]]
        back = say(desk, name, order=order, limit=2, after=page["begins"], descending=True)
        assert listed(desk, name, order=order, limit=4, after=back["ends"]) == ids[3:7]


def test_a_page_lies_around_a_row_even_one_that_the_filter_leaves_out(desk: Desk) -> None:
    add(
        desk,
        Dataset,
        *({"id": f"x{n}", "name": f"n{n} {'even' if n % 2 == 0 else 'odd'}", "created_at": n} for n in range(9)),
    )

    def around(id: str, **asked: Any) -> tuple[str, bool, bool]:
        reply = say(desk, "ListDatasets", around=id, **asked)
        return "".join(each["id"][1:] for each in reply["datasets"]), reply["has_before"], reply["has_more"]

    assert around("x4", limit=5) == ("23456", True, True)
    assert around("x1", limit=5) == ("01234", False, True)
    assert around("x8", limit=5) == ("678", True, False)
    assert around("x4", limit=5, descending=True) == ("65432", True, True)
    assert around("x4", limit=4, contains="ODD") == ("1357", False, False)
    assert around("x4", limit=1) == ("4", True, True)
    (found,) = breaches(desk, "ListDatasets", around="gone")
    assert (found["rule"], found["field"]) == ("MS-105", "around")


def test_each_word_is_found_in_any_of_the_columns_that_people_see(desk: Desk) -> None:
    add_inputs(desk.store)
    one, two = start(desk, "Tickets-one"), start(desk, "tickets-two")
    say(desk, "CancelJob", id=one)
    for text, found in {
        "TICKETS": [two, one], "tickets cancel": [one], "queued one": [], one[:12]: [one], "": [two, one], "  ": [two, one],
    }.items():  # fmt: skip
        assert listed(desk, "ListFineTuningJobs", contains=text) == found, text
    assert listed(desk, "ListDatasets", contains="csv d.CSV") == ["d"]
    assert listed(desk, "ListPrompts", contains="{q} {a}") == ["p"]


def test_rows_are_counted_as_far_as_people_care(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.pages.COUNTED", 5)
    add(
        desk,
        Dataset,
        *({"id": f"x{n}", "name": f"n{n}", "type": "project" if n < 3 else "huggingface"} for n in range(9)),
    )

    def counts(**asked: Any) -> tuple[Any, Any]:
        reply = say(desk, "ListDatasets", limit=1, **asked)
        return reply["total"], reply["matching"]

    assert counts() == (None, None)
    assert counts(counts=True) == (6, 6)
    assert counts(counts=True, type="project") == (6, 3)
    assert counts(counts=True, contains="n8") == (6, 1)


def test_names_are_ordered_as_people_order_them(desk: Desk) -> None:
    add(
        desk,
        Dataset,
        *({"id": id, "name": name} for id, name in {"1": "beta", "2": "Alpha", "3": "alpha", "4": "Gamma"}.items()),
    )
    found = listed(desk, "ListDatasets", order="name")
    assert found == paged(desk, "ListDatasets", order="name", limit=1)
    if desk.store.is_sqlite:  # on PostgreSQL it is the database's collation that decides
        assert found == ["2", "3", "1", "4"]


def test_what_has_no_value_comes_first_and_last_the_other_way_round(desk: Desk) -> None:
    add(
        desk,
        Dataset,
        *({"id": id, "name": id, "rows": rows} for id, rows in {"a": None, "b": 2, "c": 1, "d": None}.items()),
    )
    for limit in (1, 1000):
        assert paged(desk, "ListDatasets", order="rows", limit=limit) == ["a", "d", "c", "b"]
        assert paged(desk, "ListDatasets", order="rows", descending=True, limit=limit) == ["b", "c", "d", "a"]


@pytest.mark.parametrize(
    "told",
    [
        "@", "@!", "@e30=", "@" + "A" * 50, ["", 1, [1.0], True], ["name", 0, ["x", "x"], True], ["", 9, [1.0, "x"], True],
        ["", 0, [1.0, 2], True], ["", 1, ["x", "x"], True], ["", 1, [1.0, "\0"], True], ["", 1, [1.0, "x"], 1], [[]], 7,
        ["", True, [1.0, "x"], True], ["", 1, [10**400, "x"], True],
    ],
)  # fmt: skip
def test_what_is_no_place_of_the_list_is_refused(desk: Desk, told: Any) -> None:
    text = told if isinstance(told, str) else "@" + base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
    (found,) = breaches(desk, "ListDatasets", after=text)
    assert (found["rule"], found["field"]) == ("MS-105", "after")


def test_a_familys_defaults_stay_first_whatever_place_a_page_begins_at(desk: Desk) -> None:
    add(desk, Config, *({"id": f"c{n}", "type": "custom", "model_family": "F" if n % 2 else None} for n in range(4)))
    from core.store.tables import Model

    add(desk, Model, {"id": "m", "name": "m", "family": "F"})
    whole = listed(desk, "ListConfigs", model_id="m", limit=1000)
    assert whole[:2] == ["c1", "c3"]
    ids: list[str] = []
    at: str | None = None
    while True:
        reply = say(desk, "ListConfigs", model_id="m", limit=1, after=at)
        ids += [each["id"] for each in reply["configs"]]
        if not reply["has_more"]:
            break
        at = reply["ends"]
    assert ids == whole
