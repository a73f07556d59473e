"""The steward of one run: what it asks of Cloudera's, what it tells of the run, and what its end means."""

from __future__ import annotations

import errno
import json
import os
import threading
import time
from pathlib import Path

import pytest

from core.spec import Resources
from gpu_runner.cml import book
from gpu_runner.cml.run import Run
from tests.cml.attempts import POLL, TEMPLATE, Attempt, until
from tests.cml.standin import StandIn

pytestmark = pytest.mark.usefixtures("impatient")


def test_an_attempt_is_a_run_of_a_job_made_from_the_template_and_its_pods_words_are_its_own(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, resources={"cpus": 3, "gpus": 1, "memory": 12, "gpu_label_id": 7})
    assert attempt.steward().ends() == 0
    assert (attempt.outcome, attempt.steps) == ("succeeded", [1, 2, 3])
    (run,) = attempt.runs
    job = cloudera.cloud.state["jobs"][run["job_id"]]
    assert (job["name"], job["cpu"], job["memory"], job["nvidia_gpu"]) == ("job", 3.0, 12.0, 1)
    assert (job["accelerator_label_id"], job["arguments"], job["script"]) == ("7", "", "fast.py")
    assert job["environment"] == {"FTS_STUDIO": "marker"}
    assert {"FTS_ATTEMPT": "1", "FTS_PART": "0", "FTS_RUNNER_ID": "runner"}.items() <= run["environment"].items()
    (placed,) = attempt.records("placed")
    assert (placed["job"], placed["name"]) == (run["job_id"], "job")
    assert attempt.files.log.read_text() == "printed in the pod\n"
    assert (attempt.book.settled, attempt.book.entry.exists()) == (True, False)


def test_an_order_reaches_the_pod_by_its_files(cloudera: StandIn) -> None:
    for order, outcome in {"cancel": "cancelled", "pause": "paused"}.items():
        attempt = Attempt(cloudera, f"job-{order}", records=100_000)
        steward = attempt.steward()
        until(lambda attempt=attempt: attempt.steps, "its first step")  # type: ignore[misc]
        attempt.order(order)
        assert steward.ends() == 0
        assert (attempt.outcome, [run["status"] for run in attempt.runs]) == (outcome, ["ENGINE_SUCCEEDED"])


def test_a_pod_that_does_not_obey_is_stopped(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100_000, deaf=True)
    cloudera.cloud.delays.grace = 0.1
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    attempt.order("cancel")
    assert steward.ends() == 0
    assert (attempt.outcome, [run["status"] for run in attempt.runs]) == ("cancelled", ["ENGINE_STOPPED"])


@pytest.mark.decision("D-265")
def test_a_run_that_was_stopped_in_cloudera_ml_is_cancelled(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100_000)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    cloudera.stop(attempt.runs[0]["id"])
    assert steward.ends() == 0
    assert attempt.outcome == "cancelled"
    assert [each["text"] for each in attempt.records("warning")] == ["its run was stopped in Cloudera ML"]
    (last,) = attempt.records("finished")
    assert (last["error"]["kind"], last["error"]["message"]) == ("stopped", "its run was stopped in Cloudera ML")


def test_a_pod_that_dies_without_a_word_is_no_end_of_the_job(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, mute=True, code=3)
    assert attempt.steward().ends() == 1
    assert (attempt.outcome, attempt.book.died, attempt.book.settled) == (None, True, True)
    assert "ENGINE_FAILED" not in json.dumps(attempt.records())
    (text,) = [each["text"] for each in attempt.records("log")]
    assert text == f"Cloudera ML says that the run {attempt.runs[0]['id']} failed, and its pod left no last word"


def test_a_run_that_takes_too_long_has_failed_and_says_which_setting_it_was(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100_000)
    assert attempt.steward(attempt.errand(cml_timeout=1)).ends() == 1
    (last,) = attempt.records("finished")
    assert (last["outcome"], last["error"]["kind"]) == ("failed", "user_error")
    assert "FTS_CML_TIMEOUT" in last["error"]["hint"]


