"""The studio's application in a project of Cloudera ML, started as a kernel starts it in a directory that plays /home/cdsw."""

from __future__ import annotations

import argparse
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml

from core import cml
from core.settings import Settings
from tests.cml import pods
from tests.cml.standin import StandIn
from tui.cli import cloudera_start, doctor, up
from tui.cli.cloudera_setup import prepare
from tui.cli.home import Home
from tui.cli.output import EXIT_UNREACHABLE
from tui.web_proxy import SCRIPT

ROOT = Path(__file__).resolve().parents[2]
SESSION = """
import json, socket, sys
socket.gethostname = lambda: "session"
from tui.cli.main import obeyed, parser
for words in json.loads(sys.argv[1]):
    print(f"{words}: {obeyed(parser().parse_args(words.split()))}", flush=True)
"""
ADA = {"Host": "fts.ml.example.org", "Remote-user": "ada", "Remote-user-perm": "RW"}


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until(true: Callable[[], Any], what: Callable[[], str] = lambda: "") -> Any:
    deadline = time.monotonic() + 90
    while not (found := true()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.1)
    return found


def application(cloudera: StandIn) -> None:
    body = {"name": "Fine Tuning Studio", "script": SCRIPT, "subdomain": "fts", "runtime_identifier": "runtime:gpu"}
    with cloudera.cloud.lock:
        cloudera.others.create_application({}, body, cloudera.project_id)


