"""Cloudera's registry behind the same door (docs/decisions.md, D-120), at a stand-in with the names of its SDK: the real one is on no index."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from pydantic import SecretStr

from actors.answering import answer
from actors.desk import Desk
from core import cml, cml_asking
from tests.handlers.work import say
from tests.registries import ADAPTER, PLAIN, Registry

decision = pytest.mark.decision
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning")
MODEL, LORA, FOREIGN = "aaaa-bbbb-cccc-dddd", "a1b2-c3d4-e5f6-g7h8", "zzzz-zzzz-zzzz-zzzz"


class ApiException(Exception):
    """As cmlapi.rest has it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"({status})")
        self.status = status


class Client:
    """The calls that the studio makes, with the fields that it reads; runs come in pages of two."""

    def __init__(self, root: Path) -> None:
        self.root, self.asked, self.fails = root, [], 0
        self.models = {MODEL: ["run-5", "run-1"], LORA: ["run-4"], FOREIGN: ["run-9"]}

    def get_registered_model(self, model_id: str, **_: Any) -> Any:
        if self.fails or model_id not in self.models:
            raise ApiException(self.fails or 404)
        versions = [
            SimpleNamespace(
                model_version_metadata=SimpleNamespace(mlflow_metadata=SimpleNamespace(experiment_id="exp", run_id=run))
            )
            for run in self.models[model_id]
        ]
        return SimpleNamespace(model_id=model_id, name="tiny", model_versions=versions)

    def list_experiment_runs(
        self, project_id: str, experiment_id: str, *, page_size: int, page_token: str = "0", **_: Any
    ) -> Any:
        self.asked.append((project_id, experiment_id, page_token))
        start = int(page_token)
        runs = [SimpleNamespace(id=f"run-{n}", artifact_uri=str(self.root / f"run-{n}")) for n in range(6)]
        token = str(start + 2) if start + 2 < len(runs) else ""
        return SimpleNamespace(experiment_runs=runs[start : start + 2], next_page_token=token)


@pytest.fixture
def api(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Client:
    """A workbench that the studio runs in, with the SDK at hand."""
    for run, files in (("run-5", PLAIN), ("run-1", PLAIN), ("run-4", ADAPTER)):
        (tmp_path / "experiments" / run / "model").mkdir(parents=True)
        for name, text in files.items():
            (tmp_path / "experiments" / run / "model" / name).write_text(text)
    made = Client(tmp_path / "experiments")
    sdk = ModuleType("cmlapi")
    sdk.default_client = lambda url, key: made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cmlapi", sdk)
    desk.settings.cdsw_project_id = "project"
    desk.settings.cdsw_api_url, desk.settings.cdsw_apiv2_key = (
        "http://workbench/api/v1",
        SecretStr("key-of-the-workbench"),
    )
    monkeypatch.setattr(cml_asking, "PATIENCE", 0.0)
    return made


def asked(desk: Desk, id: str, name: str = "new", **fields: Any) -> dict[str, Any]:
    return answer(
        desk, "AddModel", {"type": "model_registry", "cml_registered_model_id": id, "name": name, **fields}, None
    )


@decision("D-120")
def test_an_id_of_clouderas_is_looked_up_in_its_registry_and_pinned_to_the_run(desk: Desk, api: Client) -> None:
    model = asked(desk, MODEL)["value"]["model"]
    assert (model["cml_registered_model_id"], model["revision"], model["mlflow_run_id"]) == (MODEL, "run-5", "run-5")
    assert (model["mlflow_experiment_id"], model["source"]) == ("exp", str(api.root / "run-5"))
    assert {each.name for each in Path(model["location"]).iterdir()} == set(PLAIN)
    assert api.asked == [("project", "exp", "0"), ("project", "exp", "2"), ("project", "exp", "4")]


def test_another_version_is_named_by_its_run(desk: Desk, api: Client) -> None:
    assert asked(desk, f"{MODEL}/run-1")["value"]["model"]["revision"] == "run-1"
    (breach,) = asked(desk, f"{MODEL}/run-1", "again")["breaches"]
    assert breach["rule"] == "MD-101"


def test_an_adapter_of_clouderas_is_found_by_the_same_door(desk: Desk, api: Client) -> None:
    model = asked(desk, MODEL)["value"]["model"]["id"]
    made = say(desk, "AddAdapter", type="model_registry", name="a", model_id=model, cml_registered_model_id=LORA)[
        "adapter"
    ]
    assert (made["cml_registered_model_id"], made["revision"]) == (LORA, "run-4")


def test_what_is_not_there_is_told(desk: Desk, api: Client) -> None:
    for id, said in (
        ("aaaa-bbbb-cccc-0000", "aaaa-bbbb-cccc-0000 was not found at Cloudera's"),
        (f"{MODEL}/run-7", "no version of the run run-7; runs of its versions: run-5, run-1"),
        (FOREIGN, "has no files in this project (project)"),
        (LORA, "holds an adapter"),
    ):
        (breach,) = asked(desk, id)["breaches"]
        assert breach["rule"] == "MD-003" and said in breach["message"]


def test_an_api_that_does_not_serve_is_unavailable(desk: Desk, api: Client) -> None:
    for status, said in ((401, "CDSW_APIV2_KEY may have run out"), (503, "answers 503")):
        api.fails = status
        reply = asked(desk, MODEL)
        assert reply["code"] == "unavailable" and said in reply["message"]


@decision("D-120")
def test_without_the_sdk_or_its_key_the_reply_says_what_is_missing(
    desk: Desk, api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.settings, "cdsw_apiv2_key", None)
    reply = asked(desk, MODEL)
    assert reply["code"] == "unavailable" and "(missing: CDSW_APIV2_KEY)" in reply["message"]
    monkeypatch.setitem(sys.modules, "cmlapi", None)
    reply = asked(desk, MODEL)
    assert reply["code"] == "unavailable" and "cmlapi) is not installed here: `pip install" in reply["message"]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("mlflow"))
    made.add("tiny", PLAIN)
    made.add(MODEL, PLAIN)
    yield made


@decision("D-120")
def test_mlflows_registry_answers_for_other_ids_and_outside_a_workbench(
    desk: Desk, api: Client, mlflow: Registry
) -> None:
    desk.settings.mlflow_tracking_uri = mlflow.uri
    assert asked(desk, "tiny")["value"]["model"]["revision"] == "1"
    assert asked(desk, f"models:/{MODEL}/1", "by its URI")["value"]["model"]["revision"] == "1"
    desk.settings.cdsw_project_id = None
    assert not api.asked
    assert asked(desk, MODEL, "outside")["breaches"][0]["rule"] == "MD-101", "it is the version that is there"


def test_other_ids_have_not_clouderas_shape() -> None:
    for text in ("aaaa-bbbb-cccc-ddd", "Aaaa-bbbb-cccc-dddd", "aaaabbbbccccdddd", "tiny", "", "a/b", f"{MODEL}\n"):
        assert not cml.is_id(text)
