"""Comparisons live: a session holds a base model and adapters in memory, and they answer side by side (guide, "Local
Adapter Comparison"). Its rules are in comparing_rules.py.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AliasChoices, Field

from core.messages.base import Command, Query, Value
from core.messages.common import Count, Limit, Page, PagedQuery, known, ordered
from core.messages.jobs import JobState, JobStateReply
from core.types import JobStatus

BASE = ""  # the voice of the bare model; an adapter's is its id
MOST_ADAPTERS = 15
MOST_OPEN = 8  # questions of a session that are not answered yet
LONGEST_PROMPT = 200_000  # characters
Voices = Annotated[list[str] | None, Field(max_length=MOST_ADAPTERS + 1)]


class ComparedAdapter(Value):
    """An adapter of a session; `id` is its voice, also when it was removed since."""

    id: str
    name: str | None = None


class ComparisonMetadata(JobState):
    """A session and its state: it can be asked while it is not finished, and answers while it runs."""

    id: str
    base_model_id: str | None = None
    base_model_name: str | None = None
    adapters: list[ComparedAdapter] = []
    dataset_id: str | None = None
    prompt_id: str | None = None
    generation_config: str | None = None
    model_bnb_config: str | None = None
    idle_seconds: float
    active_at: float = Field(
        description="When it last began, was asked something, or was done with an answer; unix seconds."
    )
    num_cpu: int
    num_gpu: int
    num_memory: int

    def voice(self, id: str) -> str:
        """What a voice is called, for people."""
        names = {each.id: each.name for each in self.adapters}
        return "base" if id == BASE else names.get(id) or id


class Answer(Value):
    """What one voice says, as far as it came. `reason` (when done): eos, length, stopped or failed. Seconds since it was heard."""

    text: str = ""
    tokens: int = 0
    prompt_tokens: int = 0
    seconds: float = 0.0
    first_seconds: float | None = None
    done: bool = False
    reason: str | None = None
    error: str | None = None


class AskedQuestion(Value):
    """A question and its answers by voice: an adapter's id, or empty for the bare model."""

    number: int
    prompt: str | None = Field(None, description="None: a row is still to be drawn.")
    expected: str | None = None
    row: int | None = Field(None, description="Which row of its split was drawn, from 0 on.")
    held_out: bool | None = Field(None, description="Whether no adapter of the session was trained on that row.")
    random: bool = False
    voices: list[str]
    generation: dict[str, Any] = {}
    seed: int
    stopped: bool = False
    done: bool = False
    answers: dict[str, Answer] = {}
    asked_at: float
    done_at: float | None = None


class ComparisonStartedReply(Value):
    """The session that was queued."""

    comparison: ComparisonMetadata


class ComparisonReply(Value):
    """A session, and a page of what it was asked, in order.

    Pieces that come after it are records of its job's stream behind `records_id`; what of them is here already does no harm.
    """

    comparison: ComparisonMetadata
    questions: list[AskedQuestion]
    has_more: bool = Field(False, description="Whether there are questions before these.")
    records_id: str = "0-0"
    input_template: str | None = Field(None, description="How the session's prompt makes a question of a row.")


class ComparisonsReply(Page):
    """A page of sessions."""

    comparisons: list[ComparisonMetadata]


class AskedReply(Value):
    """The question's number; its answers come as records of the job's stream behind `records_id`."""

    id: str
    number: int
    status: JobStatus
    records_id: str = "0-0"


class StoppedReply(Value):
    """The questions that are to be answered no further."""

    id: str
    numbers: list[int]


class StartComparison(Command[ComparisonStartedReply]):
    """Ask a base model and its adapters side by side, live: a runner holds them in memory. It ends when nobody asks, or when
    a job needs its room while nobody does.
    """

    RULES: ClassVar[str | None] = "core.messages.comparing_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {"base_model_id": "m", "adapter_ids": ["a"]}

    base_model_id: str = Field("", description="The base model.")
    adapter_ids: list[str] = Field([], max_length=MOST_ADAPTERS, description="Adapters of that model.")
    dataset_id: str | None = Field(
        None, description="What rows are drawn from; the one that the first adapter was trained on without it."
    )
    prompt_id: str | None = Field(None, description="What makes questions of rows; the first adapter's without it.")
    generation_config: str | None = Field(None, description="Inline JSON or a config's id; the default without it.")
    model_bnb_config: str | None = Field(None, description="Inline JSON or a config's id; not quantised without it.")
    idle_seconds: float = Field(900, description="It ends by itself when nobody has asked for so long.")
    num_cpu: Count = Field(2, validation_alias=AliasChoices("num_cpu", "cpu"), description="CPU cores.")
    num_gpu: Count = Field(
        0, validation_alias=AliasChoices("num_gpu", "gpu"), description="GPUs; 0 answers on the CPU."
    )
    num_memory: Count = Field(8, validation_alias=AliasChoices("num_memory", "memory"), description="Memory in GiB.")
    priority: int = Field(0, ge=-100, le=100, description="Higher runs earlier.")


class AskComparison(Command[AskedReply]):
    """Ask a session: a text, or a row that is drawn at random. The answers come piece by piece as they are generated."""

    RULES: ClassVar[str | None] = "core.messages.comparing_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1", "prompt": "Hello"}

    id: str = Field(description="A comparison that has not ended.")
    prompt: str | None = Field(None, max_length=LONGEST_PROMPT, description="The text as the model is to read it.")
    random: bool = Field(False, description="Draw a row of the dataset instead, held out from training where some are.")
    voices: Voices = Field(
        None, description='Which adapters answer, by id; "" is the bare model. All of the session without it.'
    )
    generation_config: str | None = Field(
        None, description="Inline JSON: goes over the session's own, for this question."
    )
    seed: int | None = Field(
        None,
        ge=0,
        lt=2**31,
        description="Decides what is sampled and which row is drawn; the question's number without it.",
    )


class StopAnswers(Command[StoppedReply]):
    """Let a session say no more to a question, or to all of them; what was said stays."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str = Field(description="A comparison.")
    number: Count | None = Field(None, description="The question; all that are open without it.")


class EndComparison(Command[JobStateReply]):
    """End a session, which frees its memory: it has succeeded then. One that waits is cancelled."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str = Field(description="A comparison.")


class GetComparison(Query[ComparisonReply]):
    """Return a session and its newest questions with their answers."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1"}

    id: str
    before: Count | None = Field(None, description="Only questions before this number.")
    limit: Limit = 20


class ListComparisons(PagedQuery[ComparisonsReply]):
    """Return sessions, newest first."""

    RULES: ClassVar[str | None] = "core.messages.comparing_rules"

    order: str | None = ordered("status", "active_at", "created_at")
    status: str | None = Field(None, description="Only sessions in this state.", json_schema_extra=known(JobStatus))
    base_model_id: str | None = Field(None, description="Only sessions with this base model.")
