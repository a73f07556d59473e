"""Jobs that runners have run elsewhere: what they are called there is in the rows that people look at."""

from __future__ import annotations

from typing import Any

import pytest

from actors.desk import Desk
from core.store.tables import Model
from tests.handlers.work import STARTED, Speaker, add_inputs, say, start, types


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def placed(name: str, job_id: str | None = None) -> dict[str, Any]:
    return {"type": "placed", "at": 1.0, "where": "cml", "job": f"cml-{name}", "name": name, "job_id": job_id}


def children(desk: Desk, parent: str) -> dict[str, str | None]:
    jobs = say(desk, "ListEvaluationJobs")["evaluation_jobs"]
    return {each["id"]: each["cml_job_id"] for each in jobs if each["parent_job_id"] == parent}


def test_a_training_tells_the_job_that_it_is_at_clouderas(desk: Desk) -> None:
    id, runner = start(desk), Speaker(desk)
    runner.report()
    runner.tell(id, placed(id), STARTED)
    assert say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["cml_job_id"] == f"cml-{id}"
    assert types(desk, id) == ["JobQueued", "JobAssigned", "JobPlaced", "JobStarted"]


def test_each_combination_has_a_job_of_its_own_there_or_all_have_one(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Model(id="n", type="project", name="other", location="n"))
    pairs = [{"base_model_id": "m"}, {"base_model_id": "n"}]
    asked = {"dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}
    batch = say(desk, "StartEvaluationJob", model_adapter_combinations=pairs, **asked)["parent_job_id"]
    runner, (first, second) = Speaker(desk), children(desk, batch)
    runner.report()
    runner.tell(batch, placed(first, first), placed("foreign", "of another batch"))
    assert children(desk, batch) == {first: f"cml-{first}", second: None}
    runner.tell(batch, placed(batch), begin=20)
    assert set(children(desk, batch).values()) == {f"cml-{batch}"}