def test_what_cloudera_declines_fails_with_its_words(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, resources={"cpus": 1, "gpus": 9, "memory": 1})
    assert attempt.steward().ends() == 1
    (last,) = attempt.records("finished")
    assert "nvidia_gpu must not be greater than 4" in last["error"]["message"]
    assert (attempt.runs, attempt.book.settled) == ([], True)


def test_without_a_template_it_fails_and_tells_the_names_that_would_do(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera)
    cloudera.cloud.state["jobs"].clear()
    assert attempt.steward(attempt.errand(cml_training_template="mine")).ends() == 1
    (last,) = attempt.records("finished")
    assert "mine or Accel_Finetuning_Base_Job" in last["error"]["message"]


def test_a_token_is_in_the_environment_of_the_run_and_nowhere_else(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera)
    assert attempt.steward(attempt.errand("hf_canary")).ends() == 0
    (run,) = attempt.runs
    assert run["environment"]["HUGGINGFACE_ACCESS_TOKEN"] == "hf_canary"
    assert "HUGGINGFACE_ACCESS_TOKEN" in attempt.records("started")[0]["details"]["env"]
    files = [path for path in attempt.home.rglob("*") if path.is_file()]
    assert [path for path in files if b"hf_canary" in path.read_bytes()] == []
    assert "hf_canary" not in json.dumps(cloudera.cloud.state["jobs"])


@pytest.mark.decision("D-266")
def test_a_steward_that_is_let_go_leaves_the_run_alone_and_the_next_one_goes_on_with_it(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100, rate=50)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    steward.errand.signal()
    steward.ends()
    assert (attempt.outcome, attempt.book.settled, len(cloudera.active())) == (None, False, 1)
    assert attempt.steward().ends() == 0
    assert (attempt.outcome, attempt.steps) == ("succeeded", list(range(1, 101)))
    assert (len(attempt.runs), len(attempt.records("placed"))) == (1, 1)


def test_what_is_to_be_stopped_is_known_not_to_run_when_its_steward_ends(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100_000, deaf=True)
    cloudera.cloud.delays.grace = 0.3
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    cloudera.fail(503, times=3, where="POST .*:stop")
    attempt.order("stop")
    steward.errand.signal()
    steward.ends()
    assert (cloudera.active(), attempt.outcome, attempt.book.settled) == ([], None, True)


def test_what_was_never_asked_for_is_not_asked_for_to_be_ended(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera)
    attempt.order("pause")
    assert attempt.steward().ends() == 0
    assert (attempt.outcome, attempt.runs, attempt.book.settled) == ("paused", [], True)


def test_a_run_that_stays_after_its_last_word_is_stopped(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, rest=60)
    assert attempt.steward().ends() == 0
    assert (attempt.outcome, [run["status"] for run in attempt.runs]) == ("succeeded", ["ENGINE_STOPPED"])


def test_a_run_whose_job_was_removed_is_cancelled(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100_000)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    run = attempt.runs[0]
    cloudera.kill(run["id"])
    with cloudera.cloud.lock:
        del cloudera.cloud.state["runs"][run["id"]]
        del cloudera.cloud.state["jobs"][run["job_id"]]
    steward.ends()
    assert attempt.outcome == "cancelled"
    assert [each["text"] for each in attempt.records("warning")] == ["its run was removed in Cloudera ML"]


def test_another_attempt_begins_when_the_run_of_the_one_before_is_over(cloudera: StandIn) -> None:
    cloudera.cloud.delays.grace = 0.5
    first = Attempt(cloudera, records=100_000, deaf=True)
    steward = first.steward()
    until(lambda: first.steps, "its first step")
    second = Attempt(cloudera, number=2)
    assert second.steward().ends() == 0
    steward.ends()
    assert [run["status"] for run in cloudera.runs("job")] == ["ENGINE_STOPPED", "ENGINE_SUCCEEDED"]
    assert cloudera.runs("job")[0]["finished_at"] <= cloudera.runs("job")[1]["created_at"]
    assert "waits for the run of attempt 1 to end in Cloudera ML" in second.phases


