"""What trainings learned, and the weights that came of them: known also when the job, the dataset or the adapter is gone"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

PARTS = ("job_id", "model", "dataset", "sampling", "prompt", "chat_template", "loss_on")
WEIGHTS = ".safetensors"


def upgrade() -> None:
    """Bring the tables to this revision: what earlier jobs have told is taken over."""
    trainings = op.create_table(
        "trainings",
        sa.Column("job_id", sa.String(), nullable=False),
        sa.Column("told", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", name="pk_trainings"),
    )
    weights = op.create_table(
        "trained_weights",
        sa.Column("sha256", sa.String(), nullable=False),
        sa.Column("job_id", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "job_id", name="pk_trained_weights"),
    )
    jobs = sa.table("jobs", sa.column("id"), sa.column("kind"), sa.column("spec", sa.JSON), sa.column("summary", sa.JSON))
    bind = op.get_bind()
    query = sa.select(jobs.c.id, jobs.c.spec, jobs.c.summary).where(jobs.c.kind == "fine_tuning")
    for id, spec, summary in bind.execute(query).all():
        if spec and {"job_id", "dataset", "sampling"} <= spec.keys():
            told = {name: spec[name] for name in PARTS if name in spec}
            bind.execute(trainings.insert().values(job_id=id, told=told))
        for sha256 in sorted(_shas(summary or {})):
            bind.execute(weights.insert().values(sha256=sha256, job_id=id))


def _shas(summary: dict[str, Any]) -> set[str]:
    files = [summary.get(f"{kind}_files") or {} for kind in ("adapter", "model")]
    return {sha for each in files for name, sha in each.items() if name.endswith(WEIGHTS)}
