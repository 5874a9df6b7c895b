"""The tables of a store's metadata, for SQLite and PostgreSQL alike.

Typed Core tables rather than mapped classes: answers are arrays of many thousand rows,
which never become objects, and `sqlalchemy.orm` costs a cold command its import.
`migrations/versions` creates these tables; a test holds the two together.

What changes is versioned so that a reader keeps its generation while a writer goes on:
images by `id <= generation.last_image_id` and `tombstone_version`, their keys by `former_key`, labels by
`revision`, segments and artefacts by the half-open interval of generations `[added_in, removed_in)`.

Times are UTC without time zone.
"""

import datetime as dt
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Named,
    SmallInteger,
    String,
    Table,
    Text,
    TypedColumns,
)

# No `from __future__ import annotations` here: SQLAlchemy reads these annotations at run time.

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BIG = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits on both: SQLite makes a primary key its row id only when it is spelt INTEGER."""


def utc_now() -> dt.datetime:
    """The present moment as the tables store it: UTC, without time zone."""
    return dt.datetime.now(dt.UTC).replace(tzinfo=None)


class StoreColumns(TypedColumns):
    """One row: whose database this is. Every later version keeps these columns readable."""

    store_id: Named[str] = Column(String(32), primary_key=True)
    created_by: Named[str] = Column(String(64))
    migrated_by: Named[str] = Column(String(64))
    created_at: Named[dt.datetime] = Column(DateTime)


class GenerationColumns(TypedColumns):
    """What a reader sees. The newest row is the current generation; one predecessor is kept."""

    id: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    created_at: Named[dt.datetime] = Column(DateTime)
    reason: Named[str] = Column(Text)
    label_revision: Named[int] = Column(BIG)
    tombstone_version: Named[int] = Column(BIG)
    last_image_id: Named[int] = Column(BIG)
    label_count: Named[int] = Column(Integer)


class DatasetColumns(TypedColumns):
    """A data set that images came from; uris are relative to its root."""

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    name: Named[str] = Column(Text, unique=True)
    kind: Named[str] = Column(Text)
    root: Named[str] = Column(Text)
    created_at: Named[dt.datetime] = Column(DateTime)


class SourceColumns(TypedColumns):
    """A file as it was when read; other bytes under the same uri are another source."""

    id: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    dataset_id: Named[int] = Column(Integer, ForeignKey("dataset.id"))
    uri: Named[str] = Column(Text)
    sha256: Named[bytes] = Column(LargeBinary(32))
    size_bytes: Named[int] = Column(BIG)
    orientation: Named[int] = Column(SmallInteger)


class ImageColumns(TypedColumns):
    """One row of the gallery. Ids grow and are never reused.

    `cause` says what set the tombstone: `deleted` (somebody), `replaced` (other bytes under its key) or
    `gone` (its file, noticed by a sync); NULL of living images, and in tombstones of before revision 0006.
    """

    id: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    dataset_id: Named[int] = Column(Integer, ForeignKey("dataset.id"))
    source_id: Named[int] = Column(BIG, ForeignKey("source.id"))
    key: Named[str] = Column(Text, index=True)
    partition: Named[str | None] = Column(Text)
    identity: Named[int | None] = Column(BIG)
    width: Named[int] = Column(Integer)
    height: Named[int] = Column(Integer)
    created_at: Named[dt.datetime] = Column(DateTime)
    tombstone_version: Named[int | None] = Column(BIG)
    cause: Named[str | None] = Column(Text)


class FormerKeyColumns(TypedColumns):
    """The key that an image had in the generations before `until`: its file was renamed since."""

    image_id: Named[int] = Column(BIG, ForeignKey("image.id"), primary_key=True, autoincrement=False)
    until: Named[int] = Column(BIG, primary_key=True, autoincrement=False, index=True)
    key: Named[str] = Column(Text)


class PersonColumns(TypedColumns):
    """Who is shown, where data sets name people; `image.identity` holds the id (`store.write.persons`)."""

    id: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    name: Named[str] = Column(Text, unique=True)


class ThumbnailColumns(TypedColumns):
    """A small JPEG, apart from `image` so that scans of the gallery stay thin."""

    image_id: Named[int] = Column(BIG, ForeignKey("image.id"), primary_key=True, autoincrement=False)
    jpeg: Named[bytes] = Column(LargeBinary)


class LabelColumns(TypedColumns):
    """The label vocabulary: a position in packed rows and its name. Grows by appending."""

    position: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    name: Named[str] = Column(Text, unique=True)


class AnnotatorColumns(TypedColumns):
    """Who labelled: the import of a data set, a person, a program."""

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    name: Named[str] = Column(Text, unique=True)


class AnnotationColumns(TypedColumns):
    """Labels of one image by one annotator, one int8 (−1, 0, +1) a label position.

    Rows are never changed: other labels are another row of a later revision. Positions
    past the end of a row are unknown.
    """

    image_id: Named[int] = Column(BIG, ForeignKey("image.id"), primary_key=True, autoincrement=False)
    annotator_id: Named[int] = Column(
        Integer, ForeignKey("annotator.id"), primary_key=True, autoincrement=False
    )
    revision: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    packed: Named[bytes] = Column(LargeBinary)


class OverrideColumns(TypedColumns):
    """A decision on one label of one image, laid over the annotation; the latest counts.

    `value` is −1, 0 or +1; NULL leaves the annotation in force. `verdict` is one of
    `decision_rules.VERDICTS`, `given` the effective value that was decided on (NULL in rows of before
    revision 0003), `run` the audit that led to it. Rows are never changed: an undo is a row of its own.
    `copy_of` is the row that this one repeats: an image that takes the place of another one of its key takes
    its decisions over. NULL where it was decided on this very image.
    """

    id: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    image_id: Named[int] = Column(BIG, ForeignKey("image.id"), index=True)
    position: Named[int] = Column(Integer, ForeignKey("label.position"))
    value: Named[int | None] = Column(SmallInteger)
    who: Named[str] = Column(Text)
    why: Named[str] = Column(Text)
    created_at: Named[dt.datetime] = Column(DateTime)
    revision: Named[int] = Column(BIG)
    verdict: Named[str] = Column(Text, server_default="set")
    given: Named[int | None] = Column(SmallInteger)
    run: Named[str | None] = Column(Text)
    copy_of: Named[int | None] = Column(BIG)


class SpaceColumns(TypedColumns):
    """Everything one encoder produced in this store."""

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    fingerprint: Named[str] = Column(String(64), unique=True)
    name: Named[str] = Column(Text)
    kind: Named[str] = Column(Text)
    layout: Named[str] = Column(Text, server_default="labels")
    labels: Named[list[str]] = Column(JSON)
    k: Named[int] = Column(Integer)
    config: Named[dict[str, Any]] = Column(JSON)
    created_at: Named[dt.datetime] = Column(DateTime)
    added_in: Named[int] = Column(BIG)


class SegmentColumns(TypedColumns):
    """A folder `segments/<uuid>`; the manifest's hash tells it from any other."""

    uuid: Named[str] = Column(String(32), primary_key=True)
    space_id: Named[int] = Column(Integer, ForeignKey("space.id"), index=True)
    count: Named[int] = Column(BIG)
    manifest_sha256: Named[str] = Column(String(64))
    added_in: Named[int] = Column(BIG)
    removed_in: Named[int | None] = Column(BIG)


