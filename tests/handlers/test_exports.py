"""Exports (docs/decisions.md, D-030, D-046 and D-202) are frozen, queued and listed, and refused with the guide's ids; a split is its own job's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.spec import SPEC, ExportSpec
from core.store.tables import Adapter, EvaluationJob, FineTuningJob, Job, Model
from tests.handlers.work import SUCCEEDED, Speaker, add_inputs, say, start


@pytest.fixture(autouse=True)
def pair(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(Model(id="h", type="huggingface", name="hub", huggingface_model_name="org/m", revision="c0"))
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", location="a"))
        unit.session.add(Adapter(id="ha", type="project", name="ha", model_id="h", location="ha"))
        unit.session.add(Adapter(id="hub", type="huggingface", name="hub", model_id="h", huggingface_name="org/a"))


def refused(desk: Desk, **payload: Any) -> list[tuple[str, str]]:
    reply = answer(desk, "ExportModel", payload, None)
    assert reply["code"] == "refused", reply
    return [(each["rule"], each["field"]) for each in reply["breaches"]]


ASKED = {"base_model_id": "m", "adapter_id": "a", "model_name": " tickets "}


def test_an_export_is_queued_with_its_inputs_frozen(desk: Desk) -> None:
    reply = say(desk, "ExportModel", **ASKED, generation_config='{"max_new_tokens": 8}')
    export = reply["export_job"]
    assert (reply["base_model_id"], reply["adapter_id"], export["status"]) == ("m", "a", "queued")
    with desk.store.read() as session:
        spec = session.get_one(Job, export["id"]).spec
    project = desk.settings.project
    assert (spec["model"]["location"], spec["adapter"]["location"]) == (str(project / "m"), str(project / "a"))
    assert spec["model_name"] == "tickets"
    assert spec["generation"] == {"max_new_tokens": 8} and spec["destination"] == "model_registry"
    assert say(desk, "GetExportJob", id=export["id"])["export_job"] == export


def test_exports_are_listed_newest_first_and_filtered(desk: Desk) -> None:
    ids = [say(desk, "ExportModel", **ASKED)["export_job"]["id"] for _ in range(3)]
    say(desk, "CancelJob", id=ids[1])
    first = say(desk, "ListExportJobs", limit=2)
    assert [each["id"] for each in first["export_jobs"]] == [ids[2], ids[1]] and first["has_more"]
    assert all(each["base_model_name"] and each["adapter_name"] for each in first["export_jobs"])  # no ids alone
    assert [each["id"] for each in say(desk, "ListExportJobs", after=ids[1])["export_jobs"]] == [ids[0]]
    assert [each["id"] for each in say(desk, "ListExportJobs", status="cancelled")["export_jobs"]] == [ids[1]]
    assert say(desk, "ListExportJobs", adapter_id="ha")["export_jobs"] == []


def test_all_breaches_of_an_export_come_at_once(desk: Desk) -> None:
    assert {rule for rule, _ in refused(desk)} == {"EX-001", "EX-002", "EX-003"}
    assert refused(desk, **{**ASKED, "base_model_id": "x"}) == [("EX-001", "base_model_id"), ("EX-103", "adapter_id")]
    assert refused(desk, **{**ASKED, "type": "cml_model"}) == [("EX-005", "base_model_id"), ("EX-109", "type")]
    asked = {"type": "cml_model", "base_model_id": "h", "adapter_id": "hub", "model_name": "x"}
    assert refused(desk, **asked) == [("EX-004", "adapter_id"), ("EX-109", "type")]
    assert refused(desk, **{**asked, "adapter_id": "ha"}) == [("EX-109", "type")]


def test_in_cloudera_ml_its_registry_takes_models_of_the_hub_only(desk: Desk) -> None:
    desk.settings.cdsw_project_id = "7"
    assert refused(desk, **ASKED) == [("EX-005", "base_model_id")]
    say(desk, "ExportModel", base_model_id="h", adapter_id="hub", model_name="x")


@contextmanager
def tracking_server(status: int) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://user:secret@127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("status", [500, 503])
def test_an_mlflow_that_does_not_answer_is_told_before_anything_is_queued(desk: Desk, status: int) -> None:
    with tracking_server(status) as uri:
        desk.settings.mlflow_tracking_uri = uri
        reply = answer(desk, "ExportModel", ASKED, None)
    assert reply["code"] == "unavailable" and "secret" not in str(reply)
    assert say(desk, "ListExportJobs")["export_jobs"] == []
    assert answer(desk, "ExportModel", ASKED, None)["code"] == "unavailable"  # nobody listens any more


def test_an_mlflow_that_answers_is_enough(desk: Desk) -> None:
    with tracking_server(200) as uri:
        desk.settings.mlflow_tracking_uri = uri
        assert say(desk, "ExportModel", **ASKED)["export_job"]["status"] == "queued"


def test_what_an_unfinished_export_uses_stays(desk: Desk) -> None:
    id = say(desk, "ExportModel", **ASKED)["export_job"]["id"]
    for name, used in (("RemoveAdapter", "a"), ("RemoveModel", "m")):
        reply = answer(desk, name, {"id": used}, None)
        assert reply["code"] == "refused" and id in str(reply["breaches"])
    say(desk, "CancelJob", id=id)
    assert say(desk, "RemoveAdapter", id="a")["removed"]


def test_a_split_is_that_of_the_job_that_trained_the_adapter(desk: Desk) -> None:
    with desk.store.write() as unit:
        for id, split in (("j", 0.8), ("k", 0.6)):
            unit.session.add(
                FineTuningJob(id=id, adapter_name="b", dataset_id="d", dataset_fraction=0.5, train_test_split=split)
            )
        unit.session.add(Adapter(id="b", type="project", name="b", model_id="m", fine_tuning_job_id="j"))
    split = say(desk, "GetDatasetSplitByAdapter", adapter_id="b")["response"]
    assert split == {
        "dataset_fraction": 0.5, "train_test_split": 0.8, "seed": 42, "dataset_id": "d", "fine_tuning_job_id": "j",
        "train_splits": ["train"], "eval_split": None,
    }  # fmt: skip
    elsewhere = say(desk, "GetDatasetSplitByAdapter", adapter_id="a")["response"]
    assert (elsewhere["dataset_fraction"], elsewhere["train_test_split"]) == (1.0, 0.9)
    assert elsewhere["fine_tuning_job_id"] is None
    assert answer(desk, "GetDatasetSplitByAdapter", {"adapter_id": "x"}, None)["code"] == "not_found"


def test_a_merged_model_becomes_a_directory_that_is_not_there_yet(desk: Desk) -> None:
    asked = {**ASKED, "type": "merged"}
    reply = say(desk, "ExportModel", **asked)["export_job"]
    project = desk.settings.project
    with desk.store.read() as session:
        assert session.get_one(Job, reply["id"]).spec["directory"] == str(project / "data" / "exports" / "tickets")
    (project / "made").mkdir()
    there = {**asked, "artifact_location": "made"}
    say(desk, "ExportModel", **there)
    (project / "made" / "tickets").mkdir()
    assert refused(desk, **there) == [("EX-107", "artifact_location")]
    for place in ("../elsewhere", str(desk.settings.artifacts_root)):
        assert refused(desk, **{**asked, "artifact_location": place}) == [("EX-107", "artifact_location")]
    assert refused(desk, **{**ASKED, "artifact_location": "file:///etc"}) == [("EX-107", "artifact_location")]
    say(desk, "ExportModel", **{**ASKED, "artifact_location": "s3://bucket/models"})


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("kept", "kept"),
        ("file:{project}/kept%20here", "kept here"),
        ("{project}/a#/../../../outside", None),
        ("{project}/a?/../../../outside", None),
        ("//etc{project}/kept", None),
    ],
)
def test_a_registrys_files_lie_where_the_studio_looked(desk: Desk, given: str, made: str | None) -> None:
    project = desk.settings.project.resolve()
    asked = {**ASKED, "artifact_location": given.format(project=project)}
    if made is None:
        assert refused(desk, **asked) == [("EX-107", "artifact_location")]
        return
    id = say(desk, "ExportModel", **asked)["export_job"]["id"]
    with desk.store.read() as session:
        assert session.get_one(Job, id).spec["artifact_location"] == (project / made).as_uri()


def test_an_export_carries_where_its_adapter_came_from(desk: Desk) -> None:
    trained = start(desk, "b")
    with desk.store.write() as unit:
        unit.session.get_one(Adapter, "a").fine_tuning_job_id = trained
        for number, at in (("e1", 1.0), ("e2", 2.0)):
            scores = {"exact_match": at / 2}
            columns = {"adapter_id": "a", "dataset_id": "d", "status": "succeeded", "parent_job_id": "b", "rows": 9}
            unit.session.add(EvaluationJob(id=number, scores=scores, finished_at=at, **columns))
    id = say(desk, "ExportModel", **ASKED)["export_job"]["id"]
    with desk.store.read() as session:
        spec = SPEC.validate_python(session.get_one(Job, id).spec)
    assert isinstance(spec, ExportSpec) and spec.training is not None and spec.scores is not None
    assert spec.training.job_id == trained and spec.training.dataset.location == str(desk.settings.project / "d.csv")
    assert (spec.scores.evaluation_job_id, spec.scores.values, spec.scores.rows) == ("e2", {"exact_match": 1.0}, 9)


def test_what_an_export_made_is_kept_and_told(desk: Desk) -> None:
    id = say(desk, "ExportModel", **ASKED)["export_job"]["id"]
    parity = {"prompts": 8, "max_logit_difference": 1e-6, "same_text": 8}
    made = {"version": "3", "uri": "models:/tickets/3", "files": {"model.safetensors": "00"}, "parity": parity}
    runner = Speaker(desk, engines=["export"])
    runner.begin(id)
    runner.tell(id, {**SUCCEEDED, "summary": {"exported": made}}, begin=10)
    told = say(desk, "GetExportJob", id=id)["export_job"]
    assert told["status"] == "succeeded" and told["result"]["uri"] == "models:/tickets/3"
    assert told["result"]["parity"]["max_logit_difference"] == 1e-6
    events = say(desk, "ListEvents", resource_id=id)["events"]
    found = next(each for each in events if each["type"] == "ModelExported")
    assert found["data"] == {"type": "model_registry", "name": "tickets", "place": "models:/tickets/3"}
