"""Cloudera ML as a place to run, end to end: a fine-tuning, a batch of three evaluations and an endpoint, watched live.

The model lies at a Hub that wants a token; where that goes is watched: into the environment of the run that needs it, and
nowhere else.
"""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from core.client import StudioClient
from core.messages.adapters import AddAdapter
from core.messages.endpoints import EndpointMetadata, GetEndpoint, StopEndpoint
from core.messages.evaluation import ListEvaluationJobs, StartEvaluationJob
from core.messages.export import ExportModel
from core.messages.models import AddModel
from core.types import JobStatus
from tests.cml.canary import CANARY, Overhearing, Peeking, holders
from tests.cml.standin import StandIn
from tests.cml.troubles import failing, killing
from tests.cml.workshop import Workshop
from tests.runner.hub import Hub, hub
from tests.runner.tiny import make_adapter
from tests.whole import until

ARGUMENTS = json.dumps(
    {
        "max_steps": 6,
        "per_device_train_batch_size": 4,
        "learning_rate": 0.001,
        "optim": "adamw_torch",
        "save_strategy": "no",
        "eval_strategy": "no",
        "logging_steps": 1,
    }
)


@pytest.fixture
def gate(tiny_model: Path) -> Iterator[Hub]:
    with hub(token=CANARY, gated=True) as made:
        made.put("org/tiny", tiny_model)
        yield made


@pytest.fixture
def workshop(
    request: pytest.FixtureRequest, cloudera: StandIn, valkey_url: str, ns: str, tiny_model: Path, gate: Hub
) -> Iterator[Workshop]:
    """The studio; the test's parameter tells whether each combination of an evaluation has a run of its own."""
    paths = {"HF_ENDPOINT": gate.url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}
    with cloudera.cloud.lock:
        cloudera.cloud.state["project"]["environment"] = json.dumps(paths)
    told = {"FTS_CML_EVALUATION": request.param, "HUGGINGFACE_ACCESS_TOKEN": CANARY}
    made = Workshop(cloudera, valkey_url, ns, tiny_model, **paths, **told)
    made.up()
    yield made
    made.down()


class Watching:
    """Somebody who looks on at a job: the steps that came, and those that came while its run was at work."""

    def __init__(self, workshop: Workshop, job_id: str) -> None:
        self.client, self.cloudera, self.job_id = StudioClient(workshop.settings), workshop.cloudera, job_id
        self.steps: list[int] = []
        self.live: list[int] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look, daemon=True)
        self.thread.start()

    def _look(self) -> None:
        for entry in self.client.follow_job(self.job_id, block=0.2):
            records: list[dict[str, Any]] = entry["records"] if entry else []
            came = [each["step"] for each in records if each["type"] == "metrics"]
            self.steps += came
            self.live += came if self.cloudera.active() else []
            if self.over.is_set():
                return

    def close(self) -> None:
        self.over.set()
        self.thread.join(30)
        self.client.close()


