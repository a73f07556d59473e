"""What can be asked: bodies as OpenAI's clients and the guide's send them. What is not understood is refused by its name."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gpu_runner.serving.errors import ApiError

MOST_PROMPTS = 32  # of one request
TOLD = 20  # problems of one body that are told
# Told to services about who asks, or how to bill it: nothing that changes an answer.
PASSED_OVER = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}
)
# What asks for nothing. Any other value asks for what is not here: silence would be a wrong answer.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "best_of": (1,),
    "echo": (False,),
    "suffix": ("",),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "functions": ([],),
    "modalities": (["text"],),
}

Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Temperature = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=10**7)]
StopText = Annotated[str, Field(min_length=1, max_length=1000)]
B = TypeVar("B", bound=BaseModel)


class Body(BaseModel):
    """A body's fields. Numbers may not come as texts."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_what_asks_for_nothing(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        kept = {name: value for name, value in given.items() if value is not None and name not in PASSED_OVER}
        for name in kept.keys() & NEUTRAL.keys() - cls.model_fields.keys():
            if kept[name] in NEUTRAL[name]:
                del kept[name]  # else it is refused, as what is not known is
        return kept


class StreamOptions(BaseModel):
    """How a stream is told."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    include_usage: bool = False


class Settings(Body):
    """How an answer is made; what is not said is the endpoint's generation config's."""

    model: str = ""
    max_tokens: Tokens | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Field(ge=-1, le=10**6)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    stop: list[StopText] = Field([], max_length=16)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    seed: Annotated[int, Field(ge=-(2**63), lt=2**63)] | None = None

    @field_validator("stop", mode="before")
    @classmethod
    def _one_stop(cls, given: Any) -> Any:
        return [given] if isinstance(given, str) else given

    def over(self, config: dict[str, Any]) -> dict[str, Any]:
        """The generation config with what was asked laid over it; temperature 0 takes the likeliest token always."""
        made = {**config, **self.model_dump(include={"top_p", "min_p", "repetition_penalty"}, exclude_none=True)}
        if self.max_tokens is not None:
            made["max_new_tokens"] = self.max_tokens
        if self.top_k is not None:
            made["top_k"] = max(self.top_k, 0)  # -1 means all, which is 0 here
        if self.temperature is not None:
            made["do_sample"] = self.temperature > 0
            made["temperature"] = self.temperature or None
        return made


class TextPart(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A turn of a conversation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[list[TextPart], Field(fail_fast=True)]
    name: str | None = None
    refusal: None = None

    @property
    def turn(self) -> dict[str, str]:
        """The message as chat templates know it."""
        said = self.content if isinstance(self.content, str) else "".join(part.text for part in self.content)
        return {"role": "system" if self.role == "developer" else self.role, "content": said}


class Chat(Settings):
    """/v1/chat/completions"""

    messages: list[ChatMessage] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="before")
    @classmethod
    def _newer_name(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("max_completion_tokens") is None:
            return (
                {k: v for k, v in given.items() if k != "max_completion_tokens"} if isinstance(given, dict) else given
            )
        kept = {**given, "max_tokens": given["max_completion_tokens"]}
        del kept["max_completion_tokens"]
        return kept


# Of a list of millions the first that is wrong is told: all of them took minutes and gigabytes.
Ids = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, fail_fast=True)]
Texts = Annotated[list[str], Field(fail_fast=True)]
IdLists = Annotated[list[Ids], Field(fail_fast=True)]


class Completion(Settings):
    """/v1/completions: texts, or token ids, to be gone on from."""

    prompt: str | Texts | Ids | IdLists

    @field_validator("prompt")
    @classmethod
    def _some(cls, given: Any) -> Any:
        if isinstance(given, list) and not given:
            raise ValueError("is empty")
        return given

    @property
    def prompts(self) -> list[str | list[int]]:
        """Each prompt."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [self.prompt]
        return list(self.prompt)


class PredictSettings(Body):
    """The guide's request: a prompt, and how to answer it. `model` is ours: an adapter's name, or the base model's."""

    prompt: str
    model: str = ""
    temperature: Temperature | None = None
    max_new_tokens: Tokens | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Field(ge=0, le=10**6)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=100, allow_inf_nan=False)] | None = None
    num_beams: Annotated[int, Field(ge=1, le=16)] | None = None


class Predict(BaseModel):
    """/predict; Cloudera's callers put their key beside the request."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    request: PredictSettings


def read(kind: type[B], content: bytes) -> B:
    """The body as what it is to be; raises ApiError that names every field that is wrong."""
    try:
        given = json.loads(content, parse_constant=_no_number)
        json.dumps(given, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except (ValueError, RecursionError) as error:
        text = "it is nested too deeply" if isinstance(error, RecursionError) else _short(error)
        raise ApiError(400, f"the body is no JSON that can be read: {text}", code="invalid_json") from None
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        _refuse(error)


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _short(error: Exception) -> str:
    return str(error).splitlines()[0][:200]


def _refuse(error: ValidationError) -> NoReturn:
    told: dict[str, str] = {}
    for each in error.errors(include_url=False, include_context=False, include_input=False):
        at = ".".join(str(part) for part in each["loc"] if not _is_branch(part))
        problem = _unknown(at) if each["type"] == "extra_forbidden" else each["msg"]
        told.setdefault(at, problem.removeprefix("Value error, "))
    problems = [f"{at[:200]}: {problem}" if at else problem for at, problem in told.items()]
    more = f"; and {len(problems) - TOLD} more" if len(problems) > TOLD else ""
    raise ApiError(400, "; ".join(problems[:TOLD]) + more, param=next(iter(told)).partition(".")[0] or None) from None


def _unknown(name: str) -> str:
    return "can't be asked of this endpoint in this way: leave it out" if name in NEUTRAL else "is not known here"


def _is_branch(part: str | int) -> bool:
    """Whether it names one of several types that a field may have, not a place in the body."""
    return isinstance(part, str) and (part in ("str", "int") or "[" in part)
