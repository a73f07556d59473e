"""What people ask of jobs that are there: pause, resume, run again, save now, go before others."""

from __future__ import annotations

from tests.handlers.machine.model import ENDS, Model, Row, Tables
from tests.handlers.machine.plays import Expected, Payload, Picker, Play, expected, plays
from tests.handlers.machine.running import CancelJob, moved, tell_batch


class Ask(Play):
    """What they have in common: one evaluation of a batch means the batch."""

    fitting: tuple[str, ...] = ()  # states of jobs that can be asked; empty: any

    def ask(self, pick: Picker) -> Payload:
        ready = [id for id, job in pick.model.tables["jobs"].items() if job["status"] in self.fitting]
        return {"id": pick.of(ready) if ready and not pick.chance(3) else pick.id("jobs", "evaluation_jobs")}

    def job(self, model: Model, payload: Payload) -> Row | None:
        """The job that is meant."""
        return CancelJob.meant(model, payload["id"])[0]

    def expect(self, model: Model, payload: Payload) -> Expected:
        job = self.job(model, payload)
        if job is None:
            return expected(code="not_found")
        never = [rule for rule, broken in self.never(model, job).items() if broken]
        return expected(never, self.notes(model, job), code="conflict" if self.conflicts(job) else "")

    def never(self, model: Model, job: Row) -> dict[str, bool]:
        """The rules about what such a job can never do."""
        return {}

    def notes(self, model: Model, job: Row) -> list[str]:
        """What is worth knowing."""
        return []

    def conflicts(self, job: Row) -> bool:
        """Whether the job's state forbids it."""
        return job["status"] in ENDS

    def do(self, model: Model, payload: Payload, value: Payload, seen: Tables) -> None:
        job = self.job(model, payload)
        assert job is not None
        self.change(model, job, payload, seen["jobs"][job["id"]])
        assert (value["id"], value["status"]) == (job["id"], job["status"]), value

    def change(self, model: Model, job: Row, payload: Payload, now: Row) -> None:
        """What it comes to; `now` is the job's row, for times only."""
        raise NotImplementedError


@plays("PauseJob")
class PauseJob(Ask):
    """A job that is to save where it is and let go."""

    fitting = ("queued", "assigned", "running")

    def never(self, model: Model, job: Row) -> dict[str, bool]:
        return {"JB-101": job["kind"] in ("export", "plan", "endpoint", "comparison")}

    def conflicts(self, job: Row) -> bool:
        return job["status"] in (*ENDS, "cancel_requested")

    def change(self, model: Model, job: Row, payload: Payload, now: Row) -> None:
        if job["status"] == "queued":
            moved(model, job, "paused")
            tell_batch(model, job)
        elif job["status"] in ("assigned", "running"):
            moved(model, job, "pausing")


def queued(model: Model, job: Row, now: Row, event: str | None = None) -> None:
    """A job goes to the end of the queue."""
    model.change("jobs", job["id"], queued_at=now["queued_at"])
    moved(model, job, "queued", event)
    tell_batch(model, job)


@plays("ResumeJob")
class ResumeJob(Ask):
    """A paused job that is to go on."""

    fitting = ("paused", "pausing")

    def conflicts(self, job: Row) -> bool:
        return job["status"] in (*ENDS, "cancel_requested")

    def change(self, model: Model, job: Row, payload: Payload, now: Row) -> None:
        if job["status"] == "paused":
            queued(model, job, now)
        elif job["status"] == "pausing":
            moved(model, job, "running", "JobContinued")


@plays("RetryJob")
class RetryJob(Ask):
    """A job that failed, or was cancelled, once more."""

    fitting = ("failed", "cancelled")

    def ask(self, pick: Picker) -> Payload:
        return super().ask(pick) | pick.some({"from_checkpoint": lambda: False}, 2)

    def never(self, model: Model, job: Row) -> dict[str, bool]:
        return {"JB-103": not job["_spec"]}

    def notes(self, model: Model, job: Row) -> list[str]:
        row = model.get("fine_tuning_jobs", job["id"])
        taken = row is not None and row["adapter_name"] and model.find("adapters", name=row["adapter_name"])
        return ["JB-104"] if taken else []

    def conflicts(self, job: Row) -> bool:
        return job["status"] not in ("failed", "cancelled")

    def change(self, model: Model, job: Row, payload: Payload, now: Row) -> None:
        anew = not payload.get("from_checkpoint", True)
        model.change("jobs", job["id"], losses=0, retries=job["retries"] + 1, fresh=anew)
        if anew:
            model.change("jobs", job["id"], _furthest=-1, _adapter=None, _model=None)
        for row in model.batch(job["id"]):
            if row["id"] not in (job["cancelled"] or []) and (anew or row["status"] != "succeeded"):
                model.change("evaluation_jobs", row["id"], status="queued")
        if job["kind"] in ("endpoint", "comparison"):
            model.change(f"{job['kind']}s", job["id"], stop_asked=False)
        queued(model, job, now, "JobRetried")


@plays("CheckpointJob")
class CheckpointJob(Ask):
    """A training that is to save where it is, and go on."""

    fitting = ("assigned", "running")

    def never(self, model: Model, job: Row) -> dict[str, bool]:
        return {"JB-102": job["kind"] != "fine_tuning"}

    def conflicts(self, job: Row) -> bool:
        return job["status"] not in ("assigned", "running")

    def change(self, model: Model, job: Row, payload: Payload, now: Row) -> None:
        model.change("jobs", job["id"], checkpoints_asked=job["checkpoints_asked"] + 1)
        model.say("JobCheckpointAsked", "jobs", job["id"])


@plays("SetJobPriority")
class SetJobPriority(Ask):
    """A job that is to go before others."""

    def ask(self, pick: Picker) -> Payload:
        return super().ask(pick) | {"priority": pick.of([-100, 0, 5, 100])}

    def change(self, model: Model, job: Row, payload: Payload, now: Row) -> None:
        if job["priority"] != payload["priority"]:
            model.change("jobs", job["id"], priority=payload["priority"])
            model.say("JobPriorityChanged", "jobs", job["id"])