@pytest.fixture
def project(cloudera: StandIn, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project without template jobs, whose clone of the studio is this one; a variable of somebody else's is set."""
    place = cloudera.cloud.project
    for name in ("configs", "core", "actors", "tui", "gpu_runner", "pyproject.toml", "constraints.txt"):
        (place / name).symlink_to(ROOT / name)
    with cloudera.cloud.lock:
        cloudera.cloud.state["jobs"].clear()
        cloudera.cloud.state["project"]["environment"] = json.dumps({"THEIRS": "1"})
    application(cloudera)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.chdir(place)
    return place


class Application:
    """The application's pod."""

    def __init__(self, cloudera: StandIn, directory: Path) -> None:
        self.port, self.directory = free_port(), directory
        base = pods.base()
        self.environment = {
            **base, **cloudera.cloud.environment(), "FTS_PYTHON": sys.executable, "CDSW_APP_PORT": str(self.port),
            "CDSW_DOMAIN": "ml.example.org", "FTS_QUEUE_LISTEN": f"127.0.0.1:{free_port()}",
        }  # fmt: skip
        directory.mkdir(exist_ok=True)
        command = [sys.executable, str(ROOT / "tests/cml/kernel.py"), str(directory), "configs/cml/start.py"]
        with (directory / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                cwd=cloudera.cloud.project,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def log(self) -> str:
        return (self.directory / "log.txt").read_text()

    def page(self, headers: dict[str, str]) -> int:
        try:
            with urlopen(Request(f"http://127.0.0.1:{self.port}/", headers=headers), timeout=10) as answer:
                return int(answer.status)
        except HTTPError as error:
            return error.code
        except OSError:
            return 0

    def session(self, *commands: str) -> str:
        """Commands in a session's terminal: another pod of the same project. What they say, and the exit code of each."""
        told = {name: value for name, value in self.environment.items() if not name.startswith("FTS_")}
        words = [sys.executable, "-c", SESSION, json.dumps(commands)]
        done = subprocess.run(words, env=told, capture_output=True, text=True, timeout=90, check=True)
        return done.stdout + done.stderr

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        finally:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


@pytest.fixture
def started(cloudera: StandIn, project: Path, tmp_path: Path) -> Iterator[Application]:
    made = Application(cloudera, tmp_path / "pod")
    yield made
    made.stop()


@pytest.mark.timeout(300)
def test_the_application_makes_the_templates_loads_the_defaults_and_is_reached_from_page_and_session(
    cloudera: StandIn, project: Path, started: Application
) -> None:
    until(lambda: started.page(ADA) == 200, started.log)
    assert started.page({"Host": "fts.ml.example.org"}) == 401, "who is no member is asked for the token"
    jobs = {row["name"]: row for row in cloudera.cloud.state["jobs"].values()}
    assert set(jobs) == {"Accel_Finetuning_Base_Job", "Mlflow_Evaluation_Base_Job"}
    assert {(row["script"], row["runtime_identifier"], row["cpu"], row["memory"], row["nvidia_gpu"]) for row in jobs.values()} == {
        ("gpu_runner/cml/job.py", "runtime:gpu", 2.0, 8.0, 1)
    }  # fmt: skip
    told = json.loads(cloudera.cloud.state["project"]["environment"])
    assert told == {"THEIRS": "1", "FTS_HOME": str(project / ".app"), "FTS_PROJECT": str(project)}
    until(lambda: f"cml-{cloudera.project_id}  online" in started.session("runner list"), started.log)
    said = started.session("model list", "up --detach", "status", "down")
    assert "bigscience/bloom-1b1" in said, "the defaults are there"
    here = f"runs on {socket.gethostname()}"
    assert said.count(here) == 3 and "up --detach: 0" in said and "status: 0" in said
    assert "down: 1" in said and "stop it there" in said, "a session does not stop what runs in another pod"
    started.stop()
    state = json.loads((project / ".app/run/supervisor.json").read_text()) if Home(project / ".app").read() else {}
    assert not state and not Home(project / ".app").supervised(), started.log()
    assert json.loads((project / ".app/valkey/door.json").read_text())["password"] not in started.log()


def test_set_up_again_changes_nothing_and_mends_what_another_studio_left(cloudera: StandIn, project: Path) -> None:
    door = cml.connect(Settings())
    cloudera.template("Accel_Finetuning_Base_Job", "ft/scripts/accel_fine_tune_base_script.py")
    assert next(prepare(Settings(), door)).endswith("is gone, it now runs gpu_runner/cml/job.py")
    list(prepare(Settings(), door))
    before = len(cloudera.received)
    assert [line.rpartition(": ")[2] for line in prepare(Settings(), door)] == [
        "there",
        "there",
        "FTS_HOME, FTS_PROJECT are set",
    ]
    assert {each.verb for each in cloudera.received[before:]} == {"GET"}
    (project / "mine.py").write_text("")
    cloudera.template("Mine", "mine.py")
    assert next(prepare(Settings(cml_training_template="Mine"), door)) == "template job Mine: there"
    assert door.template("Mine").script == "mine.py", "a script that is there is somebody's own"


def test_without_gpus_the_templates_are_made_without(cloudera: StandIn, project: Path) -> None:
    cloudera.fail(400, 1, "POST .*/jobs$")
    list(prepare(Settings(), cml.connect(Settings())))
    assert cloudera.jobs is not None
    assert [row["nvidia_gpu"] for row in cloudera.cloud.state["jobs"].values()] == [0, 1]


def test_an_api_that_is_away_does_not_keep_the_studio_down(
    cloudera: StandIn, project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.cml_asking.PATIENCE", 0.0)
    cloudera.fail(503, float("inf"))
    assert not cloudera_start.set_up(Settings())
    told = capsys.readouterr().err
    assert "answers 503" in told and "`fts cloudera setup` does it" in told


def test_another_pod_that_runs_the_studio_is_waited_for_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    home.prepare()
    home.write({"host": "other-pod"})
    lock = home.take()
    assert lock is not None
    monkeypatch.setattr(cloudera_start, "LOOK", 0.05)
    assert not cloudera_start.alone(home, wait=0.2)
    assert "waiting for the pod before this one (other-pod)" in capsys.readouterr().out
    os.close(lock)
    assert cloudera_start.alone(home)


def test_off_a_workbench_it_says_so(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cloudera_start, "settings", lambda: Settings().model_copy(update={"cdsw_project_id": None}))
    assert (cloudera_start.run_start(), cloudera_start.run_setup()) == (2, 2)
    assert "CDSW_PROJECT_ID is not set" in capsys.readouterr().err


def test_processes_are_told_where_the_queue_listens_unless_it_is_another_server(tmp_path: Path) -> None:
    using = Settings(home=tmp_path, cdsw_ip_address="10.0.0.7")
    told = cloudera_start.for_pods(using)
    assert told["FTS_QUEUE_LISTEN"] == "10.0.0.7:50051" and Path(told["FTS_PROCFILE"]).is_file()
    other = Settings(home=tmp_path, cdsw_ip_address="10.0.0.7", FTS_REDIS_URL="redis://h:1")
    assert "FTS_QUEUE_LISTEN" not in cloudera_start.for_pods(other)


def test_the_metadata_names_scripts_and_variables_that_there_are() -> None:
    told = yaml.safe_load((ROOT / ".project-metadata.yaml").read_text())
    for task in told["tasks"]:
        assert "script" not in task or (ROOT / task["script"]).is_file()
    made = {task["name"] for task in told["tasks"] if task["type"] == "create_job"}
    assert {cml.FALLBACK, Settings().cml_evaluation_template} < made
    known = {
        str(each) for field in Settings.model_fields.values() for each in getattr(field.validation_alias, "choices", [])
    }
    assert told["environment_variables"].keys() <= known
    assert next(task["script"] for task in told["tasks"] if task["type"] == "start_application") == SCRIPT


def test_doctor_says_what_keeps_jobs_from_running_at_clouderas(
    cloudera: StandIn, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def told() -> list[tuple[str, str]]:
        return [(state, detail) for state, what, detail in doctor._cloudera(Settings()) if what == "Cloudera ML"]

    ((state, detail),) = told()
    assert state == "bad" and "no job Finetuning_Base_Job or Accel_Finetuning_Base_Job" in detail
    assert "`fts cloudera setup` makes what is missing" in detail
    list(prepare(Settings(), cml.connect(Settings())))
    assert [state for state, _ in told()] == ["ok", "ok"] and "gpu_runner/cml/job.py, runtime:gpu" in told()[0][1]
    cloudera.fail(401, times=50)
    ((state, detail),) = told()
    assert state == "bad" and "start the application again" in detail and "setup" not in detail


def test_a_session_starts_no_studio_in_the_applications_place(
    cloudera: StandIn, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = argparse.Namespace(detach=True, readonly=False)
    assert up.run_up(arguments) == EXIT_UNREACHABLE
    assert "start it under Applications in Cloudera ML" in capsys.readouterr().err
    assert not Home(Settings().root).supervised()


def test_variables_are_not_set_from_a_directory_that_is_not_the_studios(
    cloudera: StandIn, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(prepare(Settings(), cml.connect(Settings())))[-1].endswith("this is not the studio's directory")
    assert "FTS_HOME" not in json.loads(cloudera.cloud.state["project"]["environment"])


def test_an_installation_without_clouderas_sdk_looks_for_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = runpy.run_path(str(ROOT / "configs" / "cml" / "install.py"))
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    python, asked = tmp_path / ".venv" / "bin" / "python", tmp_path / "asked"
    python.write_text(f'#!/bin/sh\necho "$@" >> {asked}\ntest "$1" = -m\n')  # no cmlapi; pip does what it is told
    python.chmod(0o700)
    (tmp_path / ".venv" / ".installed").write_text(made["stamp"](tmp_path))
    monkeypatch.setenv("CDSW_API_URL", "https://ml.example.org/api/v1")
    made["install"](tmp_path)
    assert "is installed" in capsys.readouterr().out
    assert [each for each in asked.read_text().splitlines() if "https://ml.example.org/api/v2/python.tar.gz" in each]
