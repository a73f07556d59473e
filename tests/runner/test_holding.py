"""On a full disk a job stands still where it is, says so, obeys, and goes on when there is room as if nothing had been."""

from __future__ import annotations

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.events import RECORD
from core.types import Order
from gpu_runner import checkpoint, holding
from gpu_runner import reserve as reserving
from gpu_runner.attempt import ORDERS
from gpu_runner.attempt import Attempt as Held
from gpu_runner.child import Context
from gpu_runner.failures import Cancelled, Paused
from gpu_runner.files import Files
from gpu_runner.holding import Writing, with_room
from gpu_runner.reserve import Reserve
from gpu_runner.spool import Spool, read_records
from tests.runner.attempts import Attempt
from tests.runner.test_spool import room_for
from tests.runner.tiny import make_model, make_rows, tiny_spec


@pytest.fixture
def context(tmp_path: Path) -> Context:
    directory = tmp_path / "jobs" / "j" / "1"
    directory.mkdir(parents=True)
    return Context(directory, Spool(directory / "events.jsonl"))


class Disk:
    """How much is free, as the disk says; and what happens while a job waits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free = 1 << 40
        self.waits = 0
        self.meanwhile: Callable[[int], object] = lambda waits: None
        usage = shutil.disk_usage("/")
        monkeypatch.setattr(holding.shutil, "disk_usage", lambda _: usage._replace(free=self.free))
        monkeypatch.setattr(holding, "LOOK", 0.01)
        monkeypatch.setattr(holding, "LONGEST", 0.02)
        self.sleep = time.sleep
        monkeypatch.setattr(holding.time, "sleep", self._slept)

    def _slept(self, seconds: float) -> None:
        self.sleep(seconds)
        if threading.current_thread() is not threading.main_thread():
            return  # another test's thread that outlived it: all of the process sleeps by this function
        self.waits += 1
        self.meanwhile(self.waits)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def said(context: Context, *types: str) -> list[dict[str, Any]]:
    records = read_records(context.directory / "events.jsonl", 0, 1 << 20)[0]
    for record in records:
        RECORD.validate_python(record)
    return [record for record in records if not types or record["type"] in types]


def order(context: Context, what: str) -> None:
    (context.directory / "control.json").write_text(json.dumps({"order": what}))
    context.looked = 0.0


def test_what_has_room_is_written_and_nothing_is_said(context: Context, disk: Disk) -> None:
    done: list[str] = []
    with_room(context, Writing("it", 10, context.directory), [lambda: done.append("a"), lambda: done.append("b")])
    assert done == ["a", "b"] and said(context) == [] and disk.waits == 0


def test_without_room_a_job_says_once_what_it_needs_and_writes_when_there_is_some(context: Context, disk: Disk) -> None:
    disk.free = 5 << 20
    done: list[int] = []
    disk.meanwhile = lambda waits: setattr(disk, "free", 1 << 40) if waits == 4 else None
    with_room(context, Writing("a checkpoint", 3 << 20, context.directory), [lambda: done.append(disk.waits)])
    assert done == [4]
    held, unheld = said(context)
    assert (held["type"], held["needed"], held["free"], unheld["type"]) == ("held", 3 << 20, 5 << 20, "unheld")
    assert "a checkpoint needs 3.0 MiB, and 5.0 MiB are free on the disk of " in held["text"]


def test_what_the_disk_breaks_off_is_undone_and_begun_again(context: Context, disk: Disk) -> None:
    told: list[str] = []

    def second() -> None:
        if told.count("undone") < 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        told.append("second")

    with_room(
        context,
        Writing("it", 10, context.directory),
        [lambda: told.append("first"), second],
        lambda: told.append("undone"),
    )
    assert told == ["first", "undone", "first", "undone", "first", "second"]
    assert [each["type"] for each in said(context)] == ["held", "unheld"]
    assert "No space left" in said(context)[0]["text"]


@pytest.mark.parametrize("stale", [True, False])
def test_what_is_written_while_the_disk_goes_away_is_written_when_it_is_back(
    context: Context, disk: Disk, stale: bool
) -> None:
    tries, hidden = list[int](), context.directory.with_name("hidden")

    def write() -> None:
        tries.append(disk.waits)
        if stale and len(tries) < 3:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if not stale and len(tries) == 1:
            context.directory.rename(hidden)
        (context.directory / "it").write_text("whole")

    disk.meanwhile = lambda waits: hidden.rename(context.directory) if waits == 3 and hidden.exists() else None
    with_room(context, Writing("a checkpoint", 10, context.directory), [write])
    assert (context.directory / "it").read_text() == "whole" and len(tries) >= 2
    held, unheld = said(context)
    assert (held["needed"], unheld["type"]) == (0, "unheld")
    assert held["text"].startswith(f"a checkpoint can't be written while {context.directory} is away")


def test_another_fault_is_no_want_of_room(context: Context, disk: Disk) -> None:
    def broken() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        with_room(context, Writing("it", 10, context.directory), [broken])


@pytest.mark.parametrize(("asked", "raised"), [("cancel", Cancelled), ("pause", Paused)])
def test_a_job_that_stands_still_obeys(
    context: Context, disk: Disk, monkeypatch: pytest.MonkeyPatch, asked: str, raised: type[Exception]
) -> None:
    monkeypatch.setattr("gpu_runner.child.LOOK", 0.0)
    disk.free = 0
    disk.meanwhile = lambda waits: order(context, asked) if waits == 3 else None
    with pytest.raises(raised):
        with_room(context, Writing("it", 10, context.directory), [lambda: pytest.fail("it was written")])
    assert disk.waits == 3


@pytest.mark.timeout(10)
def test_a_job_whose_files_were_removed_waits_no_more(context: Context, disk: Disk) -> None:
    disk.free = 0
    disk.meanwhile = lambda waits: shutil.rmtree(context.directory) if waits == 3 else None
    with pytest.raises(Cancelled):
        with_room(context, Writing("it", 10, context.directory), [lambda: pytest.fail("it was written")])
    assert disk.waits == 3


def test_kept_room_is_real_and_is_used_on_a_disk_without_any_other(context: Context, disk: Disk) -> None:
    reserve = Reserve(context.directory / "reserve")
    assert reserve.take(3 << 20) and reserve.size == 3 << 20
    assert reserve.path.stat().st_blocks * 512 >= 3 << 20
    disk.free = 0
    written: list[bool] = []
    kept = Writing("it", 3 << 20, context.directory, reserve)
    with_room(context, kept, [lambda: written.append(reserve.path.exists())])
    assert written == [False], "its room is given up for the write"
    assert disk.waits == 0


def test_room_is_kept_whole_or_not_at_all(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve")
    with room_for(1 << 20):
        assert not reserve.take(2 << 20)
    assert not reserve.path.exists()
    assert reserve.take(1 << 20) and reserve.give(64 << 10) and reserve.size == (1 << 20) - (64 << 10)
    reserve.release()
    assert reserve.size == 0 and not reserve.give(1)


def test_where_nothing_can_be_set_aside_nothing_is_kept_and_all_is_written(
    context: Context, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reserving, "_LIBC", None)
    reserve, done = Reserve(context.directory / "reserve"), list[int]()
    assert not reserve.take(1 << 20) and not reserve.path.exists()
    with_room(context, Writing("it", 1 << 20, context.directory, reserve), [lambda: done.append(1)])
    Spool(context.directory / "other.jsonl").log("written all the same")
    assert done == [1] and (context.directory / "other.jsonl").stat().st_size


def test_a_spool_has_room_ahead_that_its_readers_do_not_see_and_leaves_none_behind(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "events.jsonl")
    spool.log("held")
    path = tmp_path / "events.jsonl"
    assert path.stat().st_blocks * 512 >= 256 << 10 and path.stat().st_size < 200
    spool.end()
    assert path.stat().st_blocks * 512 < 64 << 10 and len(read_records(path, 0, 1 << 20)[0]) == 1


def test_a_line_that_was_cut_short_and_taken_back_costs_the_spool_no_room_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool, write = Spool(tmp_path / "events.jsonl"), os.write
    spool.log("held")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda descriptor, line: write(descriptor, line[:9]))
        spool.log("cut")
    spool.log("after it")
    assert (tmp_path / "events.jsonl").stat().st_blocks * 512 >= 256 << 10
    assert [each["text"] for each in read_records(tmp_path / "events.jsonl", 0, 1 << 20)[0]] == [
        "held",
        "cut",
        "after it",
    ]


def test_orders_that_a_full_disk_does_not_take_go_into_the_kept_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Files(tmp_path)
    Reserve(files.reserve).take(1 << 20)
    before = Reserve(files.reserve).size
    write = __import__("gpu_runner.attempt").attempt.write_json

    def full_until_given(path: Path, content: Any) -> None:
        if before and Reserve(files.reserve).size == before:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr("gpu_runner.attempt.write_json", full_until_given)
    Held("j", 1, files).obey(Order.pause, [])
    assert json.loads(files.control.read_text())["order"] == "pause"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("base"))


def full_while_it_saves(disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk fills up with the first checkpoint half written; the second finds none; room comes while it waits."""
    seal, sealed = checkpoint.seal, list[int]()

    def breaking(draft: Path, final: Path, identity: Any, step: int, position: dict[str, Any]) -> None:
        sealed.append(step)
        if len(sealed) == 1:
            (draft / "optimizer.pt").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        seal(draft, final, identity, step, position)
        Reserve(final.parents[1] / "reserve").release()
        disk.free = 0 if len(sealed) == 2 else 1 << 40

    monkeypatch.setattr(checkpoint, "seal", breaking)
    monkeypatch.setattr(Reserve, "take", lambda self, size: False)
    disk.meanwhile = lambda waits: setattr(disk, "free", 1 << 40) if waits > 5 else None


