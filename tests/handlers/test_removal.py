"""Removing resources (docs/decisions.md, D-033): what goes, what stands in the way, what is left of the links."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import event, select

from actors.answering import answer
from actors.desk import Desk
from core.store.eventlog import events_after
from core.store.session import Store
from core.store.tables import Adapter, Config, Dataset, EvaluationJob, FineTuningJob, Job, Metric, Model, Prompt
from tests.handlers.crowd import count, together
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, change, folded, say, start


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", location="a", prompt_id="p"))


def breaches(desk: Desk, name: str, /, **payload: Any) -> list[dict[str, Any]]:
    reply = answer(desk, name, payload, None)
    assert reply["code"] == "refused", reply
    found: list[dict[str, Any]] = reply["breaches"]
    return found


def rules(desk: Desk, name: str, /, **payload: Any) -> list[str]:
    return [each["rule"] for each in breaches(desk, name, **payload)]


def batch(desk: Desk, *adapters: str | None) -> tuple[str, list[str]]:
    """Queue an evaluation of the model, bare or with adapters; the batch's id and its evaluations'."""
    pairs = [{"base_model_id": "m", "adapter_id": each} for each in adapters]
    asked = {"dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}
    reply = say(desk, "StartEvaluationJob", model_adapter_combinations=pairs, **asked)
    return reply["parent_job_id"], [each["id"] for each in reply["evaluation_jobs"]]


def gone(reply: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["kind"], each["id"]) for each in reply["resources"]]


def told(desk: Desk) -> list[tuple[str, str]]:
    """What the log says was removed, in order."""
    with desk.store.read() as session:
        found = events_after(session, 0, 10_000, type="ResourceRemoved")
        return [(each.kind, each.resource_id) for each in found]


KINDS = {
    "RemoveDataset": ("d", Dataset, "datasets"),
    "RemoveModel": ("m", Model, "models"),
    "RemoveAdapter": ("a", Adapter, "adapters"),
    "RemovePrompt": ("p", Prompt, "prompts"),
}


@pytest.mark.parametrize("name", [*KINDS, "RemoveConfig", "RemoveFineTuningJob", "RemoveEvaluationJob"])
def test_removing_what_is_not_there_is_no_error_and_says_so(desk: Desk, name: str) -> None:
    reply = say(desk, name, id="nowhere")
    assert (reply["id"], reply["removed"], reply["resources"]) == ("nowhere", False, [])
    assert told(desk) == []


@pytest.mark.parametrize("name", KINDS)
def test_a_resource_that_nothing_needs_goes_once_and_the_log_tells(desk: Desk, name: str) -> None:
    id, table, kind = KINDS[name]
    extra: dict[str, Any] = {"RemoveDataset": {"cascade": True}, "RemoveModel": {"cascade": True}}.get(name, {})
    before = count(desk, table)
    first = say(desk, name, id=id, **extra)
    assert first["removed"] and gone(first)[-1] == (kind, id)
    assert first["resources"][-1]["name"] == {"d": "t", "m": "tiny"}.get(id, id)
    assert count(desk, table) == before - 1
    assert told(desk) == gone(first)
    assert not say(desk, name, id=id, **extra)["removed"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [("RemoveDataset", "DS-121"), ("RemoveModel", "MD-121"), ("RemoveAdapter", "AD-121"), ("RemovePrompt", "PR-121")],
)
def test_what_an_unfinished_evaluation_uses_is_kept_and_the_batch_is_named(desk: Desk, name: str, rule: str) -> None:
    parent, _ = batch(desk, None, "a")
    extra = {"cascade": True} if name in {"RemoveDataset", "RemoveModel"} else {}
    (first, *_) = breaches(desk, name, id=KINDS[name][0], **extra)
    assert first["rule"] == rule
    assert parent in first["message"] and "'evaluation on t'" in first["message"] and "queued" in first["message"]
    say(desk, "CancelJob", id=parent)
    assert say(desk, name, id=KINDS[name][0], **extra)["removed"]


@pytest.mark.parametrize("status", ["queued", "assigned", "running", "pausing", "paused", "cancel_requested"])
def test_a_job_in_any_state_but_the_last_keeps_its_inputs(desk: Desk, status: str) -> None:
    change(desk, start(desk), status=status)
    assert rules(desk, "RemoveDataset", id="d", cascade=True) == ["DS-121", "PR-121"]
    assert rules(desk, "RemoveModel", id="m", cascade=True) == ["MD-121"]
    assert rules(desk, "RemovePrompt", id="p") == ["PR-121"]
    assert count(desk, Prompt) == 1


def test_every_user_is_named_up_to_a_bound_and_the_rest_is_counted(desk: Desk) -> None:
    for number in range(23):
        start(desk, f"job-{number:02}")
    (found,) = breaches(desk, "RemovePrompt", id="p")
    assert "23 unfinished jobs: 'job-00'" in found["message"]
    assert "'job-19'" in found["message"] and "'job-20'" not in found["message"]
    assert "and 3 more" in found["message"]


def test_a_prompt_that_an_unfinished_job_uses_on_another_dataset_keeps_its_own_dataset(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Dataset(id="d2", type="project_csv", name="t2", location="d2", features='["q", "a"]'))
    id = start(desk, dataset_id="d2")
    assert rules(desk, "RemoveDataset", id="d", remove_prompts=True) == ["PR-121"]
    say(desk, "CancelJob", id=id)
    assert gone(say(desk, "RemoveDataset", id="d", remove_prompts=True)) == [("prompts", "p"), ("datasets", "d")]


def test_finished_jobs_keep_their_records_and_snapshots_without_the_links(desk: Desk) -> None:
    id = start(desk, lora_config='{"r": 4}')
    config = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]["lora_config_id"]
    parent, (child, *_) = batch(desk, "a")
    assert say(desk, "RemoveConfig", id=config)["removed"], "a config is held by nothing, not even by a queued job"
    for each in (id, parent):
        say(desk, "CancelJob", id=each)
    say(desk, "RemoveDataset", id="d", remove_prompts=True)
    say(desk, "RemoveModel", id="m", cascade=True)
    job = say(desk, "GetFineTuningJob", id=id)["fine_tuning_job"]
    assert [job[name] for name in ("base_model_id", "dataset_id", "prompt_id", "lora_config_id")] == [None] * 4
    assert job["lora_config"] == '{"r": 4}'
    one = say(desk, "GetEvaluationJob", id=child)["evaluation_job"]
    assert [one[name] for name in ("base_model_id", "dataset_id", "prompt_id", "adapter_id")] == [None] * 4
    assert len(say(desk, "ListFineTuningJobs")["fine_tuning_jobs"]) == 1


def test_a_dataset_with_prompts_is_kept_unless_they_may_go_too(desk: Desk) -> None:
    (found,) = breaches(desk, "RemoveDataset", id="d")
    assert (found["rule"], "'p' (p)" in found["message"]) == ("DS-122", True)
    reply = say(desk, "RemoveDataset", id="d", remove_prompts=True)
    assert gone(reply) == [("prompts", "p"), ("datasets", "d")]
    with desk.store.read() as session:
        assert session.get_one(Adapter, "a").prompt_id is None


def test_a_model_with_adapters_is_kept_unless_they_may_go_too(desk: Desk) -> None:
    (found,) = breaches(desk, "RemoveModel", id="m")
    assert (found["rule"], "'a' (a)" in found["message"]) == ("MD-122", True)
    assert gone(say(desk, "RemoveModel", id="m", cascade=True)) == [("adapters", "a"), ("models", "m")]
    assert count(desk, Adapter) == 0


def test_a_cascade_that_meets_a_job_changes_nothing(desk: Desk) -> None:
    with desk.store.write() as unit:
        unit.session.add(Model(id="m2", type="project", name="m2", location="m2"))
        unit.session.add(Adapter(id="a2", type="project", name="a2", model_id="m2", location="a2"))
    batch(desk, "a")
    with desk.store.write() as unit:  # its row says another model than its adapter's: only the adapter is used
        unit.session.scalars(select(EvaluationJob)).one().base_model_id = "m2"
    assert rules(desk, "RemoveModel", id="m", cascade=True) == ["AD-121"]
    assert count(desk, Adapter) == 2
    assert told(desk) == []


def test_a_removed_name_and_key_can_be_used_again(desk: Desk) -> None:
    first = answer(desk, "RemovePrompt", {"id": "p"}, "once")
    text = {"prompt_template": "{q}{a}", "input_template": "{q}", "completion_template": "{a}"}
    say(desk, "AddPrompt", prompt={"id": "p", "name": "p", "dataset_id": "d", **text})
    assert answer(desk, "RemovePrompt", {"id": "p"}, "once") == first
    assert count(desk, Prompt) == 1, "a second delivery of the same command removes nothing new"


def test_a_shipped_config_goes_with_a_note(desk: Desk) -> None:
    shipped = say(desk, "ListConfigs", is_default=True)["configs"][0]["id"]
    reply = answer(desk, "RemoveConfig", {"id": shipped}, None)
    assert reply["value"]["removed"]
    assert [(each["rule"], each["severity"]) for each in reply["breaches"]] == [("CF-121", "INFO")]
    mine = say(desk, "AddConfig", type="custom", config='{"x": 1}', description="mine")["config"]["id"]
    reply = answer(desk, "RemoveConfig", {"id": mine}, None)
    assert (reply["breaches"], reply["value"]["resources"]) == ([], [{"kind": "configs", "id": mine, "name": "mine"}])
    assert count(desk, Config) == 3


@pytest.mark.parametrize(
    ("status", "said"),
    [
        ("queued", "cancel it first"),
        ("paused", "it ends at once"),
        ("running", "remove it when it has ended"),
        ("assigned", "cancel it (CancelJob"),
        ("cancel_requested", "is being cancelled"),
    ],
)
def test_an_unfinished_job_is_kept_and_told_what_to_do(desk: Desk, status: str, said: str) -> None:
    id, (parent, children) = start(desk), batch(desk, None, "a")
    for each in (id, parent):
        change(desk, each, status=status)
    for name, each, rule in (
        ("RemoveFineTuningJob", id, "FT-107"),
        ("RemoveEvaluationJob", parent, "EV-121"),
        ("RemoveEvaluationJob", children[1], "EV-121"),
    ):
        (found,) = breaches(desk, name, id=each)
        assert (found["rule"], found["field"], said in found["message"]) == (rule, "id", True)
    assert count(desk, Job) == 2


def test_a_finished_job_goes_with_its_metrics_and_its_adapter_stays(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    saved = {"type": "artifact", "at": 1.0, "kind": "adapter", "path": "/out/1"}
    numbers = {"type": "metrics", "at": 1.0, "step": 1, "values": {"loss": 1.0}}
    a.tell(id, numbers, saved, SUCCEEDED, begin=10)
    reply = say(desk, "RemoveFineTuningJob", id=id)
    assert (gone(reply), reply["resources"][0]["name"]) == ([("jobs", id)], "tickets")
    assert [count(desk, each) for each in (Job, FineTuningJob, Metric)] == [0, 0, 0]
    assert say(desk, "ListAdapters", name_contains="tickets")["adapters"][0]["fine_tuning_job_id"] is None
    assert id not in folded(desk)


def test_one_evaluation_goes_alone_and_the_batch_with_its_last(desk: Desk) -> None:
    parent, (one, two) = batch(desk, None, "a")
    a = Speaker(desk)
    a.begin(parent)
    a.tell(parent, {"type": "metrics", "at": 1.0, "step": 1, "values": {"x": 1.0}}, SUCCEEDED, begin=10)
    assert gone(say(desk, "RemoveEvaluationJob", id=one)) == [("evaluation_jobs", one)]
    assert [each["id"] for each in say(desk, "ListEvaluationJobs", parent_job_id=parent)["evaluation_jobs"]] == [two]
    assert gone(say(desk, "RemoveEvaluationJob", id=two)) == [("evaluation_jobs", two), ("jobs", parent)]
    assert [count(desk, each) for each in (Job, EvaluationJob, Metric)] == [0, 0, 0]
    assert folded(desk) == {}


def test_a_whole_batch_goes_by_its_own_id(desk: Desk) -> None:
    parent, (one, two) = batch(desk, None, "a")
    say(desk, "CancelJob", id=parent)
    reply = say(desk, "RemoveEvaluationJob", id=parent)
    assert gone(reply) == [("evaluation_jobs", one), ("evaluation_jobs", two), ("jobs", parent)]
    assert not say(desk, "RemoveEvaluationJob", id=parent)["removed"]


def test_a_job_is_removed_by_its_own_message_only(desk: Desk) -> None:
    id, (parent, _) = start(desk), batch(desk, None)
    for each in (id, parent):
        say(desk, "CancelJob", id=each)
    assert not say(desk, "RemoveEvaluationJob", id=id)["removed"]
    assert not say(desk, "RemoveFineTuningJob", id=parent)["removed"]
    assert count(desk, Job) == 2


def test_what_a_runner_still_says_of_a_removed_job_is_answered_with_stop(desk: Desk) -> None:
    id, a = start(desk), Speaker(desk)
    a.begin(id)
    a.tell(id, SUCCEEDED, begin=10)
    say(desk, "RemoveFineTuningJob", id=id)
    assert a.tell(id, STARTED, begin=20)["order"] == "stop"


def test_sixteen_removals_of_one_dataset_remove_it_once(desk: Desk) -> None:
    replies = together(16, lambda _: say(desk, "RemoveDataset", id="d", cascade=True))
    assert sorted(each["removed"] for each in replies) == [False] * 15 + [True]
    assert told(desk) == [("prompts", "p"), ("datasets", "d")]


@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_a_dataset_is_not_removed_under_a_job_that_is_being_stored(desk: Desk) -> None:
    """The removal looks for users while the job's transaction is open, and meets it when both want to commit."""
    begun: list[dict[str, Any]] = []

    @event.listens_for(desk.store.writer, "before_cursor_execute")
    def job_comes_first(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("DELETE FROM datasets") and not begun:
            begun.append({})
            begun.extend(together(1, lambda _: _start_with_timeout(desk)))

    removed = answer(desk, "RemoveDataset", {"id": "d", "cascade": True}, None)
    assert removed["ok"], removed
    assert begun[1]["code"] in {"refused", "unavailable"}, "the job found the dataset locked, or gone"
    with desk.store.read() as session:
        assert list(session.scalars(select(FineTuningJob.dataset_id))) == []


def _start_with_timeout(desk: Desk) -> dict[str, Any]:
    """Start a job on a connection that waits for locks a second only."""
    url = desk.store.url.update_query_dict({"options": "-c lock_timeout=1000"})
    using = desk.settings.model_copy(update={"database_url": SecretStr(url.render_as_string(hide_password=False))})
    store = Store(using)
    asked = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1}
    try:
        return answer(Desk(using, store, desk.redis), "StartFineTuningJob", {"adapter_name": "x", **asked}, None)
    finally:
        store.close()
