"""Plans: what would come of a training, told before it is started."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from core.events import Failure
from core.messages.base import Command, Query, Value
from core.messages.fine_tuning import FineTuningRequest, StartFineTuningJob
from core.types import JobStatus


class Bin(Value):
    """So many rows have at least `low` and less than `high` tokens."""

    low: int
    high: int
    rows: int


class Fit(Value):
    """How a job would do on a registered runner. Bytes are a worker's; of a GPU's memory where it has one. Seconds of the
    whole job: at least, about, at most; none as long as nothing tells how fast the runner is.
    """

    runner_id: str
    host: str
    device: str = Field(description="cpu or cuda")
    name: str = Field("", description="The GPU's name.")
    whole: float = Field(0, description="What the host, or the GPU, has.")
    available: float = Field(description="What of it a worker of the job could take.")
    needed: tuple[float, float, float] = Field(description="At least, about, at most.")
    fits: bool | None = Field(description="None: it may, or may not.")
    seconds: tuple[float, float, float] | None = None
    jobs: int = Field(0, description="Finished jobs there that these figures are corrected by.")


class Nearest(Value):
    """Settings, by their names in the job's configs and fields, with which it would fit; bytes that it would take then."""

    settings: dict[str, Any]
    bytes: float
    text: str


class Longer(Value):
    """Fields of the request with which a training of hardly any steps makes enough of them."""

    settings: dict[str, Any]
    steps: int
    text: str


class Plan(Value):
    """What would come of a training. Tokens are counted after the template; `looked_at` rows tell for all of them."""

    rows: int = Field(description="Rows that are trained on.")
    held_out: int = 0
    looked_at: int = Field(description="Rows that were written and counted: all, or as many as there was time for.")
    tokens: int
    learned: int = Field(0, description="Tokens that are learned.")
    longest: int = 0
    cut: int = Field(0, description="Rows longer than max_length, which are cut and teach no end.")
    dropped: int = Field(0, description="Rows without anything to learn, which are left out.")
    histogram: list[Bin] = []
    examples: list[list[tuple[str, bool, bool]]] = Field(
        [], description="Rows token by token: (text, whether it is learned, whether it is the EOS)."
    )
    sequences: int = Field(0, description="Rows, or several packed into one.")
    computed: int = Field(0, description="Tokens that all steps compute, padding included.")
    batch: int = Field(0, description="Sequences a step, of all workers.")
    steps: int = 0
    epochs: float = 0
    parameters: int | None = None
    trained_parameters: int | None = None
    memory: dict[str, float] = Field({}, description="Bytes at the peak by what takes them, as reckoned.")
    needed: tuple[float, float, float] | None = Field(None, description="Bytes: at least, about, at most.")
    seconds: tuple[float, float, float] | None = Field(None, description="Of the whole job, where it would run best.")
    fits: list[Fit] = []
    nearest: list[Nearest] = Field([], description="When it does not fit: the nearest settings that do.")
    longer: Longer | None = Field(
        None, description="When its few steps hardly change the model: what makes more of them."
    )
    warnings: list[str] = []


class PlanReply(Value):
    """A plan, or how far it is."""

    id: str
    status: JobStatus
    phase: str | None = None
    waiting_for: str | None = None
    error: Failure | None = None
    plan: Plan | None = None


class PlanFineTuningJob(FineTuningRequest, Command[PlanReply]):
    """Tell what would come of a training without starting it: rows and tokens, examples, steps, memory, time, where it fits."""

    RULES: ClassVar[str | None] = "core.messages.planning_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {
        name: value for name, value in StartFineTuningJob.EXAMPLE.items() if name != "adapter_name"
    }


class GetPlan(Query[PlanReply]):
    """Return a plan as far as it is made; it is forgotten an hour after its end."""

    id: str
