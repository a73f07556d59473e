"""An endpoint of Cloudera ML, on the stand-in: made once whoever is killed and whatever answer is lost, told, stopped, taken away."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core import cml_asking
from core.cml import connect
from core.errors import Conflict, Unavailable
from core.settings import read, settings
from core.spec import AdapterSource, EndpointSpec, ModelSource, Resources
from core.types import EndpointEngine
from gpu_runner.cml.book import Book
from gpu_runner.cml.endpoint import look_after
from gpu_runner.cml.errand import Errand
from gpu_runner.cml.model import mark, service
from gpu_runner.cml.strays import Strays
from gpu_runner.files import write_json
from gpu_runner.launch import Launch
from tests.cml import pods
from tests.cml.standin import StandIn
from tests.whole import until
from tui.cli.accesskey import access_key

JOB = "0a1b2c3d-0000-4000-8000-00000000abcd"
ECHO = """
import os
BASE, ADAPTER = os.environ["FINE_TUNING_STUDIO_BASE_MODEL_HF_NAME"], os.environ["FINE_TUNING_STUDIO_ADAPTER_LOCATION"]
def api_wrapper(args):
    return f"{BASE} {os.environ['FINE_TUNING_STUDIO_BASE_MODEL_REVISION']} {os.path.basename(ADAPTER)}: {args['prompt']}"
