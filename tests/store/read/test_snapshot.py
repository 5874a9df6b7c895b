"""What a reader asks of one generation."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from made_stores import LABELS, add_posterior_space, add_space, encode, fill, new, sha, vectors
from sqlalchemy import and_, not_

from olrsearch.core.errors import (
    EmptyStoreError,
    IncompatibleEncoderError,
    QueryError,
    UnknownImageError,
    UnknownLabelError,
    UnknownSpaceError,
)
from olrsearch.store import FILTER_COLUMNS
from olrsearch.store.sql.ids import chunks


def test_values_of_a_column_are_those_of_living_images(stores):
    store = stores.create()
    ids = fill(store, 6)
    with store.writer() as writer:
        writer.gallery.delete([ids[1], ids[4], ids[5]])
    snapshot = store.snapshot()
    assert snapshot.values_of("identity") == [0, 1]
    assert set(snapshot.values_of("partition")) == {"train", "test"}
    assert snapshot.values_of("dataset") == ["faces"]


def test_references_that_no_image_can_have_are_refused(stores):
    snapshot = stores.create().snapshot()
    for ref in ("\udcff.png", "a\0", "9" * 5_000, "id:" + "9" * 5_000, "x" * 100_000, 1 << 70, -1):
        with pytest.raises(UnknownImageError) as caught:
            snapshot.resolve(ref)
        assert len(str(caught.value)) < 400


def test_a_snapshot_keeps_its_answer(stores):
    store = stores.create()
    ids = fill(store)
    space, info = encode(store, ids[:5])
    with store.writer() as writer:
        writer.spaces.set_metric(space, {"kind": "ip"})
    before = store.snapshot()
    with store.writer() as writer:
        writer.spaces.add_segment(space, ids[5:], vectors(5, seed=1))
        for kind in ("l2", "cosine", "ip"):
            writer.spaces.set_metric(space, {"kind": kind})
        writer.gallery.add_labels(["Hat"])
        writer.gallery.delete(ids[:2])
        writer.gallery.add_images(1, [new("new.jpg")], LABELS)
    assert before.image_ids().tolist() == ids
    assert before.label_names == LABELS
    assert [segment.uuid for segment in before.space().segments] == [info.uuid]
    assert before.space().metric == {"kind": "ip"}
    assert before.missing_embeddings(space).tolist() == ids[5:]
    with pytest.raises(UnknownImageError):
        before.resolve("new.jpg")
    with pytest.raises(UnknownImageError):
        before.images([ids[-1] + 1])
    after = store.snapshot()
    assert after.generation == before.generation + 7
    assert after.space().count == 10
    assert after.missing_embeddings(space).tolist() == [ids[-1] + 1]


def test_rows_come_in_the_order_asked_for(stores):
    store = stores.create()
    ids = fill(store)
    snapshot = store.snapshot()
    rows = snapshot.images([ids[7], ids[2], ids[7]])
    assert [row.key for row in rows] == ["007.jpg", "002.jpg", "007.jpg"]
    row = rows[1]
    assert (row.id, row.dataset, row.uri, row.sha256) == (ids[2], "faces", "img/002.jpg", sha("faces2"))
    assert (row.partition, row.identity, row.width, row.height, row.size_bytes) == ("test", 1, 178, 218, 10)
    assert row.root == store.path.parent / "faces"
    assert snapshot.images([]) == []
    with pytest.raises(UnknownImageError, match=r"no image has the id 98 \(and 1 more\)"):
        snapshot.images([ids[0], 98, 99])


def test_thumbnails_of_many_images(stores, monkeypatch):
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        writer.gallery.add_images(1, [new("bare.jpg")], LABELS)
    snapshot = store.snapshot()
    bare = snapshot.resolve("bare.jpg")
    monkeypatch.setattr("olrsearch.store.read.snapshot.chunks", partial(chunks, size=3))
    wanted = np.array([ids[7], bare, *ids[:6], 999, ids[7]])
    assert list(snapshot.thumbnails(wanted)) == [
        (number, snapshot.thumbnail(number)) for number in wanted.tolist() if number not in {bare, 999}
    ]
    assert list(snapshot.thumbnails([])) == []
    with store.writer() as writer:
        writer.gallery.delete(ids[:1])
    assert list(store.snapshot().thumbnails(ids[:1])) == [(ids[0], b"jpeg0")], "as the single one does"


def test_labels_in_any_order_and_any_selection(stores):
    store = stores.create()
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        writer.gallery.add_images(number, [new("a", labels=(1, 0, -1)), new("b", labels=None)], LABELS)
    snapshot = store.snapshot()
    found = snapshot.labels(np.array([2, 1, 1]), ["male", "Smiling"])
    assert found.dtype == np.int8
    assert found.tolist() == [[0, 0], [-1, 1], [-1, 1]]
    assert snapshot.stored_labels([2, 1]).known.tolist() == [False, True]
    assert snapshot.labels([]).shape == (0, 3)
    with pytest.raises(UnknownLabelError, match="Eyeglasses"):
        snapshot.labels([1], ["Eyeglass"])


def test_columns_as_arrays(stores):
    store = stores.create()
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        writer.gallery.add_images(number, [new("a", partition="val", identity=3), new("b")], LABELS)
    found = store.snapshot().columns([2, 1], ["partition", "identity", "dataset", "key", "created_at", "id"])
    assert found["partition"].tolist() == ["", "val"]
    assert found["identity"].tolist() == [-1, 3]
    assert found["identity"].dtype == np.int64
    assert found["dataset"].tolist() == ["faces", "faces"]
    assert found["key"].tolist() == ["b", "a"]
    assert found["created_at"].dtype == np.dtype("datetime64[us]")
    assert found["id"].tolist() == [2, 1]
    with pytest.raises(QueryError, match="no column 'colour'"):
        store.snapshot().columns([1], ["colour"])


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (lambda c: c["partition"] == "val", [1, 4, 7]),
        (lambda c: and_(c["partition"] == "val", c["identity"] >= 2), [4, 7]),
        (lambda c: not_(c["key"].like("00%")), [10, 11, 12, 13, 14]),
        (lambda c: c["dataset"] == "more", [10, 11, 12, 13, 14]),
        (lambda c: c["uri"] == "img/003.jpg", [3]),
        (lambda c: c["width"] > 500, []),
    ],
)
def test_filters(stores, condition, expected):
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        number = writer.gallery.add_dataset("more", "folder", Path("/more"))
        writer.gallery.add_images(number, [new(f"x{n}") for n in range(5)], LABELS)
    all_ids = [*ids, *range(ids[-1] + 1, ids[-1] + 6)]
    found = store.snapshot().image_ids(condition(FILTER_COLUMNS))
    assert found.dtype == np.int64
    assert found.tolist() == [all_ids[place] for place in expected]


def test_naming_an_image(stores):
    store = stores.create()
    with store.writer() as writer:
        one = writer.gallery.add_dataset("one", "folder", Path("/one"))
        two = writer.gallery.add_dataset("two", "folder", Path("/two"))
        writer.gallery.add_images(one, [new("a.jpg"), new("both.jpg"), new("sub/c.jpg"), new("3")], LABELS)
        writer.gallery.add_images(two, [new("both.jpg", "2"), new("two/both.jpg")], LABELS)
    snapshot = store.snapshot()
    assert snapshot.resolve("a.jpg") == 1
    assert snapshot.resolve("one/a.jpg") == 1
    assert snapshot.resolve("one/both.jpg") == 2
    assert snapshot.resolve("sub/c.jpg") == 3
    assert snapshot.resolve("one/sub/c.jpg") == 3
    assert snapshot.resolve("3") == 4, "a key first"
    assert snapshot.resolve("id:3") == 3
    assert snapshot.resolve("5") == 5, "no key: an id"
    assert snapshot.resolve("two/both.jpg") == 6, "a key first"
    with pytest.raises(UnknownImageError, match=r"write one/both\.jpg or two/both\.jpg"):
        snapshot.resolve("both.jpg")
    with pytest.raises(UnknownImageError, match=r"did you mean .*a\.jpg"):
        snapshot.resolve("a.jpeg")
    with pytest.raises(UnknownImageError, match="expected a key, dataset/key or id:NUMBER"):
        snapshot.resolve("zzzzzzzzzzzzzzzz")
    for wrong in ("id:77", "77", "id:99999999999999999999", "99999999999999999999"):
        with pytest.raises(UnknownImageError, match="no living image"):
            snapshot.resolve(wrong)
    for odd in ("", "/", "id:", "id:x", "%", "one/", "a'b"):
        with pytest.raises(UnknownImageError):
            snapshot.resolve(odd)


def test_naming_a_space(stores):
    store = stores.create()
    with pytest.raises(EmptyStoreError, match="olrsearch encode"):
        store.snapshot().space()
    with store.writer() as writer:
        add_space(writer, "aa" * 32, "olr")
        add_space(writer, "ab" * 32, "olr")
        add_space(writer, "cd" * 32, "other")
    snapshot = store.snapshot()
    assert [space.fingerprint[:2] for space in snapshot.spaces()] == ["aa", "ab", "cd"]
    assert snapshot.space().name == "other"
    assert snapshot.space("olr").fingerprint == "ab" * 32
    assert snapshot.space("AA").fingerprint == "aa" * 32
    assert snapshot.space("cd" * 32).name == "other"
    with pytest.raises(UnknownSpaceError, match="several spaces have"):
        snapshot.space("a")
    for unknown in ("x", ""):
        with pytest.raises(UnknownSpaceError, match="no space has"):
            snapshot.space(unknown)


def test_a_space_has_a_short_name_where_it_alone_has_it(stores):
    store = stores.create()
    with store.writer() as writer:
        add_space(writer, "aa" * 32, "faces-aaaaaaaa")
        add_space(writer, "bb" * 32, "informed-prior-bbbbbbbb")
        for fingerprint in ("cc" * 32, "dd" * 32):
            add_space(writer, fingerprint, f"olr-{fingerprint[:8]}")
    snapshot = store.snapshot()
    assert snapshot.space("faces").fingerprint == "aa" * 32
    assert snapshot.space("informed-prior").fingerprint == "bb" * 32
    with pytest.raises(UnknownSpaceError, match=r"several spaces have.*olr-cccccccc .*olr-dddddddd "):
        snapshot.space("olr")
    with pytest.raises(UnknownSpaceError, match=r"no space has .*faces-aaaaaaaa "):
        snapshot.space("informed")


def test_naming_a_space_of_one_layout(stores):
    store = stores.create()
    with store.writer() as writer:
        add_space(writer, "aa" * 32, "olr")
    with pytest.raises(EmptyStoreError, match=r"has no posteriors yet: .*olrsearch train"):
        store.snapshot().space(layout="posterior")
    with store.writer() as writer:
        add_posterior_space(writer, "ee" * 32, "olr")
        add_posterior_space(writer, "ef" * 32, "words")
    snapshot = store.snapshot()
    assert snapshot.space().name == "words"
    assert snapshot.space(layout="labels").fingerprint == "aa" * 32
    assert snapshot.space(layout="posterior").fingerprint == "ef" * 32
    assert snapshot.space("olr").fingerprint == "ee" * 32, "the newest of that name"
    assert snapshot.space("olr", "labels").fingerprint == "aa" * 32, "the newest of that name and layout"
    for ref in ("words", "ef"):
        assert snapshot.space(ref, "posterior").name == "words"
        with pytest.raises(
            IncompatibleEncoderError, match="words holds posteriors, and this needs label emb"
        ):
            snapshot.space(ref, "labels")
    with pytest.raises(IncompatibleEncoderError, match="holds label embeddings, and this needs posteriors"):
        snapshot.space("aa", "posterior")
    with pytest.raises(UnknownSpaceError, match="several spaces have"):
        snapshot.space("e", "labels")


def test_a_store_of_posteriors_alone(stores):
    store = stores.create()
    with store.writer() as writer:
        add_posterior_space(writer)
    with pytest.raises(EmptyStoreError, match=r"has no label embeddings yet: .*olrsearch words"):
        store.snapshot().space(layout="labels")
