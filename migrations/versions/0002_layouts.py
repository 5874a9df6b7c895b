"""Spaces have a layout: label embeddings, which all had before, or posteriors."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the column; the spaces that are there hold label embeddings."""
    # In place in SQLite too, which can add a column with a default without copying the table.
    op.add_column("space", sa.Column("layout", sa.Text(), nullable=False, server_default="labels"))
