"""What fine-tuning and evaluation jobs have in common: state, cancelling, metrics, log."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from core.events import Failure
from core.messages.base import Command, Query, Value
from core.messages.common import Limit
from core.types import JobStatus


class Held(Value):
    """Why a job stands still on its runner. It goes on by itself when there is room. `needed` and `free` are bytes.

    A job that is to begin while the artifacts directory is away stands still too: `needed` is 0 then.
    """

    since: float = Field(description="Unix seconds.")
    reason: str
    needed: int
    free: int


class JobState(Value):
    """The state of a job. Times are unix seconds; `attempt` is the fencing token, 0 before the first assignment."""

    name: str | None = Field(None, description="What the job, or of an evaluation its batch, is called.")
    description: str | None = None
    status: JobStatus = JobStatus.queued
    attempt: int = 0
    priority: int = 0
    runner_id: str | None = None
    runner: str | None = Field(None, description="The name of that runner: its host.")
    lease_expires_at: float | None = None
    created_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    error: Failure | None = None
    failure_class: str | None = Field(
        None, description="A FailureClass, of a job that failed, or was stopped elsewhere."
    )
    retries: int = Field(0, description="How often it was run again after an attempt that ended badly.")
    phase: str | None = Field(None, description="What the child is doing now, for people.")
    held: Held | None = Field(None, description="Why it stands still, while its runner's disk is full or away.")
    step: int = 0
    total_steps: int | None = None
    eta_seconds: float | None = None
    tokens_per_second: float | None = None
    last_metrics: dict[str, float] = {}
    waiting_for: str | None = Field(None, description="Why a queued job does not run yet.")
    might_start_at: float | None = Field(
        None, description="Unix seconds at which a queued job might start, as far as that can be told."
    )


class JobStateReply(Value):
    """The state that a request led to. Cancelling is a request: the job ends when its runner has stopped it."""

    id: str
    status: JobStatus
    priority: int | None = Field(None, description="The job's; none of one combination of an evaluation.")


class CancelJob(Command[JobStateReply]):
    """Ask for the end of a job: a queued one ends at once, a running one when its runner has stopped it."""

    QUEUE: ClassVar[str] = "commands"

    id: str = Field(description="A fine-tuning job, an evaluation batch (parent_job_id) or one evaluation job of it.")


class MetricSeries(Value):
    """One metric over optimiser steps; `values[i]` was measured at `steps[i]`."""

    name: str
    steps: list[int]
    values: list[float]
    times: list[float] = Field([], description="Unix seconds.")
    total: int = Field(0, description="Points before downsampling.")


class JobMetricsReply(Value):
    """A job's metrics. `attempt` and `offset` tell up to which record of the spool they reach: follow from there."""

    id: str
    attempt: int
    offset: int
    records_id: str = Field("0-0", description="Id in the job's record stream to follow from.")
    series: list[MetricSeries]


class GetJobMetrics(Query[JobMetricsReply]):
    """Return a job's metrics, each series downsampled to at most `points` points (the first and last stay, and all peaks)."""

    id: str
    names: list[str] | None = Field(None, description="Only these metrics.")
    points: int = Field(300, ge=2, le=100_000)
    first_step: int | None = Field(None, ge=0, le=2**31 - 1, description="Only steps from this one on.")
    last_step: int | None = Field(None, ge=0, le=2**31 - 1, description="Only steps up to this one.")


class LogLine(Value):
    """A line of a job's log; `attempt` and `offset` say where it ends in the spool."""

    attempt: int
    offset: int
    at: float = Field(description="Unix seconds; 0 when that is not known.")
    level: str = "info"
    text: str
    number: int | None = Field(None, description="Which line of the whole log it is, from 1 on; told by a search.")


class JobLogReply(Value):
    """Lines of a job's log in order; go on with `attempt`, `offset` and, in a search, `line`.

    A page looks through a piece of the log: it may hold few lines or none, and there are more all the same.
    """

    id: str
    lines: list[LogLine]
    attempt: int
    offset: int
    line: int | None = Field(None, description="In a search: how many lines the whole log has up to this place.")
    records_id: str = "0-0"
    has_more: bool = False


class GetJobLog(Query[JobLogReply]):
    """Return lines of a job's log: the last `limit`, those after a place or before it, or those of all that hold a text."""

    QUEUE: ClassVar[str] = "slow"

    id: str
    attempt: int | None = Field(None, description="With offset: begin after this place; neither: the last lines.")
    offset: int | None = None
    before: bool = Field(False, description="The last lines up to the place, instead of those after it.")
    line: int | None = Field(None, ge=0, description="What a search said of the place: it counts on from there.")
    limit: Limit = 200
    contains: str | None = Field(
        None,
        min_length=1,
        max_length=1000,
        description="Only lines that hold this text, in any case, from the beginning of the log or after the place on.",
    )
    printed: bool = Field(
        False,
        description="Instead of the log, what the job's processes and their libraries printed; it tells no times.",
    )
