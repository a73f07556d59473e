"""How a job trains (method, chat template, splits, early stopping, preset), the model it made, and a dataset's splits"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

JOBS: dict[str, Any] = {
    "method": sa.String(),
    "chat_template": sa.Boolean(),
    "train_splits": sa.JSON(),
    "eval_split": sa.String(),
    "early_stopping_patience": sa.Integer(),
    "keep_best": sa.Boolean(),
    "preset": sa.String(),
    "trained_model_id": sa.String(),
}


def upgrade() -> None:
    """Bring the tables to this revision."""
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.add_column(sa.Column("splits", sa.JSON(), nullable=True))
    with op.batch_alter_table("fine_tuning_jobs") as batch_op:
        for name, kind in JOBS.items():
            batch_op.add_column(sa.Column(name, kind, nullable=True))
        _link(batch_op, "fine_tuning_jobs", "trained_model_id", "models")
    with op.batch_alter_table("models") as batch_op:
        batch_op.add_column(sa.Column("fine_tuning_job_id", sa.String(), nullable=True))
        _link(batch_op, "models", "fine_tuning_job_id", "fine_tuning_jobs")


def _link(batch_op: Any, table: str, column: str, target: str) -> None:
    batch_op.create_index(batch_op.f(f"ix_{table}_{column}"), [column], unique=False)
    batch_op.create_foreign_key(
        batch_op.f(f"fk_{table}_{column}"), target, [column], ["id"], ondelete="SET NULL", initially="DEFERRED", deferrable=True
    )
