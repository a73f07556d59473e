"""Jobs at Cloudera's that nobody needs any more are removed there, and no others."""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from core.settings import Settings
from gpu_runner.cml.book import Book, Part
from gpu_runner.cml.clearing import Clearing
from gpu_runner.cml.settling import Runs
from gpu_runner.files import Files
from tests.cml.cloud import new_id, stamp
from tests.cml.standin import StandIn

pytestmark = pytest.mark.usefixtures("impatient")
DAY = 86_400.0


class Ended:
    """An attempt whose run ended some days ago, as the studio and Cloudera's have it."""

    def __init__(self, cloudera: StandIn, job_id: str, days: float, *, name: str = "", studio: str = "marker") -> None:
        self.cloudera, self.home = cloudera, cloudera.cloud.project / ".app"
        self.files = Files(self.home / "artifacts" / "jobs" / job_id / "1")
        self.files.directory.mkdir(parents=True)
        (self.home / "artifacts" / ".fts-artifacts").write_text("marker\n")
        at = stamp(time.time() - days * DAY)
        self.id = cloudera.template(name or job_id, environment={"FTS_STUDIO": studio})
        cloudera.cloud.state["jobs"][self.id]["created_at"] = at
        run: dict[str, Any] = {
            "id": new_id(), "job_id": self.id, "status": "ENGINE_SUCCEEDED", "arguments": "", "created_at": at,
            "finished_at": at, "environment": {"FTS_ATTEMPT_DIR": str(self.files.directory)}, "since": 0.0, "born": 0.0,
            "stop": None, "shown": None, "pod": None,
        }  # fmt: skip
        cloudera.cloud.state["runs"][run["id"]] = self.run = run
        self.book = Book(self.files.directory, "runner", [Part(name or job_id, self.id, run["id"], "succeeded", 1)])
        self.book.settle()

    def looks(self, **settings: Any) -> Runs:
        """Who looks through the project's jobs."""
        return Runs(Settings(home=self.home, cml_poll=0.05, cml_seconds=2.0, **settings))

    @property
    def listed(self) -> bool:
        return self.id in self.cloudera.cloud.state["jobs"]


def test_a_job_goes_when_its_last_run_ended_long_ago_and_not_before(cloudera: StandIn) -> None:
    old, part = Ended(cloudera, "old", 31), Ended(cloudera, "batch", 31, name="a-combination")
    young = Ended(cloudera, "young", 29)
    old.looks(cml_keep_days=0).look()
    assert old.listed
    old.looks().look()
    assert (old.listed, part.listed, young.listed) == (False, False, True)


def test_a_job_that_the_studio_has_removed_goes_with_the_next_look(cloudera: StandIn) -> None:
    job = Ended(cloudera, "job", 0)
    look = job.looks(cml_keep_days=0)
    look.look()
    assert job.listed
    shutil.rmtree(job.files.directory.parent)
    look.look()
    assert not job.listed


def test_nothing_goes_that_runs_is_open_is_held_or_is_not_this_studios(cloudera: StandIn, tmp_path: Path) -> None:
    runs, opened, held = (Ended(cloudera, name, 31) for name in ("runs", "opened", "held"))
    theirs, by_hand = Ended(cloudera, "theirs", 31, studio="another"), Ended(cloudera, "by-hand", 31)
    runs.run["status"], runs.run["pod"] = "ENGINE_SCHEDULING", None
    cloudera.cloud.delays.scheduling = 1e9
    opened.book.settled = False
    opened.book.save()
    by_hand.run["environment"]["FTS_ATTEMPT_DIR"] = str(tmp_path / "elsewhere" / "1")
    unnamed = Ended(cloudera, "unnamed", 31)
    unnamed.book.parts[0].job_id = "another"
    unnamed.book.save()
    lock = held.files.take_lock()
    assert lock is not None
    runs.looks().look()
    assert all(each.listed for each in (runs, opened, held, theirs, by_hand, unnamed))
    os.close(lock)
    runs.looks().look()
    assert not held.listed


def test_a_run_that_someone_began_since_the_look_keeps_its_job(
    cloudera: StandIn, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = Ended(cloudera, "job", 31)
    cloudera.cloud.delays.scheduling = 1e9
    remove = Clearing.look

    def begun(self: Clearing, *of: Any) -> None:
        job.run["status"] = "ENGINE_SCHEDULING"
        remove(self, *of)

    monkeypatch.setattr(Clearing, "look", begun)
    looks = job.looks()
    with caplog.at_level(logging.INFO):
        looks.look()
    assert job.listed and "stays in Cloudera ML" not in caplog.text  # it is not left to Cloudera's to decline
    monkeypatch.undo()
    job.run["status"] = "ENGINE_SUCCEEDED"
    looks.look()
    assert not job.listed


def test_a_job_that_is_not_removed_now_keeps_nothing_else_and_goes_later(
    cloudera: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Ended(cloudera, "first", 31), Ended(cloudera, "second", 31)
    look = first.looks()
    cloudera.fail(403, where=f"DELETE .*/jobs/{first.id}")
    with caplog.at_level(logging.INFO):
        look.look()
    assert (first.listed, second.listed) == (True, False)
    assert f"{first.id} (first) stays in Cloudera ML for now" in caplog.text
    cloudera.fail(500, times=1e9, where="DELETE")
    look.look()
    cloudera.heal()
    assert first.listed
    look.look()
    assert not first.listed


def test_of_an_evaluations_part_that_has_yet_to_run_nothing_is_taken_away(cloudera: StandIn) -> None:
    waits, gone = Ended(cloudera, "batch", 0, name="a-combination"), Ended(cloudera, "plan", 2)
    for each in (waits, gone):
        del cloudera.cloud.state["runs"][each.run["id"]]
    shutil.rmtree(gone.files.directory.parent)
    waits.looks().look()
    assert (waits.listed, gone.listed) == (True, False)
