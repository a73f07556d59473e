"""The stand-in itself: that it answers as Cloudera's API does, and fails as it may."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cml.cloud import Delays
from tests.cml.standin import StandIn

WAITS = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(3))\nprint('on', flush=True)\ntime.sleep(60)\n"


def until(true: Callable[[], Any], seconds: float = 30) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return value


class Asking:
    """The SDK on a stand-in's project."""

    def __init__(self, cloudera: StandIn) -> None:
        import cmlapi

        self.sdk, self.cloudera, self.project = cmlapi, cloudera, cloudera.project_id
        self.api = cmlapi.default_client()

    def job(self, name: str, script: str, **fields: Any) -> str:
        path = self.cloudera.cloud.project / f"{name}.py"
        path.write_text(script)
        body = {"project_id": self.project, "name": name, "script": path.name, "runtime_identifier": "r", **fields}
        return str(self.api.create_job(self.sdk.CreateJobRequest(**body), self.project).id)

    def run(self, job: str, **environment: str) -> str:
        body = self.sdk.CreateJobRunRequest(project_id=self.project, job_id=job, environment=environment)
        return str(self.api.create_job_run(body, self.project, job).id)

    def status(self, job: str, run: str) -> str:
        return str(self.api.get_job_run(self.project, job, run).status)

    def ends(self, job: str, run: str) -> str:
        return until(lambda: (seen := self.status(job, run)) in ENDS and seen)

    def refused(self, call: Callable[[], Any]) -> Any:
        from cmlapi.rest import ApiException

        with pytest.raises(ApiException) as caught:
            call()
        return caught.value


ENDS = {"ENGINE_SUCCEEDED", "ENGINE_FAILED", "ENGINE_STOPPED", "ENGINE_TIMEDOUT"}


@pytest.fixture
def asking(cloudera: StandIn) -> Asking:
    return Asking(cloudera)


def test_a_run_is_the_script_with_the_environment_of_project_job_and_run_the_nearer_winning(asking: Asking) -> None:
    asking.api.update_project(
        {"environment": json.dumps({"A": "project", "B": "project", "C": "project"})}, asking.project
    )
    script = "import json, os, sys\nassert '__file__' not in globals()\njson.dump(dict(os.environ), open('seen.json', 'w'))\n"
    job = asking.job("told", script, environment={"B": "job", "C": "job"}, arguments="--x 1", timeout=600)
    assert asking.ends(job, asking.run(job, C="run")) == "ENGINE_SUCCEEDED"
    seen = json.loads((asking.cloudera.cloud.project / "seen.json").read_text())
    assert [seen[name] for name in ("A", "B", "C", "JOB_ARGUMENTS")] == ["project", "job", "run", "--x 1"]
    assert seen["CDSW_PROJECT_ID"] == asking.project
    found = asking.api.get_job(asking.project, job)
    assert (found.timeout, found.cpu, json.loads(found.environment)) == ("600", 1.0, {"B": "job", "C": "job"})
    assert found.created_at.tzinfo is not None


def test_a_run_goes_through_its_states_and_ends_as_its_script_does(asking: Asking) -> None:
    asking.cloudera.cloud.delays = Delays(scheduling=0.2, starting=0.2)
    job = asking.job("fails", "raise SystemExit(4)")
    run = asking.run(job)
    assert asking.status(job, run) == "ENGINE_SCHEDULING"
    until(lambda: asking.status(job, run) == "ENGINE_STARTING")
    assert asking.ends(job, run) == "ENGINE_FAILED"
    assert asking.api.get_job_run(asking.project, job, run).finished_at is not None


def test_a_run_that_is_stopped_may_end_itself_before_it_is_killed(asking: Asking) -> None:
    job = asking.job("waits", WAITS)
    run = asking.run(job)
    until(lambda: "on" in asking.cloudera.log(run))
    assert asking.api.stop_job_run(asking.project, job, run).status == "ENGINE_STOPPING"
    assert asking.ends(job, run) == "ENGINE_STOPPED"
    assert asking.refused(lambda: asking.api.stop_job_run(asking.project, job, run)).status == 400


def test_a_run_that_takes_too_long_is_timed_out(asking: Asking) -> None:
    job = asking.job("long", "import time\ntime.sleep(60)", timeout=1, kill_on_timeout=True)
    assert asking.ends(job, asking.run(job)) == "ENGINE_TIMEDOUT"


