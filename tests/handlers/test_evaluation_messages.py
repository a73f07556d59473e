"""A batch of evaluations: one job for a runner, one row a combination."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from actors.answering import answer
from actors.desk import Desk
from core.spec import EvaluationSpec
from core.store.tables import Adapter, Dataset, EvaluationJob
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, job, say, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)


def batch(desk: Desk, **asked: Any) -> tuple[str, list[str]]:
    """Queue the base model and its adapter; the batch's id and its children's."""
    pairs = [{"base_model_id": "m"}, {"base_model_id": "m", "adapter_id": "a"}]
    request = {"model_adapter_combinations": pairs, "dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0}
    reply = say(desk, "StartEvaluationJob", **{**request, **asked})
    return reply["parent_job_id"], [each["id"] for each in reply["evaluation_jobs"]]


def add_adapter(desk: Desk, **trained: Any) -> None:
    """The adapter `a`, trained by a job of its own."""
    id = start(desk, "trained", **trained)
    with desk.store.write() as unit:
        files = {"adapter_model.safetensors": "3", "adapter_config.json": "4"}
        named: dict[str, Any] = {"id": "a", "type": "project", "name": "a", "model_id": "m", "location": "a"}
        unit.session.add(Adapter(**named, files=files, fine_tuning_job_id=id))
    say(desk, "CancelJob", id=id)


def rows(desk: Desk, parent: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = say(desk, "ListEvaluationJobs", parent_job_id=parent)["evaluation_jobs"]
    return found


def scored(child: str, status: str = "succeeded") -> dict[str, Any]:
    return {"type": "scored", "at": 1.0, "job_id": child, "status": status, "values": {"exact_match": 0.5}, "rows": 4}


def test_a_batch_answers_all_its_children_and_is_one_job(desk: Desk) -> None:
    add_adapter(desk)
    parent, children = batch(desk)
    told = rows(desk, parent)
    assert [each["id"] for each in told] == children
    assert [each["run_number"] for each in told] == [1, 2]
    assert {each["comparison_adapter_id"] for each in told} == {"a"}
    sealed = EvaluationSpec.model_validate(job(desk, parent).spec)
    assert [each.job_id for each in sealed.combinations] == children
    assert (sealed.seed, sealed.generation["max_new_tokens"]) == (420, 60)
    assert sealed.combinations[1].adapter is not None  # the weights that it must find, however its config is moved
    assert sealed.combinations[1].adapter.files == {"adapter_model.safetensors": "3"}


def test_the_id_of_a_batch_is_answered_with_those_of_its_combinations(desk: Desk) -> None:
    add_adapter(desk)
    parent, children = batch(desk)
    reply = answer(desk, "GetEvaluationJob", {"id": parent})
    assert reply["code"] == "not_found" and all(child in reply["message"] for child in children)


def test_what_was_scored_is_told_by_the_names_that_models_and_adapters_have_now(desk: Desk) -> None:
    add_adapter(desk)
    parent, children = batch(desk)
    say(desk, "EditAdapter", id="a", name="better")
    told = [(each["base_model_name"], each["adapter_name"]) for each in rows(desk, parent)]
    assert told == [("tiny", None), ("tiny", "better")]
    one = say(desk, "GetEvaluationJob", id=children[1])["evaluation_job"]
    assert (one["base_model_name"], one["adapter_name"]) == told[1]
    edited = say(desk, "EditEvaluationJob", id=parent, name="nightly")["evaluation_jobs"]
    assert [(each["base_model_name"], each["adapter_name"]) for each in edited] == told
    named = say(desk, "GetEvaluationAnswers", parent_job_id=parent)["combinations"]
    assert named == dict(zip(children, ("tiny", "tiny + better"), strict=True))


def test_only_the_rows_held_out_by_the_adapters_own_job_are_scored(desk: Desk) -> None:
    add_adapter(desk, train_test_split=0.8, dataset_fraction=0.5)
    with desk.store.write() as unit:
        unit.session.add(Dataset(id="e", type="project_csv", name="e", location="e.csv", features='["q", "a"]'))
    own = EvaluationSpec.model_validate(job(desk, batch(desk)[0]).spec).sampling
    assert own is not None
    assert (own.fraction, own.split, own.seed) == (0.5, 0.8, 42)
    assert EvaluationSpec.model_validate(job(desk, batch(desk, dataset_id="e")[0]).spec).sampling is None


def test_scores_come_to_the_rows_and_a_child_left_unscored_fails(desk: Desk) -> None:
    add_adapter(desk)
    parent, (first, second) = batch(desk)
    a = Speaker(desk)
    a.begin(parent)
    a.tell(parent, scored(first), SUCCEEDED, begin=10)
    told = rows(desk, parent)
    assert [each["status"] for each in told] == ["succeeded", "failed"]
    assert (told[0]["scores"], told[0]["rows"]) == ({"exact_match": 0.5}, 4)
    assert told[1]["error"]["message"]
    assert second == told[1]["id"]


def test_how_sure_a_score_is_comes_with_it_and_goes_when_all_is_scored_anew(desk: Desk) -> None:
    add_adapter(desk)
    parent, (first, _) = batch(desk)
    a = Speaker(desk)
    a.begin(parent)
    say(desk, "CancelJob", id=parent)
    sure = {"low": 0.25, "high": 0.75, "delta": -0.1, "delta_low": -0.2, "delta_high": 0.05, "p": 0.04}
    ended = {"type": "finished", "at": 1.0, "outcome": "cancelled"}
    a.tell(parent, {**scored(first), "statistics": {"exact_match": sure}}, ended, begin=10)
    told = rows(desk, parent)
    assert told[0]["statistics"] == {"exact_match": {**sure, "higher_is_better": True}}
    assert told[1]["statistics"] == {}
    say(desk, "RetryJob", id=parent, from_checkpoint=False)
    assert [each["statistics"] for each in rows(desk, parent)] == [{}, {}]


def test_a_metric_of_ones_own_is_sealed_as_it_is_when_the_evaluation_is_started(desk: Desk) -> None:
    add_adapter(desk)
    script = desk.settings.scripts_root / "polite.py"
    script.parent.mkdir(exist_ok=True)
    script.write_text("def score(prediction, expected, row): return 1.0")
    sealed = EvaluationSpec.model_validate(job(desk, batch(desk, metrics=["polite.py"])[0]).spec)
    assert [(each.name, each.sha256) for each in sealed.metrics] == [
        ("polite.py", hashlib.sha256(script.read_bytes()).hexdigest())
    ]


def test_tasks_of_the_harness_wait_for_a_runner_that_has_it(desk: Desk) -> None:
    add_adapter(desk)
    parent, _ = batch(desk, tasks=["hellaswag"])
    a = Speaker(desk)
    a.tell(parent, begin=0)
    assert {each["waiting_for"] for each in rows(desk, parent)} == {"a runner that offers lm_eval: none does"}
    assert EvaluationSpec.model_validate(job(desk, parent).spec).tasks == ["hellaswag"]


def test_one_combination_is_left_out_and_the_last_one_ends_the_batch(desk: Desk) -> None:
    add_adapter(desk)
    parent, (first, second) = batch(desk)
    a = Speaker(desk)
    a.begin(parent)
    assert say(desk, "CancelJob", id=first)["status"] == "cancelled"
    order = a.tell(parent, scored(first), begin=10)
    assert (order["order"], order["cancelled"]) == ("run", [first])
    assert rows(desk, parent)[0]["status"] == "cancelled"
    assert answer(desk, "CancelJob", {"id": first}, None)["code"] == "conflict"
    say(desk, "CancelJob", id=second)
    assert a.tell(parent, begin=20)["order"] == "cancel"
    a.tell(parent, {"type": "finished", "at": 1.0, "outcome": "cancelled"}, begin=20)
    assert [each["status"] for each in rows(desk, parent)] == ["cancelled", "cancelled"]


def test_a_score_that_is_no_number_costs_nothing_else_and_is_heard(desk: Desk) -> None:
    add_adapter(desk)
    parent, children = batch(desk)
    runner = Speaker(desk)
    odd = {**scored(children[0]), "values": {"exact_match": 0.5, "perplexity": float("nan")}}
    runner.begin(parent)
    runner.tell(parent, odd, scored(children[1]), SUCCEEDED, begin=10)
    told = {each["id"]: each for each in rows(desk, parent)}
    assert (told[children[0]]["status"], told[children[0]]["scores"]) == ("succeeded", {"exact_match": 0.5})
    assert [each["status"] for each in told.values()] == ["succeeded", "succeeded"]
    (warning,) = say(desk, "ListEvents", type="JobWarning", resource_id=parent)["events"]
    name = say(desk, "GetEvaluationResults", parent_job_id=parent)["name"]
    assert warning["message"] == f"{name}: evaluation 1: perplexity came to no number"
    assert say(desk, "GetEvaluationResults", parent_job_id=parent)["notes"] == [
        "evaluation 1: perplexity came to no number"
    ]


def test_what_was_scored_stays_when_the_batch_is_run_again(desk: Desk) -> None:
    add_adapter(desk)
    parent, (first, second) = batch(desk)
    a = Speaker(desk)
    a.begin(parent)
    a.tell(parent, scored(first), scored(second, "running"), begin=10)
    a.tell(parent, begin=30, alive=False)
    assert a.tell(parent, STARTED, attempt=2)["order"] == "run"
    assert [each["status"] for each in rows(desk, parent)] == ["succeeded", "assigned"]
    failure = {"kind": "user_error", "message": "no such column"}
    a.tell(parent, {"type": "finished", "at": 1.0, "outcome": "failed", "error": failure}, attempt=2, begin=10)
    told = rows(desk, parent)
    assert [each["status"] for each in told] == ["succeeded", "failed"]
    assert told[1]["error"]["message"] == "no such column"


def test_pages_go_on_over_the_edges_of_batches(desk: Desk) -> None:
    add_adapter(desk)
    expected = [child for _, children in reversed([batch(desk) for _ in range(3)]) for child in children]
    seen: list[str] = []
    more = True
    while more:
        page = say(desk, "ListEvaluationJobs", limit=1, **({"after": seen[-1]} if seen else {}))
        seen += [each["id"] for each in page["evaluation_jobs"]]
        more = page["has_more"]
    assert seen == expected


def test_metrics_and_log_are_found_by_a_childs_id_too(desk: Desk) -> None:
    add_adapter(desk)
    parent, (first, _) = batch(desk)
    assert say(desk, "GetJobMetrics", id=first)["id"] == parent
    assert say(desk, "GetJobLog", id=first)["id"] == parent


def test_what_was_scored_before_its_baseline_gets_its_comparison_and_keeps_all_else(desk: Desk) -> None:
    add_adapter(desk)
    parent, children = batch(desk)
    runner = Speaker(desk)
    runner.begin(parent)

    def told(delta: float | None, **more: Any) -> dict[str, Any]:
        return {**scored(children[0]), "statistics": {"exact_match": {"delta": delta}}, **more}

    runner.tell(parent, told(None), told(0.25, values={"exact_match": 0.9}), scored(children[0]), begin=10)
    with desk.store.read() as session:
        row = session.get_one(EvaluationJob, children[0])
        assert row.statistics is not None and row.statistics["exact_match"]["delta"] == 0.25
        assert (row.status, row.scores) == ("succeeded", {"exact_match": 0.5})
