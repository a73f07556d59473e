"""The command line reaches every message, tells in every form, and says by its exit code what happened; shells complete it."""

from __future__ import annotations

import argparse
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.messages import REGISTRY, Command
from core.messages.jobs import GetJobLog
from core.types import DatasetType, JobStatus
from tests.tui.rows import job
from tui.cli.completion import SHELLS, nodes, script
from tui.cli.main import main, parser
from tui.cli.verbs import VERBS
from tui.cli.watch import wait_for
from tui.forms import fields

# What only programs say to the studio; people have better ways, and `fts send` for the rest.
PROGRAMS = {"RegisterRunner", "ReportProgress", "CheckCommand"}
OTHER_WAYS = {
    "GetJobLog": "job logs",
    "PlanFineTuningJob": "job plan",
    "GetPlan": "job plan",
    "AskComparison": "compare ask",
    "GetOverview": "overview",
    "GetWorkbench": "workbench",
}


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(list(words))
    told = capsys.readouterr()
    return int(done.value.code or 0), told.out, told.err


def commands(made: argparse.ArgumentParser, path: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    groups = [action for action in made._actions if isinstance(action, argparse._SubParsersAction)]
    if not groups:
        yield path.strip(), made
    for group in groups:
        for name, each in group.choices.items():
            yield from commands(each, f"{path} {name}")


COMMANDS = dict(commands(parser()))


def options(path: str) -> set[str]:
    return {name for action in COMMANDS[path]._actions for name in action.option_strings}


def test_every_message_for_people_has_a_verb() -> None:
    verbs = {verb.message for verb in VERBS}
    assert set(REGISTRY) - verbs - PROGRAMS - set(OTHER_WAYS) == set()
    assert set(OTHER_WAYS.values()) <= set(COMMANDS)


@pytest.mark.parametrize("name", sorted(name for name in REGISTRY if issubclass(REGISTRY[name], Command)))
def test_every_command_can_be_sent_by_its_name(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["send", name, "--json", json.dumps(REGISTRY[name].EXAMPLE), "--dry-run", "-o", "json"]
    code, out, _ = run(capsys, *words)
    assert code in ((0,) if REGISTRY[name].EXAMPLE else (0, 3))
    assert {"ok"} <= set(json.loads(out))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: f"{verb.noun}-{verb.verb}")
def test_every_verb_takes_the_options_that_all_have(verb: Any) -> None:
    told = options(f"{verb.noun} {verb.verb}")
    assert {"-o", "--output", "--timeout"} <= told
    assert ({"--key", "--dry-run"} <= told) == issubclass(REGISTRY[verb.message], Command)


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: f"{verb.noun}-{verb.verb}")
def test_what_a_verb_does_is_told_to_the_end_of_its_sentence(verb: Any) -> None:
    told = (COMMANDS[f"{verb.noun} {verb.verb}"].description or "").removesuffix(f" ({verb.message})")
    assert told.endswith(".") and "\n" not in told


def test_the_key_of_a_request_to_serve_is_told_apart_from_the_key_of_callers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    told = " ".join(run(capsys, "serve", "--help")[1].split())
    assert "does it once; a key for callers is given by --key-sha256" in told


def test_every_command_that_tells_data_tells_it_as_json_and_yaml() -> None:
    quiet = {
        "cloudera setup",
        "cloudera start",
        "up",
        "down",
        "demo",
        "web",
        "completion",
        "engine install",
        "engine remove",
    }
    without = {path for path in COMMANDS if not {"-o"} <= options(path)}
    assert without == quiet
    for path in set(COMMANDS) - quiet:
        forms = next(action.choices for action in COMMANDS[path]._actions if "-o" in action.option_strings)
        assert {"table", "json", "yaml"} <= set(forms or ())