def test_lists_are_paged_and_filtered_by_parts_of_names(asking: Asking) -> None:
    for n in range(12):
        asking.job(f"one-{n:02}", "")
    first = asking.api.list_jobs(asking.project, sort="-name", search_filter=json.dumps({"name": "ne-"}))
    assert ([job.name for job in first.jobs], bool(first.next_page_token)) == (
        [f"one-{n:02}" for n in range(11, 1, -1)],
        True,
    )
    more = {"sort": "-name", "search_filter": json.dumps({"name": "ne-"}), "page_token": first.next_page_token}
    second = asking.api.list_jobs(asking.project, **more)
    assert ([job.name for job in second.jobs], second.next_page_token) == (["one-01", "one-00"], "")
    assert asking.refused(lambda: asking.api.list_jobs(asking.project, page_size=3, **more)).status == 400


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_an_error_is_told_as_the_gateway_tells_it(asking: Asking, status: int) -> None:
    asking.cloudera.fail(status, where="POST .*/jobs$")
    error = asking.refused(lambda: asking.job("none", ""))
    told = json.loads(error.body)
    assert (error.status, told["message"], told["details"]) == (status, f"a fault was asked for: {status}", [])
    assert isinstance(told["code"], int) and not asking.cloudera.runs("none")


def test_what_was_done_is_done_though_its_answer_was_lost(asking: Asking) -> None:
    asking.cloudera.lose(where="POST .*/jobs$")
    with pytest.raises(Exception, match=r"(?i)aborted|disconnected"):
        asking.job("lost", "")
    asking.cloudera.reset(where="POST .*/jobs$")
    with pytest.raises(Exception, match=r"(?i)aborted|disconnected"):
        asking.job("undone", "")
    assert {"lost"} == {job.name for job in asking.api.list_jobs(asking.project, page_size=50).jobs} & {
        "lost",
        "undone",
    }


def test_a_call_that_is_never_answered_ends_at_its_time_limit(asking: Asking) -> None:
    asking.cloudera.never(where="POST .*/jobs$")
    body = {"name": "n", "script": "n.py", "runtime_identifier": "r"}
    with pytest.raises(Exception, match="timed out"):
        asking.api.create_job(body, asking.project, _request_timeout=1)


def test_a_stand_in_that_is_started_again_goes_on_with_its_runs(
    tmp_path: Path, cloudera: StandIn, asking: Asking
) -> None:
    job = asking.job("waits", WAITS)
    run = asking.run(job)
    until(lambda: "on" in cloudera.log(run))
    cloudera.close(leave=True)
    port = int(cloudera.cloud.base.rpartition(":")[2])
    again = StandIn(cloudera.cloud.directory, cloudera.cloud.project, port)
    try:
        assert asking.status(job, run) == "ENGINE_RUNNING"
        again.stop(run)
        assert asking.ends(job, run) == "ENGINE_STOPPED"
    finally:
        again.close()


def test_version_1_tells_what_pages_show_to_whoever_has_its_key(asking: Asking) -> None:
    named = asking.cloudera.environment()
    job = asking.job("seen", "")
    asking.ends(job, asking.run(job))
    basic = base64.b64encode(f"{named['CDSW_API_KEY']}:".encode()).decode()

    def ask(url: str) -> Any:
        request = urllib.request.Request(url, headers={"Authorization": f"Basic {basic}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    jobs = {each["public_identifier"]: each for each in ask(f"{named['CDSW_PROJECT_URL']}/jobs")}
    assert jobs[job]["latest"]["status"] == "succeeded" and job in jobs[job]["html_url"]
    assert (
        ask(f"{named['CDSW_API_URL']}/users/{named['PROJECT_OWNER']}/resources-usage")["cluster"]["cpuAllocatable"]
        == 64
    )
    assert ask(f"{named['CDSW_API_URL']}/site/config/")["max_gpu_per_engine"] == 4


def test_a_model_that_was_built_and_deployed_answers_for_its_function_until_it_is_stopped(asking: Asking) -> None:
    (asking.cloudera.cloud.project / "echo.py").write_text(
        "import os\ndef api_wrapper(args):\n    return os.environ['GREETING'] + args['prompt']\n"
    )
    api, project, sdk = asking.api, asking.project, asking.sdk
    model = api.create_model(
        sdk.CreateModelRequest(project_id=project, name="echo", disable_authentication=True), project
    )
    deployed = sdk.ShortCreateModelDeployment(cpu=1, memory=1, nvidia_gpus=0, environment={"GREETING": "hello "})
    body = {"file_path": "echo.py", "function_name": "api_wrapper", "kernel": "python3", "auto_deploy_model": True}
    build = api.create_model_build({**body, "auto_deployment_config": deployed}, project, model.id)
    until(lambda: api.get_model_build(project, model.id, build.id).status == "built")
    made = until(lambda: api.list_model_deployments(project, model.id, build.id).model_deployments)[0]
    until(lambda: api.get_model_deployment(project, model.id, build.id, made.id).status == "deployed")
    service = f"{asking.cloudera.cloud.base}/model?accessKey={model.access_key}"
    with urllib.request.urlopen(service, json.dumps({"request": {"prompt": "you"}}).encode(), timeout=10) as answer:
        assert json.load(answer) == {"success": True, "response": "hello you"}
    api.stop_model_deployment(project, model.id, build.id, made.id)
    until(lambda: api.get_model_deployment(project, model.id, build.id, made.id).status == "stopped")
    api.delete_model(project, model.id)
    assert asking.refused(lambda: api.get_model(project, model.id)).status == 404
