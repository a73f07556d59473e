"""Data files: what is in them, and which line is wrong."""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from pathlib import Path

import pytest

from actors import jsonlist, tables
from actors.answering import answer
from actors.desk import Desk
from actors.tables import BadFile, inspect_file
from core.spec import DatasetSource
from gpu_runner.data import load_rows

TYPES = {".csv": "project_csv", ".json": "project_json", ".jsonl": "project_jsonl"}


def put(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content", "features", "rows"),
    [
        ("a.csv", "text,intent\na,b\nc,d\n", ["text", "intent"], 2),
        ("bom.csv", b"\xef\xbb\xbftext,intent\na,b\n", ["text", "intent"], 1),
        ("crlf.csv", "text,intent\r\na,b\r\n", ["text", "intent"], 1),
        ("quoted.csv", 'text,intent\n"a\nb, ""c""",d\n', ["text", "intent"], 1),
        ("blank.csv", "text,intent\n\na,b\n\n\n", ["text", "intent"], 1),
        ("last.csv", "text,intent\na,b", ["text", "intent"], 1),
        ("wide.csv", f"text\n{'x' * 300_000}\n", ["text"], 1),
        ("old-mac.csv", "text,intent\ra,b\rc,d\r", ["text", "intent"], 2),
        ("a.json", '[{"a": 1, "b": [1, {"c": null}]}, {"b": 2, "a": "]"}]', ["a", "b"], 2),
        ("bom.json", b'\xef\xbb\xbf[{"a": 1}]\n', ["a"], 1),
        ("spaced.json", ' [\n {"a": 1e5} ,\r\n\t{"a": -0.5}\n]\n\n', ["a"], 2),
        ("a.jsonl", '{"a": 1, "ü": "ß"}\n\n{"a": 2, "ü": "\\u0041"}', ["a", "ü"], 2),
    ],
)
def test_what_a_good_file_holds(
    tmp_path: Path, name: str, content: str | bytes, features: list[str], rows: int
) -> None:
    path = put(tmp_path / name, content)
    facts = inspect_file(path)
    assert (facts.features, facts.rows) == (features, rows)
    assert facts.bytes == path.stat().st_size
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)  # a file is read before anything is stored
@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "a,b\n", "no rows"),
        ("a.csv", "\n\n", "no columns"),
        ("a.csv", "a,b\n1,2\n1\n1,2,3\n", "line 3 has 1 fields, the header has 2; line 4 has 3 fields"),
        ("a.csv", "a,b\n" + "1\n" * 9, "and 4 more"),
        ("a.csv", "a,,b\n1,2,3\n", "column 2 of the header has no name"),
        ("a.csv", "a,b,a\n1,2,3\n", "'a' is in the header twice"),
        ("a.csv", 'a,b\n1,2\n"x,y\n', "line 3: a quote that opens here is never closed"),
        ("a.csv", 'a,b\n"x"y,2\n', "line 2"),
        ("a.csv", 'a,b\n"x\ny\nz",2,3\n1,2\n1\n', "line 2 has 3 fields, the header has 2; line 6 has 1 fields"),
        ("a.csv", b"a\0,b\n1,2\n", "the name of column 1 holds what is no text: 'a\\x00'"),
        ("a.csv", b"\xef\xbb\xbf\xef\xbb\xbfa,b\n1,2\n", "the name of column 1 holds what is no text"),
        ("a.csv", b"a,b\n\xff,2\n", "line 2: it is not UTF-8 text (invalid start byte, byte 0xff)"),
        ("a.csv", b"a\n" + b"\xc3\xa4" * 2**20 + b"\nb\n\xe4", "line 4: it is not UTF-8 text"),
        ("a.csv", "a\n".encode("utf-16"), "not UTF-8 text"),
        ("a.json", '{"a": 1}', "line 1: must hold a list of objects"),
        ("a.json", "   ", "must hold a list"),
        ("a.json", "[]", "holds no rows"),
        ("a.json", '[{"a": 1},\n{"a": }]', "line 2: not valid JSON"),
        ("a.json", '[{"a": 1}\n\n{"a": 2}]', "line 3: expected , or ]"),
        ("a.json", '[{"a": 1}', "expected , or ] and not the end"),
        ("a.json", '[{"a": "never ends', "line 1: not valid JSON"),
        ("a.json", '[{"a": 1}] x', "more after the list's end"),
        ("a.json", '[{"a": 1},\n 7]', "line 2 is int, not an object"),
        ("a.json", '[{"a": 1}, {"b": 1}]', "has the keys b; the first object has a"),
        ("a.json", '[{"": 1}]', "has no name"),
        ("a.json", "[" * 100_000, "nested too deeply"),
        ("a.json", '[{"a": 1},\n{"a": 1, "a": 2}]', "line 2: not valid JSON: key 'a' is there twice"),
        ("a.json", '[{"a": 1},\n{"a": ' + "9" * 5000 + "}]", "line 2: not valid JSON: Exceeds the limit"),
        ("a.json", '[{"a": "\\ud800"}]', "line 1 holds half of a surrogate pair"),
        ("a.jsonl", '{"a": {"b": 1, "b": 2}}\n', "line 1 is not JSON: key 'b' is there twice"),
        ("a.jsonl", '{"a": "x"}\n{"a": "\\udc00y"}\n', "line 2 holds half of a surrogate pair"),
        ("a.jsonl", '{"\\ud800": 1}\n', "the name of column 1 holds what is no text"),
        ("a.jsonl", '{"a": 1}\r{"a": 2}\r', "line 1 is not JSON: Extra data"),
        ("a.jsonl", '{"a": 1}\n{"a": \n[1]\n', "line 2 is not JSON"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 is list, not an object"),
        ("a.jsonl", "\n\n", "holds no rows"),
        ("a.jsonl", b'{"a": "\xc3"}', "line 1: it is not UTF-8 text"),
        ("a.jsonl", "{}\n{}\n", "line 1 is an object without keys; line 2"),
    ],
)
def test_what_is_wrong_is_named(desk: Desk, tmp_path: Path, name: str, content: str | bytes, said: str) -> None:
    path = put(tmp_path / name, content)
    payload = {"type": TYPES[path.suffix], "name": "t", "location": name}
    reply = answer(desk, "AddDataset", payload, "k")
    (breach,) = reply["breaches"]
    assert (breach["rule"], breach["field"]) == ("DS-003", "location")
    assert said in breach["message"]


