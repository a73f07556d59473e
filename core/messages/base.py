"""What every message is: a pydantic class whose name is its RPC's name and its Dramatiq actor's name.

A Command changes something and is remembered by its key; a Query only reads. The type parameter is the reply's value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import Refused
from core.rules import Breach, Rule, check
from core.types import Code

R = TypeVar("R", bound=BaseModel)


class Value(BaseModel):
    """What a reply carries. Fields that this version does not know are let through, so that clients may be older."""

    model_config = ConfigDict(extra="ignore", defer_build=True)

    ONCE: ClassVar[frozenset[str]] = (
        frozenset()
    )  # secrets: a command's first reply tells them, and they are kept nowhere


class Part(BaseModel):
    """A nested part of a message; unknown fields are breaches."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class Message(BaseModel, Generic[R]):
    """A request to the studio. Shape is pydantic's, values are the rules'."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    QUEUE: ClassVar[str] = "commands"
    REPLY: ClassVar[type[BaseModel]]
    EXAMPLE: ClassVar[dict[str, Any]] = {}  # fields that break no local rule; the rules' examples are laid over it
    FOREIGN: ClassVar[bool] = False  # it carries what a program of a user wrote: its handler makes that storable
    SECONDS: ClassVar[float | None] = None  # how long a reply may take when that is more than the client's default
    RULES: ClassVar[str | None] = None  # the module that declares its rules, where that is another one than its own
    rules: ClassVar[list[Rule]]  # read through core.rules.rules_of

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        generic = cls.__pydantic_generic_metadata__
        if generic["origin"] is not None or generic["parameters"]:
            return  # Message, Command, Query and Command[SomeReply] are no messages themselves
        cls.rules = []
        cls.REPLY = _reply_type(cls)
        REGISTRY[cls.__name__] = cls


class Command(Message[R], Generic[R]):
    """A request that changes something; the same key does it once."""


class Query(Message[R], Generic[R]):
    """A request that only reads."""


REGISTRY: dict[str, type[Message[Any]]] = {}
# What a dashboard asks first comes first: looking up a name stops at the domain that has it.
DOMAINS = (
    "overview",
    "fine_tuning",
    "jobs",
    "events",
    "datasets",
    "models",
    "prompts",
    "job_verbs",
    "fine_tuning_rules",
    "adapters",
    "configs",
    "database",
    "editing",
    "endpoints",
    "endpoint_rules",
    "evaluation",
    "evaluation_rules",
    "comparing",
    "comparing_rules",
    "export",
    "export_rules",
    "splits",
    "letters",
    "notifications",
    "planning",
    "promoting",
    "removal",
    "checking",
    "results",
    "runners",
    "browsing",
    "sent",
    "then",
    "workbench",
)


def load() -> dict[str, type[Message[Any]]]:
    """Import every domain, so that all messages are registered; return the registry."""
    for domain in DOMAINS:
        import_module(f"core.messages.{domain}")
    return REGISTRY


def find(name: str) -> type[Message[Any]] | None:
    """Return the message of that name, importing no more domains than it takes; None when there is none."""
    for domain in DOMAINS:
        if name in REGISTRY:
            break
        import_module(f"core.messages.{domain}")
    return REGISTRY.get(name)


def named(name: str) -> type[Message[Any]]:
    """The message of that name, which there is."""
    find(name)
    return REGISTRY[name]


def _reply_type(cls: type[BaseModel]) -> type[BaseModel]:
    for base in cls.__mro__:
        args = getattr(base, "__pydantic_generic_metadata__", {}).get("args", ())
        if args and isinstance(args[0], type):
            return args[0]
    raise TypeError(f"{cls.__name__} must say what it answers: Command[Reply] or Query[Reply]")


class AsOf(BaseModel):
    """Which state of the store a reply reflects: the store's epoch and the id of the last event in the snapshot."""

    model_config = ConfigDict(frozen=True, defer_build=True)

    epoch: str
    event: int


class Reply(BaseModel):
    """What comes back on the wire; `breaches` of a reply that is ok are advisory (INFO)."""

    model_config = ConfigDict(defer_build=True)

    ok: bool
    value: Any = None
    code: Code | None = None
    message: str = ""
    breaches: list[Breach] = []
    as_of: AsOf | None = None


def parse(name: str, payload: object) -> Message[Any]:
    """Return the message `name` with `payload` as its fields; raise Refused when its shape is wrong, with all that can be told of it.

    Numbers are not taken from text nor text from numbers: what a sender meant is for the sender to say.
    """
    kind = find(name)
    if kind is None:
        from core.messages.shape import nearest

        raise Refused.because(
            [Breach(rule="MS-104", field="", message=f"there is no message named {name!r}{nearest(name, REGISTRY)}")]
        )
    if not isinstance(payload, Mapping):
        raise Refused.because(
            [Breach(rule="MS-101", field="", message="the payload must be an object of the message's fields")]
        )
    try:
        text = json.dumps(payload)
        if _SUSPECT.search(text):
            if kind.FOREIGN:
                text = json.dumps(_whole(payload))
            elif breaches := list(unstorable(payload)):
                raise _misshapen(kind, payload, breaches)
        return kind.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise _misshapen(kind, payload, error) from None
    except Refused:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise Refused.because([Breach(rule="MS-101", field="", message=f"the payload is not JSON: {error}")]) from None


def _misshapen(kind: type[Message[Any]], payload: Mapping[str, Any], wrong: ValidationError | list[Breach]) -> Refused:
    from core.messages.shape import shape_breaches, whole  # late: a dashboard's first frame has no use for it

    return Refused.because(whole(kind, payload, wrong if isinstance(wrong, list) else shape_breaches(wrong, kind)))


def faults(name: str, payload: object) -> list[Breach]:
    """What is wrong with a message, or worth knowing about it, by its shape and the rules that need nothing but itself."""
    try:
        return check(parse(name, payload))
    except Refused as error:
        return error.breaches


# What no database column holds: NUL in text, halves of surrogate pairs, integers beyond 64 bits. The search is cheap, the
# walk is for suspects only.
_SUSPECT = re.compile(r"\\u0000|\\ud[89a-f]|\d{19}")
_HALF = re.compile("[\ud800-\udfff]")
_LARGEST = 2**63 - 1


def unstorable(value: object, at: str = "") -> Iterator[Breach]:
    """What of a JSON value no column of a database holds, as breaches (MS-101) at its place."""
    if isinstance(value, str) and "\0" in value:
        yield Breach(rule="MS-101", field=at, message="text can't hold a NUL character")
    elif isinstance(value, str) and _HALF.search(value):
        yield Breach(rule="MS-101", field=at, message="text can't hold half of a surrogate pair")
    elif isinstance(value, int) and abs(value) > _LARGEST:
        yield Breach(rule="MS-101", field=at, message="a whole number may have 64 bits at most")
    elif isinstance(value, Mapping):
        for key, each in value.items():
            yield from unstorable(str(key), at)
            yield from unstorable(each, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list | tuple):
        for index, each in enumerate(value):
            yield from unstorable(each, f"{at}.{index}")


def _whole(value: Any) -> Any:
    """The value with halves of surrogate pairs replaced: no JSON is read that holds them."""
    if isinstance(value, str):
        return _HALF.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_whole(key): _whole(each) for key, each in value.items()}
    return [_whole(each) for each in value] if isinstance(value, list | tuple) else value
