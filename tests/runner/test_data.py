"""Rows: as they stand in the file, and the very rows that `datasets` would draw."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from core.spec import DatasetSource, Sampling
from core.splits import digest, drawn
from gpu_runner.data import TRAINING_DATASET_SEED, load_rows, sample_and_split
from gpu_runner.failures import JobError


def source(path: Path, kind: str, **extra: Any) -> DatasetSource:
    return DatasetSource(id="d", name="d", type=kind, location=str(path), **extra)


def numbered(rows: int) -> dict[str, Any]:
    return {"train": [{"n": number} for number in range(rows)]}


def numbers(rows: Any) -> list[int]:
    return [row["n"] for row in rows]


def test_csv_jsonl_json_and_a_saved_directory_give_the_same_rows(tmp_path: Path) -> None:
    rows = [{"q": "a, b", "a": "007"}, {"q": "line\nbreak ✓", "a": ""}]
    (tmp_path / "r.csv").write_text('\ufeffq,a\n"a, b",007\n"line\nbreak ✓",\n', encoding="utf-8")
    (tmp_path / "r.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    (tmp_path / "r.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    datasets.Dataset.from_list(rows).save_to_disk(str(tmp_path / "saved"))
    kinds = {"r.csv": "project_csv", "r.jsonl": "project_jsonl", "r.json": "project_json", "saved": "project"}
    for name, kind in kinds.items():
        assert [dict(row) for row in load_rows(source(tmp_path / name, kind))["train"]] == rows, name


def test_reading_a_short_file_lets_longer_fields_be_read_after_it(tmp_path: Path) -> None:
    short, long = tmp_path / "short.csv", tmp_path / "long.csv"
    short.write_text("a\n1\n")
    long.write_text(f"a\n{'x' * 200_000}\n")
    before = csv.field_size_limit()
    try:
        load_rows(source(short, "project_csv"))
        assert csv.field_size_limit() >= before
        assert len(load_rows(source(long, "project_csv"))["train"][0]["a"]) == 200_000
    finally:
        csv.field_size_limit(before)


def test_a_file_that_changed_since_it_was_added_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("n\n1\n")
    recorded = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load_rows(source(path, "project_csv", sha256=recorded))
    path.write_text("n\n2\n")
    with pytest.raises(JobError, match="changed since the dataset was added"):
        load_rows(source(path, "project_csv", sha256=recorded))


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("project_csv", b"n\n"),
        ("project_csv", b"n\n\xff\xfe\n"),
        ("project_jsonl", b'{"n": 1}\n{"n": \n'),
        ("project_jsonl", b"1\n2\n"),
        ("project_jsonl", b""),
        ("project_json", b'{"n": 1}'),
        ("project_json", b"[" * 100_000),
    ],
)
def test_a_file_without_rows_is_the_users_to_mend_and_is_named(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(JobError) as caught:
        load_rows(source(path, kind))
    assert caught.value.kind == "user_error" and str(path) in caught.value.message and caught.value.hint


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(JobError, match=r"gone\.csv can't be read"):
        load_rows(source(tmp_path / "gone.csv", "project_csv"))


@pytest.mark.parametrize(("rows", "split"), [(10, 0.9), (10, 0.8), (10, 0.7), (101, 0.55), (2, 0.5), (1000, 0.95)])
def test_the_split_is_that_of_datasets_row_by_row(rows: int, split: float) -> None:
    train, held_out = sample_and_split(numbered(rows), Sampling(split=split))
    table = datasets.Dataset.from_dict({"n": list(range(rows))})
    expected = table.train_test_split(test_size=round(1 - split, 12), seed=TRAINING_DATASET_SEED)
    assert (numbers(train), numbers(held_out)) == (list(expected["train"]["n"]), list(expected["test"]["n"]))


@pytest.mark.parametrize(("split", "kept"), [(0.9, 9), (0.8, 8), (0.7, 7), (0.6, 6), (0.5, 5), (0.3, 3), (0.1, 1)])
def test_ten_rows_are_split_as_a_person_reckons(split: float, kept: int) -> None:
    train, held_out = sample_and_split(numbered(10), Sampling(split=split))
    assert (len(train), len(held_out)) == (kept, 10 - kept)


def test_a_fraction_is_drawn_before_the_split_and_the_parts_never_meet() -> None:
    train, held_out = sample_and_split(numbered(100), Sampling(fraction=0.5, split=0.8))
    drawn = datasets.Dataset.from_dict({"n": list(range(100))}).train_test_split(test_size=0.5, seed=42)["train"]
    expected = drawn.train_test_split(test_size=0.2, seed=42)
    assert numbers(train) == list(expected["train"]["n"]) and numbers(held_out) == list(expected["test"]["n"])
    assert not set(numbers(train)) & set(numbers(held_out)) and len(train) + len(held_out) == 50


def test_split_one_holds_nothing_out_and_keeps_the_order() -> None:
    assert sample_and_split(numbered(5), Sampling(split=1.0)) == (numbered(5)["train"], [])


@pytest.mark.parametrize("names", [("validation",), ("eval",), ("test",), ("test", "eval", "validation")])
def test_a_held_out_split_of_the_datasets_own_is_kept_whole(names: tuple[str, ...]) -> None:
    splits = numbered(10) | {name: [{"n": 100 + place}] for place, name in enumerate(names)}
    train, held_out = sample_and_split(splits, Sampling(split=0.5))
    assert numbers(train) == list(range(10)) and numbers(held_out) == [100 + len(names) - 1]


def test_named_splits_are_joined_and_held_out(tmp_path: Path) -> None:
    splits = {"a": [{"n": 1}], "b": [{"n": 2}, {"n": 3}], "test": [{"n": 4}], "own": [{"n": 5}]}
    train, held_out = sample_and_split(splits, Sampling(train_splits=["b", "a"], eval_split="own"))
    assert (numbers(train), numbers(held_out)) == ([2, 3, 1], [5])
    train, held_out = sample_and_split(splits, Sampling(train_splits=["test", "b"], split=1.0))
    assert (numbers(train), numbers(held_out)) == ([4, 2, 3], [])
    for wrong in ({"train_splits": ["c"]}, {"train_splits": ["a"], "eval_split": "c"}, {}):
        with pytest.raises(JobError, match=r"has no split .(c|train).; its splits: a, b, test, own"):
            sample_and_split(splits, Sampling(**wrong))


def test_a_directory_of_files_gives_the_rows_of_each_split_as_text(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "train-2.jsonl").write_text('{"q": "b", "a": "2"}\n')
    (data / "train-1.csv").write_text("q,a\na,007\n")
    (data / "test.json").write_text('[{"q": "c", "a": "3"}]')
    found = source(data, "project", sha256=digest(data))
    assert load_rows(found) == {
        "train": [{"q": "a", "a": "007"}, {"q": "b", "a": "2"}],
        "test": [{"q": "c", "a": "3"}],
    }
    (data / "test.json").write_text('[{"q": "c", "a": "4"}]')
    with pytest.raises(JobError, match="changed since the dataset was added"):
        load_rows(found)


def test_too_few_rows_for_a_split_are_told_with_a_way_out() -> None:
    with pytest.raises(JobError, match=r"^train_test_split 0.9 of 1 row leaves none to train on$") as caught:
        sample_and_split(numbered(1), Sampling(split=0.9))
    assert "train_test_split 1" in caught.value.hint
    with pytest.raises(JobError, match=r"^dataset_fraction 0.01 of 99 rows leaves none to train on$"):
        sample_and_split(numbered(99), Sampling(fraction=0.01))


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 10, 99, 100, 1001])
def test_how_many_rows_a_share_leaves_is_reckoned_as_they_are_drawn(rows: int) -> None:
    for share in (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99):
        if drawn(rows, share):
            kept, held_out = sample_and_split(numbered(rows), Sampling(split=share))
            assert (len(kept), len(held_out)) == (drawn(rows, share), rows - drawn(rows, share))
