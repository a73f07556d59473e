"""An adapter goes into MLflow's registry by a run at Cloudera's, and comes back from there as a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.messages.adapters import ListAdapters
from core.messages.export import ExportModel, GetExportJob
from core.messages.models import AddModel
from core.types import JobStatus
from tests.cml.standin import StandIn
from tests.cml.workshop import Workshop
from tests.runner.hub import hub
from tests.whole import until


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_an_export_to_the_registry_is_a_run_and_what_it_made_can_be_added(
    cloudera: StandIn, valkey_url: str, ns: str, tiny_model: Path
) -> None:
    with hub() as served:
        served.put("org/tiny", tiny_model)
        workshop = Workshop(cloudera, valkey_url, ns, tiny_model, HF_ENDPOINT=served.url, HF_HUB_OFFLINE="0")
        workshop.up()
        try:
            ids = workshop.resources()
            ids["base_model_id"] = workshop.client.call(
                AddModel(type="huggingface", huggingface_name="org/tiny")
            ).model.id
            trained = workshop.end(workshop.train("tickets", ids, '{"max_steps": 2}'))
            assert trained.status is JobStatus.succeeded, (trained.error, workshop.logs())
            (adapter,) = [each for each in workshop.client.call(ListAdapters()).adapters if each.name == "tickets"]
            asked = ExportModel(base_model_id=ids["base_model_id"], adapter_id=adapter.id, model_name="tickets")
            made = workshop.client.call(asked).export_job
            assert made is not None
            until(lambda: workshop.client.call(GetExportJob(id=made.id)).export_job.status.finished, 240, "it ends")
            done = workshop.client.call(GetExportJob(id=made.id)).export_job
            assert done.status is JobStatus.succeeded, (done.error, workshop.logs())
            workshop.rests()
            assert [run["status"] for run in cloudera.runs(made.id)] == ["ENGINE_SUCCEEDED"]
            back = AddModel(type="model_registry", cml_registered_model_id="tickets", name="back")
            assert workshop.client.call(back, timeout=60).model.revision == "1"
        finally:
            workshop.down()