@pytest.mark.parametrize("words", [["schema"], ["schema", "AddDataset"], ["doctor"]])
def test_json_and_yaml_tell_the_same(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    as_json, as_yaml = (run(capsys, *words, "-o", form)[1] for form in ("json", "yaml"))
    assert yaml.safe_load(as_yaml) == json.loads(as_json)
    assert run(capsys, *words, "-o", "table")[1].strip()


def test_a_refusal_is_told_in_the_form_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["dataset", "add", "--type", "zip", "--dry-run", "-o"]
    code, out, _ = run(capsys, *words, "yaml")
    told = yaml.safe_load(out)
    assert (code, told["ok"], told["code"]) == (3, False, "refused")
    assert told == json.loads(run(capsys, *words, "json")[1])


def test_exit_codes_say_what_happened(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path / "nowhere"))
    assert (
        run(capsys, "dataset", "add", "--type", "project_csv", "--name", "x", "--location", "x.csv", "--dry-run")[0]
        == 0
    )
    assert run(capsys, "no-such-command")[0] == 2
    assert run(capsys, "send", "AddDataset", "--json", "{")[0] == 2
    assert run(capsys, "dataset", "add", "--dry-run")[0] == 3
    assert run(capsys, "schema", "Nothing")[0] == 4
    assert run(capsys, "dataset", "list")[0] == 5
    assert run(capsys, "dataset", "list", "-o", "json")[0] == 5


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("datset list", "dataset"),
        ("dataset lst", "list"),
        ("dataset add --nme x", "--name"),
        ("evaluation submit --pare x", "--pair"),
        ("runner drain --no-draning x", "--no-draining"),
        ("job submit --learning-rat 1 --dry-run", "--learning-rate"),
        ("job submit --learning-rat=1 --dry-run", "--learning-rate"),
        ("job logs --gre x name", "--grep"),
    ],
)
def test_a_mistyped_word_is_answered_in_a_line_with_what_comes_nearest(
    words: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, *words.split())
    assert (code, out) == (2, "")
    assert f"did you mean {told}" in err and "--help" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("text", "told"), [("", "at least 1"), ("x" * 1001, "at most 1000")], ids=["none", "long"])
def test_a_text_that_no_log_can_be_searched_for_is_wrong_usage(
    text: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "job", "logs", "--grep", text, "name")
    assert (code, out) == (2, "") and err.count("\n") == 1
    assert "--grep" in err and told in err


def test_a_message_that_cant_be_made_of_the_words_is_told_by_its_fields(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.cli.doctor.run", lambda arguments: GetJobLog(id="x", limit=0, contains=""))
    code, out, err = run(capsys, "doctor")
    assert (code, out) == (3, "")
    assert "MS-101 limit" in err and "MS-101 contains" in err
    code, out, _ = run(capsys, "doctor", "-o", "json")
    assert (code, [each["field"] for each in json.loads(out)["breaches"]]) == (3, ["limit", "contains"])


def test_a_wrong_shape_is_told_with_its_value_and_with_all_else_that_is_wrong(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["--adapter-name", "a b", "--priority", "1000", "--num-cpu", "0", "--max-length", "7", "--dry-run"]
    code, out, err = run(capsys, "job", "submit", *words)
    assert (code, out) == (3, "")
    assert "MS-101 priority: priority must be less than or equal to 100, not 1000" in err
    assert re.findall(r"error: (\S+)", err) == ["MS-101", "FT-002", "FT-004", "FT-013", "FT-014", "FT-015", "FT-104"]
    fields = {"chat_template": "yes", "max_length": 7}
    code, _, err = run(capsys, "send", "StartFineTuningJob", "--json", json.dumps(fields), "--dry-run")
    assert 'chat_template must be a valid boolean, not "yes"' in err
    assert code == 3 and "FT-015" not in err, "what a field of a wrong shape was meant to be is not known"


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        ([], {"last": True, "plans": False}),
        (["--limit", "5", "--plans"], {"limit": 5, "last": True, "plans": True}),
        (["--after", "7"], {"after": 7, "last": False, "plans": False}),
        (["--resource-id", "x", "--no-last"], {"resource_id": "x", "last": False, "plans": True}),
    ],
)
def test_the_log_is_read_from_its_end_without_plans_unless_it_is_asked_otherwise(
    words: list[str], asked: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr("tui.cli.verbs.request", lambda arguments, name, fields: sent.append(fields) or 0)
    with pytest.raises(SystemExit):
        main(["event", "list", *words])
    assert sent == [asked]


def test_a_noun_alone_lists_its_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "dataset")
    assert (code, out) == (2, "")
    assert all(verb.verb in err for verb in VERBS if verb.noun == "dataset")