TROUBLES = {"none": nullcontext, "killed": killing, "failing": failing}
LONG = [pytest.param("child", each, marks=pytest.mark.nightly) for each in TROUBLES]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("workshop", "trouble"), [("batch", "none"), *LONG], indirect=["workshop"])
def test_a_training_three_evaluations_and_an_endpoint_run_in_pods_and_the_token_is_only_where_it_is_needed(
    workshop: Workshop, cloudera: StandIn, tiny_model: Path, tmp_path: Path, trouble: str
) -> None:
    ids = workshop.resources()
    base = workshop.client.call(AddModel(type="huggingface", huggingface_name="org/tiny"), timeout=60).model.id
    hearing = Overhearing(workshop.settings.redis_url)
    with closing(hearing), closing(Peeking()) as peeking, TROUBLES[trouble](workshop) as met:
        trained = workshop.train("tuned", {**ids, "base_model_id": base}, ARGUMENTS)
        watching = Watching(workshop, trained)
        batch = _evaluate(workshop, ids, tiny_model)
        job = workshop.end(trained)
        assert job.status is JobStatus.succeeded, (job.error, workshop.logs())
        until(lambda: watching.steps == [1, 2, 3, 4, 5, 6], 60, "every step was seen, once")
        watching.close()
        evaluated = until(lambda: _over(workshop, batch), 300, "the evaluations end")
        assert {each.status for each in evaluated} == {JobStatus.succeeded}, [each.error for each in evaluated]
        key = _serve(workshop, base, str(job.adapter_id))
    assert watching.live, "steps are seen when the run is over only"
    assert trouble == "none" or {f"POST {each}" for each in ("jobs", "runs", "models", "builds")} <= {
        " ".join(each.split()[:2]) for each in met or ()
    }

    # One run of each job at Cloudera's, and nothing is left.
    placed = {job.cml_job_id, *(each.cml_job_id for each in evaluated)}
    assert len(placed) == (4 if workshop.environment["FTS_CML_EVALUATION"] == "child" else 2)
    assert sorted(each["job_id"] for each in cloudera.runs()) == sorted(placed)
    workshop.rests()
    assert not cloudera.cloud.state["models"]

    # The token went into the environment of that one run.
    told = [
        each for each in cloudera.received if CANARY in json.dumps([each.path, each.query, each.headers, each.body])
    ]
    assert {(str(each), CANARY in json.dumps(each.body.pop("environment"))) for each in told} == {
        (f"POST /api/v2/projects/{cloudera.project_id}/jobs/{job.cml_job_id}/runs", True)
    }
    assert CANARY not in json.dumps([each.body for each in told]) and peeking.seen == []
    for secret in (CANARY, key, cloudera.cloud.key, cloudera.cloud.v1_key):
        assert hearing.heard and not hearing.lines(secret)
        # Cloudera's own memory: the environment of that run, and its keys.
        assert set(holders(tmp_path, secret)) <= {str(cloudera.cloud.directory / "state.json")}


def _evaluate(workshop: Workshop, ids: dict[str, str], tiny_model: Path) -> str:
    """Start an evaluation of a base and two adapters, none of which lies behind the gate; its batch."""
    own = ids["base_model_id"]
    pairs: list[dict[str, str]] = [{"base_model_id": own}]
    for seed, name in enumerate(("one", "two")):
        make_adapter(workshop.project / name, tiny_model, seed=seed)
        added = workshop.client.call(AddAdapter(type="project", name=name, model_id=own, location=name))
        pairs.append({"base_model_id": own, "adapter_id": added.adapter.id})
    asked = StartEvaluationJob(
        model_adapter_combinations=pairs, dataset_id=ids["dataset_id"], prompt_id=ids["prompt_id"],
        num_cpu=1, num_gpu=0, num_memory=1, eval_dataset_fraction=0.02, generation_config='{"max_new_tokens": 4}',
    )  # fmt: skip
    return workshop.client.call(asked).parent_job_id


def _serve(workshop: Workshop, base: str, adapter: str) -> str:
    """Make an endpoint, call it, stop it; its access key."""
    cloudera = workshop.cloudera
    exported = ExportModel(
        type="cml_model", base_model_id=base, adapter_id=adapter, model_name="answers", num_gpu=0, num_memory=1
    )
    made = workshop.client.call(exported, timeout=60).endpoint
    assert made is not None

    def endpoint() -> EndpointMetadata:
        return workshop.client.call(GetEndpoint(id=made.id)).endpoint

    until(lambda: endpoint().address or endpoint().status.finished, 120, "it serves")
    assert endpoint().address, (endpoint().error, workshop.logs())
    (known,) = cloudera.cloud.state["models"].values()
    assert _called(cloudera, known["access_key"])["success"]
    workshop.client.call(StopEndpoint(id=made.id))
    until(lambda: endpoint().status.finished, 60, "it ends")
    assert endpoint().status is JobStatus.succeeded
    return str(known["access_key"])


def _over(workshop: Workshop, batch: str) -> list[Any]:
    found = workshop.client.call(ListEvaluationJobs(parent_job_id=batch)).evaluation_jobs
    return found if len(found) == 3 and all(each.status.finished for each in found) else []


def _called(cloudera: StandIn, key: str) -> Any:
    request = urllib.request.Request(
        f"{cloudera.cloud.base}/model?accessKey={key}",
        json.dumps({"request": {"prompt": "w1 w2"}}).encode(),
        {"Authorization": f"Bearer {cloudera.cloud.key}"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)
