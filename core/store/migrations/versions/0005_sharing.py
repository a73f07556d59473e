"""How jobs share runners: the lane that a job waits in, and the room that a runner keeps for one"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from core.store.work import shape_text

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ASKED = ("engine", "cpus", "gpus", "memory", "workers")
jobs = sa.table("jobs", sa.column("id"), sa.column("shape"), sa.column("spec", sa.JSON), *map(sa.column, ASKED))


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.add_column(sa.Column("shape", sa.String(), server_default="", nullable=False))
        batch_op.drop_index("ix_jobs_status_priority")
    rows = op.get_bind().execute(sa.select(jobs.c.id, jobs.c.spec, *(jobs.c[name] for name in ASKED))).mappings().all()
    for row in rows:
        op.get_bind().execute(sa.update(jobs).where(jobs.c.id == row["id"]).values(shape=shape_text(dict(row))))
    op.create_index("ix_jobs_lane", "jobs", ["status", "shape", "priority", "queued_at", "id"])
    op.create_index("ix_jobs_finished_at", "jobs", ["finished_at"])
    with op.batch_alter_table("runners") as batch_op:
        batch_op.add_column(sa.Column("kept_for", sa.String(), nullable=True))
        batch_op.add_column(sa.Column("kept_workers", sa.Integer(), server_default="0", nullable=False))
        batch_op.create_index("ix_runners_kept_for", ["kept_for"])
