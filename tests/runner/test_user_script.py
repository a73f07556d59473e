"""Scripts of users: what they say is told, what they are ordered reaches them, how they end is told right."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.spec import FineTuningSpec
from gpu_runner import child, user_script
from gpu_runner.engines.program import Patience
from gpu_runner.launch import Launch, cold_command
from gpu_runner.spool import Spool
from tests.runner.attempts import Attempt
from tests.runner.studio import spec_of, until
from tests.runner.tiny import make_rows

DOCS = Path(__file__).parents[2] / "docs" / "user-scripts.md"
EXAMPLE = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)[0]
ADAPTER = """
import json, fts_job as job
with job.adapter() as directory:
    (directory / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (directory / "adapter_model.safetensors").write_bytes(b"weights")
"""
Run = Callable[..., Attempt]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a script's text as an attempt of a job, to its end."""
    scripts = tmp_path / "scripts"
    scripts.mkdir()
    monkeypatch.setenv("FTS_SCRIPTS_DIR", str(scripts))

    rows = {"id": "d", "name": "d", "type": "project_jsonl", "location": str(make_rows(tmp_path / "rows.jsonl"))}

    def run(text: str, number: int = 1, order: str | None = None, **extra: Any) -> Attempt:
        (scripts / "mine.py").write_text(text)
        attempt = Attempt(tmp_path, number)
        attempt.run(spec_of("job", tmp_path, **{"user_script": "mine.py", "dataset": rows, **extra}), order)
        return attempt

    return run


def logged(attempt: Attempt) -> str:
    return "\n".join(record["text"] for record in attempt.records("log", "warning"))


def test_the_example_of_the_documentation_is_ten_lines_and_runs(run: Run) -> None:
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) == 10
    attempt = run(EXAMPLE, user_config=json.dumps({"steps": 3}))
    assert attempt.finished()["outcome"] == "succeeded" and attempt.finished()["summary"]["steps"] == 3
    assert [record["values"]["loss"] for record in attempt.records("metrics")] == pytest.approx([1, 1 / 2, 1 / 3])
    assert [(record["step"], record["total_steps"]) for record in attempt.records("progress")] == [
        (1, 3),
        (2, 3),
        (3, 3),
    ]


def test_the_rows_that_a_script_is_to_learn_are_noted_when_they_can_be_read(run: Run, tmp_path: Path) -> None:
    gone = {"id": "d", "name": "d", "type": "project_jsonl", "location": str(tmp_path / "gone")}
    lacking = run(ADAPTER, dataset=gone)
    assert lacking.finished()["outcome"] == "succeeded" and "can't be noted" in logged(lacking)
    assert run(ADAPTER, number=2).noted()


def test_the_example_pauses_with_a_checkpoint_and_goes_on_from_there(run: Run) -> None:
    paused = run(EXAMPLE, order="pause", user_config=json.dumps({"steps": 3}))
    assert paused.finished()["outcome"] == "paused" and paused.checkpoints() == ["checkpoint-1"]
    resumed = run(EXAMPLE, number=2, user_config=json.dumps({"steps": 3}))
    assert [record["from_step"] for record in resumed.records("resumed")] == [1]
    assert [record["step"] for record in resumed.records("metrics")] == [2, 3]


def test_a_damaged_checkpoint_is_not_handed_to_the_script(run: Run) -> None:
    paused = run(EXAMPLE, order="pause", user_config=json.dumps({"steps": 3}))
    (paused.directory / "checkpoints" / "checkpoint-1" / "state.txt").write_text("2")
    resumed = run(EXAMPLE, number=2, user_config=json.dumps({"steps": 3}))
    assert [record["from_step"] for record in resumed.records("resumed")] == [0]
    assert "state.txt is not what was saved" in logged(resumed)


def test_a_checkpoint_of_another_config_is_refused_and_one_of_a_mended_script_is_not(run: Run) -> None:
    run(EXAMPLE, order="pause", user_config=json.dumps({"steps": 3}))
    mended = run(EXAMPLE + "\n# mended", number=2, order="pause", user_config=json.dumps({"steps": 3}))
    assert [record["from_step"] for record in mended.records("resumed")] == [1]
    error = run(EXAMPLE, number=3, user_config=json.dumps({"steps": 4})).finished()["error"]
    assert error["kind"] == "user_error" and "another config" in error["message"]


