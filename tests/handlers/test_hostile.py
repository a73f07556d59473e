"""What no database, tokenizer or file system could hold is refused by its field, on both databases alike, and harms nothing."""

from __future__ import annotations

import json
import os
import random
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from sqlalchemy import select

from actors.answering import answer
from actors.desk import Desk
from actors.world import INSPECTORS
from core.store.tables import Job, Model
from tests.contracts.test_malformed import QUIET, well_shaped
from tests.handlers.work import add_inputs, say, start

LONG = "".join(random.Random(1).choices(string.ascii_letters, k=9_000))  # nothing that compression makes short
PROMPT = {"dataset_id": "d", "prompt_template": "{q}", "input_template": "{q}", "completion_template": "{a}"}
JOB = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_gpu": 0}
PAIRS = {"model_adapter_combinations": [{"base_model_id": "m"}], "dataset_id": "d", "prompt_id": "p"}


TOO_MUCH: list[tuple[str, dict[str, Any], str]] = [
    ("AddDataset", {"type": "project_csv", "name": LONG, "location": "t.csv"}, "name"),
    ("AddDataset", {"type": "huggingface", "huggingface_name": LONG}, "huggingface_name"),
    ("AddModel", {"type": "project", "name": LONG, "location": "m"}, "name"),
    ("AddAdapter", {"type": "project", "name": LONG, "model_id": "m", "location": "a"}, "name"),
    ("AddPrompt", {"prompt": {**PROMPT, "name": LONG}}, "prompt.name"),
    ("AddPrompt", {"prompt": {**PROMPT, "name": "x", "id": LONG}}, "prompt.id"),
    ("EditModel", {"id": "m", "name": LONG}, "name"),
    ("RegisterRunner", {"runner_id": LONG, "host": "a", "cpus": 2, "memory": 8.0, "engines": ["legacy"]}, "runner_id"),
    ("StartFineTuningJob", {**JOB, "adapter_name": LONG}, "adapter_name"),
    *(
        ("StartFineTuningJob", {**JOB, "adapter_name": "x", name: 2**40}, name)
        for name in ("num_cpu", "num_memory", "num_workers", "num_epochs", "dist_cpu", "gpu_label_id")
    ),
    ("StartFineTuningJob", {**JOB, "adapter_name": "x", "gpu_label_id": -(2**40)}, "gpu_label_id"),
    ("StartEvaluationJob", {**PAIRS, "num_memory": 2**40}, "num_memory"),
    (
        "StartEvaluationJob",
        {**PAIRS, "model_adapter_combinations": [{"base_model_id": "m"}] * 100_000},
        "model_adapter_combinations",
    ),
    ("ExportModel", {"base_model_id": "m", "adapter_id": "a", "model_name": "x", "num_cpu": 2**40}, "num_cpu"),
]


@pytest.mark.decision("D-132")
def test_what_an_index_or_a_column_can_not_hold_is_told_by_its_field(desk: Desk) -> None:
    add_inputs(desk.store)
    for name, payload, field in TOO_MUCH:
        reply = answer(desk, name, payload, None)
        assert reply["code"] == "refused", reply
        assert ("MS-101", field) in [(each["rule"], each["field"]) for each in reply["breaches"]]


def test_a_name_of_the_longest_is_stored_and_found(desk: Desk) -> None:
    add_inputs(desk.store)
    name = "\U0001f600" * 255
    assert say(desk, "EditModel", id="m", name=name)["model"]["name"] == name
    assert say(desk, "AddPrompt", prompt={**PROMPT, "name": name, "id": LONG[:255]})["prompt"]["id"] == LONG[:255]


def test_an_id_that_a_sender_issues_is_not_blank(desk: Desk) -> None:
    add_inputs(desk.store)
    reply = answer(desk, "AddPrompt", {"prompt": {**PROMPT, "name": "x", "id": " "}}, None)
    assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("PR-102", "prompt.id")]


