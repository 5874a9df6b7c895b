"""Finished audits and the entries they suspect."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds both tables, empty."""
    op.create_table(
        "audit_run",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("label_revision", BIG, nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("finished_at", sa.DateTime(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("summary", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["space_id"], ["space.id"], name="fk_audit_run_space_id"),
        sa.PrimaryKeyConstraint("id", name="pk_audit_run"),
        sa.UniqueConstraint("name", name="uq_audit_run_name"),
    )
    op.create_table(
        "audit_suspect",
        sa.Column("run_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("image_id", BIG, nullable=False),
        sa.Column("given", sa.SmallInteger(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("present", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["audit_run.id"], name="fk_audit_suspect_run_id"),
        sa.ForeignKeyConstraint(["position"], ["label.position"], name="fk_audit_suspect_position"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_audit_suspect_image_id"),
        sa.PrimaryKeyConstraint("run_id", "rank", name="pk_audit_suspect"),
    )
    op.create_index("ix_audit_suspect_label", "audit_suspect", ["run_id", "position", "rank"])