def test_an_attempt_that_a_later_one_has_passed_makes_no_run(cloudera: StandIn) -> None:
    second = Attempt(cloudera, number=2, records=100_000)
    later = second.steward()
    until(lambda: second.steps, "its first step")
    first = Attempt(cloudera, number=1)
    first.steward().ends()
    assert (first.outcome, first.runs, len(cloudera.active())) == (None, [], 1)
    second.order("cancel")
    later.ends()


@pytest.mark.parametrize("job", [TEMPLATE, "Accel_Finetuning_Base_Job"])
def test_the_template_is_the_one_that_is_named_else_the_originals(cloudera: StandIn, job: str) -> None:
    attempt = Attempt(cloudera)
    if job != TEMPLATE:
        jobs = cloudera.cloud.state["jobs"]
        own = next(row for row in jobs.values() if row["name"] == TEMPLATE)
        next(row for row in jobs.values() if row["name"] == job)["script"] = own["script"]
        del jobs[own["id"]]
    assert attempt.steward().ends() == 0
    assert attempt.outcome == "succeeded"


def test_an_earlier_attempts_job_gets_what_settings_and_template_say_now(cloudera: StandIn) -> None:
    first = Attempt(cloudera, mute=True)
    first.steward(first.errand(cml_timeout=60)).ends()
    jobs = cloudera.cloud.state["jobs"]
    template = next(row for row in jobs.values() if row["name"] == TEMPLATE)
    template |= {"runtime_identifier": "runtime:2", "environment": {"NEW": "1"}}
    cloudera.fail(400, where="PATCH .*/jobs/")
    second = Attempt(cloudera, number=2, mute=True)
    second.steward().ends()
    job = jobs[second.runs[0]["job_id"]]
    assert (job["runtime_identifier"], int(job["timeout"])) == (
        "runtime:1",
        60,
    )  # what can't be changed is used as it is
    third = Attempt(cloudera, number=3)
    third.steward().ends()
    assert third.outcome == "succeeded"
    assert (job["runtime_identifier"], int(job["timeout"])) == ("runtime:2", 0)
    assert job["environment"] == {"NEW": "1", "FTS_STUDIO": "marker"}
    assert len(jobs) == 4


def test_a_plan_takes_no_room_and_gets_a_little(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, resources={"cpus": 0, "gpus": 0, "memory": 0})
    attempt.steward().ends()
    job = cloudera.cloud.state["jobs"][attempt.runs[0]["job_id"]]
    assert (job["cpu"], job["memory"], job["nvidia_gpu"]) == (1.0, 4.0, 0)


def test_what_cloudera_declined_is_told_by_the_next_steward_too(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, resources={"cpus": 1, "gpus": 9, "memory": 1})
    run = Run(attempt.errand(), Resources(cpus=1, gpus=9, memory=1), "fine_tuning")
    while not run.over:
        run.step(None)  # and then its steward is killed
    assert attempt.steward().ends() == 1
    assert "nvidia_gpu must not be greater than 4" in attempt.records("finished")[0]["error"]["message"]


def test_no_run_is_asked_for_while_that_can_t_be_written_down(
    cloudera: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, full = book._write, threading.Event()
    full.set()

    def on_a_full_disk(path: Path, content: object) -> None:
        if full.is_set():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(path, content)

    monkeypatch.setattr(book, "_write", on_a_full_disk)
    attempt = Attempt(cloudera)
    steward = attempt.steward()
    until(lambda: any("can't be written" in phase for phase in attempt.phases), "the phase")
    assert (attempt.runs, cloudera.runs()) == ([], [])
    full.clear()
    assert steward.ends() == 0
    assert (attempt.outcome, len(attempt.runs)) == ("succeeded", 1)


def test_files_that_are_away_for_a_while_end_nothing(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100, rate=50)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    artifacts = attempt.home / "artifacts"
    artifacts.rename(artifacts.with_name("elsewhere"))
    time.sleep(10 * POLL)
    artifacts.with_name("elsewhere").rename(artifacts)
    assert steward.ends() == 0
    assert (attempt.outcome, attempt.steps, len(attempt.runs)) == ("succeeded", list(range(1, 101)), 1)
