"""Both forms of an evaluation at Cloudera's, by real pods in a whole studio: the same rows, figures, comparisons and files."""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from core.messages.adapters import AddAdapter
from core.messages.evaluation import ListEvaluationJobs, StartEvaluationJob
from core.messages.results import EvaluationResultsReply, GetEvaluationResults
from tests.cml.standin import StandIn
from tests.cml.workshop import Workshop
from tests.runner.test_together import results
from tests.runner.tiny import make_adapter
from tests.whole import until

TIMES = ("seconds", "latency", "tokens_per_second")


@pytest.fixture
def workshop(cloudera: StandIn, valkey_url: str, ns: str, tiny_model: Path) -> Iterator[Workshop]:
    made = Workshop(cloudera, valkey_url, ns, tiny_model)
    made.up()
    yield made
    made.down()


@pytest.mark.nightly
@pytest.mark.timeout(600)
def test_a_run_a_combination_comes_to_what_one_run_of_the_batch_does(
    workshop: Workshop, cloudera: StandIn, tiny_model: Path
) -> None:
    asked = request(workshop, tiny_model)
    apart = evaluated(workshop, asked)
    assert [len(cloudera.runs(each.id)) for each in apart.results] == [1, 1, 1]
    workshop.end_process("daemon", signal.SIGTERM)
    workshop.start("daemon", FTS_CML_EVALUATION="batch")
    whole = evaluated(workshop, asked)
    assert len(cloudera.runs(whole.parent_job_id)) == 1 and len(cloudera.runs()) == 4
    figures = [
        [{name: score.model_dump() for name, score in each.scores.items() if name not in TIMES} for each in one.results]
        for one in (apart, whole)
    ]
    assert near(*figures)
    assert [each["f1"]["delta"] is None for each in figures[0]] == [False, True, False]
    assert near(files(apart), files(whole))
    assert apart.notes == whole.notes


def near(one: Any, other: Any) -> bool:
    """Whether they are the same, but for the last digits: how a product is rounded depends on where its factors lie in memory."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(near(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(near, one, other))
    try:
        return one == other or math.isclose(float(one), float(other), rel_tol=1e-5)
    except (TypeError, ValueError):
        return False


def request(workshop: Workshop, model: Path) -> StartEvaluationJob:
    """A base and two adapters, on some of the rows."""
    ids = workshop.resources()
    own = ids["base_model_id"]
    pairs: list[dict[str, str]] = [{"base_model_id": own}]
    for seed, name in enumerate(("one", "two")):
        make_adapter(workshop.project / name, model, seed=seed)
        added = workshop.client.call(AddAdapter(type="project", name=name, model_id=own, location=name))
        pairs.append({"base_model_id": own, "adapter_id": added.adapter.id})
    return StartEvaluationJob(
        model_adapter_combinations=pairs, dataset_id=ids["dataset_id"], prompt_id=ids["prompt_id"],
        num_cpu=1, num_gpu=0, num_memory=1, eval_dataset_fraction=0.02, generation_config='{"max_new_tokens": 4}',
    )  # fmt: skip


def evaluated(workshop: Workshop, asked: StartEvaluationJob) -> EvaluationResultsReply:
    """What comes of it, each combination where Cloudera has it."""
    batch = workshop.client.call(asked).parent_job_id

    def over() -> Any:
        found = workshop.client.call(ListEvaluationJobs(parent_job_id=batch)).evaluation_jobs
        return all(each.status.finished for each in found) and found

    found = until(over, 300, "the evaluations end")
    assert all(each.cml_job_id for each in found), workshop.logs()
    told: EvaluationResultsReply = until(lambda: _with_files(workshop, batch), 60, "the results are written")
    assert {each.status for each in told.results} == {"succeeded"}
    return told


def _with_files(workshop: Workshop, batch: str) -> EvaluationResultsReply | None:
    told = workshop.client.call(GetEvaluationResults(parent_job_id=batch))
    return told if told.files and told.status.finished else None


def files(told: EvaluationResultsReply) -> Any:
    """The files of results, by the places of combinations instead of their ids."""
    summary = {"results": {Path(each).suffix[1:]: each for each in told.files}}
    made = json.dumps(results(Path("/"), {"summary": summary}))
    for each in told.results:
        made = made.replace(each.id, str(each.run_number))
    return json.loads(made)
