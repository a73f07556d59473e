"""Endpoints at Cloudera ML: the model that one is there, and whether callers are asked who they are, which no hash of a key tells"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.add_column("endpoints", sa.Column("auth", sa.Boolean(), nullable=False, server_default=sa.true()))
    op.add_column("endpoints", sa.Column("cml_model_id", sa.String(), nullable=True))
    op.execute("UPDATE endpoints SET auth = (key_sha256 IS NOT NULL)")
