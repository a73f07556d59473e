"""What pods write is in the attempt's spool once, whoever copied it before and was killed over it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from gpu_runner.cml.book import NAME, Book
from gpu_runner.cml.copying import Printed
from gpu_runner.cml.merging import Merged
from gpu_runner.spool import read_records
from tests.runner.test_spool import room_for


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "artifacts" / "jobs" / "job" / "1"
    for part in (0, 1):
        (made / "parts" / str(part)).mkdir(parents=True)
    return made


def put(directory: Path, part: int, data: bytes) -> None:
    with (directory / "parts" / str(part) / "events.jsonl").open("ab") as spool:
        spool.write(data)


def line(number: int, text: str = "") -> bytes:
    return json.dumps({"at": 1.0, "type": "log", "level": "info", "text": text or str(number)}).encode() + b"\n"


def texts(directory: Path, part: int | None = None) -> list[str]:
    records = read_records(directory / "events.jsonl", 0, 1 << 26)[0]
    return [each["text"] for each in records if part is None or each["part"][0] == part]


def test_lines_of_all_parts_are_copied_once_whenever_their_copier_is_killed(directory: Path) -> None:
    chance, written = random.Random(1), {0: 0, 1: 0}
    hostile = '", "part": [0, 999]}\n'
    for _ in range(60):
        merged = Merged(directory)  # a new steward: the one before is gone, with what it knew
        for part in (0, 1):
            for _ in range(chance.randrange(4)):
                put(directory, part, line(written[part], f"{part}.{written[part]} {hostile}"))
                written[part] += 1
            if chance.random() < 0.8:
                merged.copy(part)
        if chance.random() < 0.5:
            spool = directory / "events.jsonl"
            spool.write_bytes(spool.read_bytes()[: -chance.randrange(1, 30)] if spool.stat().st_size > 30 else b"")
    merged = Merged(directory)
    for part in (0, 1):
        merged.copy(part)
    whole = [each for each in texts(directory) if hostile in each]
    for part in (0, 1):
        assert [each for each in whole if each.startswith(f"{part}.")] == [
            f"{part}.{number} {hostile}" for number in range(written[part])
        ]


def test_a_line_is_copied_when_it_is_whole(directory: Path) -> None:
    merged, whole = Merged(directory), line(1)
    put(directory, 0, whole[:10])
    assert not merged.copy(0)
    put(directory, 0, whole[10:])
    assert merged.copy(0) and texts(directory) == ["1"]
    assert not merged.copy(0)


def test_what_is_seen_as_nuls_is_waited_for_until_nothing_more_can_come(directory: Path) -> None:
    merged = Merged(directory)
    put(directory, 0, line(1) + bytes(20) + b"\n" + line(3))
    merged.copy(0)
    assert texts(directory) == ["1"]
    merged.copy(0, last=True)
    assert texts(directory) == ["1", "a line of 21 bytes in the spool is no record", "3"]


def test_a_last_line_without_an_end_counts_when_its_pod_is_dead(directory: Path) -> None:
    merged = Merged(directory)
    put(directory, 0, line(1)[:-1])
    merged.copy(0)
    assert texts(directory) == []
    merged.copy(0, last=True)
    assert texts(directory) == ["1"]


def test_records_become_what_they_are_in_the_whole(directory: Path) -> None:
    def of_child(part: int, record: dict[str, Any]) -> dict[str, Any] | None:
        return {**record, "text": f"{part}:{record['text']}"} if record["text"] != "2" else None

    merged = Merged(directory, of_child)
    put(directory, 1, line(1) + line(2) + line(3))
    merged.copy(1)
    assert texts(directory) == ["1:1", "1:3"]


def test_a_new_steward_knows_what_was_said(directory: Path) -> None:
    merged = Merged(directory)
    merged.write("placed", where="cml", job="j", name="n", job_id="child")
    put(
        directory,
        0,
        b'{"at": 1.0, "type": "phase", "name": "training"}\n{"type": "finished", "at": 2.0, "outcome": "succeeded"}\n',
    )
    merged.copy(0)
    again = Merged(directory)
    assert (again.placed, again.phases, again.finished) == ({"child"}, {0: "training"}, True)


def test_what_is_printed_comes_once_though_the_disk_is_full_meanwhile(directory: Path) -> None:
    own, log = directory / "parts" / "0", directory / "log.txt"
    text = b"".join(b"line %d\n" % number for number in range(40_000))
    (own / "log.txt").write_bytes(text)
    with room_for(100_000):
        for copier in (Printed(directory, 0), Printed(directory, 0)):
            for _ in range(3):
                with pytest.raises(OSError, match="too large"):
                    copier.copy()
    assert log.read_bytes() == text[:100_000]
    Printed(directory, 0).copy()
    assert log.read_bytes() == text


def test_a_book_that_does_not_fit_on_the_disk_leaves_nothing_there(directory: Path) -> None:
    (directory.parents[2] / ".fts-artifacts").write_text("marker")
    book = Book(directory, "runner")
    book.part(0, "job")
    book.save()
    there = sorted(directory.iterdir())
    book.part(0, "job").more["refusal"] = "x" * 10_000
    with room_for(5_000), pytest.raises(OSError, match="too large"):
        book.save()
    assert sorted(directory.iterdir()) == there and (directory / NAME).stat().st_size < 1_000
