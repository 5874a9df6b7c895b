"""The first tables: sources and images, packed labels, spaces and segments, generations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Creates every table on an empty database."""
    _create_bookkeeping()
    _create_gallery()
    _create_labels()
    _create_spaces()


def _create_bookkeeping() -> None:
    op.create_table(
        "store",
        sa.Column("store_id", sa.String(32), nullable=False),
        sa.Column("created_by", sa.String(64), nullable=False),
        sa.Column("migrated_by", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("store_id", name="pk_store"),
    )
    op.create_table(
        "generation",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("label_revision", BIG, nullable=False),
        sa.Column("tombstone_version", BIG, nullable=False),
        sa.Column("last_image_id", BIG, nullable=False),
        sa.Column("label_count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_generation"),
    )


def _create_gallery() -> None:
    op.create_table(
        "dataset",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("root", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dataset"),
        sa.UniqueConstraint("name", name="uq_dataset_name"),
    )
    op.create_table(
        "source",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("sha256", sa.LargeBinary(32), nullable=False),
        sa.Column("size_bytes", BIG, nullable=False),
        sa.Column("orientation", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_source_dataset_id"),
        sa.PrimaryKeyConstraint("id", name="pk_source"),
    )
    op.create_index("uq_source_file", "source", ["dataset_id", "uri", "sha256"], unique=True)
    op.create_table(
        "image",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("dataset_id", sa.Integer(), nullable=False),
        sa.Column("source_id", BIG, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("partition", sa.Text(), nullable=True),
        sa.Column("identity", BIG, nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("tombstone_version", BIG, nullable=True),
        sa.ForeignKeyConstraint(["dataset_id"], ["dataset.id"], name="fk_image_dataset_id"),
        sa.ForeignKeyConstraint(["source_id"], ["source.id"], name="fk_image_source_id"),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
    )
    op.create_index("ix_image_key", "image", ["key"])
    # A key belongs to one living image of its data set, and to any number of dead ones.
    living = sa.text("tombstone_version IS NULL")
    op.create_index(
        "uq_image_living_key",
        "image",
        ["dataset_id", "key"],
        unique=True,
        sqlite_where=living,
        postgresql_where=living,
    )
    dead = sa.text("tombstone_version IS NOT NULL")
    op.create_index(
        "ix_image_tombstone", "image", ["tombstone_version"], sqlite_where=dead, postgresql_where=dead
    )
    op.create_table(
        "thumbnail",
        sa.Column("image_id", BIG, autoincrement=False, nullable=False),
        sa.Column("jpeg", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_thumbnail_image_id"),
        sa.PrimaryKeyConstraint("image_id", name="pk_thumbnail"),
    )


def _create_labels() -> None:
    op.create_table(
        "label",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_label"),
        sa.UniqueConstraint("name", name="uq_label_name"),
    )
    op.create_table(
        "annotator",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_annotator"),
        sa.UniqueConstraint("name", name="uq_annotator_name"),
    )
    op.create_table(
        "annotation",
        sa.Column("image_id", BIG, autoincrement=False, nullable=False),
        sa.Column("annotator_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("revision", BIG, autoincrement=False, nullable=False),
        sa.Column("packed", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["annotator_id"], ["annotator.id"], name="fk_annotation_annotator_id"),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_annotation_image_id"),
        sa.PrimaryKeyConstraint("image_id", "annotator_id", "revision", name="pk_annotation"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "label_override",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("image_id", BIG, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("value", sa.SmallInteger(), nullable=True),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("revision", BIG, nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["image.id"], name="fk_label_override_image_id"),
        sa.ForeignKeyConstraint(["position"], ["label.position"], name="fk_label_override_position"),
        sa.PrimaryKeyConstraint("id", name="pk_label_override"),
    )
    op.create_index("ix_label_override_image_id", "label_override", ["image_id"])


def _create_spaces() -> None:
    op.create_table(
        "space",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("k", sa.Integer(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("added_in", BIG, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_space"),
        sa.UniqueConstraint("fingerprint", name="uq_space_fingerprint"),
    )
    op.create_table(
        "segment",
        sa.Column("uuid", sa.String(32), nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("manifest_sha256", sa.String(64), nullable=False),
        sa.Column("added_in", BIG, nullable=False),
        sa.Column("removed_in", BIG, nullable=True),
        sa.ForeignKeyConstraint(["space_id"], ["space.id"], name="fk_segment_space_id"),
        sa.PrimaryKeyConstraint("uuid", name="pk_segment"),
    )
    op.create_index("ix_segment_space_id", "segment", ["space_id"])
    op.create_table(
        "artefact",
        sa.Column("id", BIG, autoincrement=False, nullable=False),
        sa.Column("space_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("added_in", BIG, nullable=False),
        sa.Column("removed_in", BIG, nullable=True),
        sa.ForeignKeyConstraint(["space_id"], ["space.id"], name="fk_artefact_space_id"),
        sa.PrimaryKeyConstraint("id", name="pk_artefact"),
    )
    op.create_index("ix_artefact_space_id", "artefact", ["space_id"])