"""


@dataclass
class Bench:
    """An endpoint's attempts in a project of the stand-in's, each with a steward."""

    cloudera: StandIn
    home: Path
    code: int | None = None
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def models(self) -> list[dict[str, Any]]:
        return list(self.cloudera.cloud.state["models"].values())

    def table(self, name: str) -> list[dict[str, Any]]:
        with self.cloudera.cloud.lock:
            return [dict(each) for each in self.cloudera.cloud.state[name].values()]

    def deployed(self) -> list[dict[str, Any]]:
        return [each for each in self.table("deployments") if each["status"] not in ("stopped", "failed")]

    def directory(self, attempt: int = 1) -> Path:
        return self.home / "artifacts" / "jobs" / JOB / str(attempt)

    def begin(self, attempt: int = 1, **fields: Any) -> Path:
        directory = self.directory(attempt)
        directory.mkdir(parents=True)
        spec = EndpointSpec(
            job_id=JOB,
            name="support",
            model=ModelSource(id="m", name="base", hub_name="org/base", revision="c0ffee"),
            adapters=[AdapterSource(id="a", name="tickets", location="/home/cdsw/data/adapters/tickets")],
            engine=EndpointEngine.cml_model,
            generation={"max_new_tokens": 8},
            resources=Resources(cpus=2, gpus=1, memory=8),
            **fields,
        )
        write_json(directory / "spec.json", spec.model_dump(mode="json"))
        return directory

    def look_after(self, attempt: int = 1) -> None:
        """A steward, in a thread."""
        errand = Errand(self.directory(attempt), read(), "runner")

        def run() -> None:
            self.code = look_after(errand)

        self.threads.append(threading.Thread(target=run))
        self.threads[-1].start()

    def process(self, attempt: int = 1) -> subprocess.Popen[bytes]:
        """A steward, as the daemon starts one."""
        launch = Launch(str(self.directory(attempt)), "runner").to_json()
        command = [sys.executable, "-m", "gpu_runner.cml.steward", launch]
        environment = {**pods.base(), **os.environ}
        made = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        self.processes.append(made)
        return made

    def order(self, order: str, attempt: int = 1) -> None:
        write_json(self.directory(attempt) / "control.json", {"order": order})

    def records(self, type: str, attempt: int = 1) -> list[dict[str, Any]]:
        spool = self.directory(attempt) / "events.jsonl"
        lines = spool.read_text().splitlines() if spool.exists() else []
        return [each for each in map(json.loads, lines) if each["type"] == type]

    def phases(self, attempt: int = 1) -> list[str]:
        return [each["name"] for each in self.records("phase", attempt)]

    def serves(self, attempt: int = 1) -> dict[str, Any]:
        return until(lambda: self.records("serving", attempt), 60, "it serves")[0]  # type: ignore[no-any-return]

    def ends(self, attempt: int = 1) -> dict[str, Any]:
        told = until(lambda: self.records("finished", attempt), 60, "it ends")
        until(lambda: (book := Book.read(self.directory(attempt))) and book.settled, 60, "it is settled")
        return told[0]  # type: ignore[no-any-return]

    def asks(self, key: str, bearer: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        body = json.dumps({"request": {"prompt": "hello"}}).encode()
        request = urllib.request.Request(f"{service(read())}?accessKey={key}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def close(self) -> None:
        for attempt in self.directory().parent.glob("*"):
            self.order("cancel", int(attempt.name))
        self.cloudera.heal()
        for process in self.processes:
            process.kill()
            process.wait()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive()


@pytest.fixture
def bench(cloudera: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    project = cloudera.cloud.project
    (project / "gpu_runner").mkdir()
    (project / "gpu_runner" / "predict.py").write_text(ECHO)
    home = project / ".app"
    (home / "artifacts" / "jobs").mkdir(parents=True)
    (home / "artifacts" / ".fts-artifacts").write_text("studio-1")
    for name, value in {
        "FTS_HOME": home,
        "FTS_PROJECT": project,
        "FTS_CML_POLL": "0.05",
        "FTS_CML_SECONDS": "0.5",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(cml_asking, "PATIENCE", 0.3)
    monkeypatch.setattr(cml_asking, "PAUSES", (0.1,))
    made = Bench(cloudera, home)
    yield made
    made.close()


@pytest.mark.decision("D-194")
def test_it_is_made_as_the_guide_says_and_answers_until_it_is_stopped_and_nothing_is_left(bench: Bench) -> None:
    bench.begin()
    bench.look_after()
    told = bench.serves()
    (model,), (build,), (deployed,) = bench.models, bench.table("builds"), bench.table("deployments")
    assert (told["address"], told["models"]) == (f"{bench.cloudera.cloud.base}/model", ["tickets"])
    assert bench.asks(model["access_key"], bench.cloudera.cloud.key)["response"] == "org/base c0ffee tickets: hello"
    assert (model["name"], model["auth_enabled"]) == ("support", True)
    assert (build["file_path"], build["function_name"], build["kernel"], build["runtime_identifier"]) == (
        "gpu_runner/predict.py", "api_wrapper", "python3", "runtime:1",
    )  # fmt: skip
    assert (deployed["cpu"], deployed["memory"], deployed["nvidia_gpu"]) == (2, 8, 1)
    assert json.loads(deployed["environment"]["FINE_TUNING_STUDIO_GEN_CONFIG_STRING"]) == {"max_new_tokens": 8}
    assert bench.records("placed")[0]["job"] == model["id"] and bench.phases()[-1] == "serving"
    assert any("builds the model" in each for each in bench.phases())
    bench.order("cancel")
    assert bench.ends()["outcome"] == "cancelled"
    assert bench.models == [] and bench.table("deployments") == [] and bench.threads[0].join(30) is None
    assert bench.code == 0
    kept = "".join(path.read_text() for path in bench.directory().rglob("*") if path.is_file())
    assert model["access_key"] not in kept and bench.cloudera.cloud.key not in kept


def test_without_authentication_the_access_key_is_enough_and_a_larger_project_has_the_script_below_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bench.cloudera.cloud.project / "fine-tuning-studio").symlink_to(bench.cloudera.cloud.project)
    monkeypatch.setenv("IS_COMPOSABLE", "1")
    bench.begin(auth=False)
    bench.look_after()
    bench.serves()
    assert bench.asks(bench.models[0]["access_key"])["success"]
    assert bench.table("builds")[0]["file_path"] == "fine-tuning-studio/gpu_runner/predict.py"


def test_whoever_is_killed_at_whatever_step_nothing_is_made_twice_and_nothing_is_left(bench: Bench) -> None:
    bench.begin()
    standin, delays, steward = bench.cloudera, bench.cloudera.cloud.delays, [bench.process()]

    def end() -> None:
        steward[0].kill()
        steward[0].wait()

    def killed_at(verb: str, path: str) -> None:
        """The steward dies as it asks for that, which is not done; the next when it is done. A third is started."""
        standin.never(where=f"{verb} .*{path}$")
        until(lambda: [each for each in standin.faults.met if re.search(f"{verb} .*{path}$", each)], 60, path)
        end()
        standin.heal()
        standin.faults.met.clear()
        standin.lose(where=f"{verb} .*{path}$")
        steward[0] = bench.process()
        until(lambda: [each for each in standin.faults.met if re.search(f"{verb} .*{path}$", each)], 60, path)
        end()
        steward[0] = bench.process()

    delays.building = delays.deploying = 60.0
    killed_at("POST", "/models")
    killed_at("POST", "/builds")
    _killed_while(bench, steward, lambda: bench.table("builds"))
    delays.building = 0.0
    _killed_while(bench, steward, lambda: bench.table("deployments"))
    delays.deploying = 0.0
    _killed_while(bench, steward, lambda: bench.records("serving"))
    assert (len(bench.models), len(bench.table("builds")), len(bench.deployed())) == (1, 1, 1)
    bench.order("cancel")
    killed_at("POST", ":stop")
    killed_at("DELETE", "/models/[^/]*")
    assert bench.ends()["outcome"] == "cancelled"
    assert (bench.models, bench.table("deployments"), bench.table("builds")) == ([], [], [])
    told = [len(bench.records(each)) for each in ("started", "placed", "serving", "finished")]
    assert told == [1, 1, 1, 1]


def _killed_while(bench: Bench, steward: list[subprocess.Popen[bytes]], true: Any) -> None:
    until(true, 60, "it comes to that")
    steward[0].kill()
    steward[0].wait()
    steward[0] = bench.process()


def test_paused_it_is_not_deployed_and_the_next_attempt_answers_to_the_same_key(bench: Bench) -> None:
    bench.begin()
    bench.look_after()
    bench.serves()
    key = bench.models[0]["access_key"]
    bench.order("pause")
    assert bench.ends()["outcome"] == "paused" and bench.deployed() == []
    bench.begin(2)
    bench.look_after(2)
    bench.serves(2)
    assert bench.asks(key, bench.cloudera.cloud.key)["success"]
    assert (len(bench.models), len(bench.table("builds")), len(bench.deployed())) == (1, 2, 1)


def test_paused_while_it_is_built_it_waits_for_what_is_deployed_of_that_and_has_it_stopped(bench: Bench) -> None:
    bench.cloudera.cloud.delays.building = 60.0
    bench.begin()
    bench.look_after()
    until(lambda: bench.table("builds"), 60, "it is built")
    bench.order("pause")
    until(lambda: "waits for Cloudera ML to stop it" in bench.phases(), 60, "it waits")
    bench.cloudera.cloud.delays.building = 0.0
    assert bench.ends()["outcome"] == "paused"
    assert [each["status"] for each in bench.table("deployments")] == ["stopped"] and len(bench.models) == 1


def test_an_attempt_takes_over_what_a_lost_one_has_deployed_and_that_one_leaves_it_alone(bench: Bench) -> None:
    bench.begin()
    lost = bench.process()
    bench.serves()
    lost.kill()
    lost.wait()
    bench.begin(2)
    bench.look_after(2)
    bench.serves(2)
    bench.order("stop")  # the first one is not this runner's any more
    bench.look_after()
    until(lambda: (book := Book.read(bench.directory())) and book.settled, 60, "it is settled")
    assert (len(bench.table("builds")), len(bench.deployed())) == (1, 1) and bench.records("finished") == []
    assert bench.phases(2)[-1] == "serving"


def test_one_that_is_nobodys_is_not_deployed_and_says_nothing(bench: Bench) -> None:
    bench.begin()
    bench.look_after()
    bench.serves()
    bench.order("stop")
    until(lambda: (book := Book.read(bench.directory())) and book.settled, 60, "it is settled")
    assert bench.deployed() == [] and len(bench.models) == 1 and bench.records("finished") == []


@pytest.mark.parametrize("how", ["stopped", "removed"])
def test_what_is_ended_in_clouderas_own_pages_is_cancelled_here(bench: Bench, how: str) -> None:
    bench.begin()
    bench.look_after()
    bench.serves()
    api, project = connect(read()), bench.cloudera.project_id
    (model,), (build,), (deployment,) = bench.models, bench.table("builds"), bench.table("deployments")
    if how == "stopped":
        api.api.stop_model_deployment(project, model["id"], build["id"], deployment["id"])
    else:
        api.api.delete_model(project, model["id"])
    assert bench.ends()["outcome"] == "cancelled"
    assert how in bench.records("log")[-1]["text"] and "Cloudera ML" in bench.records("log")[-1]["text"]


def test_a_build_that_fails_is_told_with_clouderas_word_and_built_anew_when_it_is_tried_again(bench: Bench) -> None:
    bench.cloudera.cloud.builds_fail = "no"
    bench.begin()
    bench.look_after()
    error = bench.ends()["error"]
    assert "build of the model support failed in Cloudera ML: build failed" in error["message"] and error["hint"]
    bench.cloudera.cloud.builds_fail = None
    bench.begin(2)
    bench.look_after(2)
    bench.serves(2)
    assert len(bench.models) == 1


def test_a_model_that_can_not_be_loaded_fails_and_one_that_served_before_has_died(bench: Bench) -> None:
    script = bench.cloudera.cloud.project / "gpu_runner" / "predict.py"
    script.write_text("raise SystemExit('out of memory')")
    bench.begin()
    bench.look_after()
    told = bench.ends()["error"]
    assert "deployment of the model support failed" in told["message"] and "HUGGINGFACE_ACCESS_TOKEN" in told["hint"]
    script.write_text(ECHO)
    bench.begin(2)
    bench.look_after(2)
    bench.serves(2)
    pods.kill(bench.deployed()[0]["pod"])
    until(lambda: (book := Book.read(bench.directory(2))) and book.died, 60, "it has died")
    assert bench.records("finished", 2) == [] and bench.deployed() == []


def test_while_the_api_is_away_it_goes_on_and_says_since_when(bench: Bench) -> None:
    standin = bench.cloudera
    standin.fail(503, times=2, where="GET .*/models")
    standin.fail(429, where="POST .*/models$", retry_after=0.1)
    standin.lose(where="POST .*/builds$")
    bench.begin()
    bench.look_after()
    bench.serves()
    assert (len(bench.models), len(bench.table("builds")), len(bench.deployed())) == (1, 1, 1)
    for trouble in (
        lambda: standin.never(times=99),
        lambda: standin.reset(times=999),
        lambda: standin.slow(9, times=99),
    ):
        trouble()
        until(lambda: "the endpoint goes on" in bench.phases()[-1], 90, "it is told")
        standin.heal()
        until(lambda: bench.phases()[-1] == "serving", 60, "it is over")
    bench.order("cancel")
    standin.fail(500, times=3, where=":stop")
    assert bench.ends()["outcome"] == "cancelled" and bench.models == []


def test_what_is_made_and_seen_late_is_not_made_twice(bench: Bench) -> None:
    bench.cloudera.cloud.delays.visible = 0.15  # three looks
    bench.cloudera.lose(where="POST .*/models$")
    bench.cloudera.lose(where="POST .*/builds$")
    bench.begin()
    bench.look_after()
    bench.serves()
    assert (len(bench.models), len(bench.table("builds"))) == (1, 1)


def test_a_model_that_is_not_found_for_a_few_looks_is_no_model_that_was_removed(bench: Bench) -> None:
    standin, where = bench.cloudera, "GET .*/models/[^/]+/builds"
    standin.fail(404, times=3, where=where)  # it was made just now
    bench.begin()
    bench.look_after()
    bench.serves()
    standin.fail(404, times=3, where=where)
    until(lambda: any("does not find its model" in each for each in bench.phases()[-3:]), 60, "it is told")
    until(lambda: bench.phases()[-1] == "serving", 60, "it is over")
    bench.order("cancel")
    assert bench.ends()["outcome"] == "cancelled"


def test_what_cloudera_declines_is_told_and_a_key_that_ran_out_is_waited_for(bench: Bench) -> None:
    standin = bench.cloudera
    connect(read()).create_model("support", "somebody else's")
    standin.fail(401, where="GET .*/models")
    bench.begin()
    bench.look_after()
    error = bench.ends()["error"]
    assert "exists in this project" in error["message"] and len(bench.models) == 1
    assert any("CDSW_APIV2_KEY may have run out" in each for each in bench.phases())


def test_without_a_template_nothing_is_made_and_a_model_that_is_there_is_not_taken_for_removed(bench: Bench) -> None:
    with bench.cloudera.cloud.lock:
        bench.cloudera.cloud.state["jobs"].clear()
    bench.begin()
    bench.look_after()
    error = bench.ends()["error"]
    assert "Accel_Finetuning_Base_Job" in error["message"] and bench.models == []
    connect(read()).create_model("support", mark(JOB, "studio-1"))
    bench.begin(2)
    bench.look_after(2)
    assert "Accel_Finetuning_Base_Job" in bench.ends(2)["error"]["message"]


def test_what_no_steward_looks_after_is_stopped_and_what_is_of_no_endpoint_removed(bench: Bench) -> None:
    bench.begin()
    bench.look_after()
    bench.serves()
    other = connect(read()).create_model("other", "Endpoint of nobody's")
    strays, marker = Strays(bench.home / "artifacts"), "studio-1"
    for _ in range(3):
        strays.look(connect(read()), marker)
    assert len(bench.deployed()) == 1 and strays.suspects == set()
    bench.order("stop")
    until(lambda: (book := Book.read(bench.directory())) and book.settled, 60, "it is settled")
    bench.directory(2).mkdir()  # an attempt that was cancelled before it had a steward
    (model,), (build,) = [each for each in bench.models if each["name"] == "support"], bench.table("builds")
    made = connect(read()).api.create_model_deployment({"cpu": 1}, bench.cloudera.project_id, model["id"], build["id"])
    strays.look(connect(read()), marker)
    assert strays.suspects == {made.id} and len(bench.deployed()) == 1
    strays.look(connect(read()), marker)
    until(lambda: not bench.deployed(), 60, "it is stopped")
    shutil.rmtree(bench.directory().parent)
    for _ in range(3):
        strays.look(connect(read()), marker)
    assert [each["id"] for each in bench.models] == [other.id]


def test_a_description_that_was_copied_with_anothers_mark_gives_nobody_the_wrong_model(bench: Bench) -> None:
    other, api = "1a1b2c3d-0000-4000-8000-00000000abcd", connect(read())
    bench.begin(description=f"as before: {mark(other, 'studio-1')}")
    bench.look_after()
    bench.serves()
    theirs = api.create_model("theirs", f"{mark(JOB, 'studio-1')}\n\n{mark(other, 'studio-1')}")
    api.create_model("elsewhere", mark(JOB, "studio-10"))
    strays = Strays(bench.home / "artifacts")
    for _ in range(3):
        strays.look(api, "studio-1")
    assert len(bench.deployed()) == 1 and theirs.id not in [each["id"] for each in bench.models]
    bench.order("pause")
    assert bench.ends()["outcome"] == "paused"
    api.create_model("twice", mark(JOB, "studio-1"))
    bench.begin(2)
    bench.look_after(2)
    bench.serves(2)
    assert {each["name"] for each in bench.models} == {"support", "elsewhere"}


def test_the_access_key_is_told_by_cloudera_to_who_may_ask_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    model = connect(read()).create_model("support", "")
    row = {"engine": "cml_model", "cml_model_id": model.id}
    settings.cache_clear()
    assert access_key(row) == bench.models[0]["access_key"]
    with pytest.raises(Conflict, match="was told once"):
        access_key({**row, "engine": "studio"})
    with pytest.raises(Conflict, match="no model of Cloudera ML yet"):
        access_key({**row, "cml_model_id": None})
    with pytest.raises(Conflict, match="not found"):
        access_key({**row, "cml_model_id": "gone-gone-gone-gone"})
    monkeypatch.delenv("CDSW_APIV2_KEY")
    settings.cache_clear()
    with pytest.raises(Unavailable, match=r"CDSW_APIV2_KEY.*the model's page"):
        access_key(row)
    settings.cache_clear()
