"""The daemon against a real queue, with jobs that train nothing; the studio's side is scripted."""

from __future__ import annotations

import itertools
import json
import os
import signal
import statistics
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from gpu_runner.files import Files
from tests.runner.conftest import Start
from tests.runner.studio import Studio, spec_of, until


def plan(tmp_path: Path, job_id: str, resources: dict[str, int] | None = None, **how: Any) -> dict[str, Any]:
    extra: dict[str, Any] = {"resources": resources} if resources else {}
    return spec_of(job_id, tmp_path, user_config=json.dumps(how), **extra)


def steps(studio: Studio, job_id: str, attempt: int = 1) -> list[int]:
    return [record["step"] for record in studio.records[job_id, attempt] if record["type"] == "metrics"]


def child_pid(tmp_path: Path, job_id: str, attempt: int = 1) -> int:
    files = Files(tmp_path / "artifacts" / "jobs" / job_id / str(attempt))
    return until(files.child, "child.json").pid


def log_of(tmp_path: Path) -> str:
    return (tmp_path / "daemon.log").read_text()


def test_a_job_is_started_told_whole_and_forgotten_when_it_is_not_ours_any_more(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    until(lambda: studio.reports, "a report")
    assert studio.registrations[0]["marker"] == "marker"
    studio.give("j", 1, plan(tmp_path, "j", records=20))
    dead = until(lambda: studio.dead("j", 1), "the end")
    assert dead["exit_code"] == 0
    assert steps(studio, "j") == list(range(1, 21))
    assert studio.records["j", 1][-1]["outcome"] == "succeeded"
    studio.jobs.clear()
    studio.wake()
    until(lambda: studio.reports[-1]["jobs"] == [] and studio.reports[-1]["free"]["cpus"] == 4, "an empty report")


def test_reports_coalesce_while_one_is_in_flight_and_keep_their_pace(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    studio.delay = 0.2
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=200, rate=400))
    until(lambda: studio.dead("j", 1), "the end")
    assert steps(studio, "j") == list(range(1, 201))
    worked = studio.records["j", 1][-1]["at"] - studio.records["j", 1][0]["at"]  # half a second, on a quiet machine
    assert len(studio.reports) < 20 + worked / studio.delay
    studio.delay = 0
    studio.give("k", 1, plan(tmp_path, "k", records=200, rate=400))
    until(lambda: studio.dead("k", 1), "the end")
    gaps = [after - before for before, after in itertools.pairwise(studio.report_times[-8:])]
    assert statistics.median(gaps) > 0.03  # 20 a second; one that is taken late is followed by the next at once


def test_a_report_carries_256_kilobytes_at_most_and_everything_arrives(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=1, burst=1_000_000))
    until(lambda: studio.dead("j", 1), "the end")
    sizes = [job["next_offset"] - job["offset"] for job in studio.told("j", 1)]
    assert max(sizes) <= 256 * 1024
    assert len([record for record in studio.records["j", 1] if record["type"] == "log"]) == 10_000


def test_a_lost_reply_is_healed_by_the_next_report(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=20))
    until(lambda: steps(studio, "j"), "a record")
    studio.lose_replies = 1
    until(lambda: studio.dead("j", 1), "the end")
    assert steps(studio, "j") == list(range(1, 21))


