"""Tracking beside the jobs: one process a job, out of the training's way, tried again when it fails."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gpu_runner.attempt import Attempt
from gpu_runner.files import Files
from gpu_runner.trackers import PAUSE, TRIES, Trackers
from tests.runner.studio import plan_of, spec_of, until

SCRIPT = "import os, sys, time; open(sys.argv[1] + '/ran', 'a').write(f'{os.getpid()} {sys.argv[3]}\\n'); "


def trackers(then: str) -> Trackers:
    return Trackers("sqlite:///x", [sys.executable, "-c", SCRIPT + then])


def runs(directory: Path) -> list[list[str]]:
    ran = directory / "ran"
    return [line.split() for line in ran.read_text().splitlines()] if ran.exists() else []


def ended(made: Trackers) -> Callable[[], bool]:
    def look() -> bool:
        made.tend()
        return not made.running

    return look


def test_one_process_a_job_runs_niced_whichever_daemon_started_it(tmp_path: Path) -> None:
    first, second = trackers("time.sleep(60)"), trackers("time.sleep(60)")
    first.ensure(tmp_path / "1", 0)
    until(lambda: runs(tmp_path), "tracking")
    pid, uri = runs(tmp_path)[0]
    assert uri == "sqlite:///x"
    assert os.getpriority(os.PRIO_PROCESS, int(pid)) >= 10 and os.getsid(int(pid)) == int(pid)
    first.ensure(tmp_path / "1", PAUSE * 2)
    second.ensure(tmp_path / "1", 0)
    assert second.running == []
    os.kill(int(pid), signal.SIGKILL)
    until(ended(first), "its end")
    second.ensure(tmp_path / "1", PAUSE * 2)
    until(lambda: len(runs(tmp_path)) == 2, "the next daemon's")
    os.kill(int(runs(tmp_path)[1][0]), signal.SIGKILL)
    until(ended(second), "its end")


def test_one_that_fails_is_tried_again_after_a_pause_and_not_for_ever(tmp_path: Path) -> None:
    made = trackers("sys.exit(1)")
    for turn in range(TRIES + 2):
        made.ensure(tmp_path / "1", PAUSE * turn)
        made.ensure(tmp_path / "1", PAUSE * turn + 1)
        until(ended(made), "its end")
    assert len(runs(tmp_path)) == TRIES


def test_one_that_has_done_its_work_is_not_started_again(tmp_path: Path) -> None:
    made = trackers("")
    for turn in range(3):
        made.ensure(tmp_path / "1", PAUSE * turn)
        until(ended(made), "its end")
    assert len(runs(tmp_path)) == 1


def test_a_later_attempt_is_tracked_again(tmp_path: Path) -> None:
    made = trackers("")
    for attempt in ("1", "1", "2"):
        made.ensure(tmp_path / attempt, 0)
        until(ended(made), "its end")
    assert len(runs(tmp_path)) == 2


@pytest.mark.parametrize(("of", "tracked"), [(spec_of, True), (plan_of, False)])
def test_a_plan_is_not_told_to_mlflow(tmp_path: Path, of: Any, tracked: bool) -> None:
    (tmp_path / ".fts-artifacts").write_text("marker\n")
    attempt = Attempt("j", 1, Files(tmp_path / "jobs" / "j" / "1"))
    attempt.take_spec(of("j", tmp_path))
    assert attempt.tracked is tracked
