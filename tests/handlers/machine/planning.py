"""Plans: short jobs beside all others that tell what would come of a training."""

from __future__ import annotations

from typing import Any

from tests.handlers.machine.looking import Look, looks
from tests.handlers.machine.model import Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, expected, plays
from tests.handlers.machine.running import moved
from tests.handlers.machine.starting import submitted
from tests.handlers.machine.training import StartFineTuningJob

AT_ONCE = 2  # plans that a runner makes at a time
# A name, a place, a script and whether it fits are no matter of a plan's: it is there to find out, or leaves them to the start.
NOT_OF_PLANS = ("FT-002", "FT-003", "FT-133", "FT-141")
# What a runner tells of the rows that it looked at.
FOUND: dict[str, Any] = {
    "rows": 1, "looked_at": 1, "tokens": 9, "learned": 9, "longest": 9, "cut": 0, "dropped": 0, "sequences": 1,
    "computed": 9, "largest": 9, "scored": 9, "padded": True, "steps": 1, "notes": [], "rate": 1e9, "took": 1.0,
}  # fmt: skip


@plays("PlanFineTuningJob")
class PlanFineTuningJob(StartFineTuningJob):
    """A plan: it is asked for as a training is, and keeps nothing."""

    def ask(self, pick: Picker) -> Payload:
        payload = super().ask(pick)
        return {name: value for name, value in payload.items() if name != "adapter_name" or pick.chance(2)}

    def _errors(self, model: Model, payload: Payload) -> dict[str, bool]:
        errors = super()._errors(model, {"adapter_name": "", **payload})
        own = payload.get("framework_type", "legacy") != "axolotl" and not payload.get("user_script")
        return {**{rule: broken for rule, broken in errors.items() if rule not in NOT_OF_PLANS}, "FT-134": not own}

    def _notes(self, model: Model, payload: Payload) -> dict[str, bool]:
        return {rule: told for rule, told in super()._notes(model, payload).items() if rule not in NOT_OF_PLANS}

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        id = value["id"]
        told = {"created_at": seen["jobs"][id]["created_at"], "status": value["status"]}
        size = {"cpus": 0, "gpus": 0, "memory": 0, "priority": 0}
        name = f"plan of {payload.get('adapter_name') or 'a training'}"
        submitted(model, id, "plan", payload, told, name=name, **size)
        assert value["plan"] is None, value


def give_plans(model: Model, runner: Row) -> None:
    """A runner that trains gets plans however busy it is, a few at a time and the newest first."""
    if "legacy" not in runner["engines"]:
        return
    plans = [model.tables["jobs"][id] for id in model.find("jobs", kind="plan", status="queued")]
    number = AT_ONCE - sum(job["kind"] == "plan" for job in model.held(runner["id"]))
    for job in sorted(plans, key=lambda job: (-job["created_at"], job["id"]))[: max(0, number)]:
        given(model, job, runner)


def given(model: Model, job: Row, runner: Row) -> None:
    """A job goes to a runner, for another attempt."""
    model.change("jobs", job["id"], attempt=job["attempt"] + 1, accepted=0, checkpoints_asked=0)
    model.change("jobs", job["id"], runner_id=runner["id"])
    moved(model, job, "assigned")


@looks("GetPlan")
class GetPlan(Look):
    """A plan, as far as it is made."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.of(pick.model.find("jobs", kind="plan"), [pick.id("jobs")])}

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.kind(payload["id"]) == "plan" else "not_found")

    def check(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job = model.tables["jobs"][payload["id"]]
        assert value["status"] == job["status"]
        assert (value["plan"] is not None) is (job["status"] == "succeeded")
        assert value["plan"] is None or value["plan"]["rows"] == FOUND["rows"]
