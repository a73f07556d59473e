"""Indexes that serve the order of lists: a page costs the same wherever it lies"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

LISTED = ("datasets", "models", "adapters", "prompts", "configs")


def upgrade() -> None:
    """Bring the tables to this revision."""
    for table in LISTED:
        op.create_index(f"ix_{table}_listed", table, ["created_at", "id"])
    op.create_index("ix_configs_model_family", "configs", ["model_family", "is_default"])
    op.create_index("ix_jobs_kind", "jobs", ["kind", "created_at", "id"])
