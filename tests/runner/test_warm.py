"""Jobs that are forked from the real warm process."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_runner import bnb
from gpu_runner.files import Files
from gpu_runner.launch import Launch
from gpu_runner.starter import Starter
from tests.runner.conftest import Start
from tests.runner.studio import Studio, spec_of, until


def starter_of(how: str) -> Starter:
    made = Starter(threading.Event().set, warm_command=[sys.executable, "-m", "tests.runner.stand_in_warm", how])
    made.tend(time.monotonic())
    return made


def ready(starter: Starter) -> None:
    until(lambda: starter.warm is not None and (starter.warm.ready or starter.warm.gone), "a warm process", 60)
    assert starter.warm is not None and starter.warm.ready


@pytest.fixture(scope="module")
def starter() -> Iterator[Starter]:
    os.environ["HF_TOKEN"] = "hf_secret"
    made = starter_of("sound")
    ready(made)
    yield made
    made.close()
    del os.environ["HF_TOKEN"]


def begin(starter: Starter, directory: Path, token: str | None = None, **spec: Any) -> tuple[str, Files]:
    directory.mkdir()
    files = Files(directory)
    files.spec.write_text(json.dumps(spec))
    lock = files.take_lock()
    assert lock is not None
    how = starter.start(Launch(str(directory), "r", 2, ("GPU-a",), {"CUDA_VISIBLE_DEVICES": "GPU-a"}), lock, token)
    os.close(lock)
    return how, files


def run(starter: Starter, directory: Path, token: str | None = None, **spec: Any) -> tuple[int, dict[str, Any]]:
    how, files = begin(starter, directory, token, **spec)
    assert how == "warm"
    until(lambda: starter.exit_code(str(directory)) is not None, "its end", 60)
    code = starter.exit_code(str(directory))
    assert (directory / "said.json").exists(), files.log.read_text()
    return code or 0, json.loads((directory / "said.json").read_text())


def test_a_forked_job_is_a_process_of_its_own_with_its_own_threads_and_luck(starter: Starter, tmp_path: Path) -> None:
    code, said = run(starter, tmp_path / "1", token="hf_secret", code=7)
    assert code == 7
    assert said["session"] == said["pid"] and said["threads"] == 2 and said["cuda"] == "GPU-a"
    assert said["token"] == "hf_secret" and said["secrets"] == []
    assert said["layer"].endswith("lora.layer.Linear'>") and not said["bitsandbytes"]
    _, other = run(starter, tmp_path / "2")
    assert other["random"] != said["random"] and other["token"] is None
    assert other["descriptors"] <= said["descriptors"]  # nothing of the first one's is left in the parent


def test_a_forked_job_that_quantises_gets_bitsandbytes_layers(starter: Starter, tmp_path: Path) -> None:
    _, said = run(starter, tmp_path / "1", model_bnb={"load_in_4bit": True})
    assert said["layer"].endswith("lora.bnb.Linear4bit'>")


def test_the_lock_is_held_from_before_the_fork_until_the_child_s_end(starter: Starter, tmp_path: Path) -> None:
    how, files = begin(starter, tmp_path / "1")
    assert how == "warm" and files.locked()
    assert files.take_lock() is None
    until(lambda: starter.exit_code(str(tmp_path / "1")) is not None, "its end", 60)
    assert not files.locked()


def test_a_child_outlives_its_warm_process_which_is_started_again(tmp_path: Path) -> None:
    starter = starter_of("sound")
    assert starter.worth_waiting(time.monotonic())
    ready(starter)
    _, files = begin(starter, tmp_path / "1")
    child = until(files.child, "child.json")
    os.kill(child.pid, signal.SIGSTOP)
    assert starter.warm is not None
    starter.warm.process.kill()
    starter.warm.process.wait()
    until(lambda: starter.warm is None or starter.warm.gone, "the news")
    starter.tend(time.monotonic())
    assert not starter.worth_waiting(time.monotonic())
    assert files.locked() and psutil.pid_exists(child.pid)
    os.kill(child.pid, signal.SIGCONT)
    until((tmp_path / "1" / "said.json").exists, "the job's end", 60)
    until(lambda: not files.locked(), "its lock's end")
    starter.tend(time.monotonic() + 60)
    assert starter.warm is not None
    starter.close()


def test_a_job_waits_for_the_warm_process_and_starts_cold_when_its_fork_hangs(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start("spoiled")
    studio.give(
        "j", 1, spec_of("j", tmp_path, user_config='{"records": 2}', resources={"cpus": 2, "gpus": 0, "memory": 1})
    )
    until(lambda: studio.dead("j", 1), "the end", 110)
    log = (tmp_path / "daemon.log").read_text()
    told = [log.index(text) for text in ("warm after", "started warm", "the fork hung", "started cold", "exit code 0")]
    assert told == sorted(told)
    assert studio.records["j", 1][-1]["outcome"] == "succeeded"


def test_a_fork_of_a_parent_that_touched_cuda_starts_again_cold_as_the_same_process(tmp_path: Path) -> None:
    starter = starter_of("cuda")
    ready(starter)
    how, files = begin(starter, tmp_path / "1", kind="nothing that a job can be")
    assert how == "warm"
    first = until(files.child, "child.json").pid
    until(lambda: starter.exit_code(str(files.directory)) is not None, "its end", 60)
    assert starter.exit_code(str(files.directory)) == 1 and until(files.child, "child.json").pid == first
    assert not (files.directory / "said.json").exists()  # it was not the warm process's job that ran
    assert json.loads(files.spool.read_text().splitlines()[-1])["outcome"] == "failed"
    starter.close()


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, False),
        ({"training_arguments": {"optim": "adamw_torch_fused"}}, False),
        ({"training_arguments": {"optim": "paged_adamw_32bit"}}, True),
        ({"training_arguments": {"optim": "adamw_torch_8bit"}}, True),
        ({"training_arguments": {"optim": "rmsprop_bnb"}}, True),
        ({"model_bnb": {"load_in_8bit": True}}, True),
        ({"model_bnb": None, "adapter_bnb": {"load_in_4bit": True}}, True),
    ],
)
def test_bitsandbytes_is_let_in_only_for_jobs_that_need_it(spec: dict[str, Any], expected: bool) -> None:
    assert bnb.needed(spec) is expected
