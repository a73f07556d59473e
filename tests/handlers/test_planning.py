"""Plans on the level of messages: who makes them, what they tell of runners and history, what a start that can't fit is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import func, select

from actors import planning
from actors.answering import answer
from actors.desk import Desk
from actors.ticking import retain
from core.fits import GIB
from core.shapes import Linear
from core.store.tables import Config, Dataset, Job, Model, Runner
from core.types import JobStatus
from tests.handlers.work import STARTED, SUCCEEDED, Speaker, add_inputs, change, folded, job, say, start
from tests.unit.test_shapes import SHAPE

LARGE = SHAPE.model_copy(
    update={
        "parameters": 7_000_000_000,
        "hidden": 4096,
        "layers": 32,
        "intermediate": 11008,
        "heads": 32,
        "kv_heads": 32,
    }
    | {"head_dim": 128, "vocab": 32000, "linears": [Linear(name="q_proj", inputs=4096, outputs=4096, count=400)]}
).model_dump()
FOUND: dict[str, Any] = {
    "rows": 90, "held_out": 10, "looked_at": 90, "tokens": 9000, "learned": 9000, "longest": 200, "cut": 0, "dropped": 0,
    "histogram": [{"low": 1, "high": 201, "rows": 90}], "examples": [[["a", True, False], ["</s>", True, True]]],
    "sequences": 90, "computed": 18_000, "largest": 400, "scored": 400, "padded": True, "steps": 45, "notes": [], "bf16": True,
    "shape": SHAPE.model_dump(), "rate": 1e11, "took": 1.0,
}  # fmt: skip
ASKED = {"base_model_id": "m", "dataset_id": "d", "prompt_id": "p", "num_gpu": 0, "num_cpu": 1}
BATCH = json.dumps({"per_device_train_batch_size": 2})


@pytest.fixture(autouse=True)
def inputs(desk: Desk) -> None:
    desk.mark_artifacts()
    add_inputs(desk.store)


def shaped(desk: Desk, shape: dict[str, Any] | None) -> None:
    with desk.store.write() as unit:
        unit.session.get_one(Model, "m").shape = shape


def asked(desk: Desk, **fields: Any) -> str:
    return str(say(desk, "PlanFineTuningJob", **{**ASKED, "training_arguments_config": BATCH, **fields})["id"])


def finished(**summary: Any) -> dict[str, Any]:
    return {**SUCCEEDED, "summary": summary}


def made(desk: Desk, runner: Speaker, found: dict[str, Any] = FOUND, **fields: Any) -> dict[str, Any]:
    """A plan that the runner made, with what it found."""
    id = asked(desk, **fields)
    runner.begin(id)
    report = {"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "alive": False}
    runner.report({**report, "records": [{**finished(**found), "offset": 20}]})
    plan: dict[str, Any] = say(desk, "GetPlan", id=id)["plan"]
    return plan


# ─── who makes them ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.decision("D-151")
def test_a_runner_that_is_full_of_training_makes_plans(desk: Desk) -> None:
    runner = Speaker(desk, cpus=1)
    long = start(desk)
    runner.begin(long)
    waits = start(desk, "waits")
    id = asked(desk)
    given = {each["job_id"]: each for each in runner.report(free={"cpus": 0, "gpus": 0, "memory": 0})["jobs"]}
    assert set(given) == {long, id}
    assert given[id]["spec"]["kind"] == "plan" and given[id]["spec"]["resources"]["cpus"] == 0
    assert job(desk, waits).status == JobStatus.queued


def test_a_plan_takes_no_room_from_what_waits(desk: Desk) -> None:
    runner = Speaker(desk, cpus=1)
    id, waits = asked(desk), start(desk)
    assert {each["job_id"] for each in runner.report()["jobs"]} == {id, waits}


def test_a_runner_makes_a_few_plans_at_a_time_and_the_newest_first(desk: Desk) -> None:
    runner = Speaker(desk)
    ids = [asked(desk) for _ in range(5)]
    for number, id in enumerate(ids):
        change(desk, id, created_at=1000.0 + number)
    first = {each["job_id"] for each in runner.report()["jobs"]}
    assert first == set(ids[-planning.AT_ONCE :])
    assert {each["job_id"] for each in runner.report()["jobs"]} == first


@pytest.mark.parametrize("other", [{"engines": ["evaluation"]}, {"extra": {"marker": "another studio's"}}])
def test_a_runner_that_can_not_train_makes_none(desk: Desk, other: dict[str, Any]) -> None:
    runner = Speaker(desk, **other)
    id = asked(desk)
    assert runner.report()["jobs"] == []
    assert "a runner that trains" in say(desk, "GetPlan", id=id)["waiting_for"]


def test_a_draining_runner_makes_none(desk: Desk) -> None:
    runner = Speaker(desk)
    say(desk, "DrainRunner", id=runner.id)
    id = asked(desk)
    assert runner.report()["jobs"] == []
    assert "draining" in say(desk, "GetPlan", id=id)["waiting_for"]


def test_a_plan_keeps_nothing_of_what_it_was_asked(desk: Desk) -> None:
    def kept() -> int:
        with desk.store.read() as session:
            return session.scalar(select(func.count()).select_from(Config)) or 0

    before = kept()
    asked(desk, lora_config='{"r": 77}')
    assert kept() == before
    assert say(desk, "ListFineTuningJobs")["fine_tuning_jobs"] == []
    assert json.loads(say(desk, "ExportDatabase")["exported_json"])["jobs"]["data"] == []


def test_a_plan_needs_no_name_but_all_that_a_training_reads(desk: Desk) -> None:
    reply = answer(desk, "PlanFineTuningJob", {**ASKED, "dataset_id": "gone", "max_length": 1}, None)
    assert sorted(each["rule"] for each in reply["breaches"]) == ["FT-014", "FT-104"]
    reply = answer(desk, "PlanFineTuningJob", {**ASKED, "framework_type": "axolotl", "axolotl_config_id": "c"}, None)
    assert "FT-134" in [each["rule"] for each in reply["breaches"]]


def test_a_plan_can_be_cancelled_before_and_while_it_is_made(desk: Desk) -> None:
    runner = Speaker(desk)
    one, other = asked(desk), asked(desk)
    assert say(desk, "CancelJob", id=one)["status"] == "cancelled"
    runner.begin(other)
    say(desk, "CancelJob", id=other)
    (order,) = runner.report({"job_id": other, "attempt": 1, "offset": 10, "next_offset": 10})["jobs"]
    assert order["order"] == "cancel"


def test_a_plan_that_failed_tells_why(desk: Desk) -> None:
    runner = Speaker(desk)
    id = asked(desk)
    runner.begin(id)
    error = {"kind": "user_error", "message": "no row is left", "hint": "Raise max_length."}
    record = {"type": "finished", "at": 2.0, "outcome": "failed", "error": error, "offset": 20}
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [record]})
    told = say(desk, "GetPlan", id=id)
    assert (told["status"], told["error"]["message"], told["plan"]) == ("failed", "no row is left", None)


def test_the_log_can_be_read_without_plans_also_when_they_are_forgotten(desk: Desk) -> None:
    runner, id = Speaker(desk), asked(desk)
    runner.begin(id)
    training = start(desk)
    runner.report(
        {"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [finished() | {"offset": 20}]}
    )
    retain(desk, (job(desk, id).finished_at or 0) + planning.KEPT + 60)
    whole = say(desk, "ListEvents", kind="jobs")["events"]
    assert {each["resource_id"] for each in whole} == {id, training}
    assert "ResourceRemoved" in [each["type"] for each in whole if each["resource_id"] == id]
    others = [each for each in whole if each["resource_id"] == training]
    assert say(desk, "ListEvents", kind="jobs", plans=False)["events"] == others
    assert say(desk, "ListEvents", kind="jobs", plans=False, last=True, limit=1)["events"] == others[-1:]


def test_plans_are_forgotten_and_given_up_after_an_hour(desk: Desk) -> None:
    runner = Speaker(desk)
    id = asked(desk)
    runner.begin(id)
    left = desk.settings.artifacts_root / "jobs" / id / "1"
    left.mkdir(parents=True)
    (left / "spec.json").write_text("{}")
    runner.report(
        {"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [{**finished(), "offset": 20}]}
    )
    waits = asked(desk)
    now = job(desk, id).finished_at or 0
    retain(desk, now + planning.KEPT - 60)
    assert job(desk, id).status == JobStatus.succeeded and left.exists()
    retain(desk, now + planning.KEPT + 60)
    assert not left.exists()
    assert answer(desk, "GetPlan", {"id": id})["code"] == "not_found"
    assert job(desk, waits).status == JobStatus.cancelled
    with desk.store.read() as session:
        assert folded(desk) == {each.id: JobStatus(each.status) for each in session.scalars(select(Job))}


# ─── what they tell ───────────────────────────────────────────────────────────────────────────────


def test_a_plan_tells_rows_steps_memory_and_where_it_fits(desk: Desk) -> None:
    runner = Speaker(desk, memory=16.0)
    plan = made(desk, runner)
    assert (plan["rows"], plan["tokens"], plan["steps"], plan["batch"]) == (90, 9000, 45, 2)
    assert plan["epochs"] == 1.0
    assert plan["examples"][0][-1] == ["</s>", True, True]
    low, mid, high = plan["needed"]
    assert low < mid < high and mid == pytest.approx(sum(plan["memory"].values()))
    (fit,) = plan["fits"]
    assert (fit["runner_id"], fit["device"], fit["fits"], fit["jobs"]) == (runner.id, "cpu", True, 0)
    assert fit["available"] == 15 * GIB
    assert 0 < plan["seconds"][0] < plan["seconds"][1] < plan["seconds"][2]
    assert plan["nearest"] == []


@pytest.mark.parametrize(
    ("sequences", "steps", "accumulation", "batch", "epochs"),
    [(12, 2, 4, 8, 1), (39, 3, 32, 39, 3), (1, 1, 2, 1, 1), (90, 45, 1, 2, 1), (10, 5, 2, 4, 5 / 3)],
)
def test_epochs_are_counted_by_the_steps_that_one_takes_its_smaller_last_included(
    desk: Desk, sequences: int, steps: int, accumulation: int, batch: int, epochs: float
) -> None:
    found = FOUND | {"sequences": sequences, "steps": steps}
    arguments = json.dumps({"per_device_train_batch_size": 2, "gradient_accumulation_steps": accumulation})
    plan = made(desk, Speaker(desk), found, training_arguments_config=arguments)
    assert (plan["batch"], plan["epochs"]) == (batch, pytest.approx(epochs))


@pytest.mark.decision("D-153")
def test_what_ran_on_a_runner_corrects_its_plans_and_no_others(desk: Desk) -> None:
    runner, other = Speaker(desk), Speaker(desk, host="b")
    before = made(desk, runner)
    other.report()
    id = start(desk, training_arguments_config=BATCH)
    runner.begin(id)
    took = {
        "peak_memory_bytes": 1.2e9,
        "estimated_memory_bytes": 1e9,
        "operations_per_step": 1e12,
        "seconds_per_step": 4.0,
    }
    ended = finished(**took, overhead_seconds=30.0, device="cpu", precision="fp32")
    runner.report({"job_id": id, "attempt": 1, "offset": 10, "next_offset": 20, "records": [{**ended, "offset": 20}]})
    plan = made(desk, runner)
    fits = {each["runner_id"]: each for each in plan["fits"]}
    assert fits[runner.id]["jobs"] == 1 and fits[other.id]["jobs"] == 0
    assert fits[runner.id]["needed"][1] == pytest.approx(1.2 * before["needed"][1])
    assert fits[other.id]["needed"][1] == pytest.approx(before["needed"][1])
    assert fits[runner.id]["seconds"][0] > 30.0


def test_a_runner_that_is_not_heard_of_is_no_place_for_a_training(desk: Desk) -> None:
    runner, gone = Speaker(desk), Speaker(desk, host="b", memory=256.0)
    gone.report()
    with desk.store.write() as unit:
        unit.session.get_one(Runner, gone.id).lost = True
    assert [each["host"] for each in made(desk, runner)["fits"]] == ["a"]
    gone.report()
    assert {each["host"] for each in made(desk, runner)["fits"]} == {"a", "b"}


def test_a_gpu_that_never_trained_has_no_time_yet(desk: Desk) -> None:
    gpu = {"index": 0, "name": "A100", "memory": 80.0}
    plan = made(desk, Speaker(desk, extra={"gpus": [gpu]}), num_gpu=1)
    (fit,) = plan["fits"]
    assert (fit["device"], fit["name"], fit["fits"], fit["seconds"]) == ("cuda", "A100", True, None)


def test_a_plan_that_does_not_fit_names_the_nearest_settings_that_do(desk: Desk) -> None:
    gpu = {"index": 0, "name": "T4", "memory": 15.0}
    runner = Speaker(desk, extra={"gpus": [gpu]})
    plan = made(desk, runner, {**FOUND, "shape": LARGE, "largest": 8192}, num_gpu=1)
    assert [fit["fits"] for fit in plan["fits"]] == [False]
    assert plan["nearest"]
    for each in plan["nearest"]:
        assert each["bytes"] <= plan["fits"][0]["available"] and each["settings"] and each["text"]


def test_target_modules_that_the_model_has_not_are_told_with_those_that_it_has(desk: Desk) -> None:
    plan = made(desk, Speaker(desk), lora_config=json.dumps({"r": 8, "target_modules": ["q_prj"]}))
    (told,) = [each for each in plan["warnings"] if "target_modules" in each]
    assert "q_proj" in told
    plan = made(desk, Speaker(desk), lora_config=json.dumps({"r": 8, "target_modules": ["q_proj"]}))
    assert not [each for each in plan["warnings"] if "target_modules" in each]


def test_without_a_runner_a_plan_tells_memory_as_reckoned(desk: Desk) -> None:
    runner = Speaker(desk)
    plan = made(desk, runner, num_gpu=1)
    assert plan["fits"] == [] and plan["seconds"] is None
    assert plan["needed"][1] == pytest.approx(sum(plan["memory"].values()))


def test_rows_that_lose_something_are_told(desk: Desk) -> None:
    plan = made(
        desk, Speaker(desk), {**FOUND, "cut": 4, "dropped": 2, "looked_at": 50, "notes": ["rows are padded with 'x'"]}
    )
    told = " | ".join(plan["warnings"])
    for part in ("4 rows are longer than 512", "2 rows will be left out", "50 rows stand for all", "padded with 'x'"):
        assert part in told


def test_the_sizes_of_a_model_on_the_hub_are_learned_from_its_first_plan(desk: Desk) -> None:
    shaped(desk, None)
    assert say(desk, "GetModel", id="m")["model"]["shape"] is None
    made(desk, Speaker(desk))
    assert say(desk, "GetModel", id="m")["model"]["shape"]["layers"] == 2


def test_a_model_without_sizes_is_planned_without_memory(desk: Desk) -> None:
    plan = made(desk, Speaker(desk), {**FOUND, "shape": None})
    assert plan["rows"] == 90 and plan["needed"] is None and plan["fits"] == []
    assert any("sizes" in each for each in plan["warnings"])


# ─── what a start is told ─────────────────────────────────────────────────────────────────────────


def begun(desk: Desk, **fields: Any) -> dict[str, Any]:
    asked = {**ASKED, "adapter_name": "big", "num_memory": 1, **fields}
    return answer(desk, "StartFineTuningJob", asked, None)


def test_a_job_that_fits_nowhere_is_refused_with_the_arithmetic_and_what_would_fit(desk: Desk) -> None:
    shaped(desk, LARGE)
    Speaker(desk, memory=28.0)
    reply = begun(desk)
    (breach,) = [each for each in reply["breaches"] if each["severity"] == "ERROR"]
    assert (reply["code"], breach["rule"], breach["field"]) == ("refused", "FT-131", "num_memory")
    assert "weights" in breach["message"] and "but a has 28.0 GiB (27.0 GiB usable)" in breach["message"]
    assert "what would fit: load_in_" in breach["message"]


def test_it_is_accepted_where_one_runner_is_large_enough_and_where_no_runner_is_known(desk: Desk) -> None:
    shaped(desk, LARGE)
    assert begun(desk)["ok"]
    Speaker(desk, memory=16.0)
    Speaker(desk, host="b", memory=256.0)
    assert begun(desk, adapter_name="other")["ok"]


@pytest.mark.decision("D-152")
def test_rows_are_taken_for_rather_too_short_than_too_long(desk: Desk) -> None:
    """What can't be known before rows are counted refuses nothing: max_length is a bound, not what rows have."""
    shaped(desk, LARGE)
    Speaker(desk, memory=64.0)
    long = {"max_length": 65_536, "packing": False}
    assert begun(desk, **long)["ok"]
    with desk.store.write() as unit:
        dataset = unit.session.get_one(Dataset, "d")
        dataset.rows, dataset.bytes = 10, 10 * 8 * 60_000
    (breach,) = [each for each in begun(desk, adapter_name="other", **long)["breaches"] if each["severity"] == "ERROR"]
    assert breach["rule"] == "FT-131" and "max_length" in breach["message"]


