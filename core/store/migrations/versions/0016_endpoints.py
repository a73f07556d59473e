"""Endpoints: what was asked for, where they can be called, what they did"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

LINKS = {"base_model_id": "models", "generation_config_id": "configs"}
TEXTS = {"engine": False, "host": False, "key_sha256": True, "address": True}
NUMBERS = {"port": False, "idle_seconds": False, "max_concurrency": False, "num_cpu": False, "num_gpu": False,
           "num_memory": False, "active": False, "served_by": True}
COUNTS = ("requests", "refused", "failures", "tokens")
TIMES = ("serving_since", "last_used_at")


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "endpoints",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        *(sa.Column(name, sa.String(), nullable=True) for name in LINKS),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("adapter_ids", "models")),
        *(sa.Column(name, sa.String(), nullable=nullable) for name, nullable in TEXTS.items()),
        *(sa.Column(name, sa.Integer(), nullable=nullable) for name, nullable in NUMBERS.items()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Double(), nullable=True) for name in TIMES),
        sa.Column("generation_config", sa.Text(), nullable=True),
        sa.Column("stop_asked", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_endpoints")),
        *(
            sa.ForeignKeyConstraint(
                [name],
                [f"{table}.id"],
                name=op.f(f"fk_endpoints_{name}"),
                ondelete="SET NULL",
                initially="DEFERRED",
                deferrable=True,
            )
            for name, table in LINKS.items()
        ),
    )
    for name in ("name", *LINKS):
        op.create_index(op.f(f"ix_endpoints_{name}"), "endpoints", [name])
