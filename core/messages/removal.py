"""Removing resources: one shape of reply, and what stands in the way (docs/decisions.md, D-033).

Removing is idempotent: what is not there is answered with `removed: false`. Configs and finished jobs hold nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Value
from core.rules import Example, Need, NoWorld, Row, World, rule
from core.types import JobKind, JobStatus, Severity

NAMED = 20  # resources that a refusal names before it counts


class RemovedResource(Value):
    """One resource that went."""

    kind: str = Field(description="Its table.")
    id: str
    name: str | None = None


class KeptFiles(Value):
    """Files that were to be removed and are not, with the reason."""

    path: str
    reason: str


class RemovedReply(Value):
    """Whether there was something to remove, and all that went with it.

    Files go once the rows are gone; those that a process still writes to go when it has ended.
    """

    id: str
    removed: bool
    resources: list[RemovedResource] = Field([], description="Everything that was removed, dependents first.")
    paths: list[str] = Field([], description="Files and directories that were removed.")
    freed_bytes: int = 0
    kept: list[KeptFiles] = []


class RemoveDataset(Command[RemovedReply]):
    """Remove a dataset's registration; its rows' file stays."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "d"}

    id: str
    remove_prompts: bool = Field(False, description="Remove the prompts of the dataset too.")
    cascade: bool = Field(False, description="Remove all that depends on it: its prompts.")


class RemoveModel(Command[RemovedReply]):
    """Remove a base model's registration, and its weights if asked and a job made them; its copy of a registry's always."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "m"}

    id: str
    cascade: bool = Field(False, description="Remove all that depends on it: its adapters' registrations.")
    remove_files: bool = Field(
        False, description="Remove its directory too, when it lies where the studio keeps what full fine-tuning makes."
    )


class RemoveAdapter(Command[RemovedReply]):
    """Remove an adapter's registration, and its weights if asked and the studio keeps them; its copy of a registry's always."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "a"}

    id: str
    remove_files: bool = Field(
        False, description="Remove its directory too, when it lies where the studio keeps adapters."
    )


class RemovePrompt(Command[RemovedReply]):
    """Remove a prompt template; adapters that were trained with it stay, without the link."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "p"}

    id: str


class RemoveConfig(Command[RemovedReply]):
    """Remove a config; jobs that were started with it carry their own copy."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "c"}

    id: str


class RemoveFineTuningJob(Command[RemovedReply]):
    """Remove a finished fine-tuning job's record, metrics and, if asked, files; its adapter stays."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "j"}

    id: str
    remove_files: bool = Field(
        False, description="Remove its log, checkpoints, and adapters that are not registered, too."
    )


class RemoveEvaluationJob(Command[RemovedReply]):
    """Remove a finished evaluation batch, or one evaluation of it, and its files if asked."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "e"}

    id: str = Field(description="An evaluation batch (parent_job_id) or one evaluation job of it.")
    remove_files: bool = Field(False, description="Remove its log and answers too.")


class RemoveEndpoint(Command[RemovedReply]):
    """Remove the record of an endpoint that is over, and its files if asked."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "e"}

    id: str
    remove_files: bool = Field(False, description="Remove its log too.")


class RemoveComparison(Command[RemovedReply]):
    """Remove a session that is over, with what it was asked and answered, and its files if asked."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "c"}

    id: str
    remove_files: bool = Field(False, description="Remove its log too.")


_RUNNING = {"id": "j", "name": "tickets", "kind": "fine_tuning", "status": "running"}


def _used(id: str) -> Example:
    return Example({}, NoWorld(jobs_of={id: [_RUNNING]}))


def _users(world: World, table: str, ids: Sequence[str], what: str) -> Iterator[str]:
    if jobs := world.users(table, ids):
        text = _listed(jobs, lambda row: f"{row['name']!r} ({row['id']}, {_said(row['status'])})")
        yield f"{what} is used by {_counted(jobs, 'unfinished job')}: {text}; cancel what you don't need, or wait for its end"


def _listed(rows: Sequence[Row], shown: Any) -> str:
    more = f" and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
    return ", ".join(shown(row) for row in rows[:NAMED]) + more


def _counted(rows: Sequence[Row], noun: str) -> str:
    return f"{len(rows)} {noun}{'' if len(rows) == 1 else 's'}"


def _said(status: str) -> str:
    return status.replace("_", " ")


