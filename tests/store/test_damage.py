"""Damage is named when it is opened, when it is read, or by `verify`, and never a traceback."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing

import pytest
from made_stores import FINGERPRINT, encode, fill, vectors

from olrsearch.core.errors import StoreCorruptError
from olrsearch.store import Backend
from olrsearch.store.leftovers import clean
from olrsearch.store.verify import verify


@pytest.fixture
def whole(sqlite_stores):
    """A store with a space, its artefacts and a deleted image; closed, so that its log is folded in."""
    store = sqlite_stores.create()
    ids = fill(store)
    space, _ = encode(store, ids)
    with store.writer() as writer:
        writer.spaces.set_calibration(space, {"slope": [1.0]}, label_revision=0, split="val")
        writer.spaces.set_metric(space, {"kind": "ip"})
        writer.spaces.add_index(space, "hnsw", {"recall": 1.0})
        writer.gallery.delete(ids[:1])
    store.close()
    return store.path


def edit(path, statement: str, *, sealed: bool) -> None:
    """Changes the metadata behind the program's back."""
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        connection.execute(statement)
    if not sealed:
        (path / "metadata.sums").unlink(missing_ok=True)


def problems(path) -> str:
    with Backend.open(path, read_only=True) as store:
        return " ".join(problem.message for problem in verify(store).problems)


def test_a_whole_store_is_compared_and_whole(whole):
    with Backend.open(whole, read_only=True) as store:
        assert store.snapshot().image_count == 9
        assert not [problem for problem in verify(store).problems if problem.code != "model"]
        assert not verify(store).notes


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE annotation SET packed = x'ff0001' WHERE image_id = 3",
        "UPDATE image SET partition = 'test' WHERE id = 2",
        "UPDATE image SET tombstone_version = NULL",
        "UPDATE space SET name = 'other'",
        "UPDATE label SET name = 'Smiles' WHERE position = 0",
        "DELETE FROM label_override",
        "VACUUM",
    ],
)
def test_a_change_by_another_program_is_named(whole, statement):
    if "DELETE" in statement:
        with Backend.open(whole) as store, store.writer() as writer:
            writer.decisions.set([2], "Smiling", -1, who="me", why="seen")
    before = (whole / "metadata.db").read_bytes()
    with closing(sqlite3.connect(whole / "metadata.db", isolation_level=None)) as connection:
        connection.execute(statement)
    assert (whole / "metadata.db").read_bytes() != before
    for read_only in (True, False):
        with (
            Backend.open(whole, read_only=read_only) as store,
            pytest.raises(StoreCorruptError, match=r"differs from its checksums|has .* bytes, expected"),
        ):
            store.snapshot()
    with (
        Backend.open(whole) as store,
        pytest.raises(StoreCorruptError, match="backup"),
        store.writer(),
    ):
        pass
    assert "changed by another program" in problems(whole)
    (whole / "metadata.sums").unlink()  # the change was meant
    with Backend.open(whole) as store, store.writer():
        pass
    assert (whole / "metadata.sums").exists()
    assert Backend.open(whole, read_only=True).snapshot().generation


def test_a_flip_in_any_page_is_named(whole):
    file = whole / "metadata.db"
    good = file.read_bytes()
    for at in range(100, len(good), 1777):
        file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises(StoreCorruptError), Backend.open(whole, read_only=True) as store:
            store.snapshot()
    file.write_bytes(good)
    with Backend.open(whole, read_only=True) as store:
        assert store.snapshot().image_count == 9


def test_an_older_database_beside_newer_files(whole, tmp_path):
    kept = shutil.copy(whole / "metadata.db", tmp_path)
    with Backend.open(whole) as store, store.writer() as writer:
        writer.gallery.delete([2])
    shutil.copy(kept, whole / "metadata.db")
    with Backend.open(whole, read_only=True) as store, pytest.raises(StoreCorruptError, match="older copy"):
        store.snapshot()
    assert "older copy" in problems(whole)
    (whole / "metadata.sums").unlink()  # on purpose
    with Backend.open(whole, read_only=True) as store:
        assert store.snapshot().image_count == 9


def test_checks_can_be_switched_off(whole, monkeypatch):
    edit(whole, "UPDATE image SET partition = 'test'", sealed=True)
    monkeypatch.setenv("OLRSEARCH_CHECKS", "off")
    with Backend.open(whole, read_only=True) as store:
        assert store.snapshot().image_count == 9


def test_a_writer_that_was_killed_is_no_damage(whole):
    with Backend.open(whole) as store, store.writer() as writer:
        writer.gallery.delete([2])
        kept = {path.name: path.read_bytes() for path in whole.glob("metadata.*")}
    for name, data in kept.items():
        (whole / name).write_bytes(data)
    with Backend.open(whole) as store:
        assert store.snapshot().image_count == 8
        (note,) = verify(store).notes
        assert "the next change writes them anew" in note
        with store.writer() as writer:
            writer.gallery.delete([3])
        assert not verify(store).notes


