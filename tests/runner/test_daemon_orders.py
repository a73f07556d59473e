"""Orders on their way from the studio's reply to the child's control file, and words that are left for later attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpu_runner.files import Files, read_json
from tests.runner.conftest import Start
from tests.runner.studio import Studio, until
from tests.runner.test_daemon import plan, steps


def control(tmp_path: Path, attempt: int = 1) -> dict[str, Any]:
    return read_json(Files(tmp_path / "artifacts" / "jobs" / "j" / str(attempt)).control) or {}


def test_a_checkpoint_that_was_asked_for_reaches_the_child_and_the_job_goes_on(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    studio.give("j", 1, plan(tmp_path, "j"))
    until(lambda: steps(studio, "j"), "a record")
    assert control(tmp_path) == {}
    for count in (1, 2):
        studio.order("j", 1, "run", checkpoint=count)
        until(lambda count=count: control(tmp_path).get("checkpoint") == count, "the wish")
    assert control(tmp_path)["order"] == "run"
    seen = len(steps(studio, "j"))
    until(lambda: len(steps(studio, "j")) > seen + 3, "more steps")


def test_an_order_that_is_taken_back_is_taken_back_from_the_child_too_even_by_a_new_daemon(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    first = start()
    studio.give("j", 1, plan(tmp_path, "j", deaf=True))  # it has not heard of the pause when it is taken back
    until(lambda: steps(studio, "j"), "a record")
    studio.order("j", 1, "pause")
    until(lambda: control(tmp_path).get("order") == "pause", "the pause")
    first.kill()
    first.wait()
    studio.order("j", 1, "run")
    start()
    until(lambda: control(tmp_path).get("order") == "run", "the pause taken back")


def test_an_attempt_that_begins_anew_leaves_word_of_it_before_its_child_begins(
    studio: Studio, start: Start, tmp_path: Path
) -> None:
    start()
    for attempt, fresh in ((1, False), (2, True)):
        studio.give("j", attempt, plan(tmp_path, "j", records=1), fresh=fresh)
        until(lambda attempt=attempt: studio.dead("j", attempt), "the end")
        assert Files(tmp_path / "artifacts" / "jobs" / "j" / str(attempt)).fresh.exists() is fresh
        del studio.jobs["j", attempt]
