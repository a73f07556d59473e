"""An endpoint of Cloudera ML, on the stand-in: made once whoever is killed and whatever answer is lost, told, stopped, taken away."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from core.settings import read
from core.spec import AdapterSource, EndpointSpec, ModelSource, Resources
from core.types import EndpointEngine
from gpu_runner.cml.book import Book
from gpu_runner.cml.endpoint import look_after
from gpu_runner.cml.errand import Errand
from gpu_runner.cml.model import service
from gpu_runner.files import write_json
from gpu_runner.launch import Launch
from tests.cml import pods
from tests.cml.standin import StandIn
from tests.whole import until

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
        "FTS_CML_SECONDS": "1",
    }.items():
        monkeypatch.setenv(name, str(value))
    made = Bench(cloudera, home)
    yield made
    made.close()


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