@pytest.mark.parametrize(
    "location", ["none.csv", "sub", "../outside.csv", "/etc/passwd.csv", "~root/x.csv", "x" * 300 + ".csv", "loop.csv"]
)
def test_files_that_cannot_be_used_are_refused(desk: Desk, tmp_path: Path, location: str) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    reply = answer(desk, "AddDataset", {"type": "project_csv", "name": "t", "location": location}, "k")
    assert reply["code"] == "refused"
    assert {each["rule"] for each in reply["breaches"]} == {"DS-003"}


def test_a_link_out_of_the_project_is_refused(
    desk: Desk, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    put(tmp_path_factory.mktemp("other") / "secret.csv", "a\n1\n")
    (tmp_path / "link.csv").symlink_to(tmp_path_factory.getbasetemp() / "other0" / "secret.csv")
    reply = answer(desk, "AddDataset", {"type": "project_csv", "name": "t", "location": "link.csv"}, "k")
    assert "outside the allowed directories" in reply["message"]


def test_a_link_is_taken_for_what_it_leads_to(desk: Desk, tmp_path: Path) -> None:
    put(tmp_path / "rows.jsonl", '{"a": 1}\n')
    (tmp_path / "rows.csv").symlink_to("rows.jsonl")
    payload = {"type": "project_csv", "name": "t", "location": "rows.csv"}
    (breach,) = answer(desk, "AddDataset", payload, "k")["breaches"]
    assert (breach["rule"], breach["message"]) == ("DS-003", "rows.csv leads to rows.jsonl, which is no .csv file")
    (tmp_path / "same.jsonl").symlink_to("rows.jsonl")
    payload = {"type": "project_jsonl", "name": "t", "location": "same.jsonl"}
    assert answer(desk, "AddDataset", payload, "l")["ok"]


def test_what_is_added_is_what_a_runner_reads(tmp_path: Path) -> None:
    csv_file = put(tmp_path / "a.csv", f'text,n\n"{"x" * 300_000}\ny",007\nb,2\n')
    jsonl = put(tmp_path / "a.jsonl", b'\xef\xbb\xbf{"text": "a\xe2\x80\xa8b"}\r\n\r\n{"text": "c"}')
    for path in (csv_file, jsonl):
        facts = inspect_file(path)
        source = DatasetSource(
            id="d",
            name="d",
            type=TYPES[path.suffix],
            location=str(path),
            hub_name=None,
            config_name=None,
            revision=None,
            sha256=facts.sha256,
            features=facts.features,
        )
        rows = load_rows(source)["train"]
        assert (len(rows), list(rows[0])) == (facts.rows, facts.features)


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_a_list_is_the_same_however_it_is_cut(tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    content = [{"a": 'x\n\\" ü 😀', "b": [True, None, {"c": -1.5e-7}]}, {"d": 12345678901}, 17, [], "", {"e": {}}]
    for indent in (None, 2):
        path = put(tmp_path / "a.json", json.dumps(content, indent=indent, ensure_ascii=indent is None))
        monkeypatch.setattr(jsonlist, "CHUNK", chunk)
        with path.open(encoding="utf-8") as file:
            assert [item for _, item in jsonlist.items(file)] == content


def test_a_large_list_does_not_fill_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "large.json"
    with path.open("w") as file:
        file.write("[")
        for index in range(20_000):
            file.write(("," if index else "") + json.dumps({"text": "x" * 1_000, "n": index}) + "\n")
        file.write("]")
    tracemalloc.start()
    facts = inspect_file(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert facts.rows == 20_000
    assert facts.bytes > 20_000_000
    assert peak < 12_000_000


def test_a_line_without_end_is_refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "LONGEST_LINE", 1000)
    with pytest.raises(BadFile, match="line 2 is longer"):
        inspect_file(put(tmp_path / "a.jsonl", '{"a": 1}\n{"a": "' + "x" * 5000))
