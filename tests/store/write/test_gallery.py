"""Imports, labels, decisions, tombstones, relocation."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_stores import LABELS, fill, new, sha

from olrsearch.core.errors import (
    AuditError,
    DatasetError,
    DuplicateKeyError,
    ImageMissingError,
    LabelFileError,
    StoreError,
    UnknownDatasetError,
    UnknownImageError,
    UnknownLabelError,
)
from olrsearch.store import FILTER_COLUMNS, Backend, ImportCounts
from olrsearch.store.values import Kept


def bring(store, images, names=LABELS, dataset="faces", **more) -> ImportCounts:
    with store.writer() as writer:
        number = writer.gallery.add_dataset(dataset, "folder", Path("/faces"))
        return writer.gallery.add_images(number, images, names, **more)


def stored(store, key: str) -> list[int]:
    snapshot = store.snapshot()
    return snapshot.labels([snapshot.resolve(key)])[0].tolist()


# ---- import


@pytest.mark.parametrize("odd", ["a\nb", "a\x1b[31m", "a\0", "caf\udce9", "\ud83d"])
def test_names_that_break_lines_or_databases_are_refused(stores, odd):
    store = stores.create()
    with pytest.raises(LabelFileError, match=r"the label .* holds "):
        bring(store, [new("a")], names=(odd, *LABELS[1:]))
    with pytest.raises(DatasetError, match=r"the image .* holds "):
        bring(store, [new(odd, "bytes")])
    with pytest.raises(DatasetError, match=r"a data set cannot be named .*: it holds "):
        bring(store, [new("a")], dataset=odd)
    with store.writer() as writer, pytest.raises(DatasetError, match=r"the folder .* holds "):
        writer.gallery.add_dataset("faces", "folder", Path(f"/{odd}"))
    assert store.snapshot().image_ids().tolist() == []


def test_importing_the_same_again_writes_nothing(stores):
    store = stores.create()
    images = [new("a"), new("b", labels=None), new("c", labels=(0, 0, 0))]
    assert bring(store, images) == ImportCounts(added=3)
    before = store.snapshot()
    assert bring(store, images) == ImportCounts(unchanged=3)
    assert store.snapshot().generation == before.generation


def test_changed_labels_are_a_new_label_revision(stores):
    store = stores.create()
    bring(store, [new("a"), new("b")])
    before = store.snapshot()
    counts = bring(store, [new("a", labels=(-1, -1, 0)), new("b")])
    assert counts == ImportCounts(relabelled=1, unchanged=1)
    after = store.snapshot()
    assert after.label_revision == before.label_revision + 1
    assert after.image_ids().tolist() == before.image_ids().tolist()
    assert after.labels(after.image_ids()).tolist() == [[-1, -1, 0], [1, 0, -1]]
    assert before.labels(before.image_ids()).tolist() == [[1, 0, -1], [1, 0, -1]]


def test_changed_bytes_are_a_new_image_and_a_tombstone(stores):
    store = stores.create()
    bring(store, [new("a", thumbnail=b"old"), new("b")])
    before = store.snapshot()
    old = before.resolve("a")
    assert bring(store, [new("a", "other bytes", thumbnail=b"new"), new("b")]) == ImportCounts(
        replaced=1, unchanged=1
    )
    after = store.snapshot()
    fresh = after.resolve("a")
    assert fresh > max(before.image_ids())
    assert after.tombstoned().tolist() == [old]
    assert after.thumbnail(fresh) == b"new"
    assert before.resolve("a") == old
    assert before.image_ids().tolist() == [1, 2]
    assert before.tombstoned().tolist() == []
    # Back to the bytes it had: ids are not used again, the source is.
    assert bring(store, [new("a")]) == ImportCounts(replaced=1)
    assert store.snapshot().resolve("a") > fresh


def test_a_deleted_image_comes_back_under_a_new_id(stores):
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        assert writer.gallery.delete(ids[:1]) == 1
    assert bring(store, [new("000.jpg", "faces0")], dataset="other") == ImportCounts(added=1)
    with store.writer() as writer:
        counts = writer.gallery.add_images(1, [new("000.jpg", "faces0")], LABELS)
    assert counts == ImportCounts(restored=1, kept=Kept(partitions=1, identities=1))
    assert store.snapshot().resolve("faces/000.jpg") > ids[-1]


def test_ids_are_not_used_again_after_the_last_image_died(stores):
    store = stores.create()
    ids = fill(store, 3)
    with store.writer() as writer:
        writer.gallery.delete(ids)
    assert bring(store, [new("z")], dataset="other") == ImportCounts(added=1)
    assert store.snapshot().image_ids().tolist() == [4]


def test_a_moved_file_and_corrected_rows(stores):
    store = stores.create()
    bring(store, [new("a"), new("b"), new("c")])
    before = store.snapshot()
    counts = bring(
        store,
        [
            new("a", uri="faces.zip!img/a"),
            new("b", partition="test", identity=7),
            new("c", labels=(1, 1, 1), uri="c"),
        ],
    )
    assert counts == ImportCounts(updated=2, relabelled=1)
    after = store.snapshot()
    assert after.image_ids().tolist() == before.image_ids().tolist()
    assert [row.uri for row in after.images(after.image_ids())] == ["faces.zip!img/a", "img/b", "c"]
    row = after.images([after.resolve("b")])[0]
    assert (row.partition, row.identity) == ("test", 7)


def test_what_an_import_does_not_say_stays(stores):
    store = stores.create()
    bring(store, [new("a", partition="test", identity=7)])
    assert bring(store, [new("a", labels=None)]) == ImportCounts(unchanged=1)
    assert bring(store, [new("a", partition="val")]) == ImportCounts(updated=1)
    snapshot = store.snapshot()
    (row,) = snapshot.images(snapshot.image_ids())
    assert (row.partition, row.identity) == ("val", 7)
    assert snapshot.labels([row.id])[0].tolist() == [1, 0, -1]


def test_a_thumbnail_that_was_missing_is_added_and_none_is_lost(stores):
    store = stores.create()
    bring(store, [new("a"), new("b", thumbnail=b"first")])
    counts = bring(store, [new("a", thumbnail=b"late"), new("b", thumbnail=b"second")])
    assert counts == ImportCounts(updated=1, unchanged=1)
    snapshot = store.snapshot()
    assert snapshot.thumbnail(snapshot.resolve("a")) == b"late"
    assert snapshot.thumbnail(snapshot.resolve("b")) == b"first"
    assert snapshot.thumbnail(99) is None


def test_images_of_one_file_share_a_source(stores):
    """Two faces of one photo."""
    store = stores.create()
    face = {"uri": "photo.jpg", "sha256": sha("photo")}
    bring(store, [new("photo.jpg#1", **face), new("photo.jpg#2", **face)])
    with store.engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM source").scalar() == 1


def test_labels_not_named_keep_what_is_stored(stores):
    store = stores.create()
    bring(store, [new("a")])
    assert bring(store, [new("a", labels=(1,))], ["Wearing_Hat"]) == ImportCounts(relabelled=1)
    assert bring(store, [new("a", labels=(-1,))], ["Smiling"]) == ImportCounts(relabelled=1)
    assert bring(store, [new("a", labels=None)], []) == ImportCounts(unchanged=1)
    assert store.snapshot().label_names == (*LABELS, "Wearing_Hat")
    assert stored(store, "a") == [-1, 0, -1, 1]


def test_labels_appended_later_read_as_unknown(stores):
    store = stores.create()
    bring(store, [new("a")])
    before = store.snapshot()
    bring(store, [new("b", labels=(1, 1))], ["Hat", "Smiling"])
    after = store.snapshot()
    assert after.label_names == (*LABELS, "Hat")
    assert after.labels(after.image_ids()).tolist() == [[1, 0, -1, 0], [1, 0, 0, 1]]
    assert before.labels([1, 2]).shape == (2, 3)
    assert after.label_revision == before.label_revision, "images added later make nothing stale"


def test_a_name_spelt_otherwise_is_the_same_label(stores):
    store = stores.create()
    with store.writer() as writer:
        assert writer.gallery.add_labels(["Wavy_Hair", "Smiling"]) == [0, 1]
        assert writer.gallery.add_labels(["smiling", "wavy hair", "Hat"]) == [1, 0, 2]
        with pytest.raises(LabelFileError, match="twice"):
            writer.gallery.add_labels(["Smiling", "smiling"])
        with pytest.raises(LabelFileError, match="empty"):
            writer.gallery.add_labels([" "])
    assert store.snapshot().label_names == ("Wavy_Hair", "Smiling", "Hat")


def test_a_later_annotator_counts_where_it_knows(stores):
    store = stores.create()
    bring(store, [new("a", labels=(1, 1, 0)), new("b")])
    bring(store, [new("a", labels=(-1, 0, 1))], annotator="second")
    assert stored(store, "a") == [-1, 1, 1]
    assert stored(store, "b") == [1, 0, -1]


@pytest.mark.parametrize(
    ("images", "error", "match"),
    [
        ([new("a"), new("a", "other")], DuplicateKeyError, "'a' stands twice"),
        ([new("a", labels=(1, 0))], LabelFileError, "2 label values; expected 3"),
        ([new("a", labels=(1, 0, 2))], LabelFileError, "value 2; expected −1, 0 or 1"),
        ([replace(new("a"), sha256="ab")], DatasetError, "64 hexadecimal digits"),
        ([replace(new("a"), sha256="g" * 64)], DatasetError, "64 hexadecimal digits"),
    ],
)
def test_a_bad_batch_leaves_nothing(stores, images, error, match):
    store = stores.create()
    with pytest.raises(error, match=match):
        bring(store, [new("good"), *images])
    snapshot = store.snapshot()
    assert snapshot.image_count == 0
    assert snapshot.label_names == ()
    assert bring(store, [new("good")]) == ImportCounts(added=1)


def test_data_sets_are_told_apart(stores):
    store = stores.create()
    with store.writer() as writer:
        one = writer.gallery.add_dataset("one", "folder", Path("/one"))
        assert writer.gallery.add_dataset("one", "folder", Path("/one")) == one
        assert writer.gallery.add_dataset("two", "celeba", Path("/two")) != one
        for kind, root in (("celeba", "/one"), ("folder", "/elsewhere")):
            with pytest.raises(DatasetError, match="relocate"):
                writer.gallery.add_dataset("one", kind, Path(root))
        for name in ("", "a/b"):
            with pytest.raises(DatasetError, match="cannot be named"):
                writer.gallery.add_dataset(name, "folder", Path("/one"))
        with pytest.raises(UnknownDatasetError, match="one, two"):
            writer.gallery.add_images(99, [new("a")], LABELS)
        writer.gallery.add_images(one, [new("a"), new("b")], LABELS)
        writer.gallery.delete([1])
    found = store.snapshot().datasets()
    assert [(info.name, info.kind, info.root, info.images, info.deleted) for info in found] == [
        ("one", "folder", Path("/one"), 1, 1),
        ("two", "celeba", Path("/two"), 0, 0),
    ]


def test_known_tells_an_import_what_it_can_skip(stores):
    store = stores.create()
    ids = fill(store, 3)
    with store.writer() as writer:
        writer.gallery.delete(ids[2:])
        known = writer.gallery.known(1)
        assert writer.gallery.known(99) == {}
    assert set(known) == {"000.jpg", "001.jpg"}
    first = known["000.jpg"]
    assert (first.id, first.uri, first.sha256, first.size_bytes) == (1, "img/000.jpg", sha("faces0"), 10)
    assert (first.width, first.height, first.orientation, first.thumbnail) == (178, 218, 1, True)
    bring(store, [new("bare.jpg")], dataset="other")
    with store.writer() as writer:
        assert not writer.gallery.known(2)["bare.jpg"].thumbnail


@pytest.mark.slow
def test_more_images_than_a_statement_lists(stores):
    store = stores.create()
    images = [new(f"{number}", labels=(1, -1, number % 3 - 1)) for number in range(2500)]
    assert bring(store, images) == ImportCounts(added=2500)
    assert bring(store, images) == ImportCounts(unchanged=2500)
    snapshot = store.snapshot()
    ids = snapshot.image_ids()
    backwards = ids[::-1]
    assert snapshot.labels(backwards)[:, 2].tolist() == [number % 3 - 1 for number in range(2500)][::-1]
    assert [row.id for row in snapshot.images(backwards)] == backwards.tolist()
    with store.writer() as writer:
        assert writer.gallery.delete(ids[:1500]) == 1500
        writer.decisions.set(ids[1500:], "Male", 0, who="me", why="test")
    after = store.snapshot()
    assert after.image_count == 1000
    assert after.labels(ids)[:, 2].tolist() == [number % 3 - 1 for number in range(1500)] + [0] * 1000


@pytest.fixture(scope="module")
def one_store(tmp_path_factory):
    with Backend.create(tmp_path_factory.mktemp("rules") / "store") as store:
        yield store


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    batches=st.lists(
        st.dictionaries(
            st.sampled_from("abcd"),
            st.tuples(st.integers(0, 1), st.none() | st.tuples(*[st.sampled_from((-1, 0, 1))] * 2)),
        ),
        max_size=5,
    )
)
def test_imports_do_what_the_rules_say(one_store, batches):
    """The store against a dict that follows the rules; a data set of its own for every example."""
    store = one_store
    name = f"faces{len(store.snapshot().datasets())}"
    model: dict[str, tuple[int, tuple[int, ...] | None]] = {}
    for batch in batches:
        images = [new(key, f"{key}{content}", labels) for key, (content, labels) in batch.items()]
        expected = {"added": 0, "unchanged": 0, "relabelled": 0, "replaced": 0}
        kept = 0
        for key, (content, labels) in batch.items():
            if key not in model:
                expected["added"] += 1
                model[key] = (content, labels)
            elif model[key][0] != content:
                expected["replaced"] += 1
                before = model[key][1]
                kept += labels is None and any(before or ())
                model[key] = (content, before if labels is None else labels)
            elif labels is not None and labels != model[key][1]:
                expected["relabelled"] += 1
                model[key] = (content, labels)
            else:
                expected["unchanged"] += 1
        assert bring(store, images, ("A", "B"), name) == ImportCounts(**expected, kept=Kept(labels=kept))
    snapshot = store.snapshot()
    assert snapshot.image_ids(FILTER_COLUMNS["dataset"] == name).size == len(model)
    for key, (content, labels) in model.items():
        row = snapshot.images([snapshot.resolve(f"{name}/{key}")])[0]
        assert row.sha256 == sha(f"{key}{content}")
        assert snapshot.stored_labels([row.id]).known.tolist() == [labels is not None]
        assert snapshot.labels([row.id])[0].tolist() == list(labels or (0, 0))


# ---- decisions


def test_a_decision_lies_over_the_annotation(stores):
    store = stores.create()
    bring(store, [new("a"), new("b", labels=None)])
    before = store.snapshot()
    with store.writer() as writer:
        assert writer.decisions.set(["b", 1, "a"], "smiling", -1, who="ann", why="looked at it") == 2
    after = store.snapshot()
    assert after.label_revision == before.label_revision + 1
    assert after.labels([1, 2]).tolist() == [[-1, 0, -1], [-1, 0, 0]]
    assert after.stored_labels([1, 2]).annotated.tolist() == [[1, 0, -1], [0, 0, 0]]
    assert after.stored_labels([1, 2]).known.tolist() == [True, True]
    assert before.labels([1, 2]).tolist() == [[1, 0, -1], [0, 0, 0]]
    assert before.stored_labels([1, 2]).known.tolist() == [True, False]
    # A later import changes the annotation, the decision stays; taken back, it shows.
    bring(store, [new("a", labels=(0, 1, 1))])
    assert stored(store, "a") == [-1, 1, 1]
    with store.writer() as writer:
        writer.decisions.set([1], "Smiling", 1, who="bob", why="no")
    assert stored(store, "a") == [1, 1, 1]
    with store.writer() as writer:
        writer.decisions.set([1], "Smiling", None, who="bob", why="never mind")
    assert stored(store, "a") == [0, 1, 1]
    assert stored(store, "b") == [-1, 0, 0]


def test_decisions_that_cannot_be(stores):
    store = stores.create()
    ids = fill(store, 2)
    with store.writer() as writer:
        writer.gallery.delete(ids[1:])
        with pytest.raises(StoreError, match="cannot be set to 2"):
            writer.decisions.set(ids[:1], "Smiling", 2, who="me", why="")
        with pytest.raises(UnknownLabelError, match="did you mean Smiling"):
            writer.decisions.set(ids[:1], "Smilling", 1, who="me", why="")
        with pytest.raises(UnknownImageError, match="not a living image"):
            writer.decisions.set(ids, "Smiling", 1, who="me", why="")
        assert writer.decisions.set([], "Smiling", 1, who="me", why="") == 0
    assert store.snapshot().label_revision == 0


# ---- tombstones


def test_keys_mean_what_lives_while_the_lock_is_held(stores):
    """A snapshot of before may know another image, or none, by a key."""
    store = stores.create()
    bring(store, [new("a"), new("b")])
    with store.writer() as writer:
        assert writer.gallery.add_images(1, [new("a", b"other")], LABELS).replaced == 1
        assert writer.decisions.set(["a"], "Male", 0, who="ann", why="") == 1
        assert store.snapshot().labels([1, 3], ["Male"])[1].tolist() == [0]
        assert writer.gallery.delete(["faces/a", "id:2"]) == 2
        for image in ("a", "id:3", 3):
            with pytest.raises(UnknownImageError, match=r"no image 'a'|living image"):
                writer.gallery.delete([image])
            with pytest.raises(UnknownImageError, match=r"no image 'a'|living image"):
                writer.decisions.set([image], "Male", 1, who="ann", why="")
    assert store.snapshot().tombstoned().tolist() == [1, 2, 3]


def test_deleting_is_seen_at_once_by_new_readers_only(stores):
    store = stores.create()
    ids = fill(store)
    before = store.snapshot()
    with store.writer() as writer:
        assert writer.gallery.delete([ids[3], ids[1], ids[3]]) == 2
        assert writer.gallery.delete([]) == 0
        with pytest.raises(UnknownImageError, match="not a living image"):
            writer.gallery.delete(np.array([ids[1]]))
        with pytest.raises(UnknownImageError, match=r"image 999 is not a living .*1 such among 2"):
            writer.gallery.delete([ids[0], 999])
    after = store.snapshot()
    assert after.generation == before.generation + 1
    assert after.tombstone_version == before.tombstone_version + 1
    assert after.tombstoned().tolist() == [ids[1], ids[3]]
    assert after.image_ids().tolist() == [number for number in ids if number not in {ids[1], ids[3]}]
    assert after.image_count == 8
    with pytest.raises(UnknownImageError):
        after.resolve("001.jpg")
    assert before.image_ids().tolist() == ids
    assert before.tombstoned().tolist() == []
    assert before.resolve("001.jpg") == ids[1]
    assert after.images([ids[1]])[0].key == "001.jpg", "a dead image still has a name"


# ---- relocation


def test_relocating_to_where_the_images_are(stores, tmp_path):
    store = stores.create()
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", tmp_path / "old")
        uris = ["img/a.jpg", "gone.jpg", "all.zip!img/a.jpg", "digits.gz#17", "odd#name!.jpg"]
        writer.gallery.add_images(number, [new(uri, uri=uri) for uri in uris], LABELS)
        moved = tmp_path / "new"
        (moved / "img").mkdir(parents=True)
        for name in ("img/a.jpg", "digits.gz", "odd#name!.jpg"):
            (moved / name).write_bytes(b"x")
        with zipfile.ZipFile(moved / "all.zip", "w") as archive:
            archive.writestr("img/a.jpg", b"x")
        before = store.snapshot().generation
        assert writer.gallery.relocate("faces", moved) == (4, 5)
        assert writer.gallery.relocate(number, moved) == (4, 5)
    assert store.snapshot().generation == before + 1
    assert store.snapshot().images([1])[0].root == moved


def test_relocating_to_where_nothing_is(stores, tmp_path):
    store = stores.create()
    fill(store)
    root = store.snapshot().datasets()[0].root
    with store.writer() as writer:
        with pytest.raises(ImageMissingError, match="none of the 10 images"):
            writer.gallery.relocate("faces", tmp_path)
        with pytest.raises(UnknownDatasetError, match="it has: faces"):
            writer.gallery.relocate("places", tmp_path)
        assert store.snapshot().datasets()[0].root == root
        (tmp_path / "there" / "img").mkdir(parents=True)
        (tmp_path / "there" / "img" / "003.jpg").touch()
        assert writer.gallery.relocate("faces", tmp_path / "there") == (1, 10)


def test_an_empty_data_set_may_go_anywhere(stores, tmp_path):
    store = stores.create()
    with store.writer() as writer:
        writer.gallery.add_dataset("none", "folder", tmp_path)
        assert writer.gallery.relocate("none", tmp_path / "there") == (0, 0)


def test_an_import_without_labels_relabels_nothing(stores):
    store = stores.create()
    bring(store, [new("a", labels=())], [])
    assert bring(store, [new("a", labels=(), identity=7)], []) == ImportCounts(updated=1)
    bring(store, [new("b", labels=None)], [])
    assert bring(store, [new("b", labels=())], []) == ImportCounts(unchanged=1)


def test_a_name_of_a_data_set_has_its_limit(stores):
    with (
        stores.create().writer() as writer,
        pytest.raises(DatasetError, match=r"100,000 characters.*at most 255"),
    ):
        writer.gallery.add_dataset("f" * 100_000, "folder", Path("/faces"))


@pytest.mark.parametrize(
    ("who", "why", "words"),
    [
        ("a\nb", "", "the who holds the line break"),
        ("a" * 300, "", "the who has 300 characters; expected at most 255"),
        ("ann", "x" * 100_000, "the why has 100,000 characters; expected at most 10,000"),
    ],
)
def test_texts_of_decisions_have_their_limits(stores, who, why, words):
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer, pytest.raises(AuditError, match=words):
        writer.decisions.set(ids[:1], LABELS[0], 1, who=who, why=why)
