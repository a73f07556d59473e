"""Dead letters: messages that could not be run, to be looked at, mended, sent again or dropped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar

from pydantic import Field

from core.messages.base import Command, Query, Value
from core.messages.common import Limit, Name
from core.rules import World, rule

MOST = 1_000  # letters that are dropped at once


class DeadLetter(Value):
    """A message that could not be run. `at` in unix seconds."""

    id: str
    at: float
    queue: str = Field("", description="Where it lay.")
    name: str = Field("", description="The message's name, as far as it can be read.")
    reason: str = ""
    bytes: int = 0
    head: str = Field("", description="How it begins, without secrets.")


class Answered(Value):
    """What was answered to a letter's key before it died."""

    state: str = Field(description="done, or the reply's code.")
    message: str = ""


class DeadLetterDetails(DeadLetter):
    """The whole of it, without secrets: what looks like one is ••••••, and goes out as it was unless it is changed."""

    raw: str = Field("", description="What was sent, up to 64 KiB of it.")
    cut: bool = Field(False, description="There is more of it than `raw` shows.")
    payload: Any = Field(None, description="The message's fields; none when they can't be read, or are too long.")
    key: str = Field("", description="Its idempotency key.")
    sender: str = ""
    program: str = ""
    answered: Answered | None = Field(
        None,
        description="Its key was answered before: sent again unchanged, it is answered so and done no second time.",
    )


class DeadLettersReply(Value):
    """A page of dead letters, newest first; `total` counts all that there are."""

    letters: list[DeadLetter]
    total: int = 0
    has_more: bool = False


class DeadLetterReply(Value):
    """One dead letter."""

    letter: DeadLetterDetails


class RequeuedReply(Value):
    """Where a letter went. Its answer is in the log of messages, under `key`."""

    id: str
    name: str
    queue: str
    key: str


class DroppedReply(Value):
    """How many letters were dropped now; the others were not there any more."""

    dropped: int
    gone: int = 0


class ListDeadLetters(Query[DeadLettersReply]):
    """Return the messages that could not be run, newest first. The newest 10,000 are kept, and 64 MiB of them."""

    after: Name | None = Field(None, description="The id after which the page begins; none: the first page.")
    limit: Limit = 100
    contains: str | None = Field(None, description="Only those that hold all these words in what is shown of them.")


class GetDeadLetter(Query[DeadLetterReply]):
    """Return one dead letter: why it died, and what it says."""

    id: Name


class RequeueDeadLetter(Command[RequeuedReply]):
    """Send a dead letter again, as it is or with another payload; a letter goes out once, whatever fails on the way."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"id": "1700000000000-0"}

    id: Name
    payload: dict[str, Any] | None = Field(
        None, description="The message's fields instead of those that it has; ••••••: what stands there in the letter."
    )
    name: Name | None = Field(None, description="The message's name, where the letter tells none or a wrong one.")


class DropDeadLetters(Command[DroppedReply]):
    """Drop dead letters for good."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"ids": ["1700000000000-0"]}

    ids: list[Annotated[str, Field(max_length=255)]] = Field(description="At most 1,000 of them.")


@rule(
    DropDeadLetters,
    "DL-101",
    "ids",
    passes=[{"ids": ["1-0"]}],
    fails=[{"ids": []}, {"ids": ["1-0"] * (MOST + 1)}],
)
def _ids(message: DropDeadLetters, world: World) -> Iterator[str]:
    """between one and 1,000 letters are dropped at once"""
    if not 1 <= len(message.ids) <= MOST:
        yield f"ids must name between 1 and {MOST:,} letters, not {len(message.ids):,}"


@rule(
    RequeueDeadLetter,
    "DL-102",
    "name",
    passes=[{}, {"name": "AddConfig", "payload": {}}],
    fails=[{"name": "AddConfig"}],
)
def _name(message: RequeueDeadLetter, world: World) -> Iterator[str]:
    """who names a letter's message anew gives its payload too"""
    if message.name is not None and message.payload is None:
        yield "another name needs a payload of its own: fields of one message are not those of another"