def test_the_adapter_goes_to_its_place_whole_and_is_told(run: Run, tmp_path: Path) -> None:
    attempt = run(ADAPTER)
    told = attempt.records("artifact")[0]
    assert told["kind"] == "adapter" and Path(told["path"]) == tmp_path / "out" / "job" / "1"
    assert sorted(told["files"]) == ["adapter_config.json", "adapter_model.safetensors"]
    assert attempt.adapter().read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("instead", "said"),
    [
        ('(directory / "adapter_config.json").write_text("{}")', "safetensors are needed"),
        ('(directory / "adapter_model.bin").write_bytes(b"x")', "safetensors are needed"),
        (
            '[(directory / name).write_text("{}") for name in ("adapter_config.json", "a.safetensors", "more.pt")]',
            "pickled files are not taken",
        ),
    ],
)
def test_what_is_no_adapter_is_refused(run: Run, tmp_path: Path, instead: str, said: str) -> None:
    error = run(f"import fts_job as job\nwith job.adapter() as directory:\n    {instead}").finished()["error"]
    assert error["kind"] == "user_error" and said in error["message"] and error["hint"]
    assert not (tmp_path / "out" / "job" / "1").exists()


def test_a_checkpoint_or_adapter_whose_writing_breaks_off_is_none(run: Run, tmp_path: Path) -> None:
    attempt = run("import fts_job as job\nwith job.checkpoint(1) as directory:\n    1 / 0")
    assert attempt.checkpoints() == [] and attempt.records("checkpoint") == []
    assert run(ADAPTER + "    1 / 0", number=2).records("artifact") == []
    assert not (tmp_path / "out" / "job" / "2").exists()


def test_a_script_that_fails_is_its_users_error_with_the_last_lines(run: Run) -> None:
    error = run('print("reading"); raise SystemExit("the column price is missing")').finished()["error"]
    assert error["kind"] == "user_error" and "exit code 1: the column price is missing" in error["message"]
    assert error["log_tail"][-2:] == ["reading", "the column price is missing"] and error["hint"]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('raise MemoryError("no")', "out_of_memory"),
        ('raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")', "out_of_memory"),
        ("import errno, os; raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))", "disk_full"),
        ("import os; os.kill(os.getpid(), 9)", "killed"),
    ],
)
def test_each_bad_end_is_told_as_what_it_is(run: Run, text: str, kind: str) -> None:
    error = run(text).finished()["error"]
    assert error["kind"] == kind and error["cause"] and error["hint"]


