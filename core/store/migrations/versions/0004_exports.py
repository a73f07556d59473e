"""Exports of adapters: what was asked for, beside the job's state"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

LINKS = {"base_model_id": "models", "adapter_id": "adapters", "generation_config_id": "configs"}


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "export_jobs",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=True) for name in LINKS),
        sa.Column("model_name", sa.String(), nullable=False),
        sa.Column("model_description", sa.Text(), nullable=True),
        sa.Column("artifact_location", sa.Text(), nullable=True),
        sa.Column("generation_config", sa.Text(), nullable=True),
        sa.Column("num_cpu", sa.Integer(), nullable=False),
        sa.Column("num_gpu", sa.Integer(), nullable=False),
        sa.Column("num_memory", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_export_jobs")),
        *(
            sa.ForeignKeyConstraint(
                [name],
                [f"{table}.id"],
                name=op.f(f"fk_export_jobs_{name}"),
                ondelete="SET NULL",
                initially="DEFERRED",
                deferrable=True,
            )
            for name, table in LINKS.items()
        ),
    )
    for name in LINKS:
        op.create_index(op.f(f"ix_export_jobs_{name}"), "export_jobs", [name])
