"""What is asked of jobs that are there, and why those that failed did"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

CLASSES = ("user_error", "out_of_memory", "disk_full", "runner_lost", "killed")  # everything else was a fault of ours


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("retries", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("fresh", sa.Boolean(), server_default=sa.false(), nullable=False))
        batch_op.add_column(sa.Column("checkpoints_asked", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("failure_class", sa.String(), nullable=True))
    jobs = sa.table("jobs", sa.column("id"), sa.column("status"), sa.column("error", sa.JSON()), sa.column("failure_class"))
    connection = op.get_bind()
    for id, error in connection.execute(sa.select(jobs.c.id, jobs.c.error).where(jobs.c.status == "failed")).all():
        kind = (error or {}).get("kind")
        known = kind if kind in CLASSES else "bug"
        connection.execute(sa.update(jobs).where(jobs.c.id == id).values(failure_class=known))
