"""The one door to Cloudera's API (core/cml.py): what it asks, how long it is patient, what it says when it is not answered."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from core import cml
from core.errors import Unavailable
from core.settings import Settings
from tests.cml.standin import StandIn


@pytest.fixture
def door(cloudera: StandIn) -> cml.Cloudera:
    made = cml.connect(Settings(cml_seconds=0.3))
    made.sleep = lambda _: None
    return made


def asked(cloudera: StandIn, verb: str) -> list[Any]:
    return [each for each in cloudera.received if each.verb == verb]


def job(door: cml.Cloudera, name: str = "a job") -> str:
    return door.create_job(door.template("Mlflow_Evaluation_Base_Job").job(name))


def test_a_job_is_made_from_a_template_and_found_by_exactly_its_name_over_all_pages(
    cloudera: StandIn, door: cml.Cloudera, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.cml_asking.PAGE", 2)
    cloudera.template("mine", "run.py", environment={"A": "1"}, accelerator_label_id=7)
    for name in ("one", "one and more", "no one", "on"):
        job(door, name)
    template = door.template("absent", "mine")
    assert (template.name, template.script, template.environment, template.accelerator_label) == (
        "mine", "run.py", {"A": "1"}, "7",
    )  # fmt: skip
    made = door.create_job(template.job("made", cpu=4, gpus=0, environment={"B": "2"}, timeout=60))
    assert door.find_job("made") == made and door.find_job("mad") is None
    assert door.find_job("one") != door.find_job("no one")
    body = asked(cloudera, "POST")[-1].body
    assert body["timeout"] == 60 and body["kill_on_timeout"] and body["environment"] == {"B": "2"}
    assert "arguments" not in body and body["accelerator_label_id"] == "7" and body["cpu"] == 4.0
    assert {each.name for each in door.jobs()} >= {"one", "one and more", "no one", "on", "mine", "made"}


@pytest.mark.decision("D-032")
def test_a_template_that_is_nowhere_is_told_with_all_its_names(door: cml.Cloudera) -> None:
    with pytest.raises(cml.Missing, match=r"no job Finetuning_Base_Job or Other to make runs from.*docs/cloudera.md"):
        door.template("Finetuning_Base_Job", "Other")


def test_a_run_is_told_by_its_own_environment_and_no_secret_of_it_is_kept(
    cloudera: StandIn, door: cml.Cloudera
) -> None:
    (cloudera.cloud.project / "gpu_runner/cml").mkdir(parents=True)
    (cloudera.cloud.project / "gpu_runner/cml/job.py").write_text("import time\ntime.sleep(60)\n")
    made = job(door)
    run = door.create_run(made, {"FTS_ATTEMPT": "1", "HUGGINGFACE_ACCESS_TOKEN": "hf_secret"})
    assert not run.state.over and run.environment == {"FTS_ATTEMPT": "1"}
    assert [each.id for each in door.runs(made)] == [run.id] and "hf_secret" not in repr(door.runs(made))
    door.stop_run(made, run.id)
    deadline = time.monotonic() + 30
    while not (seen := door.run(made, run.id)).state.over:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert seen.state is cml.RunState.stopped and seen.finished_at is not None
    door.delete_job(made)
    door.delete_job(made)
    assert door.find_job("a job") is None


def test_what_passes_by_itself_is_asked_again_but_nothing_is_created_twice(
    cloudera: StandIn, door: cml.Cloudera
) -> None:
    for trouble in (
        lambda: cloudera.fail(500, 2),
        lambda: cloudera.fail(429, 1, retry_after=0.2),
        lambda: cloudera.reset(2),
        lambda: cloudera.never(1),
    ):
        trouble()
        assert door.find_job("Mlflow_Evaluation_Base_Job")
    cloudera.lose(1, "POST .*/jobs$")
    with pytest.raises(cml.Away):
        job(door)
    assert len(asked(cloudera, "POST")) == 1
    assert door.find_job("a job"), "it was done, and is found by its name"


def test_an_api_that_stays_away_is_told_within_the_patience_with_what_it_said(
    cloudera: StandIn, door: cml.Cloudera
) -> None:
    cloudera.fail(503, float("inf"))
    door.patience = 3.0
    with pytest.raises(Unavailable, match=r"answers 503 when asked for the job x: a fault was asked for: 503"):
        door.find_job("x")
    cloudera.heal()
    cloudera.fail(429, float("inf"), retry_after=100)
    begun, before = time.monotonic(), len(cloudera.received)
    with pytest.raises(cml.Away) as caught:
        door.find_job("x")
    assert caught.value.retry_after == 100 and len(cloudera.received) == before + 1
    assert time.monotonic() - begun < 30, "nobody sleeps for as long as Retry-After says"
    cloudera.heal()
    cloudera.close()
    with pytest.raises(cml.Away, match="can't be reached"):
        door.find_job("x")


def test_what_is_not_there_and_what_is_declined_is_not_asked_again(cloudera: StandIn, door: cml.Cloudera) -> None:
    before = len(cloudera.received)
    with pytest.raises(cml.Missing, match="the run r was not found"):
        door.run("j", "r")
    cloudera.fail(401)
    with pytest.raises(cml.Declined, match=r"\(401\).*CDSW_APIV2_KEY may have run out") as caught:
        door.find_job("x")
    assert caught.value.status == 401
    with pytest.raises(cml.Declined, match=r"\(400\): runtime_identifier must be set"):
        door.create_job(cml.NewJob("x", "x.py"))
    assert len(cloudera.received) == before + 3


class Strange(Exception):
    """An answer of what stands before the API."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"({status}) {body}")
        self.status, self.body = status, body


