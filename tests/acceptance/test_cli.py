"""The studio as one meets it from a command line: real processes, a real small training."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.spec import Sampling
from gpu_runner.data import sample_and_split
from tests.runner.tiny import make_model
from tests.whole import Whole

ARGUMENTS = json.dumps(
    {
        "num_train_epochs": 1,
        "per_device_train_batch_size": 16,
        "learning_rate": 0.01,
        "optim": "adamw_torch",
        "eval_strategy": "no",
    }
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    made = Whole(make_model(tmp_path_factory.mktemp("models") / "tiny"))
    made.up()
    yield made
    made.down()


def told(whole: Whole, *words: str) -> dict[str, object]:
    made: dict[str, object] = json.loads(whole.fts(*words, "-o", "json").stdout)
    return made


@pytest.fixture(scope="module")
def trained(whole: Whole) -> str:
    """Everything from data to an adapter by the command line; the adapter's name."""
    whole.fts("dataset", "add", "--type", "project_csv", "--name", "rows", "--location", "rows.csv")
    whole.fts("model", "add", "--type", "project", "--name", "tiny", "--location", "models/tiny")
    (whole.directory / "prompt.txt").write_text("{text} {intent}")
    prompt = ["--prompt-template", "@prompt.txt", "--input-template", "{text}", "--completion-template", " {intent}"]
    whole.fts("prompt", "add", "--name", "act", "--dataset", "rows", *prompt)
    (whole.directory / "arguments.json").write_text(ARGUMENTS)
    resources = [
        "--num-cpu",
        "1",
        "--num-gpu",
        "0",
        "--num-memory",
        "1",
        "--max-length",
        "32",
        "--no-packing",
        "--loss-on",
        "completion",
    ]
    done = whole.fts(
        "job", "submit", "--adapter-name", "from-cli", "--base-model", "tiny", "--dataset", "rows", "--prompt", "act",
        "--training-arguments-config", "@arguments.json", *resources, "--wait",
    )  # fmt: skip
    assert "succeeded" in done.stdout
    return "from-cli"


def test_a_job_goes_from_data_to_a_registered_adapter(whole: Whole, trained: str) -> None:
    adapters = told(whole, "adapter", "list")["adapters"]
    assert [each["name"] for each in adapters] == [trained]  # type: ignore[attr-defined,index]
    job = told(whole, "job", "show", trained)["fine_tuning_job"]
    assert job["status"] == "succeeded" and job["adapter_id"] == adapters[0]["id"]  # type: ignore[index]


def test_its_log_and_events_and_numbers_are_told_by_its_name(whole: Whole, trained: str) -> None:
    log = whole.fts("job", "logs", "-f", trained).stdout
    assert "training" in log and "succeeded" in log
    found = whole.fts("job", "logs", "--grep", "PARAMETERS are trained", trained).stdout.splitlines()
    assert len(found) == 1 and found[0].split(":")[0].isdecimal() and "parameters are trained" in found[0]
    assert whole.fts("job", "logs", "--grep", "no such word", trained, check=False).returncode == 1
    assert "JobSucceeded" in whole.fts("job", "events", trained).stdout
    series = told(whole, "job", "metrics", trained)["series"]
    assert {"loss", "learning_rate"} <= {each["name"] for each in series}  # type: ignore[attr-defined]