def test_a_key_that_can_not_be_remembered_is_refused(desk: Desk) -> None:
    for key in ("a\0b", "half \ud800", LONG):
        reply = answer(desk, "AddConfig", {"type": "custom", "config": "{}"}, key)
        assert (reply["code"], reply["breaches"][0]["rule"]) == ("refused", "MS-101")
    assert say(desk, "ListConfigs", type="custom")["configs"] == []


def test_a_config_that_can_not_be_kept_or_compared_is_refused(desk: Desk) -> None:
    for text in ("1: 2\na: 3", "a: {1: 2, b: 3}", "a: 1\na: 2", 'a: "\\ud800"'):
        reply = answer(desk, "AddConfig", {"type": "axolotl", "config": text}, None)
        assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("CF-003", "config")], text
    for text in ('{"a": "\\ud800"}', '{"a": "\\u0000"}', '{"a": 1' + "0" * 400 + "}"):
        reply = answer(desk, "AddConfig", {"type": "custom", "config": text}, None)
        assert [(each["rule"], each["field"]) for each in reply["breaches"]] == [("CF-002", "config")], text


def test_epochs_beyond_a_column_are_the_trainers_to_judge(desk: Desk) -> None:
    add_inputs(desk.store)
    id = start(desk, "x", training_arguments_config='{"num_train_epochs": 1e300}')
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["num_epochs"] is None


def model(path: Path, config: object) -> Path:
    path.mkdir(exist_ok=True)
    (path / "config.json").write_text(json.dumps(config))
    (path / "tokenizer.json").write_text("{}")
    (path / "model.safetensors").write_bytes(b"weights")
    return path


def test_a_family_or_base_model_that_is_no_name_is_an_unknown_one(desk: Desk, tmp_path: Path) -> None:
    for number, name in enumerate(("half \ud800", "a\0b", LONG, ["x"], 7, " ")):
        model(tmp_path / "m", {"architectures": [name]})
        added = say(desk, "AddModel", type="project", name=f"m{number}", location="m")["model"]
        assert added["family"] is None
        (tmp_path / "a").mkdir(exist_ok=True)
        (tmp_path / "a" / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": name}))
        (tmp_path / "a" / "adapter_model.safetensors").write_bytes(b"weights")
        reply = answer(desk, "AddAdapter", {"name": f"a{number}", "model_id": added["id"], "location": "a"}, None)
        assert (reply["ok"], [each["rule"] for each in reply["breaches"]]) == (True, ["AD-107"])


@pytest.mark.timeout(20)
def test_a_pipe_among_the_weights_is_not_waited_for(desk: Desk, tmp_path: Path) -> None:
    path = model(tmp_path / "m", {"architectures": ["LlamaForCausalLM"]})
    os.mkfifo(path / "pipe.safetensors")
    assert say(desk, "AddModel", type="project", name="m", location="m")["model"]["bytes"] == 7
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "adapter_config.json").write_text("{}")
    os.mkfifo(tmp_path / "a" / "adapter_model.safetensors")
    reply = answer(desk, "AddAdapter", {"name": "a", "model_id": "m", "location": "a"}, None)
    assert "AD-003" in [each["rule"] for each in reply["breaches"]]


def test_an_adapter_of_the_hub_is_known_by_its_name_and_its_commit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    add_inputs(desk.store)
    monkeypatch.setitem(INSPECTORS, "adapter", lambda message, world: {"revision": "c0ffee", "base_model": None})
    asked = {"type": "huggingface", "name": "a", "model_id": "m", "huggingface_name": " org/a@v2 "}
    assert say(desk, "AddAdapter", **asked)["adapter"]["huggingface_name"] == "org/a"
    pair = [{"base_model_id": "m", "adapter_id": say(desk, "ListAdapters")["adapters"][0]["id"]}]
    batch = say(desk, "StartEvaluationJob", model_adapter_combinations=pair, dataset_id="d", prompt_id="p")
    with desk.store.read() as session:
        (combination,) = session.get_one(Job, batch["parent_job_id"]).spec["combinations"]
    assert (combination["adapter"]["hub_name"], combination["adapter"]["revision"]) == ("org/a", "c0ffee")