def _dependents(rows: Sequence[Row], noun: str, how: str) -> Iterator[str]:
    if rows:
        names = _listed(sorted(rows, key=lambda row: row["name"] or ""), lambda row: f"{row['name']!r} ({row['id']})")
        yield f"{_counted(rows, noun)} would be left without it: {names}; {how} removes them too"


@rule(RemoveDataset, "DS-121", "id", need=Need.store, passes=[{}], fails=[_used("d")])
def _dataset_in_use(message: RemoveDataset, world: World) -> Iterator[str]:
    """a dataset that an unfinished job uses is not removed"""
    yield from _users(world, "datasets", [message.id], "the dataset")


_PROMPTS = NoWorld({"prompts": [{"id": "p", "name": "actions", "dataset_id": "d"}]}, jobs_of={"p": [_RUNNING]})


@rule(
    RemoveDataset,
    "DS-122",
    "id",
    need=Need.store,
    passes=[{}, Example({"remove_prompts": True}, _PROMPTS), Example({"cascade": True}, _PROMPTS)],
    fails=[Example({}, _PROMPTS)],
)
def _dataset_with_prompts(message: RemoveDataset, world: World) -> Iterator[str]:
    """a dataset that has prompts is removed with them or not at all"""
    if not (message.remove_prompts or message.cascade):
        yield from _dependents(world.find("prompts", dataset_id=message.id), "prompt", "remove_prompts")


@rule(
    RemoveDataset,
    "PR-121",
    "id",
    need=Need.store,
    passes=[{}, {"remove_prompts": True}],
    fails=[Example({"remove_prompts": True}, _PROMPTS), Example({"cascade": True}, _PROMPTS)],
)
def _its_prompts_in_use(message: RemoveDataset, world: World) -> Iterator[str]:
    """a dataset's prompt that an unfinished job uses is not removed"""
    if message.remove_prompts or message.cascade:
        prompts = [row["id"] for row in world.find("prompts", dataset_id=message.id)]
        yield from _users(world, "prompts", prompts, "a prompt of the dataset")


@rule(RemoveModel, "MD-121", "id", need=Need.store, passes=[{}], fails=[_used("m")])
def _model_in_use(message: RemoveModel, world: World) -> Iterator[str]:
    """a model that an unfinished job uses is not removed"""
    yield from _users(world, "models", [message.id], "the model")


_ADAPTERS = NoWorld({"adapters": [{"id": "a", "name": "tickets-1", "model_id": "m"}]})


@rule(
    RemoveModel,
    "MD-122",
    "id",
    need=Need.store,
    passes=[{}, Example({"cascade": True}, _ADAPTERS)],
    fails=[Example({}, _ADAPTERS)],
)
def _model_with_adapters(message: RemoveModel, world: World) -> Iterator[str]:
    """a model that has adapters is removed with them or not at all"""
    if not message.cascade:
        yield from _dependents(world.find("adapters", model_id=message.id), "adapter", "cascade")


@rule(
    RemoveModel,
    "AD-121",
    "id",
    need=Need.store,
    passes=[{}, Example({"cascade": True}, _ADAPTERS)],
    fails=[Example({"cascade": True}, NoWorld(_ADAPTERS.tables, jobs_of={"a": [_RUNNING]}))],
)
def _its_adapters_in_use(message: RemoveModel, world: World) -> Iterator[str]:
    """a model's adapter that an unfinished job uses is not removed"""
    if message.cascade:
        adapters = [row["id"] for row in world.find("adapters", model_id=message.id)]
        yield from _users(world, "adapters", adapters, "an adapter of the model")


@rule(RemoveAdapter, "AD-121", "id", need=Need.store, passes=[{}], fails=[_used("a")])
def _adapter_in_use(message: RemoveAdapter, world: World) -> Iterator[str]:
    """an adapter that an unfinished job uses is not removed"""
    yield from _users(world, "adapters", [message.id], "the adapter")


@rule(RemovePrompt, "PR-121", "id", need=Need.store, passes=[{}], fails=[_used("p")])
def _prompt_in_use(message: RemovePrompt, world: World) -> Iterator[str]:
    """a prompt that an unfinished job uses is not removed"""
    yield from _users(world, "prompts", [message.id], "the prompt")


