"""Keys that outlive images: what new images have from those before them, and renamed images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from made_stores import LABELS, new, sha
from sqlalchemy import text

from olrsearch.core.errors import UnknownImageError
from olrsearch.store import FILTER_COLUMNS, DecisionRequest, ImportCounts
from olrsearch.store.read.decisions import read_history, read_history_of_key, read_verdicts
from olrsearch.store.values import BuriedImage, Kept, Move


@pytest.fixture
def store(stores):
    found = stores.create()
    with found.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        images = [new(key, partition="test", identity=7, thumbnail=b"jpeg") for key in "abcd"]
        writer.gallery.add_images(number, images, LABELS)
        writer.gallery.add_images(number, [new("a", labels=(0, 1, 0))], LABELS, annotator="second")
    return found


def bring(store, *images, names=LABELS) -> ImportCounts:
    with store.writer() as writer:
        return writer.gallery.add_images(1, images, names)


def settle(store, *moves, **more) -> ImportCounts:
    with store.writer() as writer:
        return writer.gallery.settle(1, moves, **more)


def decide(store, key, verdict, label="Smiling"):
    with store.writer() as writer:
        writer.decisions.decide([DecisionRequest(key, label, verdict)], who="ann")


def unsaid(key, content):
    return replace(new(key, content), labels=None)


def test_other_bytes_have_everything_that_is_not_said(store):
    for verdict in ("flip", "accept", "undo"):
        decide(store, "a", verdict)
    before = store.snapshot()
    counts = bring(store, unsaid("a", "other"), unsaid("b", "b2"))
    assert counts == ImportCounts(replaced=2, kept=Kept(labels=2, partitions=2, identities=2, decisions=3))
    after = store.snapshot()
    ids = [before.resolve("a"), after.resolve("a")]
    assert ids[0] != ids[1]
    assert after.labels(ids)[1].tolist() == before.labels(ids[:1])[0].tolist() == [-1, 1, -1]
    assert after.stored_labels(ids).annotated.tolist() == [[1, 1, -1]] * 2
    assert read_verdicts(after, ids, ["Smiling"]).tolist() == [[2], [2]]
    assert after.label_revision == before.label_revision, "what is stored of other images did not change"
    assert [row.identity for row in after.images(ids)] == [7, 7]
    # The rows of before stay with the image that was decided on; the new ones say on which bytes.
    old, now = (read_history(after, [number]) for number in ids)
    assert [item.sha256 for item in (*old, *now)] == [sha("a")] * 6
    assert [item.replaced for item in (*old, *now)] == [False] * 3 + [True] * 3
    assert [replace(item, image_id=0, replaced=False) for item in old] == [
        replace(item, image_id=0, replaced=False) for item in now
    ]
    assert read_history(after) == read_history(after, ids) == now, "each is told once"
    assert read_history(before) == old
    with store.writer() as writer:
        writer.decisions.decide([DecisionRequest("a", "Smiling", "undo")], who="eve")
    assert store.snapshot().labels(ids, ["Smiling"])[:, 0].tolist() == [-1, 1], "the dead one stays as it was"


def test_labels_that_are_said_count_and_others_stay(store):
    counts = bring(store, replace(new("a", "other"), labels=(-1,)), names=["Smiling"])
    assert counts == ImportCounts(replaced=1, kept=Kept(labels=1, partitions=1, identities=1))
    snapshot = store.snapshot()
    assert snapshot.labels([snapshot.resolve("a")])[0].tolist() == [-1, 1, -1]


def test_a_key_that_died_comes_back_with_what_was_said_last(store):
    decide(store, "b", "flip")
    bring(store, unsaid("b", "b2"))
    with store.writer() as writer:
        writer.gallery.delete(["b", "c"])
        assert writer.gallery.buried(1) == {
            "b": BuriedImage(5, sha("b2"), gone=False),
            "c": BuriedImage(3, sha("c"), gone=False),
        }
    counts = bring(store, unsaid("b", "b"), new("c", partition="val", identity=8))
    assert counts == ImportCounts(restored=2, kept=Kept(labels=1, partitions=1, identities=1, decisions=1))
    assert [item.replaced for item in read_history(store.snapshot())] == [False], "decided on these bytes"
    assert len(read_history(store.snapshot(), [2, 5, 6])) == 1
    with store.writer() as writer:
        assert writer.gallery.buried(1) == {}


def test_everything_that_was_decided_for_a_key_is_told_dead_or_alive(store):
    for key in "abcd":
        decide(store, key, "flip")
    bring(store, unsaid("c", "other"))
    with store.writer() as writer:
        number = writer.gallery.add_dataset("others", "folder", Path("/others"))
        writer.gallery.add_images(number, [new("b"), new("c")], LABELS)
        writer.gallery.delete(["a", "faces/b", "others/b"])
    snapshot = store.snapshot()

    def told(ref):
        return [(item.image_id, item.replaced) for item in read_history_of_key(snapshot, ref)]

    assert [told(key) for key in ("a", "faces/a", "faces/b")] == [[(1, False)], [(1, False)], [(2, False)]]
    assert [told(ref) for ref in ("faces/c", "id:5", 5)] == [[(5, True)]] * 3
    assert told("d") == [(4, False)]
    for key in ("b", "c", "nobody", "id:1"):
        with pytest.raises(UnknownImageError):
            told(key)
    settle(store, Move(4, "c", "c"), displaced=[5])
    snapshot = store.snapshot()
    assert told("faces/c") == [(5, True), (4, False)], "what was decided of the image that had the name"


def test_what_was_decided_before_keys_were_followed_is_still_told(store):
    """Older versions took nothing over."""
    decide(store, "a", "flip")
    bring(store, unsaid("a", "other"))
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM label_override WHERE copy_of IS NOT NULL"))
    decide(store, "a", "accept")
    history = read_history_of_key(store.snapshot(), "a")
    assert [(item.verdict, item.image_id, item.replaced) for item in history] == [
        ("flip", 1, True),
        ("accept", 5, False),
    ]


def test_renamed_images_keep_their_ids_and_older_readers_the_names(store):
    decide(store, "a", "flip")
    before = store.snapshot()
    settle(store, Move(1, "b", "b"), Move(2, "a", "a"), Move(3, "sub/c", "sub/c"))
    after = store.snapshot()
    names = {"a": 2, "b": 1, "sub/c": 3, "d": 4}
    assert {key: after.resolve(key) for key in names} == names
    assert [row.uri for row in after.images([1, 2, 3])] == ["b", "a", "sub/c"]
    assert [row.sha256 for row in after.images([1, 2, 3])] == [sha("a"), sha("b"), sha("c")]
    assert [item.key for item in read_history(after)] == ["b"]
    assert after.generation == before.generation + 1
    # Twice, so that the name of each generation is a name of its own.
    settle(store, Move(1, "e", "e"))
    last = store.snapshot()
    for snapshot, keys in (
        (before, "abcd"),
        (after, ["b", "a", "sub/c", "d"]),
        (last, ["e", "a", "sub/c", "d"]),
    ):
        assert snapshot.columns([1, 2, 3, 4], ["key"])["key"].tolist() == list(keys)
        assert [row.key for row in snapshot.images([1, 2, 3, 4])] == list(keys)
        assert [snapshot.resolve(f"faces/{key}") for key in keys] == [1, 2, 3, 4]
        assert [item.key for item in read_history(snapshot)] == [keys[0]]
        key = FILTER_COLUMNS["key"]
        assert snapshot.image_ids(key.in_(["a", "b"])).tolist() == [
            number for number, name in enumerate(keys, 1) if name in {"a", "b"}
        ]
    for snapshot, key in ((before, "sub/c"), (after, "e"), (last, "sub/d")):
        with pytest.raises(UnknownImageError, match="no image"):
            snapshot.resolve(key)
    with pytest.raises(UnknownImageError):
        last.resolve("b")


def test_gone_and_displaced_images_die_and_only_the_gone_come_back_by_themselves(store):
    settle(store, Move(1, "b", "b"), displaced=[2], gone=[3])
    after = store.snapshot()
    assert after.tombstoned().tolist() == [2, 3]
    assert after.resolve("b") == 1
    with store.writer() as writer:
        assert writer.gallery.buried(1) == {"c": BuriedImage(3, sha("c"), gone=True)}


def test_a_key_that_its_image_leaves_is_kept_up_by_the_next(store):
    decide(store, "a", "flip")
    counts = settle(
        store,
        Move(1, "copy", "copy"),
        replaced=[unsaid("a", "edited")],
        moved={"a": 1},
        label_names=LABELS,
    )
    assert counts == ImportCounts(replaced=1, kept=Kept(labels=1, partitions=1, identities=1, decisions=1))
    snapshot = store.snapshot()
    assert snapshot.tombstoned().tolist() == []
    ids = [snapshot.resolve("copy"), snapshot.resolve("a")]
    assert ids == [1, 5]
    assert snapshot.labels(ids).tolist() == [[-1, 1, -1]] * 2
    assert [(item.key, item.replaced) for item in read_history(snapshot)] == [("copy", False), ("a", True)]


def test_a_bad_settlement_changes_nothing(store):
    before = store.snapshot()
    with pytest.raises(UnknownImageError), store.writer() as writer:
        writer.gallery.settle(1, [Move(1, "x", "x"), Move(99, "y", "y")])
    assert store.snapshot().generation == before.generation
    assert store.snapshot().resolve("a") == 1


def test_sources_are_not_written_twice(store):
    settle(store, Move(1, "b", "img/b"), Move(2, "a", "img/a"))
    settle(store, Move(1, "a", "img/a"), Move(2, "b", "img/b"))
    with store.engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM source")).scalar() == 6


COMPOSED, APART = "caf\u00e9/1.jpg", "cafe\u0301/1.jpg"


@pytest.mark.parametrize(("kept", "typed"), [(COMPOSED, APART), (APART, COMPOSED)])
def test_a_key_is_found_in_the_other_form_of_unicode(store, kept, typed):
    bring(store, new(kept, "accented"))
    snapshot = store.snapshot()
    wanted = snapshot.resolve(kept)
    assert snapshot.resolve(typed) == snapshot.resolve(f"faces/{typed}") == wanted
    decide(store, typed, "flip")
    assert store.snapshot().labels([wanted]).tolist() != snapshot.labels([wanted]).tolist()
    bring(store, new(typed, "another"))
    both = store.snapshot()
    assert both.resolve(typed) != both.resolve(kept) == wanted, "an exact key goes first"
    with pytest.raises(UnknownImageError, match="no image"):
        both.resolve(f"other/{typed}")


def test_a_key_that_may_be_several_in_other_forms_is_not_guessed(store):
    bring(store, new("\u00e9\u00e9", "one"), new("e\u0301e\u0301", "two"))
    with pytest.raises(UnknownImageError, match="may be the key of several images: write id:5 or id:6"):
        store.snapshot().resolve("\u00e9e\u0301")