@pytest.mark.decision("D-133")
def test_nothing_is_written_over_the_studios_own_files(desk: Desk, tmp_path: Path) -> None:
    add_inputs(desk.store)
    root = desk.settings.root
    (root / "artifacts" / "jobs").mkdir(parents=True)
    (tmp_path / "link").symlink_to(root)
    paths = [f"{root}/state.db", ".app/state.db-wal", ".app/artifacts/jobs/x.json", "link/new.json", "x/../.app/y"]
    for path in paths:
        reply = answer(desk, "ExportDatabase", {"path": path, "overwrite": True}, None)
        assert [each["rule"] for each in reply["breaches"]] == ["DB-101"], path
    for path in (".app", ".app/artifacts/jobs", "link"):
        reply = answer(desk, "StartFineTuningJob", {**JOB, "adapter_name": "x", "out_dir": path}, None)
        assert [each["rule"] for each in reply["breaches"]] == ["FT-003"], path
    assert say(desk, "ExportDatabase", path="export.json")["path"] == str(tmp_path / "export.json")
    with desk.store.read() as session:
        assert len(session.scalars(select(Model)).all()) == 1


def test_a_studio_whose_home_is_the_project_keeps_its_store(desk: Desk, tmp_path: Path) -> None:
    desk.settings = desk.settings.model_copy(update={"home": tmp_path, "sqlite_db": tmp_path / "here.db"})
    desk.settings.database_url = None
    for path in ("here.db", "here.db-wal", "artifacts/x"):
        reply = answer(desk, "ExportDatabase", {"path": path, "overwrite": True}, None)
        assert [each["rule"] for each in reply["breaches"]] == ["DB-101"], path
    assert say(desk, "ExportDatabase", path="export.json")["path"] == str(tmp_path / "export.json")


BAD_ROWS: list[tuple[str, dict[str, Any], str]] = [
    ("evaluation_jobs", {"scores": {"a": "x"}}, "scores: a: Input should be a valid number"),
    ("evaluation_jobs", {"scores": '{"a": null}'}, "scores: a: Input should be a valid number"),
    ("evaluation_jobs", {"scores": '{"a": NaN}'}, "scores: Out of range float values"),
    ("evaluation_jobs", {"selected_features": [1]}, "selected_features: 0: Input should be a valid string"),
    ("datasets", {"type": "project_csv", "column_types": {"a": 1}}, "column_types: a: Input should be a valid string"),
    ("datasets", {"type": "project_csv", "preview": [1]}, "preview: 0: Input should be a valid dictionary"),
    ("datasets", {"type": "project_csv", "preview": [{"a": "\0"}]}, "preview: text can't hold a NUL"),
    ("models", {"type": "project", "files": {"w": 1}}, "files: w: Input should be a valid string"),
    ("adapters", {"type": "project", "files": {"w": None}}, "files: w: Input should be a valid string"),
    ("models", {"type": "project", "shape": {"layers": 2}}, "shape: parameters: Field required"),
    ("models", {"type": "project", "created_at": 1e300}, "created_at: must be a time"),
    ("models", {"type": "project", "created_at": -1}, "created_at: must be a time"),
    ("models", {"type": "project", "name": LONG}, "name: may have 255 characters at most"),
    ("models", {"type": "project", "id": LONG}, "id: may have 255 characters at most"),
    ("prompts", {"prompt_template": "x", "dataset_id": LONG}, "dataset_id: may have 255 characters at most"),
    ("configs", {"type": "axolotl", "config": "1: 2\na: 3"}, "a key must be text"),
    ("configs", {"type": "custom", "config": '{"a": "\\ud800"}'}, "half of a surrogate pair"),
]


def test_an_imported_row_that_could_not_be_shown_is_left_out_and_spoils_no_list(desk: Desk) -> None:
    for number, (table, row, told) in enumerate(BAD_ROWS):
        named = {} if table in ("configs", "evaluation_jobs") else {"name": f"bad{number}"}
        content = {table: [{"id": f"bad{number}", **named, **row}]}
        (bad,) = say(desk, "ImportDatabase", imported_json=json.dumps(content))["rows"]
        assert bad["outcome"] == "failed" and told in bad["reasons"][0]
        for name in ("Datasets", "Models", "Prompts", "Adapters", "FineTuningJobs", "EvaluationJobs"):
            (rows,) = (each for each in say(desk, f"List{name}").values() if isinstance(each, list))
            assert rows == []


