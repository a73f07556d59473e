"""Indexes that serve long lists of jobs: by name and by state, and what a text is looked for in without reading whole rows"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SEEN = ("kind", "created_at", "id", "name", "status", "failure_class", "runner_id")


def upgrade() -> None:
    """Bring the tables to this revision. Lists sort capitals among small letters, which SQLite's own order does not."""
    # PostgreSQL's index refuses a long name; the adapter's or export's own row keeps it whole.
    op.execute("UPDATE jobs SET name = substr(name, 1, 254) || '…' WHERE length(name) > 255")
    collation = " COLLATE NOCASE" if op.get_bind().dialect.name == "sqlite" else ""
    for column in ("name", "status"):
        op.execute(f"CREATE INDEX ix_jobs_by_{column} ON jobs (kind, {column}{collation}, id)")
    op.create_index("ix_jobs_seen", "jobs", list(SEEN))
    op.drop_index("ix_jobs_kind", table_name="jobs")  # the one before begins as it did
    op.create_index("ix_fine_tuning_jobs_seen", "fine_tuning_jobs", ["id", "adapter_name"])
