"""Comparisons: sessions that hold a model and adapters, and what they were asked"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

LINKS = {"base_model_id": "models", "dataset_id": "datasets", "prompt_id": "prompts"}


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "comparisons",
        sa.Column("id", sa.String(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=True) for name in LINKS),
        sa.Column("generation_config", sa.Text(), nullable=True),
        sa.Column("model_bnb_config", sa.Text(), nullable=True),
        sa.Column("idle_seconds", sa.Double(), nullable=False),
        sa.Column("active_at", sa.Double(), nullable=False),
        sa.Column("stop_asked", sa.Boolean(), server_default=sa.false(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("num_cpu", "num_gpu", "num_memory")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_comparisons")),
        *(_link("comparisons", name, table) for name, table in LINKS.items()),
    )
    op.create_table(
        "comparison_adapters",
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("place", sa.Integer(), nullable=False),
        sa.Column("adapter_id", sa.String(), nullable=True),
        sa.Column("voice", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("comparison_id", "place", name=op.f("pk_comparison_adapters")),
        _link("comparison_adapters", "adapter_id", "adapters"),
    )
    op.create_table(
        "comparison_questions",
        sa.Column("comparison_id", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=True),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("row", sa.Integer(), nullable=True),
        sa.Column("held_out", sa.Boolean(), nullable=True),
        *(sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False) for name in ("random", "stopped", "done")),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("voices", "generation", "answers")),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.Column("done_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("comparison_id", "number", name=op.f("pk_comparison_questions")),
    )
    op.create_index("ix_comparison_questions_open", "comparison_questions", ["comparison_id", "done"])
    for name in LINKS:
        op.create_index(op.f(f"ix_comparisons_{name}"), "comparisons", [name])
    op.create_index(op.f("ix_comparison_adapters_adapter_id"), "comparison_adapters", ["adapter_id"])


def _link(table: str, name: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [name],
        [f"{target}.id"],
        name=op.f(f"fk_{table}_{name}"),
        ondelete="SET NULL",
        initially="DEFERRED",
        deferrable=True,
    )
