"""What runners say, and what people ask about them.

A runner speaks RegisterRunner once and ReportProgress again and again; the reply to a report is the whole truth for it:
every job that is its own now. A lost reply is healed by the next one.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Message, Part, Value
from core.messages.common import LARGEST_COUNT, Limit, Name, Page, PagedQuery, ordered
from core.types import Order

Amount = Annotated[float, Field(allow_inf_nan=False)]
Offset = Annotated[int, Field(ge=0, lt=2**63)]


class Gpu(Part):
    """One GPU of a runner; memory in GiB."""

    index: int
    uuid: str = ""
    name: str = ""
    memory: Amount = 0


class RunnerMetadata(Value):
    """A registered runner and its load; memory in GiB, times in unix seconds."""

    id: str
    incarnation: int
    host: str
    kind: str = "local"
    cpus: int
    memory: float
    gpus: list[Gpu] = []
    labels: dict[str, str] = {}
    engines: list[str] = []
    status: str = Field("online", description="online, draining, lost, or 'no shared artifacts': it gets no work then")
    jobs: list[str] = []
    free: dict[str, float] = {}
    kept_for: str | None = Field(None, description="The queued job that it keeps room for.")
    telemetry: dict[str, Any] = {}
    registered_at: float | None = None
    last_seen_at: float | None = None


class RegisteredReply(Value):
    """Who the runner is from now on. Reports of an older incarnation are refused."""

    runner_id: str
    incarnation: int
    next_report_seconds: float


class RunnersReply(Page):
    """The registered runners."""

    runners: list[RunnerMetadata]


class RegisterRunner(Command[RegisteredReply]):
    """A runner daemon begins: what it has to offer. A known runner_id gets a new incarnation."""

    QUEUE: ClassVar[str] = "runners"
    EXAMPLE: ClassVar[dict[str, Any]] = {"host": "a", "cpus": 2, "memory": 8.0, "engines": ["legacy"], "marker": "x"}

    runner_id: Name | None = None
    host: str
    kind: str = "local"
    cpus: int = Field(ge=1, le=LARGEST_COUNT)
    memory: float = Field(gt=0, allow_inf_nan=False, description="GiB")
    gpus: list[Gpu] = []
    labels: dict[str, str] = {}
    engines: list[str] = Field(description="legacy, evaluation, lm_eval, axolotl, user_script …")
    marker: str = Field(
        "", description="Content of the studio's marker file in the artifacts root; without it there is no work."
    )
    pid: int = 0


class Short(Part):
    """How much room a job's files need before it can begin, and how much there is; bytes. Or why they are away."""

    needed: Offset
    free: Offset
    away: str = Field("", description="Why the job's files can't be reached at all; the other two say nothing then.")


class Usage(Part):
    """What a job took of its host in a quarter of a minute: means of its seconds, by names that begin with `sys.`."""

    at: Amount = Field(description="Unix seconds at which it begins.")
    values: dict[str, Amount]


class JobReport(Part):
    """What one attempt did since the offset that was last accepted. `offset` is where `records` begin in the spool."""

    job_id: str
    attempt: int
    offset: Offset
    next_offset: Offset = Field(description="Where the records end: what is accepted when all goes well.")
    records: list[dict[str, Any]] = []
    alive: bool = Field(True, description="Whether the child lives; a dead one whose spool is all told is over.")
    exit_code: int | None = None
    starved: bool = Field(False, description="Whether the kernel ended the child, most likely for want of memory.")
    log_tail: list[str] = Field([], description="Last lines of the log of a child that died without a word.")
    has_spec: bool = True
    asked: list[int] = Field(
        [],
        max_length=1000,
        description="Of a comparison: the questions that the runner holds; their texts need not come again.",
    )
    usage: list[Usage] = Field([], max_length=1000, description="What it took since the last report that was answered.")
    short: Short | None = Field(
        None, description="Of an attempt that has yet to begin: there is no room for its files, or they are away."
    )


class Gang(Value):
    """This runner's part in a job that several runners do together."""

    rank: int = Field(description="Of the runner among them; the first one's first worker speaks for the job.")
    runners: int
    workers: int = Field(description="How many of the job's workers are this runner's.")
    rendezvous: str | None = Field(None, description="host:port where the first listens; the others wait for it.")


class Question(Value):
    """What a comparison is asked, until all of its answers are done. `voices` are ids of adapters, empty for the bare model."""

    number: int
    held: bool = Field(False, description="The runner holds it: neither text nor settings come again.")
    prompt: str | None = Field(None, description="The text; None: a row is to be drawn.")
    voices: list[str]
    generation: dict[str, Any] = Field({}, description="Goes over the session's own.")
    seed: int = 0
    stopped: bool = Field(False, description="What is still being said is to stop.")


class JobOrder(Value):
    """One job that is this runner's: what to do with it, and up to where its spool was taken in."""

    job_id: str
    attempt: int
    order: Order
    accepted: int = 0
    spec: dict[str, Any] | None = Field(
        None, description="The sealed specification, while the runner does not hold it."
    )
    cancelled: list[str] = Field([], description="Children of an evaluation to leave out.")
    checkpoint: int = Field(
        0, description="How many checkpoints were asked for in this attempt: one that grows is saved."
    )
    fresh: bool = Field(False, description="The attempt begins anew, whatever earlier ones left.")
    gang: Gang | None = Field(None, description="Set when other runners do the job too.")
    asked: list[Question] = Field([], description="Of a comparison: what is not answered yet.")


class ReportReply(Value):
    """The whole truth for a runner. `known` is false when it must register again."""

    known: bool
    jobs: list[JobOrder] = []
    draining: bool = False
    next_report_seconds: float = 5


class ReportProgress(Message[ReportReply]):
    """A runner's report: its free room, its load, and what its jobs did. It is idempotent by (attempt, offset)."""

    QUEUE: ClassVar[str] = "runners"
    EXAMPLE: ClassVar[dict[str, Any]] = {"runner_id": "r", "incarnation": 1}
    FOREIGN: ClassVar[bool] = True

    runner_id: str
    incarnation: int
    free: dict[str, Amount] = Field(
        {},
        description="cpus, memory (GiB), gpus: what no job occupies; jobs: how many more it takes beside those it reports, where not as many as have room.",
    )
    telemetry: dict[str, Any] = {}
    jobs: list[JobReport] = []


class RunnerReply(Value):
    """One runner."""

    runner: RunnerMetadata


class ListRunners(PagedQuery[RunnersReply]):
    """Return the runners that ever registered and were not forgotten."""

    limit: Limit = 1000
    order: str | None = ordered("host", "cpus", "memory", "registered_at", "last_seen_at")


class DrainRunner(Command[RunnerReply]):
    """Ask a runner to save checkpoints, give its jobs back to the queue and take no more; or to take work again."""

    id: str
    draining: bool = True
