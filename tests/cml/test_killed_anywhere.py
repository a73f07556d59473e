"""A steward that is killed at any line of its, and another one after it: one run, each word once, an end that is told."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cml.attempts import Attempt
from tests.cml.standin import StandIn

RECORDS = 10


class Stewards:
    """Stewards of attempts, each killed at a line."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.cml.dying_steward"]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, attempt: Attempt, at: int) -> dict[str, Any]:
        """Run one, which is killed at that line; how it ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        asked = {"directory": str(attempt.files.directory), "home": str(attempt.home), "at": at}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@pytest.fixture
def stewards(cloudera: StandIn) -> Iterator[Stewards]:
    made = Stewards()
    with made.process:
        yield made
        made.process.kill()


def is_whole(attempt: Attempt, name: str) -> None:
    assert (attempt.outcome, attempt.steps) == ("succeeded", list(range(1, RECORDS + 1)))
    assert [run["status"] for run in attempt.cloudera.runs(name)] == ["ENGINE_SUCCEEDED"]
    assert [row["name"] for row in attempt.cloudera.cloud.state["jobs"].values()].count(name) == 1
    assert len(attempt.records("placed")) == 1
    assert (attempt.book.settled, attempt.book.entry.exists()) == (True, False)


def dies(cloudera: StandIn, stewards: Stewards, places: list[int]) -> None:
    """Have a steward of an attempt of its own die at each of the places."""
    for at in places:
        name = f"at-{at}"
        attempt = Attempt(cloudera, name, records=RECORDS)
        first = stewards.run(attempt, at)
        assert first["code"] in (-signal.SIGKILL, 0), at
        if first["code"]:
            assert stewards.run(attempt, 0)["code"] == 0, at
        try:
            is_whole(attempt, name)
        except AssertionError as error:
            raise AssertionError(f"killed at line {at}: {error}") from error


def lines(cloudera: StandIn, stewards: Stewards) -> list[int]:
    """At which counts a line is run for the first time."""
    told = stewards.run(Attempt(cloudera, "whole", records=RECORDS), 0)
    assert (told["code"], len(told["lines"]) > 200) == (0, True)
    return list(told["lines"])


def test_a_steward_may_be_killed_at_any_line(cloudera: StandIn, stewards: Stewards) -> None:
    dies(cloudera, stewards, random.Random().sample(lines(cloudera, stewards), 6))


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_a_steward_may_be_killed_at_every_line(cloudera: StandIn, stewards: Stewards) -> None:
    dies(cloudera, stewards, lines(cloudera, stewards))
