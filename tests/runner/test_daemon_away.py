"""The artifacts directory goes away for a while: no job fails of it, none is lost, and nothing is made in its place."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gpu_runner.attempt import Attempt, Stage
from gpu_runner.files import Files
from gpu_runner.shared import make_directory
from tests.runner.conftest import Start
from tests.runner.studio import Studio, until
from tests.runner.test_daemon import child_pid, log_of, plan, steps


class Share:
    """The artifacts directory of a test."""

    def __init__(self, home: Path) -> None:
        self.path, self._hidden = home / "artifacts", home / "hidden"

    def leave(self) -> None:
        self.path.rename(self._hidden)

    def come_back(self) -> None:
        if self.path.exists():
            self.path.rmdir()  # it must be empty
        self._hidden.rename(self.path)


@pytest.fixture
def share(tmp_path: Path) -> Share:
    return Share(tmp_path)


def away(studio: Studio, job: str) -> str:
    told = studio.told(job, 1)
    return str(((told and told[-1].get("short")) or {}).get("away", ""))


@pytest.mark.parametrize("mount_point", [False, True])
def test_a_job_that_is_to_begin_while_the_artifacts_are_away_waits_for_them_and_nothing_is_made_in_their_place(
    studio: Studio, start: Start, tmp_path: Path, share: Share, mount_point: bool
) -> None:
    start()
    until(lambda: studio.reports, "a report")
    share.leave()
    if mount_point:
        share.path.mkdir()
    studio.give("j", 1, plan(tmp_path, "j", records=3))
    studio.give("paused", 1, plan(tmp_path, "paused"))
    why = until(lambda: away(studio, "j"), "word of it")
    assert why == f"the artifacts directory {share.path} can't be reached"
    time.sleep(0.3)  # some patrols
    assert not studio.dead("j", 1)
    assert share.path.exists() is mount_point and not list(share.path.glob("*"))
    share.come_back()
    studio.wake()
    until(lambda: studio.dead("j", 1), "the end")
    assert steps(studio, "j") == [1, 2, 3] and not studio.told("j", 1)[-1].get("short")
    assert log_of(tmp_path).count("job j attempt 1: waits: ") == 1


def test_a_file_system_that_answers_with_a_stale_handle_is_waited_for_too(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "stale").touch()
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=3))
    assert until(lambda: away(studio, "j"), "word of it") == "its files can't be reached: Stale file handle"
    (tmp_path / "stale").unlink()
    studio.wake()
    until(lambda: studio.dead("j", 1), "the end")
    assert steps(studio, "j") == [1, 2, 3]


def test_a_running_job_is_not_given_up_while_its_files_are_away(
    studio: Studio, start: Start, tmp_path: Path, share: Share
) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=100))
    until(lambda: steps(studio, "j"), "a record")
    pid = child_pid(tmp_path, "j")
    share.leave()
    time.sleep(0.8)  # more patrols than a dead child has
    share.come_back()
    until(lambda: studio.dead("j", 1), "the end")
    assert studio.dead("j", 1)["exit_code"] == 0 and child_pid(tmp_path, "j") == pid
    assert steps(studio, "j") == list(range(1, 101))


def test_a_daemon_that_starts_while_the_artifacts_are_away_finds_the_child_when_they_are_back(
    studio: Studio, start: Start, tmp_path: Path, share: Share
) -> None:
    first = start()
    studio.give("j", 1, plan(tmp_path, "j", records=150))
    until(lambda: steps(studio, "j"), "a record")
    pid = child_pid(tmp_path, "j")
    first.kill()
    first.wait()
    share.leave()
    start()
    until(lambda: away(studio, "j"), "word of it")
    share.come_back()
    until(lambda: studio.dead("j", 1), "the end")
    assert child_pid(tmp_path, "j") == pid and steps(studio, "j") == list(range(1, 151))
    assert [each["type"] for each in studio.records["j", 1]].count("started") == 1


def test_an_attempt_that_can_t_write_its_end_makes_no_directory_elsewhere(tmp_path: Path) -> None:
    attempt = Attempt("j", 1, Files(tmp_path / "artifacts" / "jobs" / "j" / "1"))
    attempt.finish("paused")
    assert attempt.stage is Stage.over and attempt.unwritten is not None and not list(tmp_path.iterdir())
    with pytest.raises(OSError, match="can't be reached"):
        attempt.take_spec({"kind": "fine_tuning"} | plan(tmp_path, "j"))
    with pytest.raises(OSError, match="can't be reached"):
        make_directory(tmp_path, tmp_path / "jobs")


def test_a_job_s_name_that_leads_out_of_the_artifacts_is_no_job(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("../../out", 1, plan(tmp_path, "j"))
    until(lambda: "is no name of a job" in log_of(tmp_path), "a line in the log")
    (tmp_path / "artifacts" / "jobs").mkdir()
    (tmp_path / "artifacts" / "jobs" / "j").symlink_to(tmp_path)
    studio.give("j", 1, plan(tmp_path, "j"))
    assert "outside" in until(lambda: studio.dead("j", 1), "its end")["records"][-1]["error"]["message"]
    assert not (tmp_path / "1").exists()
