"""The things of Cloudera ML that the studio knows, and how they are read from what the SDK answers (core/cml.py asks)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import SecretStr


class RunState(StrEnum):
    """What becomes of a run: Cloudera's ENGINE_* in lower case."""

    scheduling = "scheduling"
    starting = "starting"
    running = "running"
    stopping = "stopping"
    stopped = "stopped"
    succeeded = "succeeded"
    failed = "failed"
    timedout = "timedout"
    unknown = "unknown"

    @classmethod
    def of(cls, status: object) -> RunState:
        """The state that a status means; unknown for one that this studio has not heard of."""
        name = str(status or "").removeprefix("ENGINE_").lower()
        return cls(name) if name in cls.__members__ else cls.unknown

    @property
    def over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self in (RunState.stopped, RunState.succeeded, RunState.failed, RunState.timedout)


class NewJob(NamedTuple):
    """A job to be made. GiB of memory; `timeout` in seconds, None: the workbench's own."""

    name: str
    script: str
    runtime: str | None = None
    kernel: str | None = None
    cpu: float = 2
    memory: float = 8
    gpus: int = 0
    environment: Mapping[str, str] = {}
    addons: tuple[str, ...] = ()
    accelerator_label: str | None = None
    timeout: int | None = None

    @property
    def body(self) -> dict[str, Any]:
        """The fields of CreateJobRequest; those that say nothing are left out."""
        told = {
            "name": self.name, "script": self.script, "runtime_identifier": self.runtime, "kernel": self.kernel,
            "cpu": float(self.cpu), "memory": float(self.memory), "nvidia_gpu": int(self.gpus),
            "environment": dict(self.environment) or None, "runtime_addon_identifiers": list(self.addons) or None,
            "accelerator_label_id": self.accelerator_label, "timeout": self.timeout,
            "kill_on_timeout": True if self.timeout else None,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}


class Template(NamedTuple):
    """A job that others are made from: its script and runtime, its environment, and what it takes itself."""

    id: str
    name: str
    script: str
    runtime: str | None
    kernel: str | None
    cpu: float
    memory: float
    gpus: int
    environment: dict[str, str]
    addons: tuple[str, ...] = ()
    accelerator_label: str | None = None

    def job(self, name: str, **changes: Any) -> NewJob:
        """A job of that name made like this one, but for `changes` (fields of NewJob)."""
        own = {each: getattr(self, each) for each in NewJob._fields if each in self._fields}
        return NewJob(**{**own, "name": name, **changes})


class JobSeen(NamedTuple):
    """A job as the API tells it."""

    id: str
    name: str
    script: str
    environment: dict[str, str]
    created_at: datetime | None


class RunSeen(NamedTuple):
    """A run as the API tells it. Of its environment only what begins with FTS_ is kept: the rest may be secret."""

    id: str
    job_id: str
    state: RunState
    environment: dict[str, str]
    created_at: datetime | None
    finished_at: datetime | None


class NewBuild(NamedTuple):
    """A build of a model that is deployed as soon as it is done. GiB of memory."""

    file: str
    function: str
    runtime: str | None
    environment: Mapping[str, str]
    cpu: float = 2
    memory: float = 8
    gpus: int = 1
    replicas: int = 1
    kernel: str = "python3"
    addons: tuple[str, ...] = ()
    comment: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """The fields of CreateModelBuildRequest."""
        deployment = {
            "cpu": float(self.cpu), "memory": float(self.memory), "nvidia_gpus": int(self.gpus),
            "replicas": self.replicas, "environment": dict(self.environment),
        }  # fmt: skip
        told = {
            "file_path": self.file, "function_name": self.function, "kernel": self.kernel,
            "runtime_identifier": self.runtime, "runtime_addon_identifiers": list(self.addons) or None,
            "comment": self.comment or None, "auto_deploy_model": True, "auto_deployment_config": deployment,
        }  # fmt: skip
        return {name: value for name, value in told.items() if value is not None}


class ModelSeen(NamedTuple):
    """A model as the API tells it; who has the access key may ask its endpoint."""

    id: str
    name: str
    description: str
    access_key: SecretStr
    authenticated: bool
    created_at: datetime | None