def test_a_training_that_stood_still_ends_with_the_adapter_of_one_that_did_not_to_the_bit(
    base: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, arguments = make_rows(tmp_path / "rows.jsonl"), {"save_strategy": "steps", "save_steps": 2}
    attempts = [Attempt(tmp_path, 1, name) for name in ("spared", "held")]
    for attempt, name in zip(attempts, ("spared", "held"), strict=True):
        spec = tiny_spec(name, tmp_path, base, rows)
        spec["training_arguments"] |= arguments
        if name == "held":
            full_while_it_saves(disk, monkeypatch)
        assert attempt.run(spec)["outcome"] == "succeeded"
    spared, held = attempts
    assert [each["type"] for each in held.records("held", "unheld")] == ["held", "unheld"] * 2
    assert held.checkpoints() == spared.checkpoints() == ["checkpoint-4", "checkpoint-6"]
    assert held.adapter().read_bytes() == spared.adapter().read_bytes()
    assert not list(tmp_path.glob("jobs/*/1/reserve"))


def saving(tmp_path: Path, base: Path) -> dict[str, Any]:
    spec = tiny_spec("job", tmp_path, base, make_rows(tmp_path / "rows.jsonl"))
    spec["training_arguments"] |= {"save_strategy": "steps", "save_steps": 2}
    return spec


def test_a_pause_that_took_of_the_kept_room_still_finds_enough_for_its_checkpoint(
    base: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, take = Attempt(tmp_path), Reserve.take

    def taken(reserve: Reserve, size: int) -> bool:
        held = take(reserve, size)
        if attempt.checkpoints():
            disk.free = 0
            assert reserve.give(ORDERS)
            (reserve.path.parent / "control.json").write_text(json.dumps({"order": "pause"}))
        return held

    monkeypatch.setattr(Reserve, "take", taken)
    monkeypatch.setattr("gpu_runner.child.LOOK", 0.0)
    disk.meanwhile = lambda waits: pytest.fail("it stood still") if waits else None
    assert attempt.run(saving(tmp_path, base))["outcome"] == "paused"
    assert attempt.checkpoints() == ["checkpoint-2", "checkpoint-3"] and attempt.records("held", "warning") == []


def test_no_room_is_kept_that_would_fill_the_disk(
    base: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, sealed, seal = list[int](), list[int](), checkpoint.seal

    def sealing(draft: Path, final: Path, identity: Any, step: int, position: dict[str, Any]) -> None:
        seal(draft, final, identity, step, position)
        sealed.append(step)
        disk.free = {2: holding.SPARE, 4: 1 << 40}.get(step, disk.free)

    monkeypatch.setattr(checkpoint, "seal", sealing)
    monkeypatch.setattr(Reserve, "take", lambda reserve, size: left.append(disk.free - size) or False)  # type: ignore[func-returns-value]
    disk.meanwhile = lambda waits: setattr(disk, "free", 1 << 40)
    assert Attempt(tmp_path).run(saving(tmp_path, base))["outcome"] == "succeeded"
    assert sealed == [2, 4, 6] and len(left) == 3 and min(left) >= holding.SPARE


def test_a_job_that_can_not_stand_still_waits_at_its_end_and_is_given_back(
    base: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        disk.free = 0
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("gpu_runner.train.load_rows", full)
    disk.meanwhile = lambda waits: setattr(disk, "free", 1 << 40) if waits == 2 else None
    attempt = Attempt(tmp_path)
    end = attempt.run(tiny_spec("job", tmp_path, base, make_rows(tmp_path / "rows.jsonl")))
    assert (end["outcome"], end["error"]) == ("paused", None)
    assert [each["type"] for each in attempt.records("held", "unheld")] == ["held", "unheld"]


def test_a_limit_that_is_no_full_disk_fails_a_job_that_can_not_stand_still(
    base: Path, tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def limited(*_: Any, **__: Any) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr("gpu_runner.train.load_rows", limited)
    end = Attempt(tmp_path).run(tiny_spec("job", tmp_path, base, make_rows(tmp_path / "rows.jsonl")))
    assert (end["outcome"], end["error"]["kind"]) == ("failed", "disk_full") and disk.waits == 0
