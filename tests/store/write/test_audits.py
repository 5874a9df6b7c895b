"""Audits in the metadata, on SQLite and PostgreSQL."""

import datetime as dt

import numpy as np
import pytest
from made_stores import LABELS, encode, fill

from olrsearch.core.errors import StoreError
from olrsearch.store.read.audits import count_suspects, read_audits, read_suspects
from olrsearch.store.sql import schema
from olrsearch.store.verify import verify
from olrsearch.store.write.audits import Suspects

WHEN = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - UTC without time zone, as stores keep it


def suspects(*rows):
    """(position, image id, given, score) each."""
    position, image, given, score = (np.array(column) for column in zip(*rows, strict=True))
    score = score.astype(np.float32)
    return Suspects(position, image, given.astype(np.int8), score, np.where(given > 0, score, 1 - score))


def register(store, name, space, *rows, summary=None):
    with store.writer() as writer:
        writer.audits.set(
            name,
            space_id=space,
            label_revision=3,
            created_at=WHEN,
            config={"labels": list(LABELS)},
            summary=summary or {"suspicious": 2},
            suspects=suspects(*rows),
        )


@pytest.fixture
def store(stores):
    made = stores.create()
    space, _ = encode(made, fill(made))
    register(made, "audit-1", space, (2, 5, 1, 0.125), (0, 3, -1, 0.25), (2, 4, -1, 0.5))
    return made


def test_what_was_registered_is_read_back(store):
    (info,) = read_audits(store.snapshot())
    assert (info.name, info.space, info.label_revision) == ("audit-1", "olr", 3)
    assert info.path == store.path / "runs" / "audit-1"
    assert info.created_at == WHEN
    assert info.finished_at >= info.created_at
    assert (info.config, info.summary) == ({"labels": list(LABELS)}, {"suspicious": 2})
    found = read_suspects(store.snapshot(), "audit-1", count=10)
    assert [(item.rank, item.image_id, item.key, item.position, item.given) for item in found] == [
        (1, 5, "004.jpg", 2, 1),
        (2, 3, "002.jpg", 0, -1),
        (3, 4, "003.jpg", 2, -1),
    ]
    assert [(item.score, item.present) for item in found] == [(0.125, 0.125), (0.25, 0.75), (0.5, 0.5)]


def test_some_of_the_suspects(store):
    snapshot = store.snapshot()

    def ranks(**options):
        return [item.rank for item in read_suspects(snapshot, "audit-1", **options)]

    assert ranks(count=2) == [1, 2]
    assert ranks(count=2, after=2) == [3]
    assert ranks(count=9, positions=[2]) == [1, 3]
    assert ranks(count=9, positions=[2], given=-1) == [3]
    assert ranks(count=9, positions=[1]) == []
    assert ranks(count=9, positions=[1, 2]) == [1, 3]
    assert count_suspects(snapshot, "audit-1", positions=[2]) == 2
    assert count_suspects(snapshot, "audit-1", given=-1) == 2
    assert count_suspects(snapshot, "nothing") == 0


def test_deleted_images_are_left_out_of_later_snapshots(store):
    before = store.snapshot()
    with store.writer() as writer:
        writer.gallery.delete([5])
    assert [item.rank for item in read_suspects(store.snapshot(), "audit-1", count=9)] == [2, 3]
    assert count_suspects(store.snapshot(), "audit-1") == 2
    assert len(read_suspects(before, "audit-1", count=9)) == 3


def test_an_audit_is_replaced_as_a_whole(store):
    space = store.snapshot().space().id
    register(store, "audit-1", space, (1, 7, 1, 0.25), summary={"suspicious": 1})
    register(store, "audit-2", space, (0, 1, 1, 0.5))
    assert [(info.name, info.summary["suspicious"]) for info in read_audits(store.snapshot())] == [
        ("audit-1", 1),
        ("audit-2", 2),
    ]
    assert [item.image_id for item in read_suspects(store.snapshot(), "audit-1", count=9)] == [7]


def test_removing_an_audit(store):
    with store.writer() as writer:
        assert writer.audits.remove("audit-1")
        assert not writer.audits.remove("audit-1")
    assert read_audits(store.snapshot()) == []
    with store.engine.begin() as connection:
        assert connection.execute(schema.audit_suspect.select()).all() == []


def test_what_cannot_be_registered_changes_nothing(store):
    generation = store.snapshot().generation
    space = store.snapshot().space().id
    with pytest.raises(StoreError, match="plain JSON"):
        register(store, "audit-2", space, (0, 1, 1, 0.5), summary={"rate": float("nan")})
    with pytest.raises(StoreError):
        register(store, "audit-2", space, (0, 999, 1, 0.5))
    with pytest.raises(StoreError):
        register(store, "audit-1", 77, (0, 1, 1, 0.5))
    assert [info.name for info in read_audits(store.snapshot())] == ["audit-1"]
    assert len(read_suspects(store.snapshot(), "audit-1", count=9)) == 3
    assert store.snapshot().generation == generation


def test_registering_makes_one_generation(store):
    generation = store.snapshot().generation
    register(store, "audit-2", store.snapshot().space().id, (0, 1, 1, 0.5))
    assert store.snapshot().generation == generation + 1


def test_verify_misses_the_folders_of_registered_audits_and_names_strays(store):
    (store.path / "runs" / "olr-2026").mkdir(parents=True)
    (store.path / "runs" / ".tmp-half").mkdir()
    report = verify(store)
    (problem,) = [problem for problem in report.problems if problem.code == "audit"]
    assert "audit-1 is missing: `olrsearch audit delete audit-1`" in problem.message
    assert [name for name in report.unreferenced if name.startswith("runs")] == [
        "runs/.tmp-half",
        "runs/olr-2026",  # a training that was killed before it had a record
    ]
