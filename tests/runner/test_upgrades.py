"""A daemon that is replaced ten times while a job trains: nothing is lost, doubled or begun again."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from gpu_runner.files import Files
from tests.runner.conftest import Start
from tests.runner.studio import Studio, until
from tests.runner.test_daemon import child_pid, plan, steps

UPGRADES = 10
RECORDS = 100  # a second


@pytest.mark.timeout(120)
def test_ten_daemons_one_after_another_by_sigterm_and_by_kill_lose_nothing_of_a_job(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    daemon = start()
    studio.give("long", 1, plan(tmp_path, "long", rate=RECORDS))
    until(lambda: steps(studio, "long"), "records")
    pid = child_pid(tmp_path, "long")
    began = psutil.Process(pid).create_time()
    for upgrade in range(UPGRADES):
        brief = f"brief{upgrade}"  # ends while no daemon is there
        studio.give(brief, 1, plan(tmp_path, brief, records=30, rate=RECORDS))
        brief_pid = child_pid(tmp_path, brief)
        told = len(steps(studio, "long"))
        if upgrade % 2:
            daemon.kill()
        else:
            daemon.terminate()
        daemon.wait(60)
        until(Files(tmp_path / "artifacts" / "jobs" / brief / "1").exit.exists, "its end without a daemon")
        daemon = start()
        ended = until(lambda brief=brief: studio.dead(brief, 1), "what ended meanwhile is settled")
        assert ended["exit_code"] == 0 and studio.records[brief, 1][-1]["outcome"] == "succeeded"
        assert steps(studio, brief) == list(range(1, 31))
        assert child_pid(tmp_path, brief) == brief_pid  # it was not started a second time
        until(lambda told=told: len(steps(studio, "long")) > told, "the job that trains is told of again")
        del studio.jobs[brief, 1]
    assert len(studio.registrations) == UPGRADES + 1
    assert child_pid(tmp_path, "long") == pid and psutil.Process(pid).create_time() == began
    studio.order("long", 1, "cancel")
    until(lambda: studio.dead("long", 1), "the end")
    assert steps(studio, "long") == list(range(1, len(steps(studio, "long")) + 1))
    spool = (tmp_path / "artifacts" / "jobs" / "long" / "1" / "events.jsonl").read_text()
    assert len(studio.records["long", 1]) == len(spool.splitlines())
