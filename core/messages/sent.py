"""The log of messages: what was sent, by whom, and what came of it. Commands are logged, what only asks is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from core.messages.base import Query, Value
from core.messages.common import Moment, Name, Page, PagedQuery, known, ordered
from core.rules import Breach, World, rule
from core.types import Code

DONE = "done"
STATES = (DONE, *(each.value for each in Code))


class SentMessage(Value):
    """A command that was taken up. Its payload is kept without secrets: what looks like one is ••••••. Times are unix seconds."""

    id: str = Field(description="Counts up; the log's own.")
    key: str = Field(description="Its idempotency key: the same key does it once.")
    name: str
    queue: str
    sender: str = Field("", description="user@host, as it says of itself; empty: another service.")
    program: str = Field("", description="What it was sent with: dashboard, fts, python; empty: another service.")
    sent_at: float | None = Field(None, description="By the sender's clock.")
    at: float = Field(description="When a handler took it up, or it was answered without one.")
    seconds: float = Field(0.0, description="How long it took.")
    state: str = Field(DONE, description="done, or the code of the reply.", json_schema_extra=known(STATES))
    message: str = Field("", description="Why it was not done.")
    kind: str = Field("", description="The table of what it was about.")
    resource_id: str = ""
    attempts: int = Field(1, description="How often it was delivered.")
    head: str = Field("", description="The beginning of what it says.")


class SentMessageDetails(SentMessage):
    """The whole of it."""

    payload: Any = Field(None, description="The fields that were sent; none when they are longer than the log keeps.")
    bytes: int = Field(0, description="How long the payload is as JSON.")
    breaches: list[Breach] = []
    reply: dict[str, Any] | None = Field(
        None, description="What was answered, as long as the key is remembered (FTS_KEEP_INBOX_HOURS)."
    )


class MessagesReply(Page):
    """A page of the log."""

    messages: list[SentMessage]


class MessageReply(Value):
    """One message."""

    message: SentMessageDetails


class ListMessages(PagedQuery[MessagesReply]):
    """Return what was sent to the studio to change something, newest first, and how it was answered."""

    order: str | None = ordered("name", "sender", "state", "at", "seconds")
    sender: str | None = Field(None, description="Only what this one sent (user@host); empty: other services.")
    name: str | None = Field(None, description="Only messages of this name.")
    state: str | None = Field(None, description="Only what was answered so.", json_schema_extra=known(STATES))
    key: str | None = Field(None, description="Only what was sent with this key.")
    since: Moment = Field(None, description="Only what was taken up then or later; unix seconds.")
    until: Moment = Field(None, description="Only what was taken up before; unix seconds.")


class GetMessage(Query[MessageReply]):
    """Return one message of the log with its payload and what was replied."""

    id: Name


@rule(
    ListMessages,
    "MS-107",
    "state",
    passes=[{}, {"state": "done"}, {"state": "refused"}],
    fails=[{"state": "ok"}],
)
def _state(message: ListMessages, world: World) -> Iterator[str]:
    """the log of messages is filtered by states that there are"""
    if message.state is not None and message.state not in STATES:
        yield f"state must be one of {', '.join(STATES)}, not {message.state!r}"
