"""An evaluation at Cloudera's, a run a combination: what it comes to, whoever is killed, stopped or away meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from core.cml import Cloudera
from core.settings import read
from gpu_runner.cml import parts, tries
from gpu_runner.cml.book import Book
from gpu_runner.cml.errand import Errand
from gpu_runner.files import Files, write_json
from gpu_runner.launch import Launch
from gpu_runner.spool import Spool, read_records
from tests.cml import pods, scoring
from tests.cml.standin import StandIn
from tests.cml.test_stewards import Start, home, start, studio  # noqa: F401  # fixtures
from tests.runner import studio as scripted

NAMES = ("one", "two", "base")
MODEL = {"id": "m", "name": "m", "location": "/nowhere"}


def combination(name: str, number: int) -> dict[str, Any]:
    adapter = None if name == "base" else {"id": name, "name": name, "location": "/nowhere"}
    return {"job_id": name, "run_number": number, "model": MODEL, "adapter": adapter}


SPEC = {
    "kind": "evaluation",
    "job_id": "batch",
    "name": "compare",
    "combinations": [combination(name, number) for number, name in enumerate(NAMES, 1)],
    "dataset": {"id": "d", "name": "d", "type": "project_jsonl", "location": "/nowhere"},
    "prompt": dict.fromkeys(("id", "name", "prompt_template", "input_template", "completion_template"), "x"),
    "generation": {},
    "resources": {"cpus": 1, "gpus": 0, "memory": 2},
}


class Batch:
    """An attempt in the project, its steward, and what is ordered."""

    def __init__(self, cloudera: StandIn, number: int = 1, **settings: str) -> None:
        self.cloudera, self.project = cloudera, cloudera.cloud.project
        self.root = self.project / "artifacts"
        self.root.mkdir(exist_ok=True)
        (self.root / ".fts-artifacts").write_text("marker\n")
        self.files = Files(self.root / "jobs" / "batch" / str(number))
        self.files.make()
        write_json(self.files.spec, SPEC)
        write_json(self.files.room, {"runs": 3})
        self.settings = {"FTS_HOME": str(self.project / ".app"), "FTS_ARTIFACTS": str(self.root), "FTS_CML_POLL": "0.1"}
        self.environment = {**pods.base(), **cloudera.environment(), **self.settings, **settings}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start a steward, as a daemon does."""
        lock = self.files.take_lock()
        assert lock is not None
        launch = Launch(str(self.files.directory), "runner", lock_fd=lock)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gpu_runner.cml.steward", launch.to_json()],
            env=self.environment, pass_fds=[lock], cwd=self.project, start_new_session=True,
        )  # fmt: skip
        os.close(lock)

    def wait(self) -> int:
        """The steward's exit code."""
        assert self.process is not None
        return self.process.wait(60)

    def here(self) -> dict[str, Any]:
        """Look after it in this process, to its end; the last record."""
        with pytest.MonkeyPatch.context() as patched:
            for name, value in self.environment.items():
                patched.setenv(name, value)
            patched.setattr(tries, "LEAST_LAG", 0.1)
            parts.look_after(Errand(self.files.directory, read(), "runner"))
        return self.records()[-1]

    def end(self) -> dict[str, Any]:
        """Run it to its end; the last record."""
        if self.process is None:
            self.start()
        self.wait()
        told = self.records()
        assert told[-1]["type"] == "finished", self.printed()
        return told[-1]

    def kill(self) -> None:
        """Kill the steward (-9)."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def order(self, **control: Any) -> None:
        write_json(self.files.control, control)

    def records(self, *types: str) -> list[dict[str, Any]]:
        read = read_records(self.files.spool, 0, 1 << 24)[0]
        return [each for each in read if not types or each["type"] in types]

    def scored(self) -> dict[str, dict[str, Any]]:
        """The last word on each combination."""
        return {each["job_id"]: each for each in self.records("scored")}

    def states(self) -> dict[str, str]:
        return {id: each["status"] for id, each in self.scored().items()}

    def begun(self) -> list[str]:
        """The combinations that pods have begun, in order."""
        path = self.files.directory / "begun.txt"
        return path.read_text().split() if path.exists() else []

    def printed(self) -> str:
        return self.files.log.read_text(errors="replace") if self.files.log.exists() else ""


@pytest.fixture
def batch(cloudera: StandIn) -> Iterator[Callable[..., Batch]]:
    """Attempts of a batch of three, whose pods only play."""
    (cloudera.cloud.project / "scorer.py").write_text(scoring.SCRIPT)
    with cloudera.cloud.lock:
        for row in cloudera.cloud.state["jobs"].values():
            row["script"] = "scorer.py"
    scoring.plan(cloudera.cloud.project, one={"right": 3}, two={"right": 5}, base={"right": 1})
    cloudera.cloud.delays.grace = 0.2
    made: list[Batch] = []

    def of(number: int = 1, **settings: str) -> Batch:
        made.append(Batch(cloudera, number, **settings))
        return made[-1]

    yield of
    for each in made:
        if each.process is not None and each.process.poll() is None:
            each.kill()


def until(holds: Callable[[], Any]) -> Any:
    """Wait until it holds, however busy the machine is; what it is."""
    return scripted.until(holds, "what is waited for", 60)


def finals(one: Batch) -> list[str]:
    return [each["job_id"] for each in one.records("scored") if each["status"] != "running"]


def whole(one: Batch) -> None:
    """It came to all that there is, each said once."""
    told = one.scored()
    assert one.records("finished")[0]["outcome"] == "succeeded" and len(one.records("finished")) == 1
    assert sorted(finals(one)) == sorted(NAMES)
    assert {id: each["values"]["exact_match"] for id, each in told.items()} == {
        "one": 3 / 6,
        "two": 5 / 6,
        "base": 1 / 6,
    }
    deltas = {id: each["statistics"]["exact_match"]["delta"] for id, each in told.items()}
    assert deltas == {"one": None, "two": pytest.approx(2 / 6), "base": pytest.approx(-2 / 6)}
    results = json.loads((one.files.directory / "results.json").read_text())
    assert [each["id"] for each in results["combinations"]] == list(NAMES) and len(results["rows"]) == 6
    assert [each["text"] for each in one.records("warning")] == ["told by all"]
    assert one.cloudera.active() == [] and Book.read(one.files.directory).settled


def test_each_combination_is_a_job_of_its_own_called_by_its_id_and_all_come_to_one_result(
    batch: Any, cloudera: StandIn
) -> None:
    one = batch()
    assert one.here()["summary"]["evaluated"] == 3
    whole(one)
    assert sorted(row["name"] for row in cloudera.runs()) == sorted(NAMES) == sorted(one.begun())
    jobs = {row["name"]: row for row in cloudera.cloud.state["jobs"].values()}
    assert [(jobs[name]["cpu"], jobs[name]["memory"], jobs[name]["nvidia_gpu"]) for name in NAMES] == [(1, 2, 0)] * 3
    placed = {each["job_id"]: (each["job"], each["name"]) for each in one.records("placed")}
    assert placed == {name: (jobs[name]["id"], name) for name in NAMES}
    steps = [each["step"] for each in one.records("progress")]
    assert steps[-1] == one.records("progress")[-1]["total_steps"] == one.records("started")[0]["total_steps"] == 18
    assert steps == sorted(steps)


class Crash(SystemExit):
    """The steward is killed, in whichever of its threads."""


class Dying:
    """What a steward does, up to its n-th step: with it, or right after it, it is killed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.after, self.dead = 0, False, False
        monkeypatch.setattr(tries, "LEAST_LAG", 0.1)
        for of, name in ((Book, "save"), (Spool, "_append"), (Cloudera, "create_job"), (Cloudera, "create_run")):
            monkeypatch.setattr(of, name, self._step(getattr(of, name)))

    def _step(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **named: Any) -> Any:
            self.left -= 1
            self.dead |= self.left == 0 and not self.after
            if self.dead:
                raise Crash
            told = real(*args, **named)
            if self.left == 0:
                self.dead = True
                raise Crash
            return told

        return step

    def run(self, one: Batch, steps: int, *, after: bool) -> bool:
        """Whether it comes to an end before."""
        self.left, self.after, self.dead = steps, after, False
        with suppress(Crash):
            parts.look_after(Errand(one.files.directory, read(), "runner"))
        return not self.dead


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)  # a thread dies as its process would
def test_a_steward_that_is_killed_at_every_step_makes_nothing_twice_and_loses_nothing(
    batch: Any, cloudera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, dying, crashes = batch(), Dying(monkeypatch), 0
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    scoring.plan(one.project, one={"right": 3, "die": 1}, two={"right": 5}, base={"right": 1})
    while not dying.run(one, 1 + crashes % 5, after=crashes // 5 % 2 == 0):
        crashes += 1
    assert crashes > 12
    whole(one)
    assert sorted(one.begun()) == ["base", "one", "one", "two"] == sorted(row["name"] for row in cloudera.runs())
    logged = [each["text"] for each in one.records("log")]
    assert sorted(each for each in logged if each.startswith("after")) == ["after base", "after one", "after two"]


@pytest.mark.nightly
def test_stewards_that_are_killed_while_pods_work_are_followed_by_others(batch: Any, cloudera: StandIn) -> None:
    one = batch()
    scoring.plan(one.project, one={"hold": 2}, two={"right": 5}, base={"right": 1})
    for _ in range(3):
        before = len(cloudera.received)
        one.start()
        until(lambda before=before: len(cloudera.received) > before + 8 or len(finals(one)) == 2)
        one.kill()
    scoring.plan(one.project, one={"right": 3}, two={"right": 5}, base={"right": 1})
    one.end()
    whole(one)
    assert sorted(one.begun()) == sorted(NAMES)


def test_a_pod_that_dies_without_a_word_is_tried_again_and_too_many_of_them_fail_their_combination_alone(
    batch: Any, cloudera: StandIn
) -> None:
    one = batch(FTS_MAX_LOSSES="1")
    scoring.plan(one.project, one={"right": 3, "die": 1}, two={"right": 5, "die": 9}, base={"right": 1})
    assert one.here()["summary"]["failed"] == 1
    assert one.states() == {"one": "succeeded", "two": "failed", "base": "succeeded"}
    assert "2 times" in one.scored()["two"]["error"]
    assert one.scored()["base"]["statistics"]["exact_match"]["delta"] == pytest.approx(-2 / 6)
    assert sorted(one.begun()) == ["base", "one", "one", "two", "two"]
    died = [each["text"] for each in one.records("log") if "left no last word" in each["text"]]
    assert sorted(each.partition(": ")[0] for each in died) == ["evaluation 1", "evaluation 2", "evaluation 2"]
    assert len({row["job_id"] for row in cloudera.runs()}) == 3


def test_a_combination_that_was_asked_other_rows_fails_alone_and_a_baseline_that_fails_is_compared_with_nothing(
    batch: Any,
) -> None:
    one = batch()
    scoring.plan(one.project, one={"fail": "no memory"}, two={"right": 5, "rows": 7}, base={"right": 1})
    assert one.here()["summary"]["failed"] == 2
    assert one.states().get("one") == "failed" and "no memory" in one.scored()["one"]["error"]
    (kept,) = [each for each in ("two", "base") if one.states()[each] == "succeeded"]
    (void,) = {"two", "base"} - {kept}
    assert "the data changed meanwhile" in one.scored()[void]["error"]
    assert one.scored()[kept]["statistics"]["exact_match"]["delta"] is None


def test_a_run_that_is_stopped_in_clouderas_own_pages_cancels_its_combination_alone(
    batch: Any, cloudera: StandIn
) -> None:
    one = batch()
    scoring.plan(one.project, two={"hold": 1}, base={"right": 1})
    one.start()
    until(lambda: one.states().get("two") == "running")
    cloudera.stop(cloudera.runs("two")[0]["id"])
    assert one.end()["outcome"] == "succeeded"
    assert one.states() == {"one": "succeeded", "two": "cancelled", "base": "succeeded"}
    assert "evaluation 2: its run was stopped in Cloudera ML" in [each["text"] for each in one.records("warning")]


def test_combinations_that_are_cancelled_end_or_never_begin_and_no_more_run_than_there_is_room_for(
    batch: Any, cloudera: StandIn
) -> None:
    one = batch()
    write_json(one.files.room, {"runs": 1})
    scoring.plan(one.project, one={"right": 3, "hold": 1}, two={"right": 5}, base={"right": 1})
    one.start()
    until(lambda: one.states().get("one") == "running")
    assert len(cloudera.runs()) == 1
    one.order(order="run", cancelled=["one", "base"])
    assert one.end()["summary"]["evaluated"] == 1
    assert one.states() == {"one": "cancelled", "two": "succeeded", "base": "cancelled"}
    assert one.begun() == ["one", "two"]
    assert one.records("warning")[-1]["text"].startswith("nothing is compared")


def test_a_batch_that_is_paused_is_gone_on_with_by_the_next_attempt(batch: Any, cloudera: StandIn) -> None:
    one = batch()
    scoring.plan(one.project, one={"right": 3}, two={"right": 5, "hold": 1}, base={"right": 1, "hold": 1})
    one.start()
    until(lambda: one.states().get("one") == "succeeded" and len(one.begun()) == 3)
    one.order(order="pause")
    assert one.end()["outcome"] == "paused" and cloudera.active() == []
    scoring.plan(one.project, one={"right": 0}, two={"right": 5}, base={"right": 1})
    two = batch(2)
    two.here()
    whole(two)
    assert sorted(two.begun()) == ["base", "two"]


def test_a_pod_that_hears_no_order_is_stopped_and_the_batch_is_cancelled(batch: Any, cloudera: StandIn) -> None:
    one = batch()
    scoring.plan(one.project, one={"hold": 1, "deaf": True}, two={"hold": 1, "deaf": True}, base={"hold": 1})
    one.start()
    until(lambda: len(one.states()) == 3)
    one.order(order="cancel")
    assert one.end()["outcome"] == "cancelled" and cloudera.active() == []
    assert {row["name"]: row["status"] for row in cloudera.runs()} == {
        "one": "ENGINE_STOPPED",
        "two": "ENGINE_STOPPED",
        "base": "ENGINE_SUCCEEDED",
    }


def test_a_steward_that_is_let_go_of_leaves_the_runs_alone(batch: Any, cloudera: StandIn) -> None:
    one = batch()
    scoring.plan(one.project, one={"right": 3, "hold": 1}, two={"right": 5, "hold": 1}, base={"right": 1, "hold": 1})
    one.start()
    until(lambda: len(one.begun()) == 3)
    one.process.send_signal(signal.SIGTERM)
    assert one.wait() == 0 and len(cloudera.active()) == 3
    scoring.plan(one.project, one={"right": 3}, two={"right": 5}, base={"right": 1})
    one.process = None
    one.here()
    whole(one)


@pytest.mark.nightly
@pytest.mark.parametrize("silent", [False, True])
def test_while_the_api_is_away_the_batch_says_so_and_goes_on(batch: Any, cloudera: StandIn, silent: bool) -> None:
    one = batch(FTS_CML_SECONDS="1")
    scoring.plan(one.project, one={"right": 3}, two={"right": 5}, base={"right": 1, "hold": 1})
    cloudera.lose(2, "POST /api/v2/projects")
    one.start()
    until(lambda: one.states().get("two") == "succeeded")
    if silent:
        cloudera.never(1000)
    else:
        cloudera.fail(500, 1000)
    until(lambda: any("does not answer since" in each["name"] for each in one.records("phase")))
    scoring.plan(one.project, one={"right": 3}, two={"right": 5}, base={"right": 1})
    until(lambda: one.states().get("base") == "succeeded")
    cloudera.heal()
    one.end()
    whole(one)
    assert sorted(row["name"] for row in cloudera.runs()) == sorted(NAMES)


def test_a_daemon_has_as_many_at_once_as_there_is_room_for_and_gives_it_back_as_they_end(
    cloudera: StandIn,
    studio: scripted.Studio,  # noqa: F811
    start: Start,  # noqa: F811
    home: Path,  # noqa: F811
) -> None:
    (cloudera.cloud.project / "scorer.py").write_text(scoring.SCRIPT)
    cloudera.template("Evaluations", script="scorer.py")
    scoring.plan(cloudera.cloud.project, one={"hold": 1}, two={"hold": 2}, base={"hold": 3})
    start(FTS_CML_CPUS="4", FTS_CML_EVALUATION_TEMPLATE="Evaluations")
    until(lambda: studio.reports)
    studio.give("batch", 1, {**SPEC, "resources": {"cpus": 2, "gpus": 1, "memory": 4}})
    until(lambda: studio.reports[-1]["free"]["cpus"] == 0 and len(cloudera.active()) == 2)
    scoring.plan(cloudera.cloud.project, two={"hold": 2}, base={"hold": 3})
    until(lambda: sorted(row["name"] for row in cloudera.active()) == ["base", "two"])
    assert studio.reports[-1]["free"]["gpus"] == 2
    scoring.plan(cloudera.cloud.project, base={"hold": 3})
    until(lambda: studio.reports[-1]["free"] == {"cpus": 2, "memory": 60, "gpus": 3, "jobs": 7})
    scoring.plan(cloudera.cloud.project)
    assert until(lambda: studio.dead("batch", 1))["exit_code"] == 0
    told = studio.records["batch", 1]
    assert [each["status"] for each in told if each["type"] == "scored"].count("succeeded") == 3
    assert told[-1]["type"] == "finished" and told[-1]["outcome"] == "succeeded"