class BuildSeen(NamedTuple):
    """A build; `status` as Cloudera writes it, in lower case ("built" when it is done)."""

    id: str
    status: str
    created_at: datetime | None


class DeploymentSeen(NamedTuple):
    """A deployment; `status` as Cloudera writes it, in lower case ("deployed" when it serves)."""

    id: str
    build_id: str
    status: str
    created_at: datetime | None


class ApplicationSeen(NamedTuple):
    """An application of the project. `public`: Cloudera lets everybody in, whoever it is."""

    id: str
    name: str
    script: str
    subdomain: str
    status: str
    public: bool
    runtime: str | None
    created_at: datetime | None


class Accelerator(NamedTuple):
    """A label of nodes with GPUs: how many they have, how many are taken, how many one workload may have."""

    id: str
    key: str
    value: str
    available: bool
    gpus: int
    taken: int
    most: int


def template(job: Any) -> Template:
    """The template that a job is."""
    return Template(
        job.id, job.name, job.script or "", job.runtime_identifier or None, job.kernel or None,
        float(job.cpu or 0), float(job.memory or 0), int(job.nvidia_gpu or 0), mapping(job.environment),
        tuple(job.runtime_addon_identifiers or ()), _label(job.accelerator_label_id),
    )  # fmt: skip


def _label(told: Any) -> str | None:
    return None if told in (None, "", "0", 0) else str(told)


def job_seen(job: Any) -> JobSeen:
    """A job as it was answered."""
    return JobSeen(job.id, job.name or "", job.script or "", _readable(job.environment), job.created_at)


def run_seen(run: Any, job_id: str) -> RunSeen:
    """A run as it was answered."""
    own = {name: value for name, value in _readable(run.environment).items() if name.startswith("FTS_")}
    return RunSeen(run.id, run.job_id or job_id, RunState.of(run.status), own, run.created_at, run.finished_at)


def model_seen(model: Any) -> ModelSeen:
    """A model as it was answered."""
    key, name, about = SecretStr(model.access_key or ""), model.name or "", model.description or ""
    return ModelSeen(model.id, name, about, key, bool(model.auth_enabled), model.created_at)


def build_seen(build: Any) -> BuildSeen:
    """A build as it was answered."""
    return BuildSeen(build.id, str(build.status or "").lower(), build.created_at)


def deployment_seen(made: Any) -> DeploymentSeen:
    """A deployment as it was answered."""
    return DeploymentSeen(made.id, made.build_id or "", str(made.status or "").lower(), made.created_at)


def application_seen(made: Any) -> ApplicationSeen:
    """An application as it was answered; its status in lower case, without what all of them begin with."""
    status = str(made.status or "").removeprefix("APPLICATION_").lower()
    told = (made.id, made.name or "", made.script or "", made.subdomain or "", status)
    return ApplicationSeen(*told, bool(made.bypass_authentication), made.runtime_identifier or None, made.created_at)


def accelerator(label: Any) -> Accelerator:
    """A label of nodes as it was answered; its numbers are texts there."""
    numbers = (int(each or 0) for each in (label.max_gpu_count, label.current_gpu_count, label.max_gpu_per_workload))
    return Accelerator(
        str(label.id), label.label_key or "", label.label_value or "", bool(label.availability), *numbers
    )


def mapping(told: Any) -> dict[str, str]:
    """An environment: the API answers it as JSON text, and in some places as an object. Raises ValueError for other texts."""
    content = json.loads(told) if isinstance(told, str) and told.strip() else told or {}
    if not isinstance(content, dict):
        raise ValueError("an environment of Cloudera's is no JSON object")
    return {str(name): value if isinstance(value, str) else json.dumps(value) for name, value in content.items()}


def _readable(told: Any) -> dict[str, str]:
    """An environment by which it is told whose something is: one that can't be read is nobody's of ours."""
    try:
        return mapping(told)
    except ValueError:
        return {}


def age(thing: Any) -> tuple[str, str]:
    """What the oldest of several is found by."""
    made = thing.created_at
    return (made.isoformat() if isinstance(made, datetime) else str(made or "~"), str(thing.id))
