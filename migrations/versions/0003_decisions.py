"""Decisions say what was judged: verdict, the value that was given, the audit run behind it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds three columns; the overrides that are there were set, on what is no longer known."""
    # In place in SQLite too, which can add nullable columns, and others with a default, without a copy.
    op.add_column("label_override", sa.Column("verdict", sa.Text(), nullable=False, server_default="set"))
    op.add_column("label_override", sa.Column("given", sa.SmallInteger(), nullable=True))
    op.add_column("label_override", sa.Column("run", sa.Text(), nullable=True))
