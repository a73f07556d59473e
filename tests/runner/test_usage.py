"""What jobs take of their host: measured of all processes of a job, told as means of a quarter of a minute, each once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

from gpu_runner.usage import KEPT, Means, Sampler, of_gpus
from tests.runner.conftest import Start
from tests.runner.studio import Studio, until
from tests.runner.test_daemon import plan

BUSY = "import os; b = b'x' * (64 << 20); os.fork()\nwhile True: pass"


def test_all_processes_of_a_session_count_and_no_other() -> None:
    sampler = Sampler()
    with subprocess.Popen([sys.executable, "-c", BUSY], start_new_session=True) as job:
        try:
            until(lambda: len(sampler.sample([job.pid], time.monotonic())) and _children(job.pid), "its child")
            sampler = Sampler()
            before, began = spent(job.pid), time.monotonic()
            first = sampler.sample([job.pid], began)[job.pid]
            since = spent(job.pid)
            assert "sys.cpu" not in first and 0.1 < first["sys.memory"] < 2, "two of 64 MiB and Python"
            until(lambda: spent(job.pid) - since > 0.5, "they took half a second of a core, be it busy with others")
            least, ended = spent(job.pid) - since, time.monotonic()
            told = sampler.sample([job.pid, os.getpid()], ended)
            took = told[job.pid]["sys.cpu"] / 100 * (ended - began)
            assert least - 0.05 < took < spent(job.pid) - before + 0.05, "both are counted, once"
        finally:
            os.killpg(job.pid, signal.SIGKILL)
    until(lambda: sampler.sample([job.pid], time.monotonic()) == {}, "its end")


def spent(pid: int) -> float:
    """Processor seconds of a process and its children."""
    leader = psutil.Process(pid)
    return sum(sum(each.cpu_times()[:2]) for each in (leader, *leader.children()))


def _children(pid: int) -> bool:
    return bool(subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, check=False).stdout)


def test_a_jobs_gpus_are_told_by_their_places_among_its_own() -> None:
    told = [
        {"index": 0, "uuid": "GPU-a", "percent": 5},
        {"index": 1, "uuid": "GPU-b", "percent": 87, "memory_used": 6.0, "celsius": 61, "watts": 71.5},
        {"index": 2, "percent": 3},
    ]
    assert of_gpus(("GPU-b", "2", "GPU-gone"), told) == {
        "sys.gpu0.percent": 87.0,
        "sys.gpu0.memory": 6.0,
        "sys.gpu0.celsius": 61.0,
        "sys.gpu0.watts": 71.5,
        "sys.gpu1.percent": 3.0,
    }


def test_samples_are_told_as_means_and_again_until_they_were_taken_in() -> None:
    means = Means()
    for second in range(20):
        means.add(1_500.0 + second, {"sys.cpu": 10.0 * second})
    sent = means.points()
    assert [(each.at, each.values) for each in sent] == [(1500.0, {"sys.cpu": 70.0}), (1515.0, {"sys.cpu": 170.0})]
    assert means.points() == [], "nothing is new"
    means.add(1_521.0, {"sys.cpu": 0.0})
    assert [each.at for each in means.points()] == [1500.0, 1515.0], "the report was lost"
    means.told(sent)
    means.add(1_531.0, {"sys.cpu": 1.0})
    assert [each.at for each in means.points()] == [1515.0, 1530.0], "the one under way has grown since"


def test_an_outage_of_hours_keeps_the_last_hour() -> None:
    means = Means()
    for second in range(0, 20_000, 5):
        means.add(float(second), {"sys.cpu": 1.0})
    points = means.points()
    assert len(points) == KEPT + 1 and points[-1].at == 19_995.0


def test_a_running_job_is_measured_and_told_without_a_word_in_its_spool(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    studio.next_report_seconds = 0.3
    studio.give("j", 1, plan(tmp_path, "j"))
    told = until(lambda: [each["usage"] for each in studio.told("j", 1) if each.get("usage")], "its usage")
    assert 0 < told[-1][-1]["values"]["sys.memory"] < 4
    until(
        lambda: any("sys.cpu" in point["values"] for each in studio.told("j", 1) for point in each.get("usage", ())),
        "cpu",
    )
    assert len([each for each in studio.told("j", 1) if each.get("usage")]) <= len(studio.reports)