def test_damaged_checksums_are_named(whole):
    (whole / "metadata.sums").write_text("{")
    with Backend.open(whole, read_only=True) as store, pytest.raises(StoreCorruptError, match="remove it"):
        store.snapshot()
    assert "metadata.sums is damaged" in problems(whole)


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE artefact SET payload = '{' WHERE kind = 'metric'", ("artefact", "metric", "not JSON")),
        ("UPDATE artefact SET payload = '[]' WHERE kind = 'index'", ()),
        ("UPDATE artefact SET payload = '{}' WHERE kind = 'calibration'", ("label_revision", "calibrate")),
        (
            "UPDATE artefact SET payload = json('{\"label_revision\": true}') WHERE kind = 'calibration'",
            ("artefact", "bool"),
        ),
        ("UPDATE space SET labels = '{}'", ("space", "olr", "list of texts")),
        ("UPDATE space SET labels = '[1, 2, 3]'", ("space", "labels", "list of texts")),
        ("UPDATE space SET config = 'x'", ("space", "config", "not JSON")),
        ("UPDATE space SET config = '" + "[" * 100_000 + "'", ("space", "config", "not JSON")),
        ("UPDATE label SET name = CAST(x'ff41' AS TEXT) WHERE position = 1", ("decode", "damaged")),
        ("UPDATE generation SET label_revision = 'many'", ()),
        ("UPDATE image SET created_at = 'yesterday' WHERE id = 4", ()),
    ],
)
def test_stored_texts_that_are_damaged(whole, statement, named):
    edit(whole, statement, sealed=False)
    if named:
        with Backend.open(whole, read_only=True) as store, pytest.raises(StoreCorruptError) as caught:
            store.snapshot()
        assert all(part in str(caught.value) for part in named), caught.value
        assert "\n" not in str(caught.value)
    said = problems(whole)
    assert statement.split()[1] in said
    assert "metadata.db" in said


def test_verify_goes_on_past_broken_texts_and_lists_all(whole):
    edit(whole, "UPDATE artefact SET payload = '{'", sealed=False)
    edit(whole, "UPDATE annotation SET packed = x'05' WHERE image_id = 5", sealed=False)
    segments = next((whole / "segments").iterdir())
    (segments / "ids.npy").write_bytes(b"")
    with Backend.open(whole, read_only=True) as store:
        report = verify(store, check_model=lambda _: FINGERPRINT)
    codes = [problem.code for problem in report.problems]
    assert codes.count("metadata") >= 3
    assert "labels" in codes
    assert "segment" in codes


def test_what_is_removed_and_what_stays(whole):
    left = (
        "segments/" + "0" * 32,
        "segments/.tmp-1",
        f"indexes/{FINGERPRINT}/.exact.building",
        f"indexes/{FINGERPRINT}/other",
        f"indexes/{FINGERPRINT}/words/" + "0" * 32 + ".npy",
        f"indexes/{FINGERPRINT}/words/0.background.tmp",
        "models/" + "cd" * 32,
    )
    kept = ("notes.txt", "runs/mine", "metadata.db.before-0001", f"indexes/{FINGERPRINT}/hnsw")
    for name in (*left, *kept):
        (whole / name).mkdir(parents=True)
    (whole / left[3] / "index.json").write_text("{}")
    (whole / kept[3] / "index.json").write_text("{}")
    with Backend.open(whole) as store:
        assert verify(store).unreferenced == sorted([*left, "notes.txt", "runs/mine"])
        assert sorted(clean(store)) == sorted(left)
        assert verify(store).unreferenced == ["notes.txt", "runs/mine"]
    assert all((whole / name).is_dir() for name in kept)


def test_flips_in_embeddings_are_named_by_the_query_that_reads_them(whole):
    with Backend.open(whole, read_only=True) as store:
        (info,) = store.snapshot().space().segments
        path = info.path / "embeddings.npy"
        data = bytearray(path.read_bytes())
        data[-2] ^= 8
        path.write_bytes(data)
        with pytest.raises(StoreCorruptError, match="damaged"):
            store.snapshot().open_segment(info).embeddings[2]


def test_more_segments_than_one_are_compared_apart(sqlite_stores):
    store = sqlite_stores.create()
    ids = fill(store)
    space, _ = encode(store, ids[:6])
    with store.writer() as writer:
        writer.spaces.add_segment(space, ids[6:], vectors(4, seed=1))
    one, two = store.snapshot().space().segments
    shutil.copy(one.path / "embeddings.npy", two.path / "embeddings.npy")
    with pytest.raises(StoreCorruptError, match="cut or swapped"):
        store.snapshot().open_segment(two)
    assert store.snapshot().open_segment(one).embeddings[0].shape == (6, 4)
