"""A job's states: one table of transitions, and a log from which they can be folded."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors import logs
from actors.answering import answer
from actors.desk import Desk
from actors.jobs import LEGAL, Illegal, move
from core.queue import stream
from core.store.tables import Job
from core.types import JobStatus
from gpu_runner.spool import Spool
from tests.handlers.work import Speaker, add_inputs, change, folded, job, say, spooled, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 20), max_size=8))
def test_any_legal_history_can_be_folded_from_the_log(desk: Desk, picks: list[int]) -> None:
    id = start(desk, f"job-{time.time_ns()}")
    for pick in picks:
        with desk.store.write() as unit:
            row = unit.session.get_one(Job, id)
            ways = sorted(LEGAL[JobStatus(row.status)])
            if ways:
                move(unit, row, ways[pick % len(ways)])
    assert folded(desk)[id] == job(desk, id).status


@pytest.mark.parametrize("status", list(JobStatus))
def test_what_the_table_does_not_have_is_not_done(desk: Desk, status: JobStatus) -> None:
    id = start(desk)
    change(desk, id, status=status.value)
    for to in set(JobStatus) - LEGAL[status]:
        with pytest.raises(Illegal), desk.store.write() as unit:
            move(unit, unit.session.get_one(Job, id), to)
    assert job(desk, id).status == status


def test_a_queued_job_is_cancelled_at_once_and_not_twice(desk: Desk) -> None:
    id = start(desk)
    assert say(desk, "CancelJob", id=id)["status"] == "cancelled"
    assert answer(desk, "CancelJob", {"id": id}, None)["code"] == "conflict"
    assert answer(desk, "CancelJob", {"id": "gone"}, None)["code"] == "not_found"
    assert Speaker(desk).report()["jobs"] == []


@pytest.mark.parametrize("outcome", ["cancelled", "paused", "failed"])
def test_a_running_job_is_cancelled_when_its_runner_has_stopped_it(desk: Desk, outcome: str) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    assert say(desk, "CancelJob", id=id)["status"] == "cancel_requested"
    assert stream.await_wake(desk.redis, desk.settings.namespace, a.id, 20)
    assert a.tell(id, begin=10)["order"] == "cancel"
    a.tell(id, {"type": "finished", "at": 1.0, "outcome": outcome}, begin=10)
    assert job(desk, id).status == ("failed" if outcome == "failed" else "cancelled")


def test_a_job_whose_child_dies_while_it_is_cancelled_is_not_run_again(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    say(desk, "CancelJob", id=id)
    a.tell(id, begin=10, alive=False)
    assert job(desk, id).status == "cancelled"


def test_a_series_keeps_its_ends_and_extremes_when_it_is_thinned(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    values = dict.fromkeys(range(1, 1001), 0.5) | {333: 9.0, 666: -9.0}
    records: list[dict[str, Any]] = [
        {"type": "metrics", "at": 1.0, "step": step, "values": {"loss": value}} for step, value in values.items()
    ]
    a.report({"job_id": id, "attempt": 1, **spooled(*records, begin=10)})
    for points in (2, 3, 10, 50):
        [series] = say(desk, "GetJobMetrics", id=id, points=points)["series"]
        assert len(series["steps"]) <= points
        assert (series["steps"][0], series["steps"][-1], series["total"]) == (1, 1000, 1000)
        assert series["steps"] == sorted(series["steps"])
        assert points < 10 or {9.0, -9.0} <= set(series["values"])


def test_the_whole_log_is_searched_with_the_numbers_of_its_lines_and_page_by_page(desk: Desk) -> None:
    id = start(desk)
    for attempt in (1, 2):
        directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
        directory.mkdir(parents=True)
        spool = Spool(directory / "events.jsonl")
        for number in range(50):
            spool.metrics(number, {"rate": 0.5})
            spool.log(f"Rate {number} of attempt {attempt}\nfälls" if number % 10 == 7 else f"line {number}")
    page = say(desk, "GetJobLog", id=id, contains="rAtE", limit=3)
    assert [(line["number"], line["text"].split("\n")[0]) for line in page["lines"]] == [
        (8, "Rate 7 of attempt 1"),
        (18, "Rate 17 of attempt 1"),
        (28, "Rate 27 of attempt 1"),
    ]
    seen = [line["number"] for line in page["lines"]]
    while page["has_more"]:
        place = {"attempt": page["attempt"], "offset": page["offset"], "line": page["line"]}
        page = say(desk, "GetJobLog", id=id, contains="rAtE", limit=3, **place)
        seen += [line["number"] for line in page["lines"]]
    assert seen == [8, 18, 28, 38, 48, 58, 68, 78, 88, 98]
    place = {"attempt": page["attempt"], "offset": page["offset"], "line": page["line"]}
    spool.log("another rate")
    assert [line["number"] for line in say(desk, "GetJobLog", id=id, contains="rate", **place)["lines"]] == [101]
    assert len(say(desk, "GetJobLog", id=id, contains="FÄLLS")["lines"]) == 10
    assert say(desk, "GetJobLog", id=id, contains="nowhere")["lines"] == []
    assert answer(desk, "GetJobLog", {"id": id, "contains": ""}, None)["code"] == "refused"


def test_a_page_of_a_search_looks_through_a_piece_of_the_log_and_paging_finds_everything(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "PAGE_BYTES", 2_000)
    id = start(desk)
    for attempt in (1, 2):
        directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
        directory.mkdir(parents=True)
        spool = Spool(directory / "events.jsonl")
        for number in range(60):
            spool.metrics(number, {"rate": 0.5})
            spool.log(f"needle {number}" if number in (3, 59) else f"line {number}")
    pages: list[tuple[int, int]] = []
    seen: list[int] = []
    page: dict[str, Any] = {"has_more": True}
    while page["has_more"]:
        place = {name: page[name] for name in ("attempt", "offset", "line") if name in page}
        page = say(desk, "GetJobLog", id=id, contains="needle", **place)
        pages.append((page["attempt"], page["offset"]))
        seen += [line["number"] for line in page["lines"]]
    assert seen == [4, 60, 64, 120] and len(pages) > 8 and pages == sorted(set(pages))


def test_what_was_printed_is_read_and_searched_like_the_log(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    id = start(desk)
    for attempt in (1, 2):
        directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
        directory.mkdir(parents=True)
        Spool(directory / "events.jsonl").log("a needle of the log")
        printed = "Loading:  1%\rLoading: 100%\n\n" + "x" * 20_000 + f"\nNeedle of {attempt}\xff\nhalf a needle"
        (directory / "log.txt").write_bytes(printed.encode("latin-1"))
    page = say(desk, "GetJobLog", id=id, printed=True)
    told = [(line["attempt"], line["text"], line["at"]) for line in page["lines"]]
    assert told[0] == (1, "Loading: 100%", 0) and told[-1] == (2, "Needle of 2�", 0) and len(told) == 6
    assert len(told[1][1]) == 10_000
    found = say(desk, "GetJobLog", id=id, printed=True, contains="needle")
    assert [(line["number"], line["text"][:9]) for line in found["lines"]] == [(3, "Needle of"), (6, "Needle of")]
    place = {name: found[name] for name in ("attempt", "offset", "line")}
    with (directory / "log.txt").open("a") as more:
        more.write(" is whole\n")
    [line] = say(desk, "GetJobLog", id=id, printed=True, contains="needle", **place)["lines"]
    assert (line["number"], line["text"]) == (7, "half a needle is whole")
    monkeypatch.setattr(logs, "LONGEST", 1_000)  # a line without an end
    assert len(say(desk, "GetJobLog", id=id, printed=True)["lines"]) > 20


def test_a_log_is_read_from_its_end_or_from_a_place_over_all_attempts(desk: Desk) -> None:
    id = start(desk)
    assert say(desk, "GetJobLog", id=id)["lines"] == []
    for attempt in (1, 2):
        directory = desk.settings.artifacts_root / "jobs" / id / str(attempt)
        directory.mkdir(parents=True)
        lines = [f'{{"type": "log", "at": 1, "text": "{attempt}-{number}"}}\n' for number in range(50)]
        (directory / "events.jsonl").write_text(
            "".join(lines) + 'garbage\n{"type": ["log"]}\n{"type": "log", "text": "torn'
        )
    last = say(desk, "GetJobLog", id=id, limit=60)
    assert [line["text"] for line in last["lines"]] == [
        *(f"1-{n}" for n in range(40, 50)),
        *(f"2-{n}" for n in range(50)),
    ]
    page = say(desk, "GetJobLog", id=id, attempt=1, offset=0, limit=30)
    assert page["has_more"]
    page = say(desk, "GetJobLog", id=id, attempt=page["attempt"], offset=page["offset"], limit=30)
    assert [page["lines"][0]["text"], page["lines"][-1]["text"]] == ["1-30", "2-9"]
    earlier = say(desk, "GetJobLog", id=id, before=True, attempt=2, offset=page["lines"][-1]["offset"], limit=12)
    assert [line["text"] for line in earlier["lines"]] == ["1-48", "1-49", *(f"2-{n}" for n in range(10))]
    assert earlier["has_more"]
    first = say(desk, "GetJobLog", id=id, before=True, attempt=1, offset=earlier["lines"][0]["offset"], limit=60)
    assert [line["text"] for line in first["lines"]] == [f"1-{n}" for n in range(49)] and not first["has_more"]
