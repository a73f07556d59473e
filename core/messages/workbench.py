"""The workbench of Cloudera ML that the studio runs in (docs/cloudera.md): whose it is, how busy, where its pages are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from core.messages.base import Query, Value
from core.messages.common import Name

Asked = Annotated[list[Name], Field(max_length=1_000)]


class ClusterUse(Value):
    """What is taken of the cluster, and what it has; memory in GiB. None: the workbench did not tell."""

    cpus: float | None = None
    cpus_allocatable: float | None = None
    memory: float | None = None
    memory_allocatable: float | None = None
    gpus: float | None = None
    gpus_allocatable: float | None = None


class AcceleratorKind(Value):
    """A kind of GPU that the cluster has. `id` is what gpu_label_id of a job takes."""

    id: str
    name: str = ""
    available: bool = True
    gpus_now: int = Field(0, description="What Cloudera calls current_gpu_count.")
    gpus_most: int = Field(0, description="What Cloudera calls max_gpu_count.")
    per_workload: int = Field(0, description="That one run may have at most; 0: not told.")


class WorkbenchReply(Value):
    """What is known of the workbench; `on` is false, and nothing else is told, where the studio runs in none."""

    on: bool
    owner: str | None = None
    domain: str | None = None
    project_id: str | None = None
    project: str | None = Field(None, description="The project's page.")
    pages: dict[str, str] = Field({}, description="Its pages of jobs, experiments and models.")
    cluster: ClusterUse | None = None
    gpu_enabled: bool | None = Field(None, description="Whether pods may have GPUs; none: not known.")
    accelerators: list[AcceleratorKind] = []
    jobs: dict[str, str] = Field({}, description="The pages of the jobs asked about, by id, as far as they are known.")
    experiments: dict[str, str] = Field({}, description="The pages of the experiments asked about, by name.")
    at: float | None = Field(None, description="When the workbench told how busy it is; unix seconds.")
    away: list[str] = Field([], description="What could not be asked just now, and why.")


class GetWorkbench(Query[WorkbenchReply]):
    """Return what is known of the workbench of Cloudera ML that the studio runs in; asked of it every half a minute at most."""

    QUEUE: ClassVar[str] = "slow"

    jobs: Asked = Field([], description="Ids of Cloudera's jobs (cml_job_id) whose pages are wanted.")
    experiments: Asked = Field([], description="Names of MLflow's experiments whose pages are wanted.")
