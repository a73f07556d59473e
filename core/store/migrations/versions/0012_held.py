"""Jobs that stand still until there is room on their disk"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("held", sa.JSON(), nullable=True))
