"""What is registered under a name when it is better than what has the name"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

TEXTS = ("dataset_id", "prompt_id", "adapter_id", "champion_adapter_id", "evaluation_id", "export_id", "version")


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in ("name", "metric", "state")),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("waits_for", sa.String(), nullable=False),
        sa.Column("look_at", sa.Double(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=True) for name in TEXTS),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("value", "champion_value")),
        *(sa.Column(name, sa.Double(), nullable=True) for name in ("created_at", "updated_at")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.create_index("ix_promotions_state", "promotions", ["state"])
    op.create_index("ix_promotions_name", "promotions", ["name"])
