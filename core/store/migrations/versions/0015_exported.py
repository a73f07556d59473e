"""Where an export goes in more ways, and what came of it"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("export_jobs") as batch_op:
        batch_op.add_column(sa.Column("merge", sa.Boolean(), server_default=sa.true(), nullable=False))
        batch_op.add_column(sa.Column("hub_name", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("private", sa.Boolean(), server_default=sa.true(), nullable=False))
        batch_op.add_column(sa.Column("alias", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("result", sa.JSON(), nullable=True))
