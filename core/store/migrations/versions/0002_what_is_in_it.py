"""What a dataset holds (types, first rows, a Hub's config), and a job's description"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.add_column(sa.Column("config_name", sa.String(), server_default="", nullable=False))
        batch_op.add_column(sa.Column("column_types", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("preview", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("is_chat", sa.Boolean(), nullable=True))
        batch_op.drop_constraint("uq_datasets_huggingface_name", type_="unique")
        batch_op.create_unique_constraint("uq_datasets_huggingface_name_config_name", ["huggingface_name", "config_name"])
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("description", sa.Text(), nullable=True))
