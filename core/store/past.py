"""The tables of what was: events, replies by their key, and a line for each outcome of a command (docs/past.md)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base

GONE = "type = 'ResourceRemoved' AND kind = 'jobs'"  # of jobs that were removed only the log tells


class EventRow(Base):
    """The log of what happened in the domain, and the outbox. Ids count up and are never used twice."""

    __tablename__ = "events"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    at: Mapped[float]
    type: Mapped[str]
    level: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    kind: Mapped[str]
    resource_id: Mapped[str]
    data: Mapped[dict[str, Any]]

    __table_args__ = (
        Index("ix_events_resource_id", "resource_id", "id"),
        Index("ix_events_at", "at", "id"),
        Index("ix_events_removed", "id", sqlite_where=text(GONE), postgresql_where=text(GONE)),
        {"sqlite_autoincrement": True},
    )


class Inbox(Base):
    """What was answered to a command's key: a second delivery gets the same, another payload a conflict."""

    __tablename__ = "inbox"

    key: Mapped[str] = mapped_column(String, primary_key=True)
    name: Mapped[str]
    payload_hash: Mapped[str]
    reply: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double, index=True)


class MessageRow(Base):
    """What a command asked, who sent it, and what came of it. `payload` is JSON without secrets, None when it is too long.

    `sent_at` is the sender's clock, `at` when a handler took it up, `seconds` what that took. `code` is empty when it was
    done. `attempts` counts deliveries with the same key.
    """

    __tablename__ = "messages"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    key: Mapped[str] = mapped_column(String, index=True)
    name: Mapped[str]
    queue: Mapped[str]
    sender: Mapped[str]
    program: Mapped[str]
    payload: Mapped[str | None] = mapped_column(Text)
    bytes: Mapped[int]
    sent_at: Mapped[float | None]
    at: Mapped[float]
    seconds: Mapped[float]
    code: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    breaches: Mapped[list[Any]]
    kind: Mapped[str]
    resource_id: Mapped[str]
    attempts: Mapped[int]

    __table_args__ = (Index("ix_messages_at", "at", "id"), {"sqlite_autoincrement": True})
