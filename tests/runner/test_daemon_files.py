"""An attempt's files and process: what may be signalled, who lives, who holds the lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from core.messages.runners import Gpu, JobOrder
from core.spec import PlanSpec
from core.types import Order
from gpu_runner.attempt import Attempt, Stage
from gpu_runner.backend import Backend
from gpu_runner.daemon import Daemon
from gpu_runner.files import Child, Files, attempts_of, read_json
from gpu_runner.identity import AlreadyRunning, Identity
from gpu_runner.offering import Terms
from gpu_runner.processes import end_leftovers, is_running, signal_group, started_at
from gpu_runner.room import Held, Room
from gpu_runner.shared import read_marker
from gpu_runner.starter import Starter
from tests.runner.studio import plan_of, until

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    directory = tmp_path / "jobs" / "j" / "1"
    directory.mkdir(parents=True)
    return Files(directory)


def test_a_pid_that_is_another_process_now_is_never_signalled(files: Files) -> None:
    with subprocess.Popen(SLEEPER, start_new_session=True) as other:
        files.write_child(Child(other.pid, "1", "r"))  # the child had this pid, and began at another time
        attempt = Attempt("j", 1, files)
        attempt.adopt()
        attempt.kill(signal.SIGKILL)
        attempt.die(None)
        assert not signal_group(other.pid, "1", signal.SIGKILL)
        assert other.poll() is None and is_running(other.pid, started_at(other.pid))
        other.kill()


@pytest.mark.parametrize(
    ("code", "starving", "signalled", "starved"),
    [(-9, True, 0, True), (-9, False, 0, False), (-9, True, 2, False), (-11, True, 0, False), (None, True, 0, False)],
)
def test_a_child_counts_as_starved_when_the_kernel_ended_some_and_nobody_else_this_one(
    files: Files, code: int | None, starving: bool, signalled: int, starved: bool
) -> None:
    attempt = Attempt("j", 1, files)
    attempt.signalled = signalled
    attempt.die(code, starving=starving)
    assert attempt.starved is files.starved.exists() is starved


def test_a_dead_process_and_its_zombie_are_not_running() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        began = started_at(process.pid)
        until(lambda: not is_running(process.pid, began), "its end")  # nobody has waited for it yet
    assert started_at(process.pid) == ""


def test_what_a_dead_child_left_behind_is_ended() -> None:
    script = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print(p.pid)"
    with subprocess.Popen(
        [sys.executable, "-c", script], start_new_session=True, stdout=subprocess.PIPE, text=True
    ) as leader:
        assert leader.stdout is not None
        left = int(leader.stdout.readline())
    began = started_at(left)
    end_leftovers(leader.pid)
    until(lambda: not is_running(left, began), "its end")


def test_only_children_of_this_runner_that_live_are_adopted(files: Files, tmp_path: Path) -> None:
    files.write_child(Child(os.getpid(), started_at(os.getpid()), "r"))
    assert attempts_of(tmp_path, "r") == []
    lock = files.take_lock()
    assert lock is not None
    assert [(job, number) for job, number, _ in attempts_of(tmp_path, "r")] == [("j", 1)]
    assert attempts_of(tmp_path, "another") == []
    os.close(lock)


def test_a_child_lives_from_its_lock_on_and_not_by_a_descendant_s_hold_of_it(files: Files) -> None:
    attempt = Attempt("j", 1, files)
    lock = files.take_lock()
    assert lock is not None
    assert attempt.alive()  # started, but it has not said who it is yet
    files.write_child(Child(2**22 + 1, "1", "r"))
    assert not attempt.alive()
    files.write_child(Child(2**22 + 1, "1", "r", host="another"))
    attempt.child = None
    assert attempt.alive()  # a pid of another host tells nothing, its lock does
    os.close(lock)
    assert not attempt.alive()


def test_orders_are_written_once_and_whole(files: Files) -> None:
    attempt = Attempt("j", 1, files)
    attempt.obey(Order.run, [])
    assert not files.control.exists()
    attempt.obey(Order.run, ["child-2"])
    assert files.control.read_text() == '{"order": "run", "cancelled": ["child-2"], "checkpoint": 0}'
    attempt.obey(Order.pause, ["child-2"])
    assert '"pause"' in files.control.read_text()
    assert [path.name for path in files.directory.iterdir()] == ["control.json"]


def test_an_order_that_can_t_be_written_is_enforced_by_signals_all_the_same(files: Files) -> None:
    with subprocess.Popen(SLEEPER, start_new_session=True) as child:
        files.write_child(Child(child.pid, started_at(child.pid), "r"))
        attempt = Attempt("j", 1, files)
        attempt.adopt()
        files.control.mkdir()  # in the way, as a full disk is
        attempt.obey(Order.cancel, [])
        attempt.escalate(attempt.since + 19, (20, 30))
        assert child.poll() is None
        attempt.escalate(attempt.since + 21, (20, 30))
        assert child.wait(60) == -signal.SIGTERM
        files.control.rmdir()
        attempt.obey(Order.cancel, [])
        assert '"cancel"' in files.control.read_text()


def test_a_failure_that_the_disk_has_no_room_for_is_kept_to_be_told(tmp_path: Path) -> None:
    (tmp_path / "jobs").write_text("in the way")
    attempt = Attempt("j", 1, Files(tmp_path / "jobs" / "j" / "1"))
    attempt.fail("disk_full", "no room")
    assert attempt.stage is Stage.over and attempt.unwritten is not None
    assert attempt.unwritten["error"]["kind"] == "disk_full"


def test_a_daemon_gives_back_the_room_that_dead_children_kept_and_that_of_no_living_one(tmp_path: Path) -> None:
    dead, living = (Files(tmp_path / "jobs" / "j" / number) for number in "12")
    for each in (dead, living):
        each.directory.mkdir(parents=True)
        each.lock.touch()
        each.reserve.write_bytes(b"x")
    lock = living.take_lock()
    assert lock is not None
    nobody: Any = None
    Daemon(Terms(tmp_path, Room(1, 1)), nobody, nobody, threading.Event()).adopt("r")
    assert (dead.reserve.exists(), living.reserve.exists()) == (False, True)
    os.close(lock)


def test_an_order_is_there_for_the_next_child_of_what_goes_on_elsewhere(tmp_path: Path) -> None:
    class Elsewhere(Backend):
        def must_end(self, attempt: Attempt) -> bool:
            return True

        def may_begin(self, *_: Any) -> bool:
            return False  # its last child died just now

    (tmp_path / ".fts-artifacts").write_text("marker\n")
    files = Files(tmp_path / "jobs" / "j" / "1")
    files.make()
    nobody: Any = None
    terms = Terms(tmp_path, Room(1, 1), backend=Elsewhere())
    daemon = Daemon(terms, nobody, Starter(lambda: None, None), threading.Event())
    daemon.attempts["j", 1] = attempt = Attempt("j", 1, files)
    attempt.met, attempt.spec = True, PlanSpec.model_validate(plan_of("j", tmp_path))
    for order in (Order.cancel, Order.run):
        daemon._obey(JobOrder(job_id="j", attempt=1, order=order), 1.0)
        assert (attempt.stage, read_json(files.control)) == (
            Stage.waiting,
            {"order": order.value, "cancelled": [], "checkpoint": 0},
        )


def test_an_identity_is_held_by_one_and_kept_for_the_next(tmp_path: Path) -> None:
    first = Identity(tmp_path, "a host/..")
    assert first.runner_id is None
    first.keep("r")
    with pytest.raises(AlreadyRunning, match=str(os.getpid())):
        Identity(tmp_path, "a host/..")
    first.release()
    second = Identity(tmp_path, "a host/..")
    assert second.runner_id == "r"
    second.release()
    assert [path.parent for path in tmp_path.rglob("*.json")] == [tmp_path / "runner"]


def test_the_marker_is_empty_where_the_artifacts_are_not_shared(tmp_path: Path) -> None:
    assert read_marker(tmp_path) == ""
    (tmp_path / ".fts-artifacts").write_text("m\n")
    assert read_marker(tmp_path) == "m"


def test_room_counts_what_is_held_and_gives_each_gpu_once() -> None:
    room = Room(4, 8.0, (Gpu(index=0, uuid="GPU-a"), Gpu(index=1)))
    assert room.bind(1, []) == ("GPU-a",)
    held = [Held(3, 6, ("GPU-a",))]
    assert room.bind(1, held) == ("1",)
    assert room.bind(2, held) is None
    assert room.bind(0, held) == ()
    assert room.free(held) == {"cpus": 1, "memory": 2.0, "gpus": 1}
    assert room.free([*held, Held(3, 6, ("1",))]) == {"cpus": 0, "memory": 0.0, "gpus": 0}
