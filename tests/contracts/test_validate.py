"""`fts validate` (docs/decisions.md, D-110): every breach with its place, in every form; no file, however hostile, stops it or is passed in silence."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from tui.cli.main import main, parser
from tui.cli.validate_places import MAX_BYTES, Malformed, build
from tui.cli.validate_readers import json_tokens, yaml_tokens

BROKEN = """\
# two requests
- name: StartFineTuningJob
  payload:
    adapter_name: "a b"
    base_model_id: m
    dataset_id: d
    prompt_id: p
    cpu: 0
    learning_rate: -2e-5
- name: StartEvaluationJob
  payload:
    dataset_id: d
    prompt_id: p
    model_adapter_combinations:
      - {base_model_id: m}
      - {base_model_id: 5}
"""


def validate(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as done:
        main(["validate", *map(str, words)])
    return int(done.value.code or 0), capsys.readouterr().out


def found(capsys: pytest.CaptureFixture[str], path: Path, *words: object) -> list[tuple[int, int, str, str]]:
    code, out = validate(capsys, path, *words, "-o", "json")
    told = json.loads(out)["breaches"]
    assert code == (3 if any(each["severity"] == "ERROR" for each in told) else 0)
    return [(each["line"], each["column"], each["rule"], each["field"]) for each in told]


def written(directory: Path, name: str, content: str | bytes) -> Path:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_every_breach_stands_at_its_fields_value(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(capsys, written(tmp_path, "a.yaml", BROKEN)) == [
        (4, 19, "FT-002", "adapter_name"),
        (8, 10, "FT-004", "num_cpu"),
        (9, 20, "FT-009", "learning_rate"),
        (16, 25, "MS-101", "model_adapter_combinations.1.base_model_id"),
    ]


def test_a_wrong_shape_hides_no_other_breach(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "name: StartFineTuningJob\npayload: {adapter_name: a b, num_cpu: two, colour: red, num_gpu: -1}\n"
    rules = {each[2] for each in found(capsys, written(tmp_path, "a.yaml", text))}
    assert {"FT-002", "MS-101", "MS-102", "FT-005"} <= rules


def test_a_wrong_shape_within_a_field_hides_none_of_the_field(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prompt = {"name": " ", "dataset_id": 5, "prompt_template": "{a.b}", "colour": "red", "completion_template": "{"}
    path = written(tmp_path, "a.json", json.dumps({"name": "AddPrompt", "payload": {"prompt": prompt}}))
    assert {each[2:] for each in found(capsys, path)} == {
        ("MS-101", "prompt.dataset_id"),
        ("MS-102", "prompt.colour"),
        ("PR-001", "prompt.name"),
        ("PR-003", "prompt.prompt_template"),
        ("PR-004", "prompt.input_template"),
        ("PR-005", "prompt.completion_template"),
    }
    pairs = [{"base_model_id": "m"}, {"base_model_id": "m", "adapter_id": 7}, "m"]
    batch = {"model_adapter_combinations": pairs, "dataset_id": "", "prompt_id": "p"}
    path = written(tmp_path, "b.json", json.dumps({"name": "StartEvaluationJob", "payload": batch}))
    assert {each[2:] for each in found(capsys, path)} == {
        ("MS-101", "model_adapter_combinations.1.adapter_id"),
        ("MS-101", "model_adapter_combinations.2"),
        ("EV-002", "dataset_id"),
    }


def test_json_with_tabs_a_bom_and_surrogates_tells_the_same_places(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        '\ufeff{\n\t"name": "AddDataset",\n\t"payload": {"type": "zip", "name": "\\ud83d\\ude00", "location": "a"}\n}\n'
    )
    assert found(capsys, written(tmp_path, "a.json", text)) == [(3, 22, "DS-001", "type")]


def test_a_bad_line_of_json_lines_leaves_the_others_to_be_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = '{"name": "AddDataset", "payload": {"type": "project_csv", "name": "x", "location": "x.csv"}}'
    text = f'{good}\n{{"name": "GetDataset"\n\n{{"name": "GetDataset", "payload": {{}}}}\n{good}\n'
    assert [each[:1] + each[2:] for each in found(capsys, written(tmp_path, "a.jsonl", text))] == [
        (2, "FL-101", ""),
        (4, "MS-103", "id"),
    ]


def test_several_yaml_documents_are_several_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "a.yml", "name: ListDatasets\n---\nname: ListDatasets\npayload: {type: zip}\n")
    assert found(capsys, path) == [(4, 17, "DS-001", "type")]
    assert validate(capsys, path)[1].endswith("2 messages, 1 breach\n")


def test_standard_input_is_read_as_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, messages in (('{"name": "ListModels"}\n' * 3, 3), ("name: ListModels\n", 1), ("{name: ListModels}", 1)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        assert validate(capsys, "-")[1].startswith(f"{messages} message")


def test_an_axolotl_file_is_known_by_its_keys_or_by_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "a.yaml", "base_model: org/m\nadapter: lora\ndatasets: [{path: x, type: alpaca}]\n")
    assert [each for each in found(capsys, path) if each[2].startswith("FL")] == []
    odd = written(tmp_path, "b.yaml", "- 1\n")
    assert [each[2] for each in found(capsys, odd, "--axolotl")] == ["CF-003"]


def test_a_config_file_is_checked_with_the_line_of_each_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "lora.json", '{\n  "r": 8,\n  "rank": 4,\n  "lora_alpha": "x"\n}\n')
    assert found(capsys, path, "--config", "lora_config") == [(3, 11, "CF-102", "config"), (4, 17, "CF-102", "config")]


def test_an_axolotl_config_is_checked_with_the_line_of_each_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "base_model: x\nadapter: lora\nlearning_rate: high\ndatasets:\n  - path: a\n    type: 7\n"
    assert {(line, rule[:2]) for line, _, rule, _ in found(capsys, written(tmp_path, "a.yaml", text))} == {
        (3, "CF"),
        (6, "CF"),
    }


def test_a_key_that_is_there_twice_or_is_no_text_is_told_with_its_line_and_hides_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "base_model: x\nadapter: lora\nlearning_rate: high\nadapter: qlora\n"
    assert found(capsys, written(tmp_path, "a.yaml", text)) == [
        (3, 16, "CF-104", "config"),
        (4, 1, "FL-102", "adapter"),
    ]
    text = "# first\n---\nbase_model: x\nadapter: lora\nspecial_tokens:\n  1: a\n"
    assert found(capsys, written(tmp_path, "b.yaml", text)) == [(6, 1, "CF-003", "config")]
    twice = '{\n  "r": 8,\n  "rank": 4,\n  "r": 9\n}\n'
    told = found(capsys, written(tmp_path, "c.json", twice), "--config", "lora_config")
    assert told == [(3, 11, "CF-102", "config"), (4, 3, "FL-102", "r")]


def test_advice_is_told_and_refuses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "t.json", '{"warmup_ratio": 0.1}')
    assert found(capsys, path, "--config", "training_arguments") == [(1, 18, "CF-103", "config")]
    assert validate(capsys, path, "--config", "training_arguments", "-o", "github")[1].startswith("::notice ")


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE: dict[str, tuple[str, str | bytes, str]] = {
    "a billion laughs": ("a.yaml", LAUGHS, "FL-104"),
    "a file without end": ("a.yaml", b"\0" * (MAX_BYTES + 1), "FL-104"),
    "deep YAML": ("a.yaml", "[" * 100_000, "FL-104"),
    "deep mappings": ("a.yaml", '{"a": ' * 100_000, "FL-104"),
    "deep blocks": ("a.yaml", "- " * 100_000, "FL-104"),
    "deep JSON": ("a.json", "[" * 100_000, "FL-104"),
    "deep JSON of no name": ("a", "[" * 100_000 + "]" * 100_000, "FL-104"),
    "a tab": ("a.yaml", "name: x\n\tpayload: y\n", "FL-101"),
    "binary": ("a.yaml", b"\x7fELF\xfe\xff\x00", "FL-101"),
    "NULs": ("a.yaml", "name: \0\n", "FL-101"),
    "UTF-16": ("a.json", "{}".encode("utf-16"), "FL-101"),
    "a key twice": ("a.yaml", "name: ListModels\nname: ListDatasets\n", "FL-102"),
    "a JSON key twice": ("a.json", '{"name": "ListModels", "name": "ListModels"}', "FL-102"),
    "a Python object": ("a.yaml", "name: !!python/object/apply:os.system [id]\n", "FL-101"),
    "an alias of itself": ("a.yaml", "&a [*a]\n", "FL-101"),
    "a mapping as key": ("a.yaml", "{[1]: 2}\n", "FL-101"),
    "an endless number": ("a.json", "9" * 10_000, "FL-101"),
    "an endless number of YAML's": ("a.yaml", "9" * 10_000, "FL-101"),
    "NaN": ("a.json", '{"name": NaN}', "FL-101"),
    "half a file": ("a.json", '[{"name": "ListModels"}', "FL-101"),
    "two values": ("a.json", "{} {}", "FL-101"),
    "an open string": ("a.json", '"' + "\\\\" * 100_000, "FL-101"),
    "nothing": ("a.yaml", "", "FL-103"),
    "comments": ("a.yaml", "# nothing\n", "FL-103"),
    "text": ("a.yaml", "hello\n", "FL-103"),
    "another mapping": ("a.yaml", "hello: there\n", "FL-103"),
    "a name of no text": ("a.yaml", "name: 5\n", "FL-103"),
    "too much": ("a.json", '{"name": "ListModels", "payload": {}, "key": 1}', "FL-103"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_a_breach_with_a_line_and_soon(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, rule = HOSTILE[what]
    path, begun = written(tmp_path, name, content), time.process_time()
    told = found(capsys, path)
    assert rule in {each[2] for each in told}
    assert all(line >= 1 and column >= 1 for line, column, _, _ in told)
    assert time.process_time() - begun < 10


def test_a_hundred_megabytes_are_not_even_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "big.jsonl"
    with path.open("wb") as file:
        file.truncate(100 * 2**20)
    assert [each[2] for each in found(capsys, path)] == ["FL-104"]


def test_what_cannot_be_opened_is_a_usage_error_and_the_others_are_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = written(tmp_path, "a.yaml", "name: ListModels\n")
    code, out = validate(capsys, tmp_path / "nowhere.yaml", tmp_path, good)
    assert (code, out) == (2, "1 message, 0 breaches\n")


def test_escape_sequences_in_a_file_never_reach_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, "a.json", '[{"name": "\\u001b]0;x\\u0007\\u202e"}, {"\\u001b[2J": 1, "\\u001b[2J": 2}]')
    for form in ("table", "github"):
        out = validate(capsys, path, "-o", form)[1]
        assert out.replace("\n", "").isprintable()


# What a SARIF 2.1.0 log must look like, of the parts that are written here: those of the standard's schema are as strict.
TEXT = {
    "type": "object",
    "required": ["text"],
    "properties": {"text": {"type": "string"}},
    "additionalProperties": False,
}
RULE = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "shortDescription": TEXT, "help": TEXT},
    "additionalProperties": False,
}
REGION = {
    "type": "object",
    "properties": {name: {"type": "integer", "minimum": 1} for name in ("startLine", "startColumn")},
}
PLACE = {
    "type": "object",
    "properties": {
        "artifactLocation": {"properties": {"uri": {"type": "string", "format": "uri-reference"}}},
        "region": {**REGION, "required": ["startLine"], "additionalProperties": False},
    },
    "additionalProperties": False,
}
RESULT = {
    "type": "object",
    "required": ["message"],
    "properties": {
        "ruleId": {"type": "string"},
        "ruleIndex": {"type": "integer", "minimum": -1},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "message": TEXT,
        "locations": {
            "type": "array",
            "items": {"properties": {"physicalLocation": PLACE}, "additionalProperties": False},
        },
        "properties": {"type": "object"},
    },
    "additionalProperties": False,
}
DRIVER = {
    "type": "object",
    "required": ["name"],
    "properties": {
        "name": {"type": "string"},
        "version": {"type": "string"},
        "rules": {"type": "array", "items": RULE, "uniqueItems": True},
    },
    "additionalProperties": False,
}
RUN = {
    "type": "object",
    "required": ["tool"],
    "properties": {
        "tool": {"type": "object", "required": ["driver"], "properties": {"driver": DRIVER}},
        "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
        "results": {"type": "array", "items": RESULT},
    },
    "additionalProperties": False,
}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "$schema": {"type": "string"},
        "version": {"const": "2.1.0"},
        "runs": {"type": "array", "items": RUN},
    },
    "additionalProperties": False,
}


def test_sarif_is_valid_and_every_result_leads_to_a_rule_with_help(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(tmp_path, "sp ace#.yaml", BROKEN + "- name: Nothing\n- name: Nothing\n  name: x\n")
    for file in (path, path.name):
        log: dict[str, Any] = json.loads(validate(capsys, file, "-o", "sarif")[1])
        Draft7Validator(SARIF).validate(log)
        run = log["runs"][0]
        rules = run["tool"]["driver"]["rules"]
        assert {"FT-002", "MS-104", "FL-102"} <= {each["id"] for each in rules}
        assert len({each["id"] for each in rules}) == len(rules)
        assert all(each["help"]["text"] for each in rules)
        for result in run["results"]:
            assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    uri = run["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "sp%20ace%23.yaml"


def unescaped(command: str) -> tuple[dict[str, str], str]:
    """What GitHub's runner makes of a workflow command."""
    level, properties, data = re.fullmatch(r"::(\w+) ([^:]*)::(.*)", command).groups()  # type: ignore[union-attr]
    assert level == "error"

    def back(text: str, codes: tuple[str, ...]) -> str:
        for code in codes:
            text = text.replace(code, chr(int(code[1:], 16)))
        return text.replace("%25", "%")

    pairs = (each.split("=", 1) for each in properties.split(","))
    names = {name: back(value, ("%0D", "%0A", "%3A", "%2C")) for name, value in pairs}
    return names, back(data, ("%0D", "%0A"))


