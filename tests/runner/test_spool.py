"""The spool: whole lines, in order, whatever the disk, the values or the reader do."""

from __future__ import annotations

import json
import math
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.events import RECORD
from gpu_runner import spool as spool_module
from gpu_runner.spool import Spool, read_records


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """A disk on which no file grows beyond `size` bytes: writes come out short, then fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def texts(path: Path) -> list[str]:
    return [record["text"] for record in read_records(path, 0, 1 << 24)[0]]


def test_every_record_is_one_that_the_studio_knows_and_carries_the_offset_after_its_line(path: Path) -> None:
    spool = Spool(path)
    spool.log("naïve ✓\n\x1b[31m")
    spool.metrics(3, {"loss": 1.5}, epoch=0.5)
    spool.write("checkpoint", step=3, path="x")
    records, end = read_records(path, 0, 1 << 20)
    assert [RECORD.validate_python(record).type for record in records] == ["log", "metrics", "checkpoint"]
    assert records[0]["text"] == "naïve ✓\n\x1b[31m"
    assert end == records[-1]["offset"] == path.stat().st_size
    assert read_records(path, records[0]["offset"], 1 << 20)[0] == records[1:]
    assert read_records(path, end, 1 << 20) == ([], end)


def test_a_torn_last_line_is_left_until_it_is_whole(path: Path) -> None:
    Spool(path).log("whole")
    whole = path.stat().st_size
    with path.open("a") as file:
        file.write('{"type": "log", "at": 1, "te')
    assert read_records(path, 0, 1 << 20)[1] == whole
    with path.open("a") as file:
        file.write('xt": "late"}\n')
    assert texts(path) == ["whole", "late"]


def test_a_child_that_comes_after_a_killed_one_does_not_write_into_its_torn_line(path: Path) -> None:
    path.write_text('{"type": "log", "te')
    Spool(path).log("mine")
    found = texts(path)
    assert "no record" in found[0] and found[1:] == ["mine"]


@pytest.mark.parametrize("line", [b"nonsense", b"\xff\xfe", b"[1]", b"{}", b"[" * 100_000, b'{"type":'])
def test_a_line_that_is_no_record_is_told_and_passed_over(path: Path, line: bytes) -> None:
    path.write_bytes(line + b"\n")
    Spool(path).log("after")
    found = texts(path)
    assert "no record" in found[0] and found[1:] == ["after"]


def test_a_reader_with_a_small_bite_gets_everything_once_even_lines_longer_than_the_bite(path: Path) -> None:
    spool = Spool(path)
    for number in range(50):
        spool.log(str(number) * (number % 7 * 40 + 1))
    seen, offset = [], 0
    while (step := read_records(path, offset, 64))[0]:
        seen += [record["text"] for record in step[0]]
        offset = step[1]
    assert seen == texts(path) and len(seen) == 50


def test_a_full_disk_delays_records_and_loses_none(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spool = Spool(path)
    with room_for(500):
        for number in range(40):
            spool.log(f"line {number}")
        during = texts(path)
        assert 0 < len(during) < 40 and path.read_bytes().endswith(b"\n")
        assert spool.flush() is False
    spool.log("room again")
    assert texts(path) == [*(f"line {number}" for number in range(40)), "room again"]
    assert capsys.readouterr().err.count("can't be written") == 1


def test_when_even_memory_has_its_bound_numbers_are_given_up_before_what_happened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "BUFFERED", 20)
    spool = Spool(path)
    with room_for(0):
        spool.write("checkpoint", step=1, path="x")
        for step in range(100):
            spool.metrics(step, {"loss": 1.0})
    spool.flush()
    kinds = [record["type"] for record in read_records(path, 0, 1 << 20)[0]]
    assert kinds[0] == "checkpoint" and len(kinds) <= 21


def test_numbers_that_are_not_finite_become_a_warning_and_the_line_stays_json(path: Path) -> None:
    spool = Spool(path)
    spool.metrics(7, {"loss": math.nan, "learning_rate": 0.1})
    spool.write("finished", outcome="succeeded", summary={"train_loss": math.inf, "each": [math.nan, 1.0]})
    warned, numbers, finished = read_records(path, 0, 1 << 20)[0]
    assert "loss is nan at step 7" in warned["text"] and numbers["values"] == {"learning_rate": 0.1}
    assert finished["summary"] == {"train_loss": None, "each": [None, 1.0]}
    assert "NaN" not in path.read_text() and "Infinity" not in path.read_text()


def test_text_that_is_no_utf8_does_not_stop_a_job(path: Path) -> None:
    Spool(path).log(os.fsdecode(b"caf\xe9"))
    assert texts(path) == ["caf?"]


def test_a_missing_spool_has_no_records(path: Path) -> None:
    assert read_records(path, 0, 100) == ([], 0)


def test_a_thousand_records_take_a_small_part_of_a_second(path: Path) -> None:
    spool = Spool(path)
    began = time.process_time()
    for step in range(1000):
        spool.metrics(step, {"loss": 1.0, "learning_rate": 0.1, "grad_norm": 2.0})
    assert time.process_time() - began < 0.5
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == list(range(1000))