def test_a_bad_row_keeps_no_good_one_out(desk: Desk) -> None:
    rows = [
        {"id": "a", "type": "project"},
        {"id": "b", "type": "project", "name": LONG},
        {"id": "c", "type": "project"},
    ]
    reply = say(desk, "ImportDatabase", imported_json=json.dumps({"models": rows}))
    assert [(each["id"], each["outcome"]) for each in reply["rows"]] == [
        ("a", "mended"),
        ("b", "failed"),
        ("c", "mended"),
    ]


def test_numbers_of_an_imported_job_that_are_none_are_left_out(desk: Desk) -> None:
    jobs = [{"id": "x", "status": "succeeded", "last_metrics": {"loss": "low"}}]
    say(desk, "ImportDatabase", imported_json=json.dumps({"fine_tuning_jobs": [{"id": "x"}], "jobs": jobs}))
    (job,) = say(desk, "ListFineTuningJobs")["fine_tuning_jobs"]
    assert (job["status"], job["last_metrics"]) == ("cancelled", {})


@pytest.mark.decision("D-134")
def test_a_table_or_column_that_is_in_a_file_twice_is_told_and_not_lost_in_silence(desk: Desk) -> None:
    twice = '{"models": [{"id": "x", "type": "project"}], "models": []}'
    (breach,) = answer(desk, "ImportDatabase", {"imported_json": twice}, None)["breaches"]
    assert (breach["rule"], "'models' twice" in breach["message"]) == ("DB-103", True)
    (breach,) = answer(desk, "ImportDatabase", {"imported_json": '{"models": {"data": [], "data": []}}'}, None)[
        "breaches"
    ]
    assert "'data' twice" in breach["message"]
    column = '{"models": [{"id": "x", "type": "project", "name": "a", "name": "b"}, {"id": "y", "type": "project"}]}'
    reply = say(desk, "ImportDatabase", imported_json=column)
    assert [(each["id"], each["outcome"]) for each in reply["rows"]] == [("x", "failed"), ("y", "mended")]


def test_a_text_that_tells_of_a_nul_is_none(desk: Desk) -> None:
    row = {"id": "d", "type": "project_csv", "name": "d", "preview": [{"code": "print('\\u0000')"}]}
    say(desk, "ImportDatabase", imported_json=json.dumps({"datasets": [row]}))
    assert say(desk, "GetDataset", id="d")["dataset"]["preview"] == row["preview"]


def test_whose_a_config_is_has_two_answers(desk: Desk) -> None:
    row = {"id": "c", "type": "custom", "config": "{}", "is_default": 7}
    (told,) = say(desk, "ImportDatabase", imported_json=json.dumps({"configs": [row]}))["rows"]
    assert told["reasons"] == ["is_default was 7 and is taken to be 0"]
    assert [each["id"] for each in say(desk, "ListConfigs", is_default=False)["configs"]] == ["c"]


AWAY = ("the Hugging Face Hub", "registry", "MLflow")  # what the tests have none of


def test_whatever_a_well_shaped_payload_holds_no_database_fails(desk: Desk, tmp_path: Path) -> None:
    add_inputs(desk.store)
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")

    @settings(deadline=None, suppress_health_check=QUIET, database=None)
    @given(well_shaped(frozenset({LONG, LONG[:255], "\U0001f600" * 300, '{"a": "\\ud800"}', "1: 2\na: 3", "p"})))
    def done_or_refused(made: tuple[str, Any]) -> None:
        reply = answer(desk, *made, None)
        code = None if reply["ok"] else reply["code"]
        away = code == "unavailable" and any(word in reply["message"] for word in AWAY)
        assert away or code in {None, "refused", "not_found", "conflict"}, (made, reply)

    done_or_refused()
    for name in ("Datasets", "Models", "Prompts", "Adapters", "Configs", "FineTuningJobs", "EvaluationJobs"):
        say(desk, f"List{name}")
