"""Cloudera ML as a stand-in, with the environment that a pod of it has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core import cml_asking
from gpu_runner.cml import single
from tests.cml import pods
from tests.cml.standin import StandIn
from tests.runner.tiny import make_model

TEMPLATES = ("Accel_Finetuning_Base_Job", "Mlflow_Evaluation_Base_Job")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny", decided=30)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a workbench's slowness waits for hardly anything."""
    monkeypatch.setattr(cml_asking, "PATIENCE", 0.2)
    monkeypatch.setattr(single, "LEAST_LAG", 0.3)


@contextmanager
def workbench(directory: Path) -> Iterator[StandIn]:
    """A workbench with one project, `directory`/cdsw, and its template jobs."""
    (directory / "cdsw").mkdir()
    standin = StandIn(directory / "cloudera", directory / "cdsw")
    for name in TEMPLATES:
        standin.template(name)
    yield standin
    standin.close()
    assert not standin.broken, standin.broken


@pytest.fixture
def cloudera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A workbench, in a pod of whose project this process is, SDK and all."""
    with workbench(tmp_path) as standin:
        for name, value in standin.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("PYTHONPATH", pods.base()["PYTHONPATH"])
        for path in pods.sdk_path():
            monkeypatch.syspath_prepend(path)
        yield standin
    for name in [name for name in sys.modules if name.partition(".")[0] == "cmlapi"]:
        del sys.modules[name]
