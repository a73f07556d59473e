"""Endpoints: a base model and its adapters behind HTTP, as a job of a runner (docs/serving.md)."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import AliasChoices, Field

from core.messages.base import Command, Query, Value
from core.messages.common import Count, Name, NameContains, Page, PagedQuery, known, ordered
from core.messages.jobs import JobState, JobStateReply
from core.types import EndpointEngine, JobStatus


class EndpointMetadata(JobState):
    """An endpoint: what was asked for, the state of its job, where it can be called, and what it has done so far."""

    id: str
    base_model_id: str | None = None
    base_model_name: str | None = None
    adapter_ids: list[str] = []
    models: list[str] = Field(
        [], description="The names that it answers to: the base model's first, then the adapters'."
    )
    engine: str = EndpointEngine.studio.value
    host: str
    port: int
    address: str | None = Field(None, description="Where it can be called now; none while it can't.")
    last_address: str | None = Field(None, description="Where it could be called last.")
    auth: bool
    cml_model_id: str | None = Field(None, description="The model at Cloudera ML, when it is an endpoint there.")
    idle_seconds: int = 0
    max_concurrency: int = 8
    serving_at: float | None = Field(None, description="Since when it can be called; unix seconds.")
    requests: int = Field(0, description="Requests that were answered.")
    refused: int = Field(
        0, description="Requests that were refused: a wrong key, a body that can't be read, too many at once."
    )
    failures: int = Field(0, description="Requests that failed while they were answered.")
    tokens: int = Field(0, description="Tokens that were made.")
    active: int = Field(0, description="Requests that are being answered now.")
    last_used_at: float | None = None
    generation_config_id: str | None = None
    generation_config: str | None = None
    num_cpu: int
    num_gpu: int
    num_memory: int


class StartEndpointReply(Value):
    """The endpoint that was queued. `key` is told this once: the studio keeps no more than its SHA-256."""

    ONCE: ClassVar[frozenset[str]] = frozenset({"key"})

    endpoint: EndpointMetadata
    key: str | None = Field(
        None, description="What callers give as their bearer token; none without auth, or when its hash was given."
    )


class EndpointReply(Value):
    """One endpoint."""

    endpoint: EndpointMetadata


class EndpointsReply(Page):
    """A page of endpoints."""

    endpoints: list[EndpointMetadata]


class StartEndpoint(Command[StartEndpointReply]):
    """Put a base model and its adapters behind HTTP: OpenAI's chat and completions on a runner, an adapter as a model's name."""

    RULES: ClassVar[str | None] = "core.messages.endpoint_rules"
    EXAMPLE: ClassVar[dict[str, Any]] = {"base_model_id": "m", "adapter_ids": ["a"], "name": "support"}

    base_model_id: str = Field("", description="The base model; it is served under its own name too.")
    adapter_ids: list[Name] = Field([], description="Adapters of that model; each is called by its name.")
    name: Name = Field("", description="What the endpoint is called in the studio.")
    host: str = Field(
        "127.0.0.1", description="The runner's address to listen at; 0.0.0.0 is reached from other machines."
    )
    port: Count = Field(0, description="0: any that is free.")
    auth: bool = Field(
        True, description="Ask callers for the key that the reply tells; without it only on a loopback address."
    )
    key_sha256: Name | None = Field(
        None,
        description="Of a key of your own, in hexadecimal: then it never travels; without it the studio makes one.",
    )
    idle_seconds: Count = Field(0, description="End by itself when nobody has asked for so long; 0: never.")
    max_concurrency: Count = Field(8, description="Requests answered at once; more are told to come later (429).")
    engine: str = Field(
        EndpointEngine.auto.value,
        description="auto: vLLM when a runner has it and a GPU is asked for, else the studio's own.",
        json_schema_extra=known(each for each in EndpointEngine if each is not EndpointEngine.cml_model),
    )
    generation_config: str | None = Field(
        None, description="What a request that says nothing is answered with: inline JSON or a config's id."
    )
    num_cpu: Count = Field(1, validation_alias=AliasChoices("num_cpu", "cpu"), description="CPU cores.")
    num_gpu: Count = Field(
        0, validation_alias=AliasChoices("num_gpu", "gpu"), description="GPUs; 0 answers on the CPU."
    )
    num_memory: Count = Field(4, validation_alias=AliasChoices("num_memory", "memory"), description="Memory in GiB.")
    priority: int = Field(0, ge=-100, le=100, description="Higher runs earlier.")


class StopEndpoint(Command[JobStateReply]):
    """Stop an endpoint: it takes no more requests, gives those under way a moment, and has then succeeded."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "e"}

    id: str


class GetEndpoint(Query[EndpointReply]):
    """Return one endpoint: its address, its state, what it has answered."""

    id: str


class ListEndpoints(PagedQuery[EndpointsReply]):
    """Return endpoints, newest first."""

    RULES: ClassVar[str | None] = "core.messages.endpoint_rules"

    order: str | None = ordered("name", "status", "requests", "tokens", "last_used_at", "created_at")
    status: str | None = Field(None, description="Only endpoints in this state.", json_schema_extra=known(JobStatus))
    base_model_id: str | None = Field(None, description="Only endpoints of this base model.")
    name_contains: NameContains = None
