"""How sure the figures of an evaluation are"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("evaluation_jobs") as batch_op:
        batch_op.add_column(sa.Column("statistics", sa.JSON(), nullable=True))