def test_annotations_are_escaped_as_github_reads_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "a,b:c%d.yaml", 'name: "x::error file=y::%0A\\n::stop"\n')
    lines = validate(capsys, path, "-o", "github")[1].splitlines()
    assert len(lines) == 1
    properties, data = unescaped(lines[0])
    assert properties == {"file": str(path), "line": "1", "col": "7", "title": "MS-104"}
    assert "x::error file=y::%0A" in data
    twice = written(tmp_path, "twice.yaml", 'name: ListModels\npayload: {}\n"a\\nb%": 1\n"a\\nb%": 1\n')
    (told,) = (line for line in validate(capsys, twice, "-o", "github")[1].splitlines() if "FL-102" in line)
    assert unescaped(told)[1].startswith("a\nb%: ")


def test_yaml_and_json_forms_tell_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "a.yaml", BROKEN)
    assert yaml.safe_load(validate(capsys, path, "-o", "yaml")[1]) == json.loads(
        validate(capsys, path, "-o", "json")[1]
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.sampled_from([None, 2, "\t"]), st.booleans())
def test_whatever_json_is_written_is_read_back(value: object, indent: int | str | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    assert [document.root.value for document in build(json_tokens(text))] == [value]


@given(st.text('[]{},:"\\0e-.tfalsenu \n\t', max_size=30))
def test_what_json_refuses_is_refused(text: str) -> None:
    try:
        expected = [json.loads(text)]
    except ValueError:
        expected = []
    try:
        read = [document.root.value for document in build(json_tokens(text))]
    except Malformed:
        read = []
    assert read == expected


@given(JSON)
def test_whatever_yaml_is_written_is_read_back(value: object) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    expected = yaml.safe_load(text)
    if json.dumps(expected, default=str) == json.dumps(value, default=str):  # YAML itself gives it back
        assert [document.root.value for document in build(yaml_tokens(text))] == [value]


LIBRARY = """
import sys
from core.errors import Refused
from core.messages import parse
from core.rules import check
message = parse("StartFineTuningJob", {"adapter_name": "a b", "num_cpu": 0})
assert {"FT-002", "FT-004"} <= {each.rule for each in check(message)}
try:
    parse("AddDataset", {"type": 5})
except Refused as error:
    assert error.breaches[0].rule == "MS-101"
print([name for name in ("dramatiq", "redis", "sqlalchemy", "textual", "yaml", "torch", "datasets") if name in sys.modules])
"""


def test_a_request_is_checked_as_a_library_without_queue_or_database() -> None:
    done = subprocess.run([sys.executable, "-c", LIBRARY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_page_about_validation_says_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).resolve().parent.parent.parent / "docs" / "validation.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(\w+)\n(.*?)```", page, re.DOTALL)
    request = next(text for kind, text in blocks if kind == "yaml" and text.startswith("name:"))
    assert found(capsys, written(tmp_path, "a.yaml", request)) == []
    code = next(text for kind, text in blocks if kind == "python")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["FT-002", "FT-004"]
    for words in re.findall(r"^fts (validate [^#\n]*?) *#", page, re.MULTILINE):
        parser().parse_args(words.split())


OTHER_VERSIONS = {13: "own_key", 15: "run_name", 16: "flash_attn_fuse_qkv"}


def test_an_axolotl_file_is_checked_key_by_key_without_axolotl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = """\
base_model: x
lora_r: -1
lora_droput: 0.1
sequence_len: [512]
rl: ppo
load_in_8bit: maybe
lora_alpha: "16"
learning_rate: 2e-5
bf16: auto
tf32: "yes"
debug:
eval_steps: false
own_key: &o 1
flash_attention: true
run_name: n
flash_attn_fuse_qkv: true
lora_layers_to_transform: [0]
"""
    path = written(tmp_path, "train.yaml", text)
    assert found(capsys, path) == [
        *((line, column, "CF-104", "config") for line, column in ((2, 9), (3, 14), (4, 15), (5, 5), (6, 15))),
        *((line, len(key) + 3, "CF-106", "config") for line, key in OTHER_VERSIONS.items()),
        (17, 27, "CF-104", "config"),
    ]
    said = validate(capsys, path)[1]
    assert "the nearest known key is peft_layers_to_transform" in said
    assert "lora_r must be at least 1, not -1" in said and "the nearest known key is lora_dropout" in said
    assert "rl must be one of dpo, " in said and "own_key is not a key of axolotl 0.19.0, which passes over it" in said


def test_the_shipped_axolotl_template_breaks_no_rule_and_its_keys_are_of_the_pinned_axolotl(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    assert found(capsys, configs / "axolotl" / "template.yaml") == []
    library = json.loads((configs / "axolotl" / "keys.json").read_text())["library"]
    assert library.replace(" ", "==") in (configs / "engines" / "axolotl.txt").read_text().splitlines()
