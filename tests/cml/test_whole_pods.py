"""In a workbench, end to end: a training of two pods, and a job that somebody makes there by hand, beside the runner of kind cml."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from core import cml
from core.settings import Settings
from core.types import JobStatus
from tests.cml import pods
from tests.cml.standin import StandIn
from tests.cml.workshop import Workshop
from tests.whole import until

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(600)]
STEPS = '{"max_steps":4,"per_device_train_batch_size":2,"save_strategy":"no","eval_strategy":"no","logging_steps":1}'


@pytest.fixture
def workshop(cloudera: StandIn, valkey_url: str, ns: str, tiny_model: Path, tmp_path: Path) -> Iterator[Workshop]:
    (tmp_path / "workers").mkdir()
    path = os.pathsep.join((str(Path(__file__).parent / "runtime"), pods.base()["PYTHONPATH"]))
    told = {"PYTHONPATH": path, "WORKERS_DIR": str(tmp_path / "workers"), "CDSW_IP_ADDRESS": "127.0.0.1"}
    with cloudera.cloud.lock:
        cloudera.cloud.state["project"]["environment"] = json.dumps(told)
    made = Workshop(cloudera, valkey_url, ns, tiny_model, FTS_CML_CPUS="3")
    made.up()
    yield made
    made.down()


def workers(tmp_path: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted((tmp_path / "workers").glob("*.json"))]


def test_a_training_of_two_workers_is_one_run_whose_pod_has_the_other_launched(
    workshop: Workshop, cloudera: StandIn, tmp_path: Path
) -> None:
    id = workshop.train("two", workshop.resources(), STEPS, num_workers=2, dist_cpu=1, dist_mem=1, dist_gpu=0)
    found = workshop.end(id)
    assert found.status is JobStatus.succeeded, (found.error, workshop.logs())
    workshop.rests()
    assert len(cloudera.runs(id)) == 1 and found.step == 4
    [worker] = workers(tmp_path)
    assert worker["env"]["FTS_ATTEMPT_DIR"].endswith(f"jobs/{id}/1.1") and worker["cpu"] == 1


def test_a_job_made_by_hand_is_run_by_its_own_run_and_by_no_other(workshop: Workshop, cloudera: StandIn) -> None:
    key = str(uuid4())
    told = {**workshop.resources(), "experimentid": key, "training_arguments_config": STEPS}
    door = cml.connect(Settings())
    template = door.template("Accel_Finetuning_Base_Job")
    made = door.create_job(
        template.job("mine", cpu=2, memory=8, gpus=0, accelerator_label=None, environment={}, timeout=None)
    )
    with cloudera.cloud.lock:  # typed into a form of Cloudera's
        cloudera.cloud.state["jobs"][made]["arguments"] = " ".join(f"--{name} {value}" for name, value in told.items())
    names = ("FTS_HOME", "FTS_PROJECT", "FTS_REDIS_URL", "FTS_NAMESPACE", "FTS_TRACKING")
    run = door.create_run(made, {name: workshop.environment[name] for name in names})
    until(lambda: not cloudera.active(), 200, "the run ends")
    [found] = workshop.client.get_fine_tuning_jobs()
    assert found.status is JobStatus.succeeded and found.adapter_name == key and found.step == 4, workshop.logs()
    assert [each["id"] for each in cloudera.cloud.state["runs"].values()] == [run.id]
