"""What people ask of jobs that are there, besides cancelling (jobs.py): pause, resume, run again, save now, go before others.

Rules tell what a job can never do; what its state of the moment forbids is answered as a conflict.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Command
from core.messages.jobs import JobStateReply
from core.rules import Example, Need, NoWorld, Row, World, rule
from core.types import JobKind, Severity

PAUSABLE = {JobKind.fine_tuning, JobKind.evaluation}
_BATCH = "A fine-tuning job or an evaluation batch (parent_job_id); one evaluation job of a batch means the batch."
_ANY = "Any job; one evaluation job of a batch means the batch."


class PauseJob(Command[JobStateReply]):
    """Ask a job to save a checkpoint and let its runner go; one that waits is held back. ResumeJob lets it go on."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str = Field(description=_BATCH)


class ResumeJob(Command[JobStateReply]):
    """Let a paused job go on from its checkpoint: it is queued again; a pause that is under way is taken back."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str = Field(description=_BATCH)


class RetryJob(Command[JobStateReply]):
    """Run a failed or cancelled job again as the same job, from its last checkpoint or anew."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str = Field(description=_ANY)
    from_checkpoint: bool = Field(
        True, description="Go on from the last checkpoint (an evaluation: from what is scored); false: begin anew."
    )


class CheckpointJob(Command[JobStateReply]):
    """Ask a training for a checkpoint at the end of the step it is at; it goes on meanwhile."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str = Field(description="A fine-tuning job that runs.")


class SetJobPriority(Command[JobStateReply]):
    """Let an unfinished job go before others, or behind them."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1", "priority": 10}

    id: str = Field(description=_ANY)
    priority: int = Field(ge=-100, le=100, description="Higher runs earlier; 0 is what jobs have that said nothing.")


def _a(kind: JobKind, **columns: Any) -> Example:
    """An example in a store that has the job."""
    return Example({}, NoWorld({"jobs": [{"id": "1", "kind": kind.value, **columns}]}))


_CHILD = {"evaluation_jobs": [{"id": "1", "parent_job_id": "b"}]}


def _meant(world: World, id: str) -> Row | None:
    """The job of that id, or the batch of the evaluation of that id."""
    child = world.get("evaluation_jobs", id) or {}
    return world.get("jobs", id) or world.get("jobs", child.get("parent_job_id") or "")


def _of_kind(world: World, id: str, kinds: set[JobKind], what: str) -> Iterator[str]:
    row = _meant(world, id)
    if row is not None and row["kind"] not in kinds:
        yield f"{what}; this one is of the kind {row['kind']}"


@rule(
    PauseJob,
    "JB-101",
    "id",
    need=Need.store,
    passes=[{}, _a(JobKind.fine_tuning), _a(JobKind.evaluation)],
    fails=[_a(JobKind.export)],
)
def _pausable(message: PauseJob, world: World) -> Iterator[str]:
    """what can be paused saves where it is: a fine-tuning or an evaluation"""
    yield from _of_kind(world, message.id, PAUSABLE, "only fine-tuning and evaluation jobs can be paused")


@rule(
    CheckpointJob,
    "JB-102",
    "id",
    need=Need.store,
    passes=[{}, _a(JobKind.fine_tuning)],
    fails=[
        _a(JobKind.evaluation),
        _a(JobKind.export),
        Example({}, NoWorld({**_CHILD, "jobs": [{"id": "b", "kind": "evaluation"}]})),
    ],
)
def _has_checkpoints(message: CheckpointJob, world: World) -> Iterator[str]:
    """only a fine-tuning has checkpoints"""
    yield from _of_kind(world, message.id, {JobKind.fine_tuning}, "only fine-tuning jobs have checkpoints")


@rule(
    RetryJob,
    "JB-103",
    "id",
    need=Need.store,
    passes=[{}, _a(JobKind.fine_tuning, spec={"job_id": "1"})],
    fails=[
        _a(JobKind.fine_tuning, spec={}),
        Example({}, NoWorld({**_CHILD, "jobs": [{"id": "b", "kind": "evaluation", "spec": {}}]})),
    ],
)
def _has_a_specification(message: RetryJob, world: World) -> Iterator[str]:
    """a job that came with an import has nothing to be run by"""
    row = _meant(world, message.id)
    if row is not None and not row.get("spec"):
        yield "this job came with an import, without its specification: start a job like it (`fts job clone`)"


_TAKEN = {"adapters": [{"id": "a", "name": "tickets"}], "fine_tuning_jobs": [{"id": "1", "adapter_name": "tickets"}]}


@rule(
    RetryJob,
    "JB-104",
    "id",
    need=Need.store,
    severity=Severity.INFO,
    passes=[{}, Example({}, NoWorld({**_TAKEN, "adapters": []}))],
    fails=[Example({}, NoWorld(_TAKEN))],
)
def _adapters_name(message: RetryJob, world: World) -> Iterator[str]:
    """an adapter of the job's name came meanwhile: this one will get a suffix"""
    name = (world.get("fine_tuning_jobs", message.id) or {}).get("adapter_name")
    if name and (rows := world.find("adapters", name=name)):
        yield f"an adapter named {name!r} exists by now (id {rows[0]['id']}): this one will get a suffix"
