"""What can happen: the domain's events, and the records of a job's spool.

Events are rows of the log (store) and entries of the stream. Their data is enough to fold the log into the jobs' states.
Records are lines of `events.jsonl` that a training or evaluation child writes; they carry metrics and log lines too, which
never enter the domain's log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from core.types import JobStatus


class Event(BaseModel):
    """One thing that happened. `id` counts up without reuse; `prev` is the id of the event before it."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    id: int
    prev: int
    at: float = Field(description="Unix seconds.")
    type: str
    level: Literal["info", "warning", "error"] = "info"
    message: str = ""
    kind: str = Field("", description="The table of the resource it is about; 'jobs' and 'runners' too.")
    resource_id: str = ""
    data: dict[str, Any] = {}


LEVELS = ("info", "warning", "error")
# What an event may be about: a resource's table, or one of the studio's own.
KINDS = (
    "datasets",
    "models",
    "adapters",
    "prompts",
    "promotions",
    "configs",
    "evaluation_jobs",
    "export_jobs",
    "jobs",
    "runners",
    "database",
    "notifications",
    "letters",
)
# Every type of the log, with what its data holds. JobX events carry {"status", "attempt"}; the status is the one it led to.
EVENT_TYPES: dict[str, str] = {
    "ResourceAdded": "a resource was stored; data: {name}",
    "ResourceChanged": "a resource was edited; data: {name}",
    "ResourceRemoved": "a resource was removed; data: {name}, of a plan its kind too",
    "DefaultNoted": "a project default was taken without asking the Hub, or left out; data: {name}",
    "DatabaseImported": "a file was imported; data: {inserted, mended, skipped, failed}",
    "JobImported": "a job came with an import; data: {status, attempt, kind, name}",
    "JobQueued": "a job was accepted, or goes back to the queue; data: {status, attempt, kind, name, reason, priority}",
    "JobAssigned": "a runner got the job under a lease, or several did; data: {status, attempt, runner_id, runners}",
    "JobPlaced": "the job is run as a job of Cloudera ML's; data: {attempt, where, job, name, url}",
    "JobStarted": "the child runs; data: {status, attempt, runner_id}",
    "JobResumed": "the attempt goes on from a checkpoint; later metrics of earlier attempts are cut; data: {attempt, from_step, path}",
    "CheckpointSaved": "a checkpoint exists; data: {attempt, step, path}",
    "ArtifactSaved": "an adapter, model or result exists; data: {attempt, kind_of, path}",
    "JobWarning": "the job goes on otherwise than asked; data: {attempt, kind}",
    "JobCancelRequested": "someone asked to cancel; data: {status, attempt}",
    "JobLost": "the lease ran out; the job goes back to the queue or fails; data: {status, attempt, runner_id}",
    "JobSucceeded": "done; data: {status, attempt}",
    "JobFailed": "ended by an error; data: {status, attempt, error}",
    "JobCancelled": "ended on request; data: {status, attempt}, and {error} when it was ended elsewhere",
    "JobPausing": "a checkpoint was asked for, then a stop; data: {status, attempt}",
    "JobPaused": "stopped with a checkpoint, or before it ran; data: {status, attempt}",
    "JobContinued": "the pause was taken back before it came to it; data: {status, attempt}",
    "JobRetried": "a failed or cancelled job goes back to the queue; data: {status, attempt, from_checkpoint}",
    "JobCheckpointAsked": "someone asked for a checkpoint now; data: {attempt}",
    "JobPriorityChanged": "the job goes before others, or behind; data: {priority, before}",
    "JobHeld": "the job stands still until there is room on its disk, or the disk is back, and goes on by itself; data: {attempt, reason, needed, free}",
    "JobHasRoom": "there is room again, or the disk is back, and the job goes on; data: {attempt, seconds}",
    "JobFilesFreed": "its checkpoints or its files were kept long enough; data: {attempt, what, bytes}",
    "JobMemoryReduced": "memory ran out, smaller micro-batches follow; data: {attempt, step, batch, accumulation}",
    "EndpointServing": "the endpoint can be called; data: {attempt, address}",
    "EvaluationFinished": "one model-adapter combination is scored; data: {status, job_id, metrics}",
    "PromotionChanged": "what a training makes is a step nearer to its name in the registry, or stays away from it; data: {name, state, metric, value, champion_value}",
    "ModelExported": "an export is whole, and answers like base and adapter; data: {type, name, place}",
    "JobPreempted": "the job made room for a more urgent one and waits again; data: {status, attempt, by, reason}",
    "RoomKept": "a runner keeps room for a job that was passed by too long, or that others make room for; data: {runner_id, host}",
    "NotificationSent": "the webhook or the command was told of a job's end; data: {target, job_id, tries}",
    "NotificationDelayed": "it could not be told and is tried again; data: {target, job_id, tries, reason}",
    "NotificationGivenUp": "it could not be told for too long; data: {target, job_id, tries, reason}",
    "NotificationRetried": "someone asked to tell it once more; data: {target, job_id}",
    "RunnerRegistered": "a runner came; data: {host, incarnation}",
    "RunnerLost": "a runner has said nothing for a lease; data: {host}",
    "RunnerBack": "a lost runner reports again; data: {host}",
    "RunnerDraining": "a runner gives its jobs back and takes no more; data: {host, draining}",
    "MessageBuried": "a message could not be run and is among the dead letters; data: {queue, reason}",
    "LetterRequeued": "a dead letter was sent again; data: {name, key}",
    "LettersDropped": "dead letters were dropped; data: {number}",
}


