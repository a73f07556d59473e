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


def test_a_directory_that_holds_no_data_or_no_train_split_is_refused(desk: Desk, tmp_path: Path) -> None:
    import datasets

    assert [each["rule"] for each in add(desk)["breaches"]] == ["DS-003"]
    (tmp_path / "data").mkdir()
    assert [each["rule"] for each in add(desk)["breaches"]] == ["DS-003"]
    datasets.DatasetDict({"other": datasets.Dataset.from_dict({"x": [1]})}).save_to_disk(str(tmp_path / "data"))
    assert "no train split" in add(desk)["message"]


def test_code_in_a_directory_is_never_run(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "data.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    assert add(desk)["code"] == "refused"
    assert not (tmp_path / "ran").exists()
