"""The whole runner as it is shipped: its own daemon, the real warm process, a real training of a tiny Llama."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from gpu_runner.files import Files
from gpu_runner.launch import Launch, cold_command
from tests.runner.studio import Studio, until
from tests.runner.tiny import make_model, make_rows, tiny_spec


@pytest.fixture
def daemon(studio: Studio, valkey_url: str, ns: str, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "FTS_HOME": str(tmp_path),
        "FTS_REDIS_URL": valkey_url,
        "FTS_NAMESPACE": ns,
        "FTS_TRACKING": "false",
    }
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / ".fts-artifacts").write_text("marker\n")  # as the studio leaves it
    with (tmp_path / "daemon.log").open("ab") as printed:
        process = subprocess.Popen([sys.executable, "-m", "gpu_runner.daemon"], stderr=printed, env=environment)
    yield process
    process.terminate()
    assert process.wait(60) == 0


def cold_start(directory: Path, spec: str) -> float:
    """Seconds from the start of a cold process to its first numbers."""
    files = Files(directory)
    directory.mkdir(parents=True)
    files.spec.write_text(spec)
    began = time.monotonic()
    process = subprocess.Popen(cold_command(Launch(str(directory), "r", 1)), start_new_session=True)
    until(lambda: files.spool.exists() and '"metrics"' in files.spool.read_text(), "the first numbers", 90)
    seconds = time.monotonic() - began
    assert process.wait(60) == 0
    return seconds


def test_a_warm_job_starts_in_a_fraction_of_a_cold_one_s_time_and_trains_the_same_adapter(
    studio: Studio, daemon: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    spec = tiny_spec("j", tmp_path, make_model(tmp_path / "model"), make_rows(tmp_path / "rows.jsonl"))
    until(lambda: "warm after" in (tmp_path / "daemon.log").read_text(), "the warm process", 60)
    began = time.monotonic()
    studio.give("j", 1, spec)
    until(lambda: any(each["type"] == "metrics" for each in studio.records["j", 1]), "the first numbers", 60)
    warm = time.monotonic() - began
    until(lambda: studio.dead("j", 1), "the end", 60)
    assert studio.records["j", 1][-1]["outcome"] == "succeeded", studio.records["j", 1][-1]
    assert (tmp_path / "out" / "j" / "1" / "adapter_model.safetensors").exists()
    cold = cold_start(
        tmp_path / "artifacts" / "jobs" / "j" / "2", Files(tmp_path / "artifacts" / "jobs" / "j" / "1").spec.read_text()
    )
    weights = [(tmp_path / "out" / "j" / attempt / "adapter_model.safetensors").read_bytes() for attempt in ("1", "2")]
    assert weights[0] == weights[1]
    assert warm < cold / 2  # alone on two cores: 0.4 s and 5.7 s


def held(process: psutil.Process) -> dict[str, float]:
    """What a process holds: MiB of its own memory, descriptors, threads, children."""
    own = process.memory_full_info().uss / (1 << 20)
    children = len(process.children())
    return {"MiB": own, "fds": process.num_fds(), "threads": process.num_threads(), "children": children}


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_hundred_jobs_leave_nothing_in_the_daemon_or_its_warm_process(
    studio: Studio, daemon: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    model, rows = make_model(tmp_path / "model"), make_rows(tmp_path / "rows.jsonl")
    until(lambda: "warm after" in (tmp_path / "daemon.log").read_text(), "the warm process", 120)
    runner = psutil.Process(daemon.pid)
    (warm,) = [each for each in runner.children() if "gpu_runner.warm" in " ".join(each.cmdline())]
    seen: dict[int, dict[str, dict[str, float]]] = {}
    for number in range(1, 101):
        job = f"j{number}"
        studio.give(job, 1, tiny_spec(job, tmp_path, model, rows))
        until(lambda job=job: studio.dead(job, 1), "the end", 60)
        assert studio.records[job, 1][-1]["outcome"] == "succeeded", studio.records[job, 1][-1]
        del studio.jobs[job, 1]
        studio.wake()
        until(lambda: studio.reports[-1]["jobs"] == [], "it is forgotten")
        if number in (20, 100):
            seen[number] = {"daemon": held(runner), "warm": held(warm)}
            sys.stdout.write(f"{number} {seen[number]}\n")
    assert warm.is_running()  # it was not started anew meanwhile
    for name, before in seen[20].items():
        after = seen[100][name]
        assert {each: after[each] for each in ("fds", "threads", "children")} == {
            each: before[each] for each in ("fds", "threads", "children")
        }, name
        assert after["MiB"] - before["MiB"] < 4, name  # 50 KiB a job and less: the heap's own unevenness
