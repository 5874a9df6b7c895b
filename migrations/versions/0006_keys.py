"""Keys outlive images: why an image died, which decisions were taken over, the keys it had before."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds two columns, empty for what is there, and a table."""
    # In place in SQLite too, which can add nullable columns without a copy.
    op.add_column("image", sa.Column("cause", sa.Text(), nullable=True))
    op.add_column("label_override", sa.Column("copy_of", BIG, nullable=True))
    op.create_table(
        "former_key",
        sa.Column("image_id", BIG, autoincrement=False, nullable=False),
        sa.Column("until", BIG, autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_former_key_image_id"),
        sa.PrimaryKeyConstraint("image_id", "until", name="pk_former_key"),
    )
    op.create_index("ix_former_key_until", "former_key", ["until"])
