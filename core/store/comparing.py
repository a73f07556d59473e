"""The tables of comparisons: what a session holds, and what it was asked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Index, Integer, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from core.store.base import Base, origin


class Comparison(Base):
    """The request of a session; its state is the row of jobs with the same id. `active_at` is when it was last asked or done.

    With `stop_asked` its end is what it was there for, not a cancelling.
    """

    __tablename__ = "comparisons"

    id: Mapped[str] = mapped_column(String, primary_key=True)
    base_model_id: Mapped[str | None] = mapped_column(origin("models.id"), index=True)
    dataset_id: Mapped[str | None] = mapped_column(origin("datasets.id"), index=True)
    prompt_id: Mapped[str | None] = mapped_column(origin("prompts.id"), index=True)
    generation_config: Mapped[str | None] = mapped_column(Text)
    model_bnb_config: Mapped[str | None] = mapped_column(Text)
    idle_seconds: Mapped[float]
    active_at: Mapped[float]
    stop_asked: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    num_cpu: Mapped[int]
    num_gpu: Mapped[int]
    num_memory: Mapped[int]


class ComparisonAdapter(Base):
    """An adapter of a session, in the order asked for; its name then is kept."""

    __tablename__ = "comparison_adapters"

    comparison_id: Mapped[str] = mapped_column(String, primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True)
    adapter_id: Mapped[str | None] = mapped_column(origin("adapters.id"), index=True)
    voice: Mapped[str]
    name: Mapped[str | None]


class ComparisonQuestion(Base):
    """A question and its answers: {voice: an Answer (core/messages/comparing.py)}; an adapter's voice is its id, the bare
    model's is empty. The prompt of a `random` one is there when its row was drawn.
    """

    __tablename__ = "comparison_questions"

    comparison_id: Mapped[str] = mapped_column(String, primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    prompt: Mapped[str | None] = mapped_column(Text)
    expected: Mapped[str | None] = mapped_column(Text)
    row: Mapped[int | None]
    held_out: Mapped[bool | None]
    random: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    voices: Mapped[list[str]]
    generation: Mapped[dict[str, Any]]
    seed: Mapped[int]
    stopped: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    done: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    answers: Mapped[dict[str, Any]]
    asked_at: Mapped[float]
    done_at: Mapped[float | None]

    __table_args__ = (Index("ix_comparison_questions_open", "comparison_id", "done"),)
