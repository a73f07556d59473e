"""Cancelling jobs, and runners that come, drain and fall silent."""

from __future__ import annotations

from math import inf, isfinite, nan
from typing import Any

from tests.handlers.machine.model import ENDS, HELD, Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays

EVENTS = {
    "queued": "JobQueued",
    "assigned": "JobAssigned",
    "running": "JobStarted",
    "cancel_requested": "JobCancelRequested",
    "succeeded": "JobSucceeded",
    "failed": "JobFailed",
    "cancelled": "JobCancelled",
    "pausing": "JobPausing",
    "paused": "JobPaused",
}
MOST_LOSSES = 3
LARGEST = 2**31 - 1
NOT_FINITE = (inf, nan)
ENGINES = ("legacy", "axolotl", "evaluation", "export", "user_script", "endpoint", "comparison")


def moved(model: Model, job: Row, status: str, event: str | None = None) -> None:
    """A job comes to another state; the evaluations of a batch that ends, end with it. What was stopped has succeeded."""
    if status == "cancelled" and job["status"] == "cancel_requested" and job["kind"] in ("endpoint", "comparison"):
        status = "succeeded" if model.tables[f"{job['kind']}s"][job["id"]]["stop_asked"] else status
    model.change("jobs", job["id"], status=status)
    if status in (*ENDS, "queued", "paused"):
        model.change("jobs", job["id"], runner_id=None)
    if status in ENDS and job["kind"] == "comparison":
        model.change("comparisons", job["id"], _open={})
    if status in ENDS and job["kind"] == "evaluation":
        for row in model.batch(job["id"]):
            if row["status"] not in ENDS:
                ended(model, row, "failed" if status == "succeeded" else status)
    model.say(event or EVENTS[status], "jobs", job["id"])


def stopped(model: Model, job: Row, table: str) -> bool:
    """Whether a job that is ended was stopped: one that is being cancelled stays as it is."""
    return bool(model.tables[table][job["id"]]["stop_asked"] or job["status"] != "cancel_requested")


def ended(model: Model, row: Row, status: str) -> None:
    """One evaluation of a batch is over."""
    model.change("evaluation_jobs", row["id"], status=status)
    model.say("EvaluationFinished", "evaluation_jobs", row["id"])


def given_back(model: Model, job: Row, event: str | None = None) -> None:
    """A runner has the job no more: it waits again, unless it was to be cancelled."""
    if job["status"] == "cancel_requested":
        moved(model, job, "cancelled")
        return
    if job["status"] == "pausing":
        moved(model, job, "paused")
    else:
        moved(model, job, "queued", event)
    tell_batch(model, job)


def tell_batch(model: Model, job: Row) -> None:
    """The evaluations that are still to come are in their batch's state."""
    for row in model.batch(job["id"]):
        if row["status"] not in ENDS:
            model.change("evaluation_jobs", row["id"], status=job["status"])


def lost(model: Model, job: Row, event: str | None = None) -> None:
    """An attempt ended without a word: it is run again, unless that has been of no use too often."""
    if job["status"] in ("assigned", "running"):
        model.change("jobs", job["id"], losses=job["losses"] + 1)
        if job["losses"] > MOST_LOSSES:
            moved(model, job, "failed")
            return
        model.change("jobs", job["id"], retries=job["retries"] + 1)
    given_back(model, job, event)


