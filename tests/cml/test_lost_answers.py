"""One run, whatever becomes of the API's answers: away, slow, refusing for a while, or lost when the work was done."""

from __future__ import annotations

import time

import pytest

from tests.cml.attempts import POLL, Attempt, until
from tests.cml.standin import StandIn

pytestmark = pytest.mark.usefixtures("impatient")
JOB, RUN = "POST .*/jobs$", "POST .*/runs$"


def is_one_run(attempt: Attempt) -> None:
    assert (attempt.outcome, attempt.steps) == ("succeeded", [1, 2, 3])
    assert [run["status"] for run in attempt.runs] == ["ENGINE_SUCCEEDED"]
    assert len(attempt.cloudera.runs("job")) == 1
    assert [row["name"] for row in attempt.cloudera.cloud.state["jobs"].values()].count("job") == 1


@pytest.mark.decision("D-264")
@pytest.mark.parametrize("where", [JOB, RUN])
def test_what_was_done_without_an_answer_is_found_again(cloudera: StandIn, where: str) -> None:
    cloudera.lose(where=where)
    attempt = Attempt(cloudera)
    attempt.steward().ends()
    is_one_run(attempt)


@pytest.mark.parametrize("where", [JOB, RUN])
def test_what_was_not_done_is_asked_for_again(cloudera: StandIn, where: str) -> None:
    cloudera.reset(where=where)
    attempt = Attempt(cloudera)
    attempt.steward().ends()
    is_one_run(attempt)


def test_a_run_whose_answer_was_lost_and_that_shows_late_is_found(cloudera: StandIn) -> None:
    cloudera.cloud.delays.visible = 0.2
    cloudera.lose(where=RUN)
    attempt = Attempt(cloudera)
    attempt.steward(attempt.errand(cml_poll=0.1)).ends()
    is_one_run(attempt)


def test_a_run_that_shows_too_late_is_stopped_when_another_was_asked_for(cloudera: StandIn) -> None:
    cloudera.cloud.delays.visible = 0.6
    cloudera.lose(where=RUN)
    attempt = Attempt(cloudera, records=120, rate=50)
    steward = attempt.steward()
    until(lambda: len(attempt.runs) == 2, "another run")
    steward.errand.signal()
    steward.ends()
    time.sleep(0.6)
    attempt.steward().ends()
    assert sorted(run["status"] for run in attempt.runs) == ["ENGINE_STOPPED", "ENGINE_SUCCEEDED"]
    assert attempt.outcome == "succeeded"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_api_that_refuses_for_a_while_is_asked_again(cloudera: StandIn, status: int) -> None:
    cloudera.fail(status, times=12, retry_after=0.05 if status == 429 else None)
    attempt = Attempt(cloudera)
    attempt.steward().ends()
    is_one_run(attempt)


def test_while_the_api_is_away_the_pods_words_come_on_and_the_phase_says_why(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=150, rate=75)
    steward = attempt.steward(attempt.errand(cml_seconds=0.2))
    until(lambda: attempt.steps, "its first step")
    cloudera.never(times=1e9)
    until(lambda: any("Cloudera's API does not answer since" in each for each in attempt.phases), "the phase")
    before = len(attempt.steps)
    until(lambda: len(attempt.steps) > before + 10, "more steps")
    assert "; the run goes on" in attempt.phases[-1]
    cloudera.heal()
    steward.ends()
    assert (attempt.outcome, attempt.steps) == ("succeeded", list(range(1, 151)))
    away = next(place for place, each in enumerate(attempt.phases) if "does not answer" in each)
    assert attempt.phases[away + 1] == "training"


def test_a_key_that_has_run_out_is_waited_for(cloudera: StandIn) -> None:
    cloudera.fail(401, times=8)
    attempt = Attempt(cloudera)
    attempt.steward().ends()
    is_one_run(attempt)
    assert any("CDSW_APIV2_KEY may have run out" in each for each in attempt.phases)


def test_a_run_that_is_not_found_just_after_it_was_made_is_waited_for(cloudera: StandIn) -> None:
    cloudera.cloud.delays.visible = 0.3
    attempt = Attempt(cloudera, records=50)
    attempt.steward().ends()
    assert (attempt.outcome, len(attempt.runs)) == ("succeeded", 1)


def test_a_state_that_cloudera_does_not_know_is_no_end(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100)
    steward = attempt.steward()
    run = until(lambda: attempt.runs, "the run")[0]["id"]
    cloudera.show(run, "ENGINE_UNKNOWN")
    until(lambda: len(attempt.steps) > 10, "steps")
    cloudera.show(run, None)
    steward.ends()
    assert (attempt.outcome, len(attempt.runs)) == ("succeeded", 1)


def test_two_stewards_at_once_leave_one_run(cloudera: StandIn) -> None:
    cloudera.slow(0.2, times=4, where="GET .*/(jobs|runs)$")
    attempt = Attempt(cloudera, records=30, rate=50)
    first, second = attempt.steward(), attempt.steward()
    first.ends()
    second.ends()
    ran = [run for run in attempt.runs if run["status"] == "ENGINE_SUCCEEDED"]
    assert len(ran) == 1
    assert {run["status"] for run in attempt.runs if run not in ran} <= {"ENGINE_STOPPED"}


def test_a_run_that_another_steward_stopped_for_its_own_is_no_end(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=100, rate=50)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    first = attempt.runs[0]
    with cloudera.cloud.lock:
        body = {"environment": first["environment"]}
        cloudera.jobs.create_job_run({}, body, cloudera.project_id, first["job_id"])
        cloudera.jobs.stop(cloudera.row(first["id"]), "ENGINE_STOPPED")
    steward.ends()
    assert attempt.outcome == "succeeded"
    assert [run["status"] for run in attempt.runs] == ["ENGINE_STOPPED", "ENGINE_SUCCEEDED"]


def test_a_run_that_was_stopped_beside_the_one_that_died_does_not_make_it_cancelled(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=50, rate=50, mute=True, code=1)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    first = attempt.runs[0]
    with cloudera.cloud.lock:
        second = cloudera.jobs.create_job_run(
            {}, {"environment": first["environment"]}, cloudera.project_id, first["job_id"]
        )
        cloudera.jobs.stop(cloudera.row(second["id"]), "ENGINE_STOPPED")
    assert steward.ends() == 1
    assert (attempt.outcome, attempt.book.died, attempt.book.parts[0].run_id) == (None, True, first["id"])


def test_a_run_that_is_said_to_be_nowhere_goes_on_while_its_pod_speaks(cloudera: StandIn) -> None:
    attempt = Attempt(cloudera, records=120, rate=75)
    steward = attempt.steward()
    until(lambda: attempt.steps, "its first step")
    cloudera.fail(404, times=1e9, where="GET .*/runs")
    until(lambda: len(attempt.steps) > 100, "steps")
    cloudera.heal()
    steward.ends()
    assert (attempt.outcome, len(attempt.runs)) == ("succeeded", 1)


def test_an_api_that_asks_to_be_left_alone_is_left_alone_for_so_long(cloudera: StandIn) -> None:
    cloudera.fail(429, times=1e9, where="GET", retry_after=60)
    steward = Attempt(cloudera).steward()
    until(lambda: cloudera.faults.met, "a call")
    time.sleep(10 * POLL)
    assert len(cloudera.faults.met) == 1
    steward.errand.signal()
    steward.ends()
