"""What nobody looks after any more at Cloudera's is ended, and nothing else is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gpu_runner.attempt import Attempt as Held
from gpu_runner.cml import settling
from gpu_runner.cml.book import NAME
from gpu_runner.cml.settling import Runs, Settling
from gpu_runner.files import read_json
from gpu_runner.identity import Identity
from tests.cml.attempts import Attempt, until
from tests.cml.standin import StandIn

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def left(cloudera: StandIn) -> Attempt:
    """An attempt that runs, and whose steward is gone."""
    attempt = Attempt(cloudera, records=100_000)
    let_go(attempt)
    return attempt


def let_go(attempt: Attempt) -> None:
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    steward.errand.signal()
    steward.ends()
    assert attempt.cloudera.active()


def found(attempt: Attempt, *held: tuple[str, int], runner: str = "runner", now: float = 0.0) -> list[Held]:
    return list(Settling(attempt.using()).left(runner, held, now))


def test_an_attempt_without_a_steward_gets_one_that_ends_it(left: Attempt) -> None:
    (attempt,) = found(left)
    assert (attempt.job_id, attempt.number, attempt.held.cpus) == ("job", 1, 1)
    assert read_json(left.files.control) == {"order": "stop"}
    left.steward().ends()
    assert (left.cloudera.active(), left.book.settled, found(left)) == ([], True, [])


def test_an_attempt_that_is_held_or_has_a_steward_is_left_alone(left: Attempt) -> None:
    assert found(left, ("job", 1)) == []
    lock = left.files.take_lock()
    assert lock is not None
    assert found(left) == []
    os.close(lock)
    assert not left.files.control.exists()


def test_an_attempt_of_another_runner_is_ended_when_that_is_gone_for_long(left: Attempt) -> None:
    looking = Settling(left.using())
    other = Identity(left.home, "other")
    other.keep("runner")
    assert list(looking.left("me", (), 0.0)) == []
    assert list(looking.left("me", (), settling.OTHERS + 1)) == []  # its daemon lives
    other.release()
    again = Settling(left.using())
    assert list(again.left("me", (), 0.0)) == []
    assert list(again.left("me", (), settling.OTHERS - 1)) == []
    assert len(list(again.left("me", (), 2 * settling.OTHERS))) == 1


def test_while_the_artifacts_are_away_nothing_is_ended(left: Attempt) -> None:
    marker = left.home / "artifacts" / ".fts-artifacts"
    marker.rename(marker.with_name("elsewhere"))
    assert found(left) == []
    look = Runs(left.using())
    look.look()
    look.look()
    assert len(left.cloudera.active()) == 1


def test_a_run_whose_attempt_was_removed_is_stopped_when_it_was_seen_twice(left: Attempt) -> None:
    shutil.rmtree(left.files.directory.parent)
    assert found(left) == []
    assert not list((left.home / "artifacts" / "cml").iterdir())
    look = Runs(left.using())
    look.look()
    assert [run["status"] for run in left.cloudera.runs("job")] == ["ENGINE_RUNNING"]
    look.look()
    until(lambda: not left.cloudera.active(), "its end")


def test_a_run_that_its_attempts_book_does_not_tell_is_stopped_and_the_other_goes_on(left: Attempt) -> None:
    job, run = left.book.parts[0].job_id, left.runs[0]
    with left.cloudera.cloud.lock:
        body = {"environment": run["environment"]}
        left.cloudera.jobs.create_job_run({}, body, left.cloudera.project_id, job)
    look = Runs(left.using())
    look.look()
    look.look()
    until(lambda: len(left.cloudera.active()) == 1, "the end of the second")
    assert left.cloudera.active()[0]["id"] == run["id"]


def test_a_run_that_goes_on_behind_a_closed_book_is_stopped(left: Attempt) -> None:
    left.book.settle()
    look = Runs(left.using())
    look.look()
    look.look()
    until(lambda: not left.cloudera.active(), "its end")


def test_a_run_whose_attempts_book_cant_be_understood_is_left_to_a_steward(left: Attempt) -> None:
    (left.files.directory / NAME).write_bytes(b"{")
    look = Runs(left.using())
    look.look()
    look.look()
    assert [run["status"] for run in left.runs] == ["ENGINE_RUNNING"] and not look.suspects
    looking = Settling(left.using())
    assert list(looking.left("runner", (), 0.0)) == []
    assert len(list(looking.left("runner", (), 2 * settling.OTHERS))) == 1


def test_a_job_that_cant_be_asked_or_read_keeps_nothing_else_from_being_found(left: Attempt) -> None:
    unreadable, gone = (left.cloudera.template(name, script="x.py") for name in ("theirs", "gone"))
    left.cloudera.cloud.state["jobs"][unreadable]["environment"] = "A=1"
    left.cloudera.cloud.state["jobs"][gone]["environment"] = {"FTS_STUDIO": "marker"}
    left.cloudera.fail(404, times=1e9, where=f"GET .*/jobs/{gone}/runs")
    shutil.rmtree(left.files.directory.parent)
    look = Runs(left.using())
    look.look()
    look.look()
    until(lambda: not left.cloudera.active(), "its end")


def test_a_job_of_which_nothing_ran_is_looked_at_again_after_a_while(
    cloudera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settling, "QUIET", 0.2)
    Attempt(cloudera).steward().ends()
    later = Attempt(cloudera, number=2, records=100_000)
    look = Runs(later.using())
    look.look()
    let_go(later)
    shutil.rmtree(later.files.directory.parent)

    def ended() -> bool:
        look.look()
        return not cloudera.active()

    until(ended, "its end")


def test_runs_of_another_studio_and_of_people_are_not_touched(left: Attempt, tmp_path: Path) -> None:
    (left.home / "artifacts" / ".fts-artifacts").write_text("another marker\n")
    shutil.rmtree(left.files.directory.parent)
    look = Runs(left.using())
    look.look()
    look.look()
    assert len(left.cloudera.active()) == 1