def test_a_gateways_page_is_no_answer(door: cml.Cloudera) -> None:
    def page(*_: Any, **__: Any) -> Any:
        door.api.api_client.last_response = SimpleNamespace(data="<html>We are back soon</html>")
        return SimpleNamespace(jobs=None, next_page_token=None)

    def backend(*_: Any, **__: Any) -> Any:
        raise Strange(404, "default backend - 404")

    def leaking(*_: Any, **__: Any) -> Any:
        raise Strange(400, json.dumps({"message": f"\x1b[31mthe key {key} is odd"}))

    key, door.patience = door.secrets[0], 0.0
    for answer, said in ((page, "something else than JSON"), (backend, "answers 404")):
        door.api = SimpleNamespace(api_client=SimpleNamespace(), list_jobs=answer)
        with pytest.raises(cml.Away, match=said):
            door.find_job("x")
    door.api = SimpleNamespace(list_jobs=leaking)
    with pytest.raises(cml.Declined) as caught:
        door.find_job("x")
    assert key not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.decision("D-263")
def test_variables_of_the_project_are_set_without_touching_others(cloudera: StandIn, door: cml.Cloudera) -> None:
    project = cloudera.cloud.state["project"]
    project["environment"] = json.dumps({"THEIRS": "1", "OLD": "x"})
    assert door.set_environment({"OURS": "2", "OLD": None})
    assert json.loads(project["environment"]) == {"THEIRS": "1", "OURS": "2"}
    assert not door.set_environment({"OURS": "2", "OLD": None}) and len(asked(cloudera, "PATCH")) == 1
    for untold in (None, ""):
        project["environment"] = untold
        with pytest.raises(cml.Declined, match="does not tell the variables"):
            door.set_environment({"OURS": "3"})
    assert len(asked(cloudera, "PATCH")) == 1, "who does not know them does not write them"


def test_who_had_read_the_variables_before_and_writes_them_late_takes_none_away(
    cloudera: StandIn, door: cml.Cloudera
) -> None:
    project = cloudera.cloud.state["project"]

    def late(seconds: float) -> None:
        door.sleep = lambda _: None
        project["environment"] = json.dumps({"THEIRS": "late"})

    door.sleep = late
    assert door.set_environment({"OURS": "2"})
    assert json.loads(project["environment"]) == {"THEIRS": "late", "OURS": "2"}


def test_two_who_write_variables_at_once_both_keep_theirs(cloudera: StandIn, door: cml.Cloudera) -> None:
    real, other, both = door.api, cml.connect(Settings()), threading.Barrier(2, timeout=30)

    class Slow:
        """Reads, and lets the other read before it writes."""

        def __init__(self) -> None:
            self.first = True

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

        def get_project(self, *ids: Any, **options: Any) -> Any:
            found = real.get_project(*ids, **options)
            if self.first:
                self.first = False
                both.wait()
            return found

    door.api, other.api = Slow(), Slow()
    errors: list[Exception] = []

    def write(who: cml.Cloudera, name: str) -> None:
        try:
            who.set_environment({name: "set"})
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=each) for each in ((door, "A"), (other, "B"))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert not errors and other.environment() == {"A": "set", "B": "set"}


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("cdsw_apiv2_key", "missing: CDSW_APIV2_KEY"),
        ("cdsw_project_id", "missing: CDSW_PROJECT_ID"),
        ("cdsw_api_url", "missing: CDSW_API_URL"),
    ],
)
def test_a_variable_that_is_missing_is_named(cloudera: StandIn, missing: str, said: str) -> None:
    with pytest.raises(Unavailable, match=said):
        cml.connect(Settings().model_copy(update={missing: None}))


def test_the_key_is_a_secret_of_the_settings(cloudera: StandIn) -> None:
    using = Settings()
    assert {cloudera.cloud.key, cloudera.cloud.v1_key} <= set(using.secrets)
    assert isinstance(using.cdsw_apiv2_key, SecretStr) and cloudera.cloud.key not in repr(using)


def test_a_model_is_made_built_deployed_and_removed(cloudera: StandIn, door: cml.Cloudera) -> None:
    (cloudera.cloud.project / "predict.py").write_text("def api_wrapper(args):\n    return args\n")
    model = door.create_model("m", "of ours", authenticated=True)
    assert door.find_model("m") == door.model(model.id) and model.authenticated and door.find_model("mm") is None
    assert "access_key=SecretStr('**********')" in repr(model) and model.access_key.get_secret_value()
    template = door.template("Accel_Finetuning_Base_Job")
    door.create_build(model.id, cml.NewBuild("predict.py", "api_wrapper", template.runtime, {"A": "1"}, gpus=0))
    wait(lambda: [each.status for each in door.builds(model.id)] == ["built"])
    (build,) = door.builds(model.id)
    wait(lambda: [each.status for each in door.deployments(model.id, build.id)] == ["deployed"])
    (deployment,) = door.deployments(model.id, build.id)
    door.stop_deployment(model.id, build.id, deployment.id)
    wait(lambda: [each.status for each in door.deployments(model.id, build.id)] == ["stopped"])
    door.delete_model(model.id)
    door.delete_model(model.id)


def wait(true: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)