def fold_status(states: dict[str, JobStatus], event: Event) -> None:
    """Apply one event to the jobs' states: the log alone tells every job's status."""
    status = event.data.get("status")
    if event.kind == "jobs" and status is not None:
        states[event.resource_id] = JobStatus(status)
    if event.kind == "jobs" and event.type == "ResourceRemoved":
        states.pop(event.resource_id, None)


Count = Annotated[int, Field(ge=-(2**31), lt=2**31)]  # a record with more is none: no column of any database holds it

Size = Annotated[int, Field(ge=0, lt=2**63)]  # bytes


class Record(BaseModel):
    """A line of a spool. `at` is unix seconds; its seq is the byte offset after the line, which the daemon adds."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    at: float


class Started(Record):
    """The child is set up and begins; `versions` are the libraries that compute."""

    type: Literal["started"] = "started"
    pid: int
    device: str = "cpu"
    total_steps: Count | None = None
    versions: dict[str, str] = {}
    details: dict[str, Any] = {}


class Phase(Record):
    """What the child is doing now, for people: loading the model, tokenizing, training, saving."""

    type: Literal["phase"] = "phase"
    name: str


class Metrics(Record):
    """Numbers at an optimiser step, e.g. loss, eval_loss, learning_rate, grad_norm, tokens_per_second."""

    type: Literal["metrics"] = "metrics"
    step: Count
    epoch: float | None = None
    values: dict[str, float]


class Progress(Record):
    """How far the job is; steps are optimiser steps when training, rows when evaluating."""

    type: Literal["progress"] = "progress"
    step: Count
    total_steps: Count
    eta_seconds: float | None = None
    tokens_per_second: float | None = None


class Log(Record):
    """A line for people."""

    type: Literal["log"] = "log"
    level: Literal["info", "warning", "error"] = "info"
    text: str


class Warned(Record):
    """Something is done otherwise than asked (a fallback of precision, a cut row); it becomes a JobWarning event."""

    type: Literal["warning"] = "warning"
    text: str


class MemoryRanOut(Record):
    """Smaller micro-batches follow from `step` on, `accumulation` of them a step: the effective batch stays."""

    type: Literal["oom"] = "oom"
    step: Count
    batch: int
    accumulation: int
    text: str
    starved: bool = Field(
        False, description="The kernel ended the attempt before; this one begins with less than any had."
    )


class Held(Record):
    """The child stands still: what it must write has no room. `needed` and `free` are bytes."""

    type: Literal["held"] = "held"
    needed: Size
    free: Size
    text: str


class Unheld(Record):
    """There is room again, and the child goes on."""

    type: Literal["unheld"] = "unheld"


class Resumed(Record):
    """Training goes on from a checkpoint whose manifest holds. `steps` after `from_step` of earlier attempts come again."""

    type: Literal["resumed"] = "resumed"
    from_step: Count
    path: str


class Checkpoint(Record):
    """A checkpoint was renamed to its final place. `path` is relative to the artifacts root."""

    type: Literal["checkpoint"] = "checkpoint"
    step: Count
    path: str
    files: dict[str, str] = Field({}, description="name -> SHA-256 of the weights in it.")


class Artifact(Record):
    """A file or directory for others exists. `path` is absolute or below the artifacts root."""

    type: Literal["artifact"] = "artifact"
    kind: Literal["adapter", "model", "answers", "summary"]
    path: str
    job_id: str | None = None
    files: dict[str, str] = Field({}, description="name -> SHA-256")


class Statistic(BaseModel):
    """How sure a figure of an evaluation is, and whether it differs from the baseline's.

    `low` to `high` is the 95 % bootstrap interval of the figure, `delta` this one less the baseline's on the rows that both
    have, `delta_low` to `delta_high` its interval, `p` a paired test's (McNemar's exact one for yes or no, else permutations).
    """

    model_config = ConfigDict(extra="ignore", defer_build=True)

    low: float | None = None
    high: float | None = None
    delta: float | None = Field(None, description="None: this is the baseline, or the baseline has no such figure.")
    delta_low: float | None = None
    delta_high: float | None = None
    p: float | None = None
    higher_is_better: bool = True


class Scored(Record):
    """One child of an evaluation is done. `job_id` is the evaluation job's id."""

    type: Literal["scored"] = "scored"
    job_id: str
    status: Literal["running", "succeeded", "failed", "cancelled"]
    values: dict[str, float | None] = Field({}, description="None: it was no number that JSON can hold.")
    statistics: dict[str, Statistic] = Field({}, description="By the names of `values`; not every value has one.")
    rows: Count = 0
    answers: str | None = Field(None, description="JSONL of answers, below the artifacts root.")
    error: str | None = None


