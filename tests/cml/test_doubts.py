"""What a steward does not take for the end of a run, or for its beginning: states that go back, a disk that is full just then."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from typing import Any

import pytest

from core.cml import Away, Cloudera
from gpu_runner.cml import run
from gpu_runner.cml.book import NAME, Book
from gpu_runner.cml.copying import look_anew
from gpu_runner.files import Files
from tests.cml.attempts import Attempt, until
from tests.cml.standin import StandIn

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_state_that_goes_back_ends_nothing(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100, rate=50)
    errand = attempt.errand()
    steward, api = attempt.steward(errand), errand.cloudera.api
    until(lambda: attempt.steps, "its first step")
    look, lies = api.get_job_run, ["ENGINE_STOPPED", "ENGINE_RUNNING", "ENGINE_SUCCEEDED"]

    def lie(*ids: Any, **options: Any) -> Any:
        seen = look(*ids, **options)
        seen.status = lies.pop(0) if lies else seen.status
        return seen

    api.get_job_run = lie
    assert steward.ends() == 0
    assert (lies, attempt.outcome, attempt.steps) == ([], "succeeded", list(range(1, 101)))


def test_the_last_word_of_a_pod_waits_for_a_disk_that_is_full_when_its_run_ends(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=20, rate=50)
    errand, full = attempt.errand(), threading.Event()
    spool = errand.merged._spool
    append = spool._append

    def on_a_full_disk(line: bytes) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        append(line)

    spool._append = on_a_full_disk  # type: ignore[method-assign]
    steward = attempt.steward(errand)
    until(lambda: attempt.steps, "its first step")
    full.set()
    until(lambda: attempt.book.parts[0].state == "succeeded", "its run is over")
    steward.thread.join(1)  # longer than a last word is waited for
    assert (steward.thread.is_alive(), attempt.book.settled) == (True, False)
    full.clear()
    assert steward.ends() == 0
    assert (attempt.outcome, attempt.steps, attempt.book.died) == ("succeeded", list(range(1, 21)), False)


@pytest.mark.parametrize("rest", [None, 3600])
def test_a_job_that_was_never_asked_for_is_cancelled_while_the_api_is_away(
    cloudera: StandIn, rest: float | None
) -> None:
    attempt = Attempt(cloudera)
    cloudera.fail(503, times=1e9, retry_after=rest)
    steward = attempt.steward()
    until(lambda: any("does not answer" in phase for phase in attempt.phases), "the phase")
    attempt.order("cancel")
    assert steward.ends(20) == 0
    assert (attempt.outcome, attempt.book.settled) == ("cancelled", True)


@pytest.mark.parametrize("left", [b"", b"null", b"[1]", b'{"parts": [{"job_id": "x"}]}', bytes(40)])
def test_a_run_that_an_unreadable_book_told_of_is_looked_for_before_it_is_cancelled(
    cloudera: StandIn, left: bytes
) -> None:
    attempt = Attempt(cloudera, records=100_000)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    steward.errand.signal()
    steward.ends()
    (attempt.files.directory / NAME).write_bytes(left)
    assert (attempt.book.unread, attempt.book.settled) == (True, False)
    attempt.order("cancel")
    assert attempt.steward().ends() == 0
    assert (attempt.outcome, cloudera.active()) == ("cancelled", [])
    assert Book.read(attempt.files.directory) is not None


def test_a_run_is_asked_for_when_that_is_written_down_and_again_at_once_when_it_was_not_taken(
    cloudera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt, create = Attempt(cloudera), Cloudera.create_run
    told: list[tuple[int, bool]] = []

    def look(self: Cloudera, *asked: Any) -> Any:
        (part,) = attempt.book.parts
        told.append((part.asked, part.asked_at > 0))
        if len(told) == 1:
            raise Away("too many requests", 0.0)
        return create(self, *asked)

    monkeypatch.setattr(Cloudera, "create_run", look)
    monkeypatch.setattr(run, "LOST", 1e9)  # looks in which a run is waited for whose answer was lost
    attempt.steward().ends()
    assert (told, attempt.outcome, len(attempt.runs)) == ([(1, True), (2, True)], "succeeded", 1)


def test_a_token_is_masked_in_what_cloudera_says_whatever_it_looks_like(
    cloudera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, attempt = "canary without a shape", Attempt(cloudera)

    def echo(self: Cloudera, *asked: Any) -> Any:
        raise self._told("a run", _Answer(f'{{"message": "I do not take {token}"}}'))

    monkeypatch.setattr(Cloudera, "create_run", echo)
    attempt.steward(attempt.errand(token)).ends()
    assert "I do not take ••••••" in attempt.records("finished")[0]["error"]["message"]
    assert token not in (attempt.files.directory / NAME).read_text() + attempt.files.spool.read_text()


class _Answer(Exception):
    status = 400

    def __init__(self, body: str) -> None:
        super().__init__(body)
        self.body = body


def test_a_run_whose_attempt_is_removed_is_stopped_by_its_steward(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100_000, deaf=True)
    cloudera.cloud.delays.grace = 0.1
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    entry = attempt.book.entry
    shutil.rmtree(attempt.files.directory.parent)
    steward.ends()
    assert (cloudera.active(), entry.exists(), attempt.files.directory.exists()) == ([], False, False)


def test_directories_are_changed_so_that_a_network_asks_for_their_names_again(cloudera: StandIn) -> None:
    files = Files(Attempt(cloudera).files.directory, 0)
    files.make()
    directories = [files.directory, files.own.parent, files.own]
    for each in directories:
        os.utime(each, (1, 1))
    before = [sorted(each.iterdir()) for each in directories]
    look_anew(files)
    assert [sorted(each.iterdir()) for each in directories] == before
    assert all(each.stat().st_mtime > 1 for each in directories)


def test_a_directory_that_is_not_seen_for_a_moment_does_not_count_as_removed(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera)
    errand, aside = attempt.errand(cml_poll=60), attempt.files.directory.with_name("aside")
    attempt.files.directory.rename(aside)
    assert {errand.order() for _ in range(20)} == {None}
    aside.rename(attempt.files.directory)
    attempt.order("pause")
    assert errand.order() == "pause"
