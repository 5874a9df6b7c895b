"""Checking a whole store."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from made_stores import FINGERPRINT, encode, fill, sha, vectors
from sqlalchemy import text

from olrsearch.core.errors import ImageMissingError, ModelFileError
from olrsearch.store.verify import verify


@pytest.fixture
def whole(stores, tmp_path):
    """A store with a model, two segments, an index and a deleted image."""
    store = stores.create()
    ids = fill(store)
    space, _ = encode(store, ids[:6])
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    with store.writer() as writer:
        writer.spaces.add_segment(space, ids[6:], vectors(4, seed=1))
        writer.spaces.add_model(FINGERPRINT, model)
        (store.path / "indexes" / FINGERPRINT / "hnsw").mkdir(parents=True)
        writer.spaces.add_index(space, "hnsw", {"recall": 1.0})
        writer.gallery.delete(ids[:1])
    return store


def codes(report) -> list[str]:
    return [problem.code for problem in report.problems]


def test_a_whole_store(whole, stores):
    report = verify(stores.open(whole.path, read_only=True), check_model=lambda _: FINGERPRINT)
    assert report.ok
    assert (report.images, report.segments, report.unreferenced) == (9, 2, [])
    assert report.sources_checked is None
    assert report.lines() == [f"generation {report.generation}: 9 images, 2 segments: whole"]
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_flipped_bits(whole):
    path = whole.snapshot().space().segments[1].path / "embeddings.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    report = verify(whole)
    assert codes(report) == ["segment"]
    assert "embeddings.npy" in report.problems[0].message
    assert not report.ok
    assert report.lines()[0].startswith("damaged: ")
    assert report.lines()[-1].endswith("1 problem")


def test_a_lost_segment(whole):
    shutil.rmtree(whole.snapshot().space().segments[0].path)
    report = verify(whole)
    assert codes(report) == ["segment"]
    assert "cannot be read" in report.problems[0].message


def test_what_belongs_to_nothing_is_named_and_no_damage(whole):
    for name in (
        "segments/deadbeef",
        "segments/.tmp-1",
        "models/.tmp-2",
        "indexes/" + "cd" * 32,
        "notes.txt",
        ".tmp-3",
    ):
        (whole.path / name).mkdir()
    (whole.path / "metadata.db.before-0001").touch()
    (whole.path / "meanings.toml").touch()  # an owner's
    report = verify(whole)
    assert report.ok
    assert report.unreferenced == [
        ".tmp-3",
        "indexes/" + "cd" * 32,
        "models/.tmp-2",
        "notes.txt",
        "segments/.tmp-1",
        "segments/deadbeef",
    ]
    assert any(line.startswith("belongs to nothing: notes.txt") for line in report.lines())


def test_what_interrupted_writes_left_is_named_wherever_it_lies(whole):
    fingerprint = whole.snapshot().space().fingerprint
    left = (
        f"indexes/{fingerprint}/.exact.building",
        f"indexes/{fingerprint}/kl/.tmp-1",
        f"indexes/{fingerprint}/words/0123.background.tmp",
        "runs/audit-1/.tmp-2.npy",
        "runs/olr-1/.gallery-3",
        "runs/olr-1/pixels.part",
        "runs/olr-1/siamese/checkpoint.ckpt.partial",
    )
    for name in left:
        (whole.path / name).mkdir(parents=True)
    report = verify(whole)
    assert report.ok
    assert report.unreferenced == sorted([*left, "runs/audit-1", "runs/olr-1"])
    assert "`olrsearch store clean`" in report.lines()[-2]


def test_models(whole):
    assert codes(verify(whole, check_model=lambda _: "cd" * 32)) == ["model"]

    def unreadable(_):
        raise ModelFileError("weights are damaged")

    report = verify(whole, check_model=unreadable)
    assert codes(report) == ["model"]
    assert "weights are damaged" in report.problems[0].message
    shutil.rmtree(whole.path / "models" / FINGERPRINT)
    assert codes(verify(whole)) == ["model"]


def test_a_lost_index_says_how_to_make_it_again(whole):
    shutil.rmtree(whole.path / "indexes" / FINGERPRINT)
    report = verify(whole)
    assert report.ok
    (lost,) = report.to_rebuild
    assert "olrsearch index build" in lost
    assert any(line.startswith("to rebuild: ") for line in report.lines())


def test_lost_folders(whole):
    shutil.rmtree(whole.path / "indexes")
    report = verify(whole)
    assert report.ok  # all of it can be built again
    assert len(report.to_rebuild) == 1
    shutil.rmtree(whole.path / "models")
    assert "metadata" in codes(verify(whole))


def execute(store, statement: str, **values) -> None:
    (store.path / "metadata.sums").unlink(missing_ok=True)  # as in a store of an older program
    with store.engine.begin() as connection:
        connection.execute(text(statement), values)


def test_labels_that_are_none(whole):
    execute(whole, "UPDATE annotation SET packed = :row WHERE image_id = 3", row=b"\x01\x05\x00")
    execute(whole, "UPDATE annotation SET packed = :row WHERE image_id = 4", row=b"\x01\x00\x00\x00\x01")
    report = verify(whole)
    assert codes(report) == ["labels", "labels"]
    assert "image 3" in report.problems[0].message


def test_numbers_that_do_not_agree(whole):
    execute(whole, "UPDATE generation SET last_image_id = 5, label_count = 7")
    report = verify(whole)
    assert codes(report)[:2] == ["metadata", "metadata"]
    assert "beyond the last id" in report.problems[0].message
    assert "vocabulary has 3 labels; expected 7" in report.problems[1].message


def test_rows_that_point_nowhere(sqlite_stores):
    store = sqlite_stores.create()
    fill(store)
    (store.path / "metadata.sums").unlink()
    with closing(sqlite3.connect(store.path / "metadata.db")) as connection:
        connection.execute("DELETE FROM source WHERE id = 2")
        connection.commit()
    report = verify(store)
    assert codes(report) == ["metadata"]
    assert "points to no row of source" in report.problems[0].message


def test_embeddings_of_no_image_and_of_one_image_twice(whole):
    one, two = whole.snapshot().space().segments
    (whole.path / "metadata.sums").unlink(missing_ok=True)
    with whole.engine.begin() as connection:
        # The second segment once more, registered behind the writer's back.
        copy = whole.path / "segments" / ("0" * 32)
        shutil.copytree(two.path, copy)
        connection.execute(
            text(
                "INSERT INTO segment SELECT :new, space_id, count, manifest_sha256, added_in, removed_in"
                " FROM segment WHERE uuid = :old"
            ),
            {"new": copy.name, "old": two.uuid},
        )
        for table in ("thumbnail", "annotation"):
            connection.execute(text(f"DELETE FROM {table} WHERE image_id = 1"))
        connection.execute(text("DELETE FROM image WHERE id = 1"))
    report = verify(whole)
    assert sorted(codes(report)) == ["embeddings", "embeddings"]
    messages = " ".join(problem.message for problem in report.problems)
    assert "image 1 is no image of this store" in messages
    assert "has an embedding in another segment too" in messages
    assert np.array_equal(whole.snapshot().open_segment(one).ids, range(1, 7))


def test_sources(whole):
    def read(_, uri: str) -> bytes:
        number = int(uri[4:7])
        if number == 2:
            raise ImageMissingError("gone")
        return b"other" if number == 3 else f"faces{number}".encode()

    report = verify(whole, read_source=read)
    assert codes(report) == ["source-changed"]
    assert "img/003.jpg has other bytes" in report.problems[0].message
    assert (report.sources_checked, report.sources_missing) == (9, 1)
    assert report.missing_examples[0].endswith("img/002.jpg")
    assert "sources: 9 read, 1 missing" in report.lines()
    assert sha("faces1") == whole.snapshot().images([2])[0].sha256