def test_a_killed_daemon_s_child_goes_on_and_is_adopted_without_loss(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    first = start()
    studio.give("j", 1, plan(tmp_path, "j", records=150))
    until(lambda: len(steps(studio, "j")) > 5, "records")
    pid = child_pid(tmp_path, "j")
    first.kill()
    first.wait()
    start()
    until(lambda: studio.dead("j", 1), "the end")
    assert len(studio.registrations) == 2 and studio.registrations[1]["runner_id"] == "runner-1"
    assert child_pid(tmp_path, "j") == pid
    assert steps(studio, "j") == list(range(1, 151))
    assert studio.dead("j", 1)["exit_code"] == 0  # from exit.json: nobody could wait for it


def test_sigterm_lets_go_and_what_ended_meanwhile_is_told(studio: Studio, start: Start, tmp_path: Path) -> None:
    first = start()
    studio.give("j", 1, plan(tmp_path, "j", records=60))
    until(lambda: len(steps(studio, "j")) > 2, "records")
    pid = child_pid(tmp_path, "j")
    os.kill(pid, signal.SIGSTOP)  # it does not end before the daemon has, however long that takes
    first.terminate()
    assert first.wait(60) == 0
    assert psutil.pid_exists(pid)
    os.kill(pid, signal.SIGCONT)
    until(lambda: not psutil.pid_exists(pid), "the child's end")
    start()
    until(lambda: studio.dead("j", 1), "the end")
    assert steps(studio, "j") == list(range(1, 61))
    assert child_pid(tmp_path, "j") == pid  # it was not started a second time


def test_a_killed_child_is_told_dead_after_everything_it_wrote(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j"))
    until(lambda: len(steps(studio, "j")) > 5, "records")
    os.kill(child_pid(tmp_path, "j"), signal.SIGKILL)
    dead = until(lambda: studio.dead("j", 1), "its death")
    assert dead["exit_code"] == -signal.SIGKILL
    spool = (tmp_path / "artifacts" / "jobs" / "j" / "1" / "events.jsonl").read_text()
    assert len(studio.records["j", 1]) == len(spool.splitlines())


@pytest.mark.parametrize(("order", "outcome"), [("cancel", "cancelled"), ("pause", "paused")])
def test_an_order_reaches_the_child(studio: Studio, start: Start, tmp_path: Path, order: str, outcome: str) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j"))
    until(lambda: steps(studio, "j"), "records")
    studio.order("j", 1, order)
    until(lambda: studio.dead("j", 1), "the end")
    assert studio.records["j", 1][-1]["outcome"] == outcome


def test_a_child_that_does_not_cancel_is_killed_in_the_end(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", deaf=True))
    until(lambda: steps(studio, "j"), "records")
    studio.order("j", 1, "cancel")
    assert until(lambda: studio.dead("j", 1), "the end")["exit_code"] == -signal.SIGKILL
    assert "SIGTERM" in log_of(tmp_path)


def test_an_order_to_stop_kills_at_once_and_nothing_more_is_told(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", deaf=True))
    until(lambda: steps(studio, "j"), "records")
    pid = child_pid(tmp_path, "j")
    studio.order("j", 1, "stop")
    until(lambda: not psutil.pid_exists(pid), "its death")
    until(lambda: studio.reports[-1]["jobs"] == [], "an empty report")
    assert studio.dead("j", 1) is None


def test_a_daemon_that_was_stopped_past_its_lease_kills_the_stale_child(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    daemon = start()
    studio.give("j", 1, plan(tmp_path, "j"))
    until(lambda: steps(studio, "j"), "records")
    pid = child_pid(tmp_path, "j")
    daemon.send_signal(signal.SIGSTOP)
    del studio.jobs["j", 1]  # another runner has it, as attempt 2
    taken = len(studio.records["j", 1])
    daemon.send_signal(signal.SIGCONT)
    until(lambda: not psutil.pid_exists(pid), "its death")
    assert len(studio.records["j", 1]) == taken


def test_training_goes_on_while_the_studio_is_away_and_is_told_afterwards(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=100))
    until(lambda: steps(studio, "j"), "records")
    studio.away()
    files = Files(tmp_path / "artifacts" / "jobs" / "j" / "1")
    until(files.exit.exists, "the job's end")
    until(lambda: "can't be told" in log_of(tmp_path), "a line in the log")
    studio.back()
    until(lambda: studio.dead("j", 1), "the end")
    assert steps(studio, "j") == list(range(1, 101))
    assert log_of(tmp_path).count("can't be told") == 1


def test_a_second_daemon_of_the_same_runner_is_refused(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    until(lambda: studio.reports, "a report")
    assert start().wait(60) == 1
    assert "already runs" in log_of(tmp_path)
    assert len(studio.registrations) == 1


def test_draining_pauses_every_job_and_starts_none(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j"))
    until(lambda: steps(studio, "j"), "records")
    studio.draining = True
    studio.give("k", 1, plan(tmp_path, "k"))
    for job in ("j", "k"):
        until(lambda job=job: studio.dead(job, 1), "the end")
        assert studio.records[job, 1][-1]["outcome"] == "paused"
    assert steps(studio, "k") == []


def test_gpus_are_bound_to_one_job_each_also_after_adoption(studio: Studio, start: Start, tmp_path: Path) -> None:
    first = start()
    one = {"cpus": 1, "gpus": 1, "memory": 1}
    studio.give("a", 1, plan(tmp_path, "a", one))
    until(lambda: steps(studio, "a"), "records")
    first.kill()
    first.wait()
    start()
    until(lambda: len(studio.registrations) == 2, "registration")
    studio.give("b", 1, plan(tmp_path, "b", one))
    until(lambda: steps(studio, "b"), "records")
    bound = [studio.records[job, 1][0]["details"]["gpus"] for job in ("a", "b")]
    assert bound == ["GPU-a", "GPU-b"]
    until(lambda: studio.reports[-1]["free"] == {"cpus": 2, "memory": 6, "gpus": 0}, "nothing free")


def test_the_token_reaches_only_the_child_that_needs_it_and_no_environment(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    studio.give("a", 1, plan(tmp_path, "a"))
    studio.give("b", 1, spec_of("b", tmp_path, needs_token=True))
    details = {job: until(lambda job=job: studio.records[job, 1], "started")[0]["details"] for job in ("a", "b")}
    assert details["a"]["token"] is None and details["b"]["token"] == "hf_secret"
    assert "HF_TOKEN" not in details["a"]["env"] + details["b"]["env"]
    assert "hf_secret" not in "".join(path.read_text() for path in tmp_path.glob("artifacts/jobs/*/1/*.json"))


def test_an_unreadable_specification_fails_the_job_and_says_so(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    studio.give("j", 1, {"kind": "fine_tuning", "job_id": "j", "new_field": 1})
    until(lambda: studio.dead("j", 1), "the end")
    assert studio.records["j", 1][-1]["outcome"] == "failed"
    assert "specification" in studio.records["j", 1][-1]["error"]["message"]


def test_a_job_without_room_for_its_files_fails_and_says_so(studio: Studio, start: Start, tmp_path: Path) -> None:
    start()
    (tmp_path / "artifacts" / "jobs").mkdir()
    (tmp_path / "artifacts" / "jobs" / "j").write_text("in the way")  # as a full disk: no directory can be made
    studio.give("j", 1, plan(tmp_path, "j"))
    until(lambda: studio.dead("j", 1), "the end")
    assert studio.records["j", 1][-1]["error"]["kind"] == "bug"


def test_a_job_is_held_before_it_begins_while_the_disk_is_full_and_begins_by_itself(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "full").touch()
    start()
    for job in ("j", "paused"):
        studio.give(job, 1, plan(tmp_path, job, records=3))
    until(lambda: studio.told("j", 1) and studio.told("j", 1)[-1].get("short"), "word of it")
    assert studio.told("j", 1)[-1]["short"] == {"needed": 8 << 20, "free": 5}
    studio.order("paused", 1, "pause")
    until(lambda: studio.dead("paused", 1), "the pause")
    assert not (tmp_path / "artifacts" / "jobs" / "j" / "1" / "child.json").exists() and not studio.dead("j", 1)
    (tmp_path / "full").unlink()
    until(lambda: studio.dead("j", 1), "the end")
    assert studio.records["paused", 1][-1]["outcome"] == "paused"
    assert len(steps(studio, "j")) == 3 and "short" not in {k for k, v in studio.told("j", 1)[-1].items() if v}


def test_a_runner_whose_quota_is_used_up_says_so_without_talking_all_the_time(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    (tmp_path / "quota").touch()
    start()
    studio.give("j", 1, plan(tmp_path, "j", records=3))
    until(lambda: studio.told("j", 1) and studio.told("j", 1)[-1].get("short"), "word of it")
    before = len(studio.reports)
    time.sleep(1)
    assert len(studio.reports) - before <= 2
    (tmp_path / "quota").unlink()
    studio.wake()
    until(lambda: studio.dead("j", 1), "the end")
    assert len(steps(studio, "j")) == 3


def test_what_the_studio_does_not_accept_is_not_sent_again_and_again(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    studio.next_report_seconds = 0.5
    start()
    until(lambda: studio.reports, "a report")
    studio.accepting = False
    studio.give("j", 1, plan(tmp_path, "j", records=5))
    files = Files(tmp_path / "artifacts" / "jobs" / "j" / "1")
    until(files.exit.exists, "the job's end")
    before, began = len(studio.reports), studio.report_times[-1]
    until(lambda: studio.report_times[-1] > began + 1.5, "time to pass")
    assert len(studio.reports) - before <= 6


def test_an_engine_that_comes_while_the_daemon_runs_is_offered(studio: Studio, start: Start, tmp_path: Path) -> None:
    studio.next_report_seconds = 0.2
    start()
    until(lambda: studio.reports, "a report")
    (tmp_path / "engines" / "axolotl").mkdir(parents=True)
    until(lambda: len(studio.registrations) == 2, "another registration")
    assert [each["engines"] for each in studio.registrations] == [["legacy"], ["legacy", "axolotl"]]