@rule(
    RemoveConfig,
    "CF-121",
    "id",
    need=Need.store,
    severity=Severity.INFO,
    passes=[{}, Example({}, NoWorld({"configs": [{"id": "c", "is_default": 0}]}))],
    fails=[Example({}, NoWorld({"configs": [{"id": "c", "is_default": 1}]}))],
)
def _shipped(message: RemoveConfig, world: World) -> Iterator[str]:
    """a config that the studio ships may come back when it starts again"""
    row = world.get("configs", message.id)
    if row is not None and row["is_default"]:
        yield "the studio ships this config: it may be there again after the next start"


def _with_status(status: str) -> NoWorld:
    job = {"id": "j", "kind": "fine_tuning", "name": "tickets", "status": status}
    batch = {"id": "b", "kind": "evaluation", "name": "evaluation on t", "status": status}
    evaluation = {"id": "e", "parent_job_id": "b"}
    return NoWorld({"fine_tuning_jobs": [{"id": "j"}], "evaluation_jobs": [evaluation], "jobs": [job, batch]})


_OVER = [Example({}, _with_status(each)) for each in ("succeeded", "failed", "cancelled")]
_NOT_OVER = [
    Example({}, _with_status(each)) for each in ("queued", "paused", "assigned", "running", "cancel_requested")
]


@rule(RemoveFineTuningJob, "FT-107", "id", need=Need.store, passes=[{}, *_OVER], fails=_NOT_OVER)
def _job_unfinished(message: RemoveFineTuningJob, world: World) -> Iterator[str]:
    """an unfinished job is cancelled before it is removed"""
    job = world.get("jobs", message.id)
    if job is not None and job["kind"] == JobKind.fine_tuning:
        yield from _unfinished(job, "the job")


@rule(RemoveEvaluationJob, "EV-121", "id", need=Need.store, passes=[{}, *_OVER], fails=_NOT_OVER)
def _batch_unfinished(message: RemoveEvaluationJob, world: World) -> Iterator[str]:
    """an unfinished batch is cancelled before it, or an evaluation of it, is removed"""
    row = world.get("evaluation_jobs", message.id)
    job = world.get("jobs", message.id if row is None else row["parent_job_id"] or "")
    if job is not None and job["kind"] == JobKind.evaluation:
        yield from _unfinished(job, "the batch")


def _endpoint(status: str) -> Example:
    job = {"id": "e", "kind": "endpoint", "name": "support", "status": status}
    return Example({}, NoWorld({"jobs": [job]}))


@rule(
    RemoveEndpoint,
    "EP-121",
    "id",
    need=Need.store,
    passes=[{}, _endpoint("succeeded"), _endpoint("failed")],
    fails=[_endpoint("queued"), _endpoint("running"), _endpoint("cancel_requested")],
)
def _endpoint_unfinished(message: RemoveEndpoint, world: World) -> Iterator[str]:
    """an endpoint is stopped before it is removed"""
    job = world.get("jobs", message.id)
    if job is not None and job["kind"] == JobKind.endpoint and not JobStatus(job["status"]).finished:
        yield f"the endpoint is {_said(job['status'])}: stop it (StopEndpoint, id {job['id']}) and remove it when it has ended"


def _comparison(status: str) -> Example:
    return Example({}, NoWorld({"jobs": [{"id": "c", "kind": "comparison", "status": status}]}))


@rule(
    RemoveComparison,
    "CP-121",
    "id",
    need=Need.store,
    passes=[{}, _comparison("succeeded"), _comparison("failed")],
    fails=[_comparison("queued"), _comparison("running"), _comparison("cancel_requested")],
)
def _comparison_unfinished(message: RemoveComparison, world: World) -> Iterator[str]:
    """a comparison is ended before it is removed"""
    job = world.get("jobs", message.id)
    if job is not None and job["kind"] == JobKind.comparison and not JobStatus(job["status"]).finished:
        yield f"the comparison is {_said(job['status'])}: end it (EndComparison, id {job['id']}) and remove it when it has ended"


def _unfinished(job: Row, what: str) -> Iterator[str]:
    status = JobStatus(job["status"])
    if status.finished:
        return
    if status is JobStatus.cancel_requested:
        yield f"{what} is being cancelled; remove it when it has ended"
    elif status.held:
        yield f"{what} is {_said(status)}; cancel it (CancelJob, id {job['id']}) and remove it when it has ended"
    else:
        yield f"{what} is {_said(status)}; cancel it first (CancelJob, id {job['id']}): it ends at once"