def test_a_job_on_the_cpu_that_asks_for_too_little_memory_is_told_so(desk: Desk) -> None:
    shaped(desk, LARGE)
    Speaker(desk, memory=256.0)
    (note,) = begun(desk)["breaches"]
    assert (note["rule"], note["severity"]) == ("FT-132", "INFO") and "asks for 1.0 GiB" in note["message"]


def test_what_is_not_known_is_told_and_refuses_nothing(desk: Desk) -> None:
    shaped(desk, None)
    Speaker(desk)
    reply = begun(desk)
    assert reply["ok"] and [each["rule"] for each in reply["breaches"]] == ["FT-133"]


def test_the_record_of_a_running_plan_moves_it_like_any_job(desk: Desk) -> None:
    runner = Speaker(desk)
    id = asked(desk)
    runner.report()
    runner.tell(id, STARTED, {"type": "phase", "at": 1.0, "name": "counting tokens"})
    told = say(desk, "GetPlan", id=id)
    assert (told["status"], told["phase"]) == ("running", "counting tokens")


# ─── what comes to nothing ────────────────────────────────────────────────────────────────────────


def test_a_training_of_hardly_any_steps_says_so_and_what_would_make_enough(desk: Desk) -> None:
    few = {**FOUND, "rows": 36, "looked_at": 36, "sequences": 3, "steps": 1}
    arguments = json.dumps({"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4})
    runner = Speaker(desk)
    plan = made(desk, runner, few, training_arguments_config=arguments)
    assert plan["longer"]["settings"] == {"num_epochs": 6, "packing": False} and plan["longer"]["steps"] == 54
    assert plan["warnings"][0].startswith("only 1 step, which hardly changes the model: 6 epochs with rows not packed")
    loose = made(desk, runner, {**few, "sequences": 36, "steps": 9}, training_arguments_config=arguments, packing=False)
    assert loose["longer"]["settings"] == {"num_epochs": 6}
    counted = json.dumps({"max_steps": 5})
    bound = made(desk, runner, {**few, "steps": 5}, training_arguments_config=counted)
    assert bound["longer"] is None and "only 5 steps" in bound["warnings"][0]
    assert made(desk, runner, training_arguments_config=arguments)["longer"] is None
