"""Lists: what each filter lets through and refuses (D-116), and one stable order (D-042) in pages that cost the same."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert

import actors
from actors.answering import answer
from actors.desk import Desk
from core.events import EVENT_TYPES, KINDS
from core.messages import REGISTRY
from core.store.tables import Adapter, Config, Dataset, Model, Prompt
from tests.handlers.test_removal import breaches
from tests.handlers.work import Speaker, add_inputs, change, say, start

LISTS = {
    "ListDatasets": (Dataset, "datasets"),
    "ListModels": (Model, "models"),
    "ListAdapters": (Adapter, "adapters"),
    "ListPrompts": (Prompt, "prompts"),
    "ListConfigs": (Config, "configs"),
}


def add(desk: Desk, table: type[Any], *rows: dict[str, Any]) -> None:
    """Rows of a table, each with what every row of it must have."""
    must: dict[type[Any], dict[str, Any]] = {Prompt: {"prompt_template": "x"}, Config: {"config": "{}"}}
    with desk.store.write() as unit:
        unit.session.execute(insert(table), [{"type": "project", **must.get(table, {}), **row} for row in rows])


def listed(desk: Desk, name: str, /, **asked: Any) -> list[str]:
    """The ids of the first page."""
    (many,) = (each for each in say(desk, name, **asked).values() if isinstance(each, list))
    return [each["id"] for each in many]


def paged(desk: Desk, name: str, /, **asked: Any) -> list[str]:
    """The ids of all pages."""
    seen: list[str] = []
    while True:
        reply = say(desk, name, after=seen[-1] if seen else None, **asked)
        (many,) = (each for each in reply.values() if isinstance(each, list))
        seen += [each["id"] for each in many]
        if not reply["has_more"]:
            return seen


@pytest.mark.parametrize("name", LISTS)
def test_a_part_of_the_name_is_found_in_any_case_and_signs_mean_themselves(desk: Desk, name: str) -> None:
    table, _ = LISTS[name]
    column = "description" if table is Config else "name"
    names = {"1": "Straße 100%", "2": "straße 1000", "3": "snake_case", "4": "snakeXcase", "5": "ÄRGER", "6": "a\\b/c"}
    add(desk, table, *({"id": id, column: text, "created_at": float(id)} for id, text in names.items()))
    for text, found in {
        "STRASS": [],
        "straße": ["1", "2"],
        "100%": ["1"],
        "%": ["1"],
        "E_C": ["3"],
        "_": ["3"],
        "ärger": ["5"],
        "\\b/": ["6"],
        "sNAKE": ["3", "4"],
        "' OR 1=1 --": [],
    }.items():
        assert listed(desk, name, name_contains=text) == found, text
    assert set(names) <= set(listed(desk, name, name_contains=""))


@pytest.mark.parametrize(
    ("name", "field", "value", "rule"),
    [
        ("ListDatasets", "type", "csv", "DS-001"),
        ("ListModels", "type", "Project", "MD-001"),
        ("ListAdapters", "type", "", "AD-102"),
        ("ListConfigs", "type", "lora", "CF-001"),
        ("ListFineTuningJobs", "status", "done", "FT-125"),
        ("ListFineTuningJobs", "framework_type", "trl", "FT-001"),
        ("ListEvaluationJobs", "status", "RUNNING", "EV-125"),
        ("ListEvents", "type", "JobExploded", "MS-107"),
        ("ListEvents", "level", "fatal", "MS-107"),
        ("ListEvents", "kind", "dataset", "MS-107"),
    ],
)
def test_a_value_that_there_is_not_is_refused_with_those_that_there_are(
    desk: Desk, name: str, field: str, value: str, rule: str
) -> None:
    (found,) = breaches(desk, name, **{field: value})
    assert (found["rule"], found["field"]) == (rule, field)
    assert "must be one of" in found["message"] and repr(value) in found["message"]


@pytest.mark.parametrize("name", [each for each in REGISTRY if each.startswith("List") and each != "ListEvents"])
def test_a_page_that_begins_after_what_is_gone_is_refused(desk: Desk, name: str) -> None:
    if "after" in REGISTRY[name].model_fields:
        (found,) = breaches(desk, name, after="gone")
        assert (found["rule"], found["field"], "'gone'" in found["message"]) == ("MS-105", "after", True)


def test_resources_are_found_by_what_they_are_and_belong_to(desk: Desk) -> None:
    add_inputs(desk.store)
    add(desk, Dataset, {"id": "hub", "name": "hub", "type": "huggingface"})
    add(desk, Model, {"id": "m2", "name": "m2", "type": "huggingface", "family": "LlamaForCausalLM"})
    add(desk, Prompt, {"id": "p2", "name": "p2", "dataset_id": "hub"})
    job = start(desk)
    add(
        desk,
        Adapter,
        {"id": "a1", "name": "a1", "model_id": "m", "prompt_id": "p", "fine_tuning_job_id": None},
        {"id": "a2", "name": "a2", "model_id": "m2", "prompt_id": "p2", "fine_tuning_job_id": job},
    )
    assert listed(desk, "ListDatasets", type="huggingface") == ["hub"]
    assert listed(desk, "ListModels", type="project") == ["m"]
    assert listed(desk, "ListModels", family="LlamaForCausalLM") == ["m2"]
    assert listed(desk, "ListPrompts", dataset_id="hub") == ["p2"]
    assert listed(desk, "ListAdapters", model_id="m") == ["a1"]
    assert listed(desk, "ListAdapters", prompt_id="p2") == ["a2"]
    assert listed(desk, "ListAdapters", fine_tuning_job_id=job) == ["a2"]
    assert listed(desk, "ListAdapters", type="project", model_id="m2", name_contains="A1") == []


def test_configs_are_found_by_type_family_and_whose_they_are(desk: Desk) -> None:
    own = {"id": "own", "type": "lora_config", "is_default": 0, "model_family": None, "created_at": 1.0}
    family = {"id": "family", "type": "lora_config", "is_default": 1, "model_family": "F", "created_at": 2.0}
    add(desk, Config, own, family)
    assert listed(desk, "ListConfigs", type="lora_config", is_default=False) == ["own"]
    assert listed(desk, "ListConfigs", model_family="F") == ["family"]
    assert "family" in listed(desk, "ListConfigs", type="lora_config", is_default=True)
    assert "own" not in listed(desk, "ListConfigs", is_default=True)


def test_configs_are_found_by_the_job_and_the_adapter_that_they_made(desk: Desk) -> None:
    add_inputs(desk.store)
    job = start(desk, lora_config='{"r": 5}', training_arguments_config='{"max_steps": 3}')
    add(desk, Adapter, {"id": "made", "type": "project", "name": "x", "model_id": "m", "fine_tuning_job_id": job})
    add(desk, Adapter, {"id": "brought", "type": "project", "name": "y", "model_id": "m"})
    row = say(desk, "GetFineTuningJob", id=job)["fine_tuning_job"]
    own = {row["lora_config_id"], row["training_arguments_config_id"]}
    assert set(listed(desk, "ListConfigs", fine_tuning_job_id=job)) == own
    assert listed(desk, "ListConfigs", adapter_id="made", type="lora_config") == [row["lora_config_id"]]
    assert listed(desk, "ListConfigs", adapter_id="brought") == []
    for field in ("fine_tuning_job_id", "adapter_id"):
        assert answer(desk, "ListConfigs", {field: "gone"}, None)["code"] == "not_found"


def test_jobs_are_found_by_state_inputs_and_name(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(Model(id="m2", type="project", name="m2", location="m2"))
        unit.session.add(Dataset(id="d2", type="project_csv", name="d2", location="d2", features='["q", "a"]'))
    one, two = start(desk, "one"), start(desk, "two", base_model_id="m2", dataset_id="d2")
    change(desk, one, status="failed", name="renamed")
    assert listed(desk, "ListFineTuningJobs", status="failed") == [one]
    assert listed(desk, "ListFineTuningJobs", status="running") == []
    assert (
        listed(desk, "ListFineTuningJobs", dataset_id="d2")
        == [two]
        == listed(desk, "ListFineTuningJobs", base_model_id="m2")
    )
    assert listed(desk, "ListFineTuningJobs", framework_type="legacy") == [two, one]
    assert listed(desk, "ListFineTuningJobs", framework_type="axolotl") == []
    for text, found in {"RENAMED": [one], "ONE": [one], "tw": [two], "e": [one], "_": []}.items():
        assert listed(desk, "ListFineTuningJobs", name_contains=text) == found, text


def evaluate(desk: Desk, *pairs: tuple[str, str | None], **asked: Any) -> tuple[str, list[str]]:
    combinations = [{"base_model_id": model, "adapter_id": adapter} for model, adapter in pairs]
    whole = {"dataset_id": "d", "prompt_id": "p", "num_cpu": 1, "num_gpu": 0, "num_memory": 1, **asked}
    reply = say(desk, "StartEvaluationJob", model_adapter_combinations=combinations, **whole)
    return reply["parent_job_id"], [each["id"] for each in reply["evaluation_jobs"]]


def test_evaluations_are_found_by_the_state_they_are_shown_in_and_by_what_they_compare(desk: Desk) -> None:
    add_inputs(desk.store)
    with desk.store.write() as unit:
        unit.session.add(Model(id="m2", type="project", name="m2", location="m2"))
        unit.session.add(Dataset(id="d2", type="project_csv", name="d2", location="d2", features='["q", "a"]'))
        unit.session.add(Adapter(id="a", type="project", name="a", model_id="m", location="a"))
    first, (bare, tuned) = evaluate(desk, ("m", None), ("m", "a"))
    a = Speaker(desk)
    a.begin(first)
    a.tell(first, {"type": "scored", "at": 1.0, "job_id": bare, "status": "succeeded"}, begin=10)
    second, (other,) = evaluate(desk, ("m2", None), dataset_id="d2")
    for asked, found in (
        ({"status": "succeeded"}, [bare]),
        ({"status": "assigned"}, [tuned]),
        ({"status": "queued"}, [other]),
        ({"status": "running"}, []),
        ({"parent_job_id": first}, [bare, tuned]),
        ({"adapter_id": "a"}, [tuned]),
        ({"dataset_id": "d2"}, [other]),
        ({"base_model_id": "m"}, [bare, tuned]),
        ({"base_model_id": "m", "status": "succeeded"}, [bare]),
        ({"name_contains": "ON D2"}, [other]),
        ({}, [other, bare, tuned]),
    ):
        assert listed(desk, "ListEvaluationJobs", **asked) == found, asked
        shown = say(desk, "ListEvaluationJobs", **asked)["evaluation_jobs"]
        assert all(each["status"] == asked.get("status", each["status"]) for each in shown)
        assert paged(desk, "ListEvaluationJobs", limit=1, **asked) == found, asked
    assert second != first


def test_the_log_is_filtered_by_type_level_and_resource(desk: Desk) -> None:
    add_inputs(desk.store)
    id = start(desk)
    say(desk, "EditPrompt", id="p", name="renamed")
    say(desk, "CancelJob", id=id)
    with desk.store.write() as unit:
        unit.emit("JobWarning", "jobs", id, "slow", level="warning")

    def seen(**asked: Any) -> list[str]:
        return [each["type"] for each in say(desk, "ListEvents", **asked)["events"]]

    assert seen(type="ResourceChanged") == ["ResourceChanged"]
    assert seen(level="warning") == seen(level="warning", last=True) == ["JobWarning"]
    assert seen(kind="jobs", type="JobCancelled", resource_id=id) == ["JobCancelled"]
    assert seen(kind="prompts") == ["ResourceChanged"]
    assert seen(kind="jobs", last=True, limit=2) == ["JobCancelled", "JobWarning"]
    assert seen(type="JobFailed") == []


def test_every_event_that_the_actors_emit_is_one_that_can_be_asked_for() -> None:
    emitted = set()
    for path in Path(actors.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "emit":
                emitted.add(tuple(each.value if isinstance(each, ast.Constant) else None for each in node.args[:2]))
    assert emitted
    assert {kind for kind, _ in emitted if kind} <= set(EVENT_TYPES)
    assert {about for _, about in emitted if about} <= set(KINDS)


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("name", LISTS)
def test_pages_hold_every_row_once_the_oldest_first_and_those_of_unknown_age_before(
    desk: Desk, name: str, limit: int
) -> None:
    table, _ = LISTS[name]
    before = set(listed(desk, name))
    ages = [None, 5.0, None, 1.0, 5.0, 0.0, -1.0, 5.0]
    column = "description" if table is Config else "name"
    add(desk, table, *({"id": f"x{n}", column: f"x{n}", "created_at": age} for n, age in enumerate(ages)))
    found = [each for each in paged(desk, name, limit=limit) if each not in before]
    assert found == ["x0", "x2", "x6", "x5", "x3", "x1", "x4", "x7"]
    assert paged(desk, name, limit=limit, name_contains="x") == found


def test_a_familys_defaults_come_first_in_pages_and_nothing_is_hidden_or_twice(desk: Desk) -> None:
    add(desk, Model, {"id": "m", "name": "m", "family": "F"}, {"id": "none", "name": "none"})
    before = listed(desk, "ListConfigs")
    rows = [("f1", "F", 1, 9.0), ("f2", "F", 1, None), ("u1", "F", 0, 8.0), ("o1", "G", 1, None), ("u2", None, 0, 7.0)]
    add(
        desk,
        Config,
        *({"id": i, "type": "custom", "model_family": f, "is_default": d, "created_at": c} for i, f, d, c in rows),
    )
    for limit in (1, 2, 1000):
        found = paged(desk, "ListConfigs", model_id="m", limit=limit)
        assert found == ["f2", "f1", "o1", "u2", "u1", *before]
        assert paged(desk, "ListConfigs", model_id="none", limit=limit) == ["f2", "o1", "u2", "u1", "f1", *before]
    assert answer(desk, "ListConfigs", {"model_id": "gone"})["code"] == "not_found"


def plans(desk: Desk, name: str, /, **asked: Any) -> list[str]:
    """How SQLite goes about the statements of a page; what PostgreSQL chooses depends on how many rows there are."""
    if not desk.store.is_sqlite:
        pytest.skip("a plan of SQLite's")
    seen: list[tuple[str, Any]] = []

    @event.listens_for(desk.store.reader, "before_cursor_execute")
    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "ORDER BY" in statement:
            seen.append((statement, parameters))

    say(desk, name, **asked)
    event.remove(desk.store.reader, "before_cursor_execute", note)
    with desk.store.read() as session:
        run = session.connection().exec_driver_sql
        return [row[-1] for each in seen for row in run(f"EXPLAIN QUERY PLAN {each[0]}", each[1])]


@pytest.mark.parametrize("name", LISTS)
def test_an_index_leads_to_any_page(desk: Desk, name: str) -> None:
    table, many = LISTS[name]
    ages = [None, None, 1.0, 2.0]
    column = "description" if table is Config else "name"
    add(desk, table, *({"id": f"x{n}", column: f"x{n}", "created_at": age} for n, age in enumerate(ages)))
    for after in (None, "x0", "x2"):
        found = plans(desk, name, after=after)
        assert found
        assert all(each.startswith(f"SEARCH {many} USING COVERING INDEX ix_{many}_listed") for each in found), found


def test_an_index_leads_to_any_page_of_jobs(desk: Desk) -> None:
    add_inputs(desk.store)
    ids = [start(desk, f"j{number}") for number in range(3)]
    batch, evaluations = evaluate(desk, ("m", None))
    for id in (*ids, batch):
        say(desk, "CancelJob", id=id)  # why one waits is looked up elsewhere
    for name, after in (("ListFineTuningJobs", ids[1]), ("ListEvaluationJobs", evaluations[0])):
        for place in (None, after):
            first, second, *sorting = plans(desk, name, after=place)
            assert first.startswith("SEARCH jobs USING COVERING INDEX ix_jobs_seen (kind=?"), first
            assert ("created_at" in first) is (place is not None)
            assert second.startswith("SEARCH ")
            assert sorting in ([], ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"]), "only within a batch"
