"""Cloudera ML as a stand-in, with the environment that a pod of it has."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cml import pods
from tests.cml.standin import StandIn
from tests.runner.tiny import make_model

TEMPLATES = ("Accel_Finetuning_Base_Job", "Mlflow_Evaluation_Base_Job")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "tiny", decided=30)


@pytest.fixture
def cloudera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StandIn]:
    """A workbench with one project, tmp_path/cdsw, and its template jobs; this process is in a pod of it, SDK and all."""
    project = tmp_path / "cdsw"
    project.mkdir()
    standin = StandIn(tmp_path / "cloudera", project)
    for name in TEMPLATES:
        standin.template(name)
    for name, value in standin.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PYTHONPATH", pods.base()["PYTHONPATH"])
    for path in pods.sdk_path():
        monkeypatch.syspath_prepend(path)
    yield standin
    standin.close()
    for name in [name for name in sys.modules if name.partition(".")[0] == "cmlapi"]:
        del sys.modules[name]
    assert not standin.broken, standin.broken
