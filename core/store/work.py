"""The tables of work: jobs, the runners that do them, and the numbers that come of it."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BigInteger, Boolean, Index, Integer, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base


def shape_text(asked: dict[str, Any]) -> str:
    """What a job asks of its runners, from its columns: equal for jobs that differ only in whose turn it is."""
    label = asked["spec"].get("resources", {}).get("gpu_label_id")
    amounts = (asked["cpus"], asked["gpus"], asked["memory"], asked.get("workers") or 1)
    return json.dumps([asked["engine"], *amounts, label], separators=(",", ":"))


class Job(Base):
    """The state of a piece of work for a runner. `attempt` is the fencing token; `accepted` the offset taken of its spool.

    `shape` and `priority` make the lane that it waits in (actors/lanes.py). `losses` counts attempts in a row that died or
    were lost without a further checkpoint, `retries` all that followed one that ended badly. `fresh`: the next attempt
    begins anew. `checkpoints_asked` counts within the attempt. `held` is why it stands still on its runner (JobState.held). `preempted_by` is the job that it pauses for.
    """

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    kind: Mapped[str]
    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(Text)
    engine: Mapped[str]
    status: Mapped[str]
    spec: Mapped[dict[str, Any]]
    priority: Mapped[int] = mapped_column(Integer, default=0)
    cpus: Mapped[int]
    gpus: Mapped[int]
    memory: Mapped[int]
    workers: Mapped[int] = mapped_column(Integer, default=1)
    shape: Mapped[str] = mapped_column(
        String, default=lambda context: shape_text(context.get_current_parameters()), server_default=""
    )
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    accepted: Mapped[int] = mapped_column(BigInteger, default=0)
    losses: Mapped[int] = mapped_column(Integer, default=0)
    retries: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    fresh: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    checkpoints_asked: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    held: Mapped[dict[str, Any] | None]
    preempted_by: Mapped[str | None]
    runner_id: Mapped[str | None] = mapped_column(String, index=True)
    lease_expires_at: Mapped[float | None]
    created_at: Mapped[float]
    queued_at: Mapped[float]
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    error: Mapped[dict[str, Any] | None]
    failure_class: Mapped[str | None]
    phase: Mapped[str | None]
    step: Mapped[int] = mapped_column(Integer, default=0)
    total_steps: Mapped[int | None]
    eta_seconds: Mapped[float | None]
    tokens_per_second: Mapped[float | None]
    last_metrics: Mapped[dict[str, Any] | None]
    checkpoint: Mapped[str | None]
    summary: Mapped[dict[str, Any] | None]
    cancelled: Mapped[list[str] | None]

    __table_args__ = (
        Index("ix_jobs_lane", "status", "shape", "priority", "queued_at", "id"),
        Index("ix_jobs_finished_at", "finished_at"),
        Index("ix_jobs_created_at", "created_at"),
        # What lists of jobs are ordered by, and looked through: without its spec a row is a hundredth of it.
        Index("ix_jobs_by_name", "kind", "name", "id"),
        Index("ix_jobs_by_status", "kind", "status", "id"),
        Index("ix_jobs_seen", "kind", "created_at", "id", "name", "status", "failure_class", "runner_id"),
    )


class Runner(Base):
    """A runner daemon. A report of another incarnation than this is refused.

    `free_*` is what jobs have left of it since it last reported, `free` what it said itself. `kept_for` is the queued job
    that it keeps room for, `kept_workers` how many of its workers.
    """

    __tablename__ = "runners"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    incarnation: Mapped[int]
    host: Mapped[str]
    kind: Mapped[str]
    cpus: Mapped[int]
    memory: Mapped[float]
    gpus: Mapped[dict[str, Any]]
    labels: Mapped[dict[str, Any]]
    engines: Mapped[list[str]]
    trusted: Mapped[bool]
    draining: Mapped[bool]
    lost: Mapped[bool]
    free: Mapped[dict[str, Any] | None]
    telemetry: Mapped[dict[str, Any] | None]
    free_cpus: Mapped[float | None]
    free_gpus: Mapped[int | None]
    free_memory: Mapped[float | None]
    kept_for: Mapped[str | None] = mapped_column(String, index=True)
    kept_workers: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    registered_at: Mapped[float]
    last_seen_at: Mapped[float]

    __table_args__ = (Index("ix_runners_free", "free_gpus", "free_cpus", "free_memory"),)


class JobMember(Base):
    """A runner's part of a job that several runners do together, while they do; the one of rank 0 is the job's runner.

    `accepted` is the offset taken of the member's own spool. `rendezvous` is where the first listens, once it does.
    """

    __tablename__ = "job_members"

    job_id: Mapped[str] = mapped_column(String, primary_key=True)
    attempt: Mapped[int] = mapped_column(Integer, primary_key=True)
    rank: Mapped[int] = mapped_column(Integer, primary_key=True)
    runner_id: Mapped[str] = mapped_column(String, index=True)
    workers: Mapped[int]
    lease_expires_at: Mapped[float]
    state: Mapped[str]
    accepted: Mapped[int] = mapped_column(BigInteger, default=0)
    rendezvous: Mapped[str | None]


class Metric(Base):
    """One number of a job at an optimiser step; a step that comes again after a resume takes the place of the first."""

    __tablename__ = "metrics"

    job_id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String, primary_key=True)
    step: Mapped[int] = mapped_column(Integer, primary_key=True)
    value: Mapped[float]
    at: Mapped[float]
    attempt: Mapped[int]


class Promotion(Base):
    """The way of what a training makes to a name in the registry; `id` is the training's, `waits_for` the job that is waited for."""

    __tablename__ = "promotions"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str] = mapped_column(String, index=True)
    metric: Mapped[str]
    state: Mapped[str] = mapped_column(String, index=True)
    reason: Mapped[str] = mapped_column(Text)
    waits_for: Mapped[str]
    look_at: Mapped[float]
    dataset_id: Mapped[str | None]
    prompt_id: Mapped[str | None]
    adapter_id: Mapped[str | None]
    champion_adapter_id: Mapped[str | None]
    evaluation_id: Mapped[str | None]
    export_id: Mapped[str | None]
    version: Mapped[str | None]
    value: Mapped[float | None]
    champion_value: Mapped[float | None]
    created_at: Mapped[float | None]
    updated_at: Mapped[float | None]


class Notification(Base):
    """That a job ended, on its way to a target (webhook, command): the outbox of what is told outside the studio.

    `body` is what is told, whole. A delivery is claimed by moving `next_at` on, and knows by `tries` that it is still its own.
    """

    __tablename__ = "notifications"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    target: Mapped[str]
    job_id: Mapped[str | None] = mapped_column(String, index=True)
    body: Mapped[dict[str, Any]]
    state: Mapped[str]
    tries: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[float]
    give_up_at: Mapped[float]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[float]
    told_at: Mapped[float | None]

    __table_args__ = (
        Index("ix_notifications_due", "state", "next_at"),
        Index("ix_notifications_listed", "created_at", "id"),
    )