def test_a_setting_that_cant_be_read_is_told_by_its_variable_and_without_its_value(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FTS_REPLY_TIMEOUT", "soon")
    monkeypatch.setenv("FTS_REDIS_URL", "http://:secret@host")
    code, out, err = run(capsys, "dataset", "list")
    assert (code, out) == (2, "")
    assert "FTS_REPLY_TIMEOUT" in err and "FTS_REDIS_URL" in err and "redis://" in err
    assert "secret" not in err and "Traceback" not in err


def test_who_cant_be_reached_is_told_with_what_to_do(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FTS_HOME", str(tmp_path))
    assert (
        run(capsys, "dataset", "list")[2].strip()
        == f"unavailable: the studio of {tmp_path} is not up; `fts up` starts it"
    )
    monkeypatch.setenv("FTS_REDIS_URL", "redis://:secret@localhost:1/0")
    code, _, err = run(capsys, "dataset", "list")
    assert code == 5 and "FTS_REDIS_URL" in err and "refused" in err
    assert "secret" not in err and "fts up" not in err


def test_a_payload_comes_from_the_words_from_a_file_or_from_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    text = '{"type": "custom", "config": "{}"}'
    path = tmp_path / "payload.json"
    path.write_text(text)
    for given in (text, f"@{path}", "@-"):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        code, out, _ = run(capsys, "send", "AddConfig", "--json", given, "--dry-run")
        assert (code, json.loads(out)["payload"]) == (0, json.loads(text))
    for given in ("@nowhere.json", f"@{tmp_path}"):
        code, out, err = run(capsys, "send", "AddConfig", "--json", given)
        assert (code, out) == (2, "") and "can't read" in err


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        ({"typ": "custom"}, "there is no field 'typ'; did you mean type?"),
        ({"zzz": 1}, "there is no field 'zzz'"),
        ({"type": "custom", "config": " "}, "config is required"),
    ],
)
def test_an_unknown_field_is_answered_with_the_nearest_and_a_missing_one_by_its_name(
    payload: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = run(capsys, "send", "AddConfig", "--json", json.dumps(payload), "--dry-run")
    assert code == 3 and told in err


def test_an_unknown_field_of_a_part_is_answered_with_the_nearest_one_of_the_part(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pairs = {"model_adapter_combinations": [{"base_model": "m"}]}
    for name, payload, near in (
        ("AddPrompt", {"prompt": {"nam": "x"}}, "name"),
        ("StartEvaluationJob", pairs, "base_model_id"),
    ):
        err = run(capsys, "send", name, "--json", json.dumps(payload), "--dry-run")[2]
        assert f"did you mean {near}?" in err


@pytest.mark.parametrize("given", ["0", "-1", "nan", "inf", "soon"])
def test_a_time_to_wait_is_above_zero(given: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "dataset", "list", f"--timeout={given}")[0] == 2


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, "fts 0.1.0\n")


def test_what_is_wrong_with_an_option_goes_to_stderr_and_not_into_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "send", "AddDataset", "--json", "{")
    assert (code, out) == (2, "")
    assert "JSON" in err


def test_parsing_a_command_line_imports_neither_queue_nor_database_nor_terminal() -> None:
    heavy = ("dramatiq", "redis", "sqlalchemy", "textual", "torch", "transformers", "mlflow", "datasets", "yaml")
    code = f"import sys; from tui.cli.main import parser; parser(); print([n for n in {heavy!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


