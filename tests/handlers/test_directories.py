"""Datasets that are directories (docs/decisions.md, D-016): read by the datasets library, in the slow queue's process alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def add(desk: Desk) -> dict[str, Any]:
    return answer(desk, "AddDataset", {"type": "project", "name": "d", "location": "data"}, None)


@pytest.mark.parametrize(
    ("name", "content"), [("a.csv", "x,y\n1,2\n3,4\n"), ("a.jsonl", '{"x": 1, "y": 2}\n{"x": 3, "y": 4}\n')]
)
def test_a_directory_of_files_is_read(desk: Desk, tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / name).write_text(content)
    reply = add(desk)
    assert reply["ok"], reply
    found = reply["value"]["dataset"]
    assert (found["features"], found["rows"], found["location"]) == (["x", "y"], 2, str(tmp_path / "data"))


def test_a_saved_dataset_is_read(desk: Desk, tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"x": [1, 2, 3]})}).save_to_disk(str(tmp_path / "data"))
    reply = add(desk)
    assert reply["ok"], reply
    assert (reply["value"]["dataset"]["features"], reply["value"]["dataset"]["rows"]) == (["x"], 3)


def test_a_directory_that_holds_no_data_is_refused(desk: Desk, tmp_path: Path) -> None:
    assert [each["rule"] for each in add(desk)["breaches"]] == ["DS-003"]
    (tmp_path / "data").mkdir()
    assert [each["rule"] for each in add(desk)["breaches"]] == ["DS-003"]


def test_files_of_several_formats_and_their_splits_are_told(desk: Desk, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "test").mkdir(parents=True)
    (data / "train-1.csv").write_text("x,y\n1,2\n3,4\n")
    (data / "train-2.jsonl").write_text('{"y": 2, "x": 1}\n')
    (data / "test" / "rows.json").write_text('[{"x": 5, "y": 6}]')
    (data / "extra.csv").write_text("x,y\n7,8\n")
    (data / "README.md").write_text("what this is")
    found = add(desk)["value"]["dataset"]
    assert found["splits"] == {"train": 3, "extra": 1, "test": 1}
    assert (found["features"], found["rows"], found["preview"][0]) == (["x", "y"], 3, {"x": "1", "y": "2"})


def test_files_of_other_columns_are_refused_by_name(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "data" / "b.csv").write_text("x,z\n1,2\n")
    (breach,) = add(desk)["breaches"]
    assert breach["message"].endswith("b.csv has the columns x, z; a.csv has x, y")


def test_a_dataset_without_a_train_split_tells_the_splits_that_it_has(desk: Desk, tmp_path: Path) -> None:
    import datasets

    rows = datasets.Dataset.from_dict({"x": [1]})
    datasets.DatasetDict({"one": rows, "two": rows}).save_to_disk(str(tmp_path / "data"))
    found = add(desk)["value"]["dataset"]
    assert (found["splits"], found["features"]) == ({"one": 1, "two": 1}, ["x"])


def test_code_in_a_directory_is_never_run(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert add(desk)["code"] == "refused"
    assert not (tmp_path / "ran").exists()