@pytest.mark.parametrize(
    "name", ["gone.py", "../outside.py", "/etc/passwd", "notes.txt", "link.py", ".", "a\0b", "x" * 5000]
)
def test_only_scripts_of_the_directory_are_run(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside.py").write_text("raise SystemExit(3)")
    (tmp_path / "scripts" / "notes.txt").write_text("")
    (tmp_path / "scripts" / "link.py").symlink_to(tmp_path / "outside.py")
    error = run("", user_script=name).finished()["error"]
    assert error["kind"] == "user_error" and "directory of scripts" in error["message"] and error["hint"]


def test_a_script_gets_no_secret_but_the_hubs_token_when_it_is_needed(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {
        "AWS_SECRET_ACCESS_KEY": "s1",
        "FTS_REDIS_URL": "redis://:s2@h",
        "OPENAI_API_KEY": "s3",
        "HF_TOKEN": "s4",
    }
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    text = f"import os; print(sorted(set(os.environ) & set({list(secrets)})))"
    assert "[]" in logged(run(text))
    attempt = Attempt(tmp_path, 2)
    child.run(attempt.prepare(spec_of("job", tmp_path, user_script="mine.py", needs_token=True)), "hf_given")
    assert "['HF_TOKEN']" in logged(attempt)


def test_what_is_printed_is_logged_in_lines_and_progress_bars_once(run: Run) -> None:
    attempt = run(r"""print("one\ntwo"); print("\r10%\r50%\r100%"); print("no end", end="")""")
    assert [record["text"] for record in attempt.records("log")] == ["one", "two", "100%", "no end"]


def test_a_flood_of_lines_does_not_flood_the_spool(run: Run, capfd: pytest.CaptureFixture[str]) -> None:
    attempt = run('print("\\n".join(str(n) for n in range(20_000)))')
    assert len(attempt.records("log")) < 2_000 and "log.txt has all of it" in logged(attempt)
    assert "19999" in capfd.readouterr().out


def test_nonsense_that_a_script_says_is_told_and_ends_nothing(run: Run) -> None:
    lines = [
        b"{",
        b"[]",
        b'{"type": "metrics"}',
        b'{"type": "finished"}',
        b'{"type": "metrics", "step": "x", "values": {}}',
    ]
    text = f"import fts_job as job\njob.log('hello')\nimport os\nfor line in {lines}: os.write(job._pipes[0], line + b'\\n')"
    attempt = run(text)
    assert attempt.finished()["outcome"] == "succeeded"
    assert logged(attempt).count("no record") == 2 and logged(attempt).count("can't be read") == 2
    assert "unknown type 'finished'" in logged(attempt)


def test_a_changed_script_is_told(run: Run) -> None:
    attempt = run("print('new')", user_script_sha256="of the old one")
    assert any("not as it was" in record["text"] for record in attempt.records("warning"))


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_a_script_that_ignores_orders_is_ended_with_all_that_it_started(
    tmp_path: Path, run: Run, order: str, outcome: str
) -> None:
    text = """import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("pids", os.getpid(), helper.pid)
time.sleep(60)"""
    (tmp_path / "scripts" / "mine.py").write_text(text)
    attempt = Attempt(tmp_path)
    spec = spec_of("job", tmp_path, user_script="mine.py")
    attempt.prepare(spec)
    context = child.Context(attempt.directory, Spool(attempt.directory / "events.jsonl"))
    orderer = threading.Thread(target=_order_when_printed, args=(attempt, order))
    orderer.start()
    began = time.monotonic()
    patience = Patience(cancel=0.3, pause=0.3, grace=0.3)
    try:
        ended = user_script.run(FineTuningSpec.model_validate(spec), context, patience).outcome
    except child.Cancelled:
        ended = "cancelled"
    orderer.join()
    assert ended == outcome and time.monotonic() - began < 30
    assert "was not obeyed" in logged(attempt)
    pids = [int(word) for word in re.findall(r"pids (\d+) (\d+)", logged(attempt))[0]]
    assert not any(_runs(pid) for pid in pids)


def _order_when_printed(attempt: Attempt, order: str) -> None:
    while not any("pids" in record["text"] for record in attempt.records("log")):
        time.sleep(0.05)
    (attempt.directory / "control.json").write_text(json.dumps({"order": order}))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_script_that_ran_to_its_end_has_succeeded_whatever_was_ordered_last(run: Run) -> None:
    assert run(ADAPTER, order="cancel").finished()["outcome"] == "succeeded"


def test_workers_that_a_script_starts_may_speak_too(run: Run) -> None:
    worker = "import fts_job as job; job.metrics(7, loss=0.5)"
    attempt = run(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {worker!r}], check=True)")
    assert [record["step"] for record in attempt.records("metrics")] == [7]


def test_the_script_dies_with_the_jobs_process(run: Run, tmp_path: Path) -> None:
    (tmp_path / "scripts" / "mine.py").write_text("import os, time; print('pids', os.getpid(), 0); time.sleep(60)")
    attempt = Attempt(tmp_path)
    attempt.prepare(spec_of("job", tmp_path, user_script="mine.py"))
    job = subprocess.Popen(cold_command(Launch(str(attempt.directory), "runner")), start_new_session=True)
    until(lambda: "pids" in logged(attempt), "the script's pid", 60)
    script = int(re.findall(r"pids (\d+)", logged(attempt))[0])
    assert _runs(script) and os.getpgid(script) == job.pid
    os.killpg(job.pid, signal.SIGKILL)
    job.wait()
    until(lambda: not _runs(script), "the script's end")


def test_by_hand_a_script_prints_what_it_would_say(tmp_path: Path) -> None:
    helper = Path(user_script.__file__).parent / "engines" / "helper"
    done = subprocess.run(
        [sys.executable, "-c", "import fts_job as job; job.metrics(1, loss=2); print(job.order())"],
        env={**os.environ, "PYTHONPATH": str(helper)}, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stderr)["values"] == {"loss": 2.0} and done.stdout == "None\n"
