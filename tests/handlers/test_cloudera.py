"""Cloudera's registry behind the same door (docs/decisions.md, D-120): a workbench's API, whose runs keep their files in directories."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core import cml, cml_asking
from core.settings import Settings
from tests.cml.conftest import cloudera  # noqa: F401
from tests.cml.standin import StandIn
from tests.handlers.work import say
from tests.registries import ADAPTER, PLAIN, Registry

decision = pytest.mark.decision
pytestmark = pytest.mark.filterwarnings("ignore::Warning:mlflow", "ignore::DeprecationWarning")


class Api:
    """A workbench whose registry has a model of two versions, an adapter, and a model whose run is of another project."""

    def __init__(self, standin: StandIn, root: Path) -> None:
        self.cloudera, self.root = standin, root
        others, project = standin.others, standin.project_id
        with standin.cloud.lock:
            self.experiment = others.create_experiment({}, {"name": "e", "artifact_location": str(root)}, project)["id"]
            self.runs = [others.create_experiment_run({}, {}, project, self.experiment) for _ in range(6)]
            self.model = self._registered("tiny", 1, PLAIN)
            self._registered("tiny", 5, PLAIN)
            self.lora = self._registered("lora", 4, ADAPTER)
            self.foreign = others.register("foreign", project, self.experiment, "run-9")["model_id"]

    def _registered(self, name: str, number: int, files: dict[str, str]) -> str:
        run = self.runs[number]
        place = Path(run["artifact_uri"]) / "model"
        place.mkdir(parents=True)
        for file, text in files.items():
            (place / file).write_text(text)
        return str(
            self.cloudera.others.register(name, self.cloudera.project_id, self.experiment, run["id"])["model_id"]
        )

    def run(self, number: int) -> str:
        return str(self.runs[number]["id"])

    @property
    def asked(self) -> list[str]:
        return [each.path for each in self.cloudera.received]


@pytest.fixture
def api(cloudera: StandIn, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Api:  # noqa: F811
    """A workbench that the studio runs in, with the SDK at hand; it lists two things a page."""
    monkeypatch.setattr(cml_asking, "PATIENCE", 0.0)
    monkeypatch.setattr(cml_asking, "PAGE", 2)
    using = Settings()
    for name in ("cdsw_project_id", "cdsw_api_url", "cdsw_apiv2_key"):
        setattr(desk.settings, name, getattr(using, name))
    return Api(cloudera, tmp_path / "experiments")


def asked(desk: Desk, id: str, name: str = "new", **fields: Any) -> dict[str, Any]:
    return answer(
        desk, "AddModel", {"type": "model_registry", "cml_registered_model_id": id, "name": name, **fields}, None
    )


@decision("D-120")
def test_an_id_of_clouderas_is_looked_up_in_its_registry_and_pinned_to_the_run(desk: Desk, api: Api) -> None:
    model = asked(desk, api.model)["value"]["model"]
    assert (model["cml_registered_model_id"], model["revision"], model["mlflow_run_id"]) == (
        api.model, api.run(5), api.run(5),
    )  # fmt: skip
    assert (model["mlflow_experiment_id"], model["source"]) == (api.experiment, api.runs[5]["artifact_uri"])
    assert {each.name for each in Path(model["location"]).iterdir()} == set(PLAIN)
    assert len([path for path in api.asked if path.endswith("/runs")]) == 3, "all pages of the experiment's runs"


def test_another_version_is_named_by_its_run(desk: Desk, api: Api) -> None:
    assert asked(desk, f"{api.model}/{api.run(1)}")["value"]["model"]["revision"] == api.run(1)
    (breach,) = asked(desk, f"{api.model}/{api.run(1)}", "again")["breaches"]
    assert breach["rule"] == "MD-101"


def test_an_adapter_of_clouderas_is_found_by_the_same_door(desk: Desk, api: Api) -> None:
    model = asked(desk, api.model)["value"]["model"]["id"]
    made = say(desk, "AddAdapter", type="model_registry", name="a", model_id=model, cml_registered_model_id=api.lora)[
        "adapter"
    ]
    assert (made["cml_registered_model_id"], made["revision"]) == (api.lora, api.run(4))


def test_what_is_not_there_is_told(desk: Desk, api: Api) -> None:
    for id, said in (
        ("aaaa-bbbb-cccc-0000", "aaaa-bbbb-cccc-0000 was not found at Cloudera's"),
        (f"{api.model}/run-7", f"no version of the run run-7; runs of its versions: {api.run(5)}, {api.run(1)}"),
        (api.foreign, f"has no files in this project ({api.cloudera.project_id})"),
        (api.lora, "holds an adapter"),
    ):
        (breach,) = asked(desk, id)["breaches"]
        assert breach["rule"] == "MD-003" and said in breach["message"]


def test_an_api_that_does_not_serve_is_unavailable(desk: Desk, api: Api) -> None:
    for status, said in ((401, "CDSW_APIV2_KEY may have run out"), (503, "answers 503"), (429, "answers 429")):
        api.cloudera.fail(status)
        reply = asked(desk, api.model)
        assert reply["code"] == "unavailable" and said in reply["message"] and "send this again" in reply["message"]


@decision("D-120")
def test_without_the_sdk_or_its_key_the_reply_says_what_is_missing(
    desk: Desk, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.settings, "cdsw_apiv2_key", None)
    reply = asked(desk, api.model)
    assert reply["code"] == "unavailable" and "(missing: CDSW_APIV2_KEY)" in reply["message"]
    monkeypatch.setitem(sys.modules, "cmlapi", None)
    reply = asked(desk, api.model)
    assert reply["code"] == "unavailable" and "cmlapi) is not installed here: `pip install" in reply["message"]


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("mlflow"))
    made.add("tiny", PLAIN)
    yield made


@decision("D-120")
def test_mlflows_registry_answers_for_other_ids_and_outside_a_workbench(desk: Desk, api: Api, mlflow: Registry) -> None:
    mlflow.add(api.model, PLAIN)
    desk.settings.mlflow_tracking_uri = mlflow.uri
    assert asked(desk, "tiny")["value"]["model"]["revision"] == "1"
    assert asked(desk, f"models:/{api.model}/1", "by its URI")["value"]["model"]["revision"] == "1"
    desk.settings.cdsw_project_id = None
    assert not api.asked
    assert asked(desk, api.model, "outside")["breaches"][0]["rule"] == "MD-101", "it is the version that is there"


def test_other_ids_have_not_clouderas_shape() -> None:
    for text in (
        "aaaa-bbbb-cccc-ddd",
        "Aaaa-bbbb-cccc-dddd",
        "aaaabbbbccccdddd",
        "tiny",
        "",
        "a/b",
        "aaaa-bbbb-cccc-dddd\n",
    ):
        assert not cml.is_id(text)
