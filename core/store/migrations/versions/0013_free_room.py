"""What jobs have left of a runner, to be looked up"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("runners") as batch_op:
        batch_op.add_column(sa.Column("free_cpus", sa.Double(), nullable=True))
        batch_op.add_column(sa.Column("free_gpus", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("free_memory", sa.Double(), nullable=True))
        batch_op.create_index("ix_runners_free", ["free_gpus", "free_cpus", "free_memory"])
