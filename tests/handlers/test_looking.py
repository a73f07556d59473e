"""What a dataset holds is told when it is added: types, first rows, conversations, and Parquet like the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from actors.answering import answer
from actors.desk import Desk
from core.spec import DatasetSource
from gpu_runner.data import load_rows
from tests.handlers.work import say

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def added(desk: Desk, path: Path, **fields: Any) -> dict[str, Any]:
    kind = f"project_{path.suffix[1:]}"
    dataset: dict[str, Any] = say(desk, "AddDataset", type=kind, name=path.name, location=path.name, **fields)[
        "dataset"
    ]
    return dataset


def refused(desk: Desk, path: Path) -> str:
    asked = {"type": f"project_{path.suffix[1:]}", "name": "x", "location": path.name}
    (breach,) = answer(desk, "AddDataset", asked, None)["breaches"]
    assert breach["rule"] == "DS-003"
    return str(breach["message"])


def test_columns_are_told_with_the_types_that_all_rows_have(desk: Desk, tmp_path: Path) -> None:
    rows = [
        {"n": 1, "x": 1, "t": "a", "m": 1, "o": None, "l": [1], "s": {"a": 1}},
        {"n": 2, "x": 0.5, "t": "b", "m": "1", "o": True, "l": [None, 2.5], "s": {"b": "c"}},
    ]
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert added(desk, tmp_path / "d.jsonl")["column_types"] == {
        "n": "int64", "x": "double", "t": "string", "m": "mixed", "o": "bool",
        "l": "list<double>", "s": "struct<a: int64, b: string>",
    }  # fmt: skip


def test_a_csv_holds_text_as_it_is_trained_on(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,b\n007,x\n")
    dataset = added(desk, tmp_path / "d.csv")
    assert dataset["column_types"] == {"a": "string", "b": "string"}
    assert dataset["preview"] == [{"a": "007", "b": "x"}] and dataset["is_chat"] is False


def test_the_first_rows_are_shown_and_long_texts_are_cut(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "d.json").write_text(json.dumps([{"t": "ä" * 10_000, "n": "a\0b", "i": i} for i in range(9)]))
    dataset = added(desk, tmp_path / "d.json")
    assert [row["i"] for row in dataset["preview"]] == [0, 1, 2, 3, 4]
    assert dataset["preview"][0]["t"] == "ä" * 499 + "…" and dataset["preview"][0]["n"] == "a\ufffdb"
    (listed,) = say(desk, "ListDatasets")["datasets"]
    assert listed["preview"] is None and listed["column_types"] == dataset["column_types"]
    assert say(desk, "GetDataset", id=dataset["id"])["dataset"] == dataset


@pytest.mark.parametrize(
    ("row", "chat"),
    [
        ({"messages": CHAT}, True),
        ({"conversations": [{"from": "human", "value": "hi"}]}, True),
        ({"messages": "hi"}, False),
        ({"messages": []}, False),
        ({"messages": [{"role": "user"}]}, False),
        ({"talk": CHAT}, False),
    ],
)
def test_conversations_are_recognised(desk: Desk, tmp_path: Path, row: dict[str, Any], chat: bool) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps(row) + "\n")
    dataset = added(desk, tmp_path / "d.jsonl")
    assert dataset["is_chat"] is chat


def test_one_row_that_is_no_conversation_makes_the_dataset_none(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_text(json.dumps({"messages": CHAT}) + "\n" + json.dumps({"messages": []}) + "\n")
    dataset = added(desk, tmp_path / "d.jsonl")
    assert dataset["is_chat"] is False
    assert dataset["column_types"] == {"messages": "list<struct<role: string, content: string>>"}


def test_a_parquet_file_is_added_and_trained_on_as_it_is(desk: Desk, tmp_path: Path) -> None:
    table = pyarrow.table(
        {"text": ["a", "b"], "label": pyarrow.array([1, 2], pyarrow.int32()), "messages": [CHAT, CHAT]}
    )
    parquet.write_table(table, tmp_path / "d.parquet")
    dataset = added(desk, tmp_path / "d.parquet")
    assert (dataset["features"], dataset["rows"], dataset["is_chat"]) == (["text", "label", "messages"], 2, True)
    assert dataset["column_types"]["label"] == "int32"
    source = DatasetSource(
        id="d", name="d", type="project_parquet", location=dataset["location"], sha256=dataset["sha256"]
    )
    assert [row["label"] for row in load_rows(source)["train"]] == [1, 2]


def test_a_parquet_file_that_is_broken_in_the_middle_is_refused(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    parquet.write_table(pyarrow.table({"a": [f"text {i}" * 50 for i in range(50_000)]}), path, use_dictionary=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "d.parquet" in refused(desk, path)
    path.write_bytes(whole[:400_000] + b"\xff" * 60_000 + whole[460_000:])
    assert "after row" in refused(desk, path)
    parquet.write_table(pyarrow.table({"a": pyarrow.array([], pyarrow.string())}), path)
    assert refused(desk, path) == "d.parquet has columns but no rows"


def test_a_csv_with_nul_characters_is_refused_with_the_line(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_bytes(b"a,b\n1,2\n3,\x00\n")
    assert refused(desk, tmp_path / "d.csv").startswith("d.csv: line 3 holds a NUL character")


def test_configs_of_one_dataset_on_the_hub_are_datasets_of_their_own(desk: Desk) -> None:
    from core.store.tables import Dataset

    with desk.store.write() as unit:
        for config in ("a", "b"):
            unit.session.add(
                Dataset(id=config, type="huggingface", name=config, huggingface_name="o/d", config_name=config)
            )
    listed = say(desk, "ListDatasets", type="huggingface")["datasets"]
    assert [each["config_name"] for each in listed] == ["a", "b"]
