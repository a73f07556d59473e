"""A model's sizes: what the memory of its training is estimated from"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("models") as batch_op:
        batch_op.add_column(sa.Column("shape", sa.JSON(), nullable=True))
