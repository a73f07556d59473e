"""What the studio tells a webhook or a command when a job ends: how far that is, once more, and a try (docs/notifications.md)."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import Field

from core.messages.base import Command, Value
from core.messages.common import Page, PagedQuery, known, one_of_or_none, ordered
from core.rules import World, rule
from core.types import NotificationState

TARGETS = ("webhook", "command")


class NotificationMetadata(Value):
    """That a job ended, for one target. Times are unix seconds."""

    id: str = Field(description="The same at every try: who is told twice knows by it.")
    target: str = Field(description="webhook or command.")
    job_id: str | None = Field(None, description="None: a try that someone asked for.")
    text: str = ""
    state: NotificationState
    tries: int = 0
    error: str | None = Field(None, description="Why the last try failed.")
    next_at: float | None = Field(None, description="When it is tried again, while it waits.")
    created_at: float
    told_at: float | None = None


class NotificationsReply(Page):
    """A page of notifications."""

    notifications: list[NotificationMetadata]


class NotificationsChangedReply(Value):
    """The notifications that are told now."""

    ids: list[str]


class NotificationsRetriedReply(NotificationsChangedReply):
    """Those that are told once more now, and how many the same message would tell next."""

    left: int = Field(0, description="How many are given up still, where all of them were meant.")


class ListNotifications(PagedQuery[NotificationsReply]):
    """Return what was told to the webhook and the command, or is to be, newest first."""

    order: str | None = ordered("target", "state", "tries", "created_at", "told_at")
    state: str | None = Field(None, description="Only those in this state.", json_schema_extra=known(NotificationState))
    job_id: str | None = Field(None, description="Only those about this job.")


@rule(ListNotifications, "NT-101", "state", passes=[{}, {"state": "waiting"}], fails=[{"state": "lost"}])
def _listed_state(message: ListNotifications, world: World) -> Iterator[str]:
    """a list is filtered by a state that there is"""
    yield from one_of_or_none(message.state, NotificationState, "state")


class RetryNotifications(Command[NotificationsRetriedReply]):
    """Tell once more what was given up or waits for its next try: now, and for as long as a new one."""

    id: str | None = Field(
        None,
        description="A notification; none: the oldest 500 that were given up, and the reply says how many are left.",
    )


class TestNotifications(Command[NotificationsChangedReply]):
    """Tell the webhook and the command something that says that it is a try."""

    __test__ = False  # pytest takes it for tests by its name
