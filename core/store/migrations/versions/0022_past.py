"""What was sent and what came of it; the log of events by time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

TEXTS = ("key", "name", "queue", "sender", "program", "code", "kind", "resource_id")


def upgrade() -> None:
    """Bring the tables to this revision."""
    op.create_table(
        "messages",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        *(sa.Column(name, sa.String(), nullable=False) for name in TEXTS),
        sa.Column("payload", sa.Text(), nullable=True),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=True),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("at", "seconds")),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("breaches", sa.JSON(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_messages")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_messages_key"), "messages", ["key"])
    op.create_index("ix_messages_at", "messages", ["at", "id"])
    op.create_index("ix_events_at", "events", ["at", "id"])
    removed = sa.text("type = 'ResourceRemoved' AND kind = 'jobs'")
    op.create_index("ix_events_removed", "events", ["id"], sqlite_where=removed, postgresql_where=removed)
