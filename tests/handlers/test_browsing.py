"""Looking before one takes: rows of any dataset page by page, and the files that a typed path may become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk

ROWS = [{"text": f"row {number}", "n": number} for number in range(25)]


def write(directory: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        path.write_text("text,n\n" + "".join(f"{row['text']},{row['n']}\n" for row in rows))
    elif path.suffix == ".jsonl":
        path.write_text("\n\n".join(map(json.dumps, rows)))
    elif path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path, row_group_size=7)
    return path


def seen(desk: Desk, **fields: Any) -> dict[str, Any]:
    reply = answer(desk, "PreviewDataset", fields)
    assert reply["ok"], reply
    value: dict[str, Any] = reply["value"]
    return value


@pytest.mark.parametrize("kind", ["csv", "json", "jsonl", "parquet"])
def test_rows_are_shown_before_a_file_is_added_and_from_any_place_in_it(desk: Desk, tmp_path: Path, kind: str) -> None:
    write(tmp_path, f"a.{kind}", ROWS)
    asked = {"type": f"project_{kind}", "location": f"a.{kind}", "limit": 10}
    pages = [seen(desk, **asked, after=after) for after in (0, 10, 20, 30)]
    assert [row["text"] for page in pages for row in page["rows"]] == [row["text"] for row in ROWS]
    assert [page["has_more"] for page in pages] == [True, True, False, False]
    assert pages[0]["columns"] == ["text", "n"] and pages[0]["split"] == "train"


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_link_in_a_directory_shows_nothing_from_outside_the_project(
    desk: Desk, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "train.csv"
    outside.write_text("text\nnobody's business\n")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "train.csv").symlink_to(outside)
    asked = {"type": "project", "location": "linked"}
    for reply in (answer(desk, "PreviewDataset", asked), answer(desk, "AddDataset", {**asked, "name": "x"}, "k")):
        assert "is outside the allowed directories" in reply["message"], reply
        assert "business" not in json.dumps(reply)
    (tmp_path / "linked" / "train.csv").unlink()
    write(tmp_path, "elsewhere/train.csv", ROWS)
    (tmp_path / "linked" / "train.csv").symlink_to(tmp_path / "elsewhere" / "train.csv")
    assert seen(desk, **asked)["rows"][0]["text"] == "row 0"


def test_a_registered_dataset_is_paged_by_its_splits_and_says_how_many_there_are(desk: Desk, tmp_path: Path) -> None:
    for name, rows in (("train-0.csv", ROWS[:15]), ("train-1.jsonl", ROWS[15:20]), ("test.csv", ROWS[20:])):
        write(tmp_path / "data", name, [{**row, "n": str(row["n"])} for row in rows])
    added = answer(desk, "AddDataset", {"type": "project", "name": "mine", "location": "data"}, "k")
    id = added["value"]["dataset"]["id"]
    page = seen(desk, dataset_id=id, after=14, limit=3)
    assert [row["text"] for row in page["rows"]] == ["row 14", "row 15", "row 16"]
    assert (page["name"], page["total"], page["splits"]) == ("mine", 20, {"train": 20, "test": 5})
    assert seen(desk, dataset_id=id, split="test")["rows"][0]["text"] == "row 20"
    (breach,) = answer(desk, "PreviewDataset", {"dataset_id": id, "split": "gone"})["breaches"]
    assert breach["rule"] == "DS-106" and "train, test" in breach["message"]


def test_a_directory_that_datasets_saved_is_shown(desk: Desk, tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"one": datasets.Dataset.from_list(ROWS)}).save_to_disk(str(tmp_path / "data"))
    page = seen(desk, type="project", location="data", after=3, limit=2)
    assert [row["n"] for row in page["rows"]] == [3, 4] and page["split"] == "one" and page["total"] == 25


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.csv", "a,b\n1,2\n1\n", "line 3 has 1 field"),
        ("a.jsonl", '{"a": 1}\n{', "line 2 is not JSON"),
        ("a.json", '[{"a": 1}, 7]', "int, not an object"),
        ("a.parquet", "no", "a.parquet"),
        ("a.csv", "a\n\udcff", "not UTF-8"),
    ],
)
def test_a_file_that_is_wrong_says_where(desk: Desk, tmp_path: Path, name: str, content: str, told: str) -> None:
    (tmp_path / name).write_bytes(content.encode(errors="surrogateescape"))
    (breach,) = answer(desk, "PreviewDataset", {"type": f"project_{name[2:]}", "location": name})["breaches"]
    assert (breach["rule"], breach["field"]) == ("DS-106", "location") and told in breach["message"]


def test_only_what_is_needed_of_a_long_file_is_read_and_long_texts_are_cut(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"a": "x" * 5_000}) + '\n{"a": 2}\nno JSON from here on\n')
    page = seen(desk, type="project_jsonl", location="a.jsonl", limit=1, longest=100)
    assert (
        len(page["rows"][0]["a"]) == 100
        and not answer(desk, "PreviewDataset", {"type": "project_jsonl", "location": "a.jsonl", "limit": 2})["ok"]
    )


@pytest.mark.parametrize(
    ("fields", "rules"),
    [
        ({}, {"DS-001"}),
        ({"type": "project_csv"}, {"DS-102"}),
        ({"type": "project_csv", "location": "a.txt"}, {"DS-003"}),
        ({"type": "project_csv", "location": "/etc/passwd.csv"}, {"DS-106"}),
        ({"dataset_id": "gone"}, {"DS-105"}),
    ],
)
def test_what_cant_be_shown_is_refused_by_one_rule(desk: Desk, fields: dict[str, Any], rules: set[str]) -> None:
    assert {each["rule"] for each in answer(desk, "PreviewDataset", fields)["breaches"]} == rules


def test_a_path_is_completed_in_the_project_and_nowhere_else(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "data" / "in ner").mkdir(parents=True)
    for name in ("data/one.csv", "data/two.csv", "data/.hidden", "data/evil\x1b[31m.csv", "top.csv"):
        (tmp_path / name).write_text("a\n1\n")
    (tmp_path / "data" / "out").symlink_to("/etc")

    def found(beginning: str, **more: Any) -> list[str]:
        return [each["path"] for each in answer(desk, "ListFiles", {"beginning": beginning, **more})["value"]["files"]]

    assert found("data/") == ["data/in ner/", "data/one.csv", "data/two.csv"]
    assert found("data/t") == ["data/two.csv"] and found("data/.") == ["data/.hidden"]
    assert found("top") == ["top.csv"] and found("nowhere/") == []
    assert found(f"{tmp_path}/data/o") == [f"{tmp_path}/data/one.csv"]
    assert answer(desk, "ListFiles", {"beginning": "data/", "limit": 2})["value"]["has_more"]
    for outside in ("/etc/", "../", "data/out/"):
        (breach,) = answer(desk, "ListFiles", {"beginning": outside})["breaches"]
        assert breach["rule"] == "DS-104"
