"""Where a model registry keeps the files of a model or adapter"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    for table in ("models", "adapters"):
        with op.batch_alter_table(table) as batch_op:
            batch_op.add_column(sa.Column("source", sa.Text(), nullable=True))