EXPECTED = {
    "fts da": {"database", "dataset"},
    "fts dataset ": {verb.verb for verb in VERBS if verb.noun == "dataset"},
    "fts dataset add --hugging": {"--huggingface-name"},
    "fts dataset list -o ": {"table", "json", "yaml"},
    "fts validate -o sa": {"sarif"},
    "fts completion ": set(SHELLS),
    "fts dataset add --type project_": {each.value for each in DatasetType if each.value.startswith("project_")},
    "fts job list --status ca": {"cancelled", "cancel_requested"},
    "fts schema AddD": {"AddDataset"},
    "fts send Cancel": {"CancelJob"},
    "fts job submit --adapter-name dataset --auto": {"--auto-add-adapter"},
}
ASK = {
    "bash": "source {script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}}-1)); _fts; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
    "zsh": "compdef() {{ :; }}; compadd() {{ shift; printf '%s\\n' \"$@\"; }}; _files() {{ :; }}; compset() {{ :; }}; "
    "source {script}; words=({words}); CURRENT=$#words; _fts",
    "fish": 'source {script}; complete -C "{line}"',
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_commands_options_and_choices(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    path = tmp_path / "completion"
    path.write_text(script(parser(), shell))
    for line, expected in EXPECTED.items():
        words = " ".join(f"'{word}'" for word in line.split(" "))
        code = ASK[shell].format(script=path, words=words, line=line)
        flags = {"bash": ["--norc"], "zsh": ["-f"], "fish": ["--no-config"]}[shell]
        done = subprocess.run([shell, *flags, "-c", code], capture_output=True, text=True, check=True)
        assert done.stderr == ""
        offered = {each.split("\t")[0] for each in done.stdout.splitlines()}
        assert {each for each in offered if each.startswith(line.rsplit(" ", 1)[1])} == expected, line


def test_bash_completes_a_file_behind_the_sign_that_takes_its_text(tmp_path: Path) -> None:
    (tmp_path / "lora.json").write_text("{}")
    (tmp_path / "lora").mkdir()
    path = tmp_path / "completion"
    path.write_text(script(parser(), "bash"))
    for words in (f"'@{tmp_path}/lo'", f"@ '{tmp_path}/lo'"):  # as one word, and as bash takes it apart
        code = ASK["bash"].format(script=path, words=f"fts config add --config {words}")
        done = subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True, check=True)
        assert set(done.stdout.split()) == {f"@{tmp_path}/lora.json", f"@{tmp_path}/lora/"}
    code = ASK["bash"].format(script=path, words="fts config add --type = cus")
    assert subprocess.run(["bash", "--norc", "-c", code], capture_output=True, text=True).stdout == "custom\n"


@pytest.mark.parametrize(
    "words",
    [
        ["--metrics", "a.py", "--metrics", "[b.py"],
        ["--metrics", '["a.py", "[b.py"]'],
        ["--metrics", '["a.py"]', "--metrics", "[b.py"],
    ],
)
def test_an_option_of_several_values_is_given_again_or_as_a_json_list(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    code, out, _ = run(capsys, "evaluation", "submit", "--pair", "m", "--dataset", "d", *words, "--dry-run")
    assert (code, json.loads(out)["payload"]["metrics"]) == (0, ["a.py", "[b.py"])


def test_what_a_form_offers_and_a_shell_completes_is_what_the_rules_take(capsys: pytest.CaptureFixture[str]) -> None:
    offered = {field.name: set(field.choices) for field in fields("AddDataset")}
    assert offered["type"] == {each.value for each in DatasetType}
    for value in ("zip", *DatasetType):
        err = run(capsys, "dataset", "add", "--type", value, "--dry-run")[2]
        assert ("DS-001" in err) == (value == "zip")


def test_completion_knows_every_command_and_option() -> None:
    known = {" ".join(node.path): node for node in nodes(parser())}
    for path in COMMANDS:
        assert {name for flag in known[path].flags for name in flag.names} == options(path)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"adapter_id": "a1"}, "the adapter is tickets: a1\n"),
        ({"method": "full", "trained_model_id": "m1"}, "the model is tickets: m1\n"),
        ({}, ""),
    ],
    ids=["adapter", "model", "neither"],
)
def test_what_a_job_made_is_named_at_its_end(
    made: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = job("j", adapter_name="tickets", status=JobStatus.succeeded, auto_add_adapter=True, **made)
    client: Any = None
    monkeypatch.setattr("tui.cli.watch.state", lambda *asked: done)
    assert wait_for(client, "j") == 0
    first, _, rest = capsys.readouterr().out.partition("\n")
    assert first.startswith("succeeded") and rest == told