class ArtefactColumns(TypedColumns):
    """What was derived from a space: kind `metric`, `calibration` or `index`, as JSON."""

    id: Named[int] = Column(BIG, primary_key=True, autoincrement=False)
    space_id: Named[int] = Column(Integer, ForeignKey("space.id"), index=True)
    kind: Named[str] = Column(Text)
    name: Named[str] = Column(Text)
    payload: Named[dict[str, Any]] = Column(JSON)
    created_at: Named[dt.datetime] = Column(DateTime)
    added_in: Named[int] = Column(BIG)
    removed_in: Named[int | None] = Column(BIG)


class AuditRunColumns(TypedColumns):
    """A finished audit; what it computed lies in `runs/<name>`.

    Not versioned by generations: a run says which label revision it looked at, and is replaced as a whole.
    """

    id: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    name: Named[str] = Column(Text, unique=True)
    space_id: Named[int] = Column(Integer, ForeignKey("space.id"))
    label_revision: Named[int] = Column(BIG)
    created_at: Named[dt.datetime] = Column(DateTime)
    finished_at: Named[dt.datetime] = Column(DateTime)
    config: Named[dict[str, Any]] = Column(JSON)
    summary: Named[dict[str, Any]] = Column(JSON)


class AuditSuspectColumns(TypedColumns):
    """An entry that an audit suspects: rank 1 has the smallest score, the probability of what is given."""

    run_id: Named[int] = Column(Integer, ForeignKey("audit_run.id"), primary_key=True, autoincrement=False)
    rank: Named[int] = Column(Integer, primary_key=True, autoincrement=False)
    position: Named[int] = Column(Integer, ForeignKey("label.position"))
    image_id: Named[int] = Column(BIG, ForeignKey("image.id"))
    given: Named[int] = Column(SmallInteger)
    score: Named[float] = Column(Float)
    present: Named[float] = Column(Float)


store = Table("store", metadata, StoreColumns)
generation = Table("generation", metadata, GenerationColumns)
dataset = Table("dataset", metadata, DatasetColumns)
source = Table("source", metadata, SourceColumns)
image = Table("image", metadata, ImageColumns)
person = Table("person", metadata, PersonColumns)
former_key = Table("former_key", metadata, FormerKeyColumns)
thumbnail = Table("thumbnail", metadata, ThumbnailColumns)
label = Table("label", metadata, LabelColumns)
annotator = Table("annotator", metadata, AnnotatorColumns)
annotation = Table("annotation", metadata, AnnotationColumns)  # in SQLite WITHOUT ROWID
override = Table("label_override", metadata, OverrideColumns)
space = Table("space", metadata, SpaceColumns)
segment = Table("segment", metadata, SegmentColumns)
artefact = Table("artefact", metadata, ArtefactColumns)
audit_run = Table("audit_run", metadata, AuditRunColumns)
audit_suspect = Table("audit_suspect", metadata, AuditSuspectColumns)

Index("uq_source_file", source.c.dataset_id, source.c.uri, source.c.sha256, unique=True)
Index("ix_audit_suspect_label", audit_suspect.c.run_id, audit_suspect.c.position, audit_suspect.c.rank)
# Two partial indexes are in the migrations alone (`uq_image_living_key`, `ix_image_tombstone`), as is
# `WITHOUT ROWID`: options of a dialect make SQLAlchemy import it, PostgreSQL's even for SQLite.