def test_base_and_adapter_are_scored_side_by_side_on_held_out_rows(whole: Whole, trained: str) -> None:
    done = whole.fts(
        "evaluation", "submit", "--pair", "tiny", "--pair", f"tiny:{trained}", "--dataset", "rows", "--prompt", "act",
        "--num-cpu", "1", "--num-gpu", "0", "--num-memory", "1", "--generation-config", '{"max_new_tokens": 4, "do_sample": false}', "--wait",
    )  # fmt: skip
    assert "succeeded" in done.stdout
    assert "exact %" in done.stdout and trained in done.stdout and "perplexity" not in done.stdout
    rows = told(whole, "evaluation", "list")["evaluation_jobs"]
    assert [row["status"] for row in rows] == ["succeeded", "succeeded"]  # type: ignore[attr-defined]
    assert [row["rows"] for row in rows] == [60, 60]  # type: ignore[attr-defined]
    batch = str(rows[0]["parent_job_id"])  # type: ignore[index]
    answers = told(whole, "evaluation", "rows", batch, "--order", "worst")
    assert (answers["total"], answers["metric"]) == (60, "f1")
    assert set(answers["rows"][0]["answers"]) == {row["id"] for row in rows}  # type: ignore[index,attr-defined]
    shown = whole.fts("evaluation", "row", batch[:8], "3").stdout
    assert "── row 3" in shown and f"tiny + {trained}" in shown and "expected" in shown
    results = whole.fts("evaluation", "results", batch).stdout
    assert "baseline" in results and "dataset  rows" in results
    every = whole.fts("evaluation", "results", batch, "--all").stdout
    assert "exact match, in %, higher is better" in every and f"tiny + {trained}" in every and "perplexity" in every
    for name in ("all.csv", "all.json"):
        whole.fts("evaluation", "export", batch, "--to", str(whole.directory / name))
    with (whole.directory / "all.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert len(table) == 61 and table[0][:3] == ["row", "prompt", "expected"]
    written = json.loads((whole.directory / "all.json").read_text())
    assert len(written["answers"]) == 60 and len(written["results"]) == 2
    assert "succeeded" in whole.fts("evaluation", "logs", "evaluation on rows").stdout


def test_a_copied_adapter_is_asked_nothing_that_it_has_learned_of_a_changed_file(whole: Whole, trained: str) -> None:
    adapter: Any = told(whole, "adapter", "show", trained)["adapter"]
    shutil.copytree(adapter["location"], whole.directory / "copied")
    whole.fts("adapter", "add", "--type", "project", "--name", "stranger", "--location", "copied", "--model", "tiny")
    head, *rows = (whole.directory / "rows.csv").read_text().splitlines()
    (whole.directory / "changed.csv").write_text("\n".join([head, "w1 new w2,w3", *reversed(rows)]) + "\n")
    whole.fts("dataset", "add", "--type", "project_csv", "--name", "changed", "--location", "changed.csv")
    done = whole.fts(
        "evaluation", "submit", "--pair", "tiny:stranger", "--dataset", "changed", "--prompt", "act", "--num-cpu", "1",
        "--num-gpu", "0", "--num-memory", "1", "--generation-config", '{"max_new_tokens": 2, "do_sample": false}', "--wait",
    )  # fmt: skip
    assert "540 of 601 rows are left out" in done.stdout
    learned, held_out = sample_and_split({"train": list(csv.DictReader([head, *rows]))}, Sampling())
    asked: Any = told(whole, "evaluation", "rows", "evaluation on changed", "--limit", "1000")["rows"]
    questions = {(row["prompt"], row["expected"]) for row in asked}
    assert len(asked) == 61 and not questions & {(row["text"], row["intent"]) for row in learned}
    assert questions == {(row["text"], row["intent"]) for row in held_out} | {("w1 new w2", "w3")}


def test_a_training_is_planned_as_it_ran_in_seconds(whole: Whole, trained: str) -> None:
    asked = (
        "job", "plan", "--base-model", "tiny", "--dataset", "rows", "--prompt", "act", "--num-cpu", "1", "--num-gpu", "0",
        "--max-length", "32", "--no-packing", "--loss-on", "completion", "--training-arguments-config", "@arguments.json",
    )  # fmt: skip
    began = time.monotonic()
    shown = whole.fts(*asked).stdout
    assert time.monotonic() - began < 20  # a few, on a machine that does nothing else
    for part in ("540 to train on, 60 held out", "✓ fits", "by 1 job there", "tokens a row", "example 1", "▲▲▲▲", "├"):
        assert part in shown
    assert "\x1b" not in shown
    made: Any = told(whole, *asked)
    job: Any = told(whole, "job", "show", trained)["fine_tuning_job"]
    assert (made["status"], made["plan"]["steps"]) == ("succeeded", job["total_steps"])
    assert made["plan"]["fits"][0]["jobs"] == 1  # what it needs and takes is corrected by the job that ran here
    low, mid, high = made["plan"]["seconds"]
    assert low <= mid <= high


def test_a_plan_that_fails_as_the_training_would_says_why(whole: Whole, trained: str) -> None:
    cut = ("--max-length", "8", "--loss-on", "completion", "--prompt", "long")
    template = "a " * 20 + "{text}"
    prompt = [
        "--prompt-template",
        template + " {intent}",
        "--input-template",
        template,
        "--completion-template",
        " {intent}",
    ]
    whole.fts("prompt", "add", "--name", "long", "--dataset", "rows", *prompt)
    done = whole.fts("job", "plan", "--base-model", "tiny", "--dataset", "rows", "--num-gpu", "0", *cut, check=False)
    assert done.returncode == 1
    assert "max_length 8 cuts every row" in done.stderr


def test_every_breach_is_printed_and_the_exit_code_says_refused(whole: Whole) -> None:
    done = whole.fts("job", "submit", "--adapter-name", "a b", "--num-cpu", "0", "--learning-rate", "-1", check=False)
    assert done.returncode == 3
    for rule in ("FT-002", "FT-004", "FT-009", "FT-013", "FT-014", "FT-015"):
        assert rule in done.stderr


def test_a_dry_run_needs_no_studio_and_sends_nothing(whole: Whole) -> None:
    good = whole.fts("config", "add", "--type", "lora_config", "--config", '{"r": 4}', "--dry-run")
    assert json.loads(good.stdout)["ok"] is True
    bad = whole.fts("config", "add", "--type", "lora_config", "--config", '{"rank": 4}', "--dry-run", check=False)
    assert bad.returncode == 3 and "CF-102" in bad.stderr


def test_the_same_key_does_it_once(whole: Whole) -> None:
    add = ["config", "add", "--type", "custom", "--config", '{"only": "once"}', "--key", "k-1", "-o", "json"]
    assert whole.fts(*add).stdout == whole.fts(*add).stdout
    other = whole.fts("config", "add", "--type", "custom", "--config", '{"another": 1}', "--key", "k-1", check=False)
    assert other.returncode == 3 and "conflict" in other.stderr


def test_what_is_not_there_is_exit_code_4(whole: Whole) -> None:
    assert whole.fts("dataset", "show", "nothing", check=False).returncode == 4
    assert whole.fts("schema", "NoSuchMessage", check=False).returncode == 4


def test_a_name_that_there_is_not_is_answered_with_the_nearest_one(whole: Whole, trained: str) -> None:
    for words in (["dataset", "show", "row"], ["dataset", "remove", "row"], ["prompt", "generate", "row"]):
        assert "did you mean rows?" in whole.fts(*words, check=False).stderr
    done = whole.fts("job", "events", "from-clu", check=False)
    assert done.returncode == 4 and f"did you mean {trained}?" in done.stderr


def test_a_job_that_waits_says_so_where_its_log_would_be(whole: Whole, trained: str) -> None:
    words = ["--base-model", "tiny", "--dataset", "rows", "--prompt", "act", "--num-gpu", "8"]
    whole.fts("job", "submit", "--adapter-name", "too-large", *words)
    assert "no log yet: queued  waiting for a runner with 8 GPU" in whole.fts("job", "logs", "too-large").stderr
    whole.fts("job", "cancel", "too-large")


def test_a_draft_of_a_prompt_is_stored_by_the_command_that_comes_with_it(whole: Whole, trained: str) -> None:
    draft = whole.fts("prompt", "generate", "rows").stdout
    command = shlex.split(draft[draft.index("fts prompt add") :])
    stored = whole.fts(*command[1:]).stdout
    assert "prompt_template" in stored
    name = command[command.index("--name") + 1]
    assert "learned" in whole.fts("prompt", "preview", name).stdout


def test_an_import_that_leaves_rows_out_says_so_by_its_exit_code(whole: Whole) -> None:
    bad = {"datasets": [{"id": "bad", "name": "bad", "type": "zip"}], "models": []}
    (whole.directory / "bad.json").write_text(json.dumps(bad))
    done = whole.fts("database", "import", "bad.json", "--preview", check=False)
    assert done.returncode == 1 and "DS-001" in done.stdout and "1 row can't be stored" in done.stderr


def test_any_message_can_be_sent_and_described(whole: Whole) -> None:
    assert "runners" in json.loads(whole.fts("send", "ListRunners", "-o", "json").stdout)
    schema = json.loads(whole.fts("schema", "StartFineTuningJob").stdout)
    assert {"FT-001", "FT-016"} <= {rule["id"] for rule in schema["rules"]}
    assert "adapter_name" in schema["payload"]["properties"]


def test_a_file_of_messages_is_validated_with_every_breach(whole: Whole) -> None:
    path = whole.directory / "requests.yaml"
    path.write_text("- name: AddDataset\n  payload: {type: zip, name: x}\n- name: Nope\n- name: ListDatasets\n")
    done = whole.fts("validate", str(path), check=False)
    assert done.returncode == 3
    assert "DS-001" in done.stdout and "MS-104" in done.stdout and "3 messages" in done.stdout
    path.write_text("name: ListDatasets\n")
    assert whole.fts("validate", str(path)).returncode == 0


def test_the_doctor_finds_the_studio_and_its_runner(whole: Whole) -> None:
    done = whole.fts("doctor")
    assert "; 1 runner\n" in done.stdout and "valkey.sock" in done.stdout


def test_hostile_names_do_not_reach_the_terminal(whole: Whole) -> None:
    evil = "\x1b]52;c;ZXZpbA==\x07[red]\u202e"
    whole.fts("config", "add", "--type", "custom", "--config", '{"x": 1}', "--description", evil)
    shown = whole.fts("config", "list").stdout
    assert "\x1b" not in shown and "\u202e" not in shown and "[red]" in shown


def test_without_a_studio_it_says_how_to_start_one(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "FTS_HOME": str(tmp_path), "PYTHONPATH": str(root)}
    for words in ([], ["dataset", "list"]):
        done = subprocess.run(
            [sys.executable, "-m", "tui.cli.main", *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 5
        assert "fts up" in done.stderr