@plays("CancelJob")
class CancelJob(Play):
    """The end of a job, or of one evaluation of a batch."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("jobs", "evaluation_jobs")}

    @staticmethod
    def meant(model: Model, id: str) -> tuple[Row | None, Row | None]:
        """The job, and the evaluation of it that is meant."""
        if (job := model.get("jobs", id)) is not None:
            return job, None
        child = model.get("evaluation_jobs", id)
        return (None, None) if child is None else (model.get("jobs", child["parent_job_id"]), child)

    def expect(self, model: Model, payload: Payload) -> Expected:
        job, child = self.meant(model, payload["id"])
        if job is None:
            return expected(code="not_found")
        over = job["status"] in ENDS or (child is not None and child["status"] in ENDS)
        return expected(code="conflict" if over else "")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job, child = self.meant(model, payload["id"])
        assert job is not None
        if child is not None and any(row is not child and row["status"] not in ENDS for row in model.batch(job["id"])):
            ended(model, child, "cancelled")
            model.change("jobs", job["id"], cancelled=sorted({*(job["cancelled"] or []), child["id"]}))
            assert value["status"] == "cancelled", value
            return
        if job["status"] in ("queued", "paused"):
            moved(model, job, "cancelled")
        elif job["status"] != "cancel_requested":
            moved(model, job, "cancel_requested")
        assert value["status"] == job["status"], value


@plays("RegisterRunner")
class RegisterRunner(Play):
    """A runner, or its next self."""

    def ask(self, pick: Picker) -> Payload:
        payload: Payload = {
            "host": pick.of(["a", "b", "\x1b[31mhost", "h" * 500, ""]),
            "cpus": pick.of([2, 4, 64, LARGEST], [LARGEST + 1]),
            "memory": pick.of([8.0, 64.0, 1e300], NOT_FINITE),
            "engines": pick.of(
                [[*ENGINES, "cml_model"], [*ENGINES], ["legacy", "evaluation"], ["axolotl", "export"], []]
            ),
            "marker": pick.of([pick.model.marker], ["", "another", f"{pick.model.marker} "]),
        }
        options: dict[str, Any] = {
            "runner_id": lambda: pick.of([*pick.model.tables["runners"], "r1", None, ""]),
            "gpus": lambda: [{"index": 0, "memory": 16.0}],
            "labels": lambda: pick.of([{"gpu_label_id": "1"}, {"a": "b"}]),
        }
        return payload | pick.some(options, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        held = isfinite(payload["memory"]) and payload["cpus"] <= LARGEST
        return expected([] if held else ["MS-101"])

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        id, before = value["runner_id"], model.get("runners", value["runner_id"])
        assert not payload.get("runner_id") or payload["runner_id"] == id, value
        row = {name: payload[name] for name in ("host", "cpus", "memory", "engines")}
        row |= {"_gpus": len(payload.get("gpus", [])), "_label": payload.get("labels", {}).get("gpu_label_id")}
        row |= {"trusted": payload["marker"] == model.marker, "lost": False, "draining": False}
        row |= {"incarnation": 1 if before is None else before["incarnation"] + 1}
        assert value["incarnation"] == row["incarnation"], value
        told = before is not None and before["_unheard"] and not (before["lost"] or before["draining"])
        if before is None:
            model.put("runners", id, **row, _unheard=True)
        else:
            model.change("runners", id, **row, _unheard=False)
            model.touched.update(("jobs", job["id"]) for job in model.held(id))  # their leases
        if not (told and row["trusted"]):
            model.say("RunnerRegistered", "runners", id)


@plays("DrainRunner")
class DrainRunner(Play):
    """A runner that is to give its jobs back, or to take work again."""

    def ask(self, pick: Picker) -> Payload:
        return {"id": pick.id("runners")} | pick.some({"draining": lambda: False}, 2)

    def expect(self, model: Model, payload: Payload) -> Expected:
        return expected(code="" if model.get("runners", payload["id"]) else "not_found")

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        row, draining = model.tables["runners"][payload["id"]], payload.get("draining", True)
        if row["draining"] != draining:
            model.change("runners", row["id"], draining=draining)
            model.say("RunnerDraining", "runners", row["id"])


def silence(model: Model, seen: Tables) -> None:
    """All runners have said nothing for longer than a lease. One that a tick waits for once more counts as heard."""
    for job in [job for job in model.tables["jobs"].values() if job["status"] in HELD]:
        lost(model, job, "JobLost")
    for runner in model.tables["runners"].values():
        stored = seen["runners"][runner["id"]]
        waited = stored["last_seen_at"] != stored["registered_at"]
        model.change("runners", runner["id"], _unheard=runner["_unheard"] and not waited)
        if not runner["lost"]:
            model.change("runners", runner["id"], lost=True)
            model.say("RunnerLost", "runners", runner["id"])
        model.touched.add(("runners", runner["id"]))