class Placed(Record):
    """The attempt, or one combination of an evaluation, is run elsewhere: as a job of Cloudera ML's. Told before it is started."""

    type: Literal["placed"] = "placed"
    where: Literal["cml"] = "cml"
    job: str = Field(description="The id of the job there.")
    name: str = Field(description="What it is called there.")
    url: str | None = Field(None, description="Its page.")
    job_id: str | None = Field(None, description="The evaluation job that it is of; None: the whole job.")


class Drawn(Record):
    """A row was drawn for a question of a comparison that named none. `row` counts in what is drawn from, from 0 on."""

    type: Literal["drawn"] = "drawn"
    question: Count
    prompt: str
    expected: str = ""
    row: Count
    held_out: bool = Field(False, description="No adapter here was trained on it.")


class Said(Record):
    """A piece of an answer. `text` goes to place `start` of it, whatever was there from that on is void.

    `voice` is the adapter's id, empty for the bare model. `reason` (of a done one): eos, length, stopped or failed.
    """

    type: Literal["said"] = "said"
    question: Count
    voice: str
    start: Annotated[int, Field(ge=0, lt=2**31)]
    text: str
    tokens: Count = 0
    prompt_tokens: Count = 0
    seconds: float = Field(0.0, description="Since the child took the question up.")
    first_seconds: float | None = Field(None, description="Up to the first token.")
    done: bool = False
    reason: Literal["eos", "stop", "length", "stopped", "failed"] | None = None
    error: str | None = None


class Failure(BaseModel):
    """Why a job ended badly: which kind of failure, what happened, why, and what to do next."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    kind: str = Field(description="A FailureClass; imported: the job was unfinished where it was exported.")
    message: str
    cause: str = Field("", description="What it most likely comes from, for people.")
    hint: str = Field("", description="The next step.")
    traceback: str = ""
    log_tail: list[str] = Field([], description="The last lines of the job's log, at most 20.")


class Rendezvous(Record):
    """The first of several runners listens at `address` (host:port) for the others of the job."""

    type: Literal["rendezvous"] = "rendezvous"
    address: str


class Serving(Record):
    """An endpoint can be called at `address`, by the names of `models`."""

    type: Literal["serving"] = "serving"
    address: str
    port: Count
    models: list[str] = []


PROVEN = 60.0  # seconds of serving after which earlier deaths no longer count against an endpoint


class Served(Record):
    """What an endpoint did since the record before: requests that were answered, refused or failed, tokens made; what it does
    now.
    """

    type: Literal["served"] = "served"
    requests: Annotated[int, Field(ge=0, lt=2**31)] = 0
    refused: Annotated[int, Field(ge=0, lt=2**31)] = 0
    failures: Annotated[int, Field(ge=0, lt=2**31)] = 0
    tokens: Annotated[int, Field(ge=0, lt=2**31)] = 0
    active: Annotated[int, Field(ge=0, lt=2**31)] = 0


class Finished(Record):
    """The last record of an attempt."""

    type: Literal["finished"] = "finished"
    outcome: Literal["succeeded", "failed", "cancelled", "paused"]
    error: Failure | None = None
    summary: dict[str, Any] = {}


AnyRecord = Annotated[
    Started
    | Phase
    | Metrics
    | Progress
    | Log
    | Warned
    | MemoryRanOut
    | Held
    | Unheld
    | Resumed
    | Checkpoint
    | Artifact
    | Scored
    | Rendezvous
    | Placed
    | Serving
    | Served
    | Drawn
    | Said
    | Finished,
    Field(discriminator="type"),
]
RECORD: TypeAdapter[AnyRecord] = TypeAdapter(AnyRecord, config=ConfigDict(defer_build=True))
