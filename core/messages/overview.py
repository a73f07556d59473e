"""The studio at a glance: what there is, what runs and waits, how busy the runners are, what needs a person."""

from __future__ import annotations

from pydantic import Field

from core.events import Event
from core.messages.base import Query, Value
from core.messages.jobs import Held
from core.messages.runners import RunnerMetadata
from core.types import JobKind, JobStatus


class JobNow(Value):
    """A job that is not over, as far as a line tells of it. Times are unix seconds."""

    id: str
    kind: JobKind
    name: str
    status: JobStatus
    priority: int = 0
    queued_at: float | None = None
    started_at: float | None = None
    runner: str | None = None
    phase: str | None = None
    held: Held | None = None
    step: int = 0
    total_steps: int | None = None
    eta_seconds: float | None = None
    last_metrics: dict[str, float] = {}
    waiting_for: str | None = Field(None, description="Why a queued one does not run yet.")


class JobsCounted(Value):
    """How many jobs of a kind are in a state; 10001: more than 10,000."""

    kind: JobKind
    status: JobStatus
    count: int


class Concern(Value):
    """Something that a person should look at. `kind` is the table of what it is about, or `letters` or `queue`."""

    kind: str
    id: str = ""
    level: str = Field("warning", description="warning, or error")
    job_kind: JobKind | None = Field(None, description="Of a job.")
    name: str = Field("", description="What it is about, by the name that people gave it.")
    text: str
    at: float | None = Field(None, description="Unix seconds since which it is so, where that is known.")


class OverviewReply(Value):
    """The studio now. Numbers are counted up to 10,000; 10001: more."""

    at: float = Field(description="Unix seconds.")
    resources: dict[str, int] = Field(
        description="Rows by table: datasets, models, prompts, adapters, configs, and jobs by their kinds' tables."
    )
    ready: dict[str, bool] = Field(
        {},
        description="Whether one of the datasets, models and prompts can be trained with: its files are here or were found "
        "on the Hub; what a project's defaults only name there does not count.",
    )
    jobs: list[JobsCounted] = Field(description="Jobs that are not over, by kind and state.")
    ended: list[JobsCounted] = Field(description="Jobs that ended within a day, as far as the newest thousand tell.")
    running: list[JobNow] = Field(description="Those that runners have, the newest first, at most 50.")
    waiting: list[JobNow] = Field(description="Those whose turn is next, at most 5.")
    runners: list[RunnerMetadata] = Field(description="Those that have work or trouble first, at most 50.")
    runner_count: int = 0
    concerns: list[Concern] = Field(description="What needs a person, what is worst first, at most 50.")
    queues: dict[str, int] = Field({}, description="Messages that wait to be fetched, by queue; empty: not known.")
    letters: int | None = Field(None, description="Dead letters; none: not known.")
    events: list[Event] = Field(description="The newest, oldest first, without those of plans.")


class GetOverview(Query[OverviewReply]):
    """Return the studio at a glance; it costs a few milliseconds however many jobs there are."""

    events: int = Field(20, ge=0, le=100, description="At most this many of the newest events.")
