"""One commit point: whatever happens before it leaves the old state whole."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from made_stores import LABELS, add_space, encode, fill, new, vectors
from sqlalchemy import select

from olrsearch.core.errors import StoreError
from olrsearch.store.sql import schema
from olrsearch.store.verify import verify

ROOT = Path(__file__).parents[3]


def rows(store, table) -> int:
    with store.engine.begin() as connection:
        return len(connection.execute(select(table)).all())


def test_two_generations_are_kept(stores):
    store = stores.create()
    fill(store)
    encode(store, [1, 2])
    with store.writer() as writer:
        for round_ in range(5):
            writer.spaces.set_metric(1, {"round": round_})
    newest = store.snapshot().generation
    with store.engine.begin() as connection:
        kept = connection.scalars(select(schema.generation.c.id).order_by(schema.generation.c.id)).all()
    assert kept == [newest - 1, newest]
    # The metric of the current generation and of its predecessor; nobody sees the others.
    assert rows(store, schema.artefact) == 2


def test_a_generation_says_why(stores):
    store = stores.create()
    fill(store, 3)
    with store.engine.begin() as connection:
        reasons = connection.scalars(
            select(schema.generation.c.reason).order_by(schema.generation.c.id)
        ).all()
    assert reasons == ["data set faces", "import of 3 images"]


def test_an_interrupt_in_an_import_leaves_nothing(stores, monkeypatch):
    store = stores.create()
    fill(store)
    before = store.snapshot()

    def interrupted(*_):
        raise KeyboardInterrupt

    with store.writer() as writer:
        with monkeypatch.context() as patch:
            patch.setattr("olrsearch.store.sql.commit.add_generation", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.gallery.add_images(1, [new("late.jpg", labels=(1, 1, 1, 1))], [*LABELS, "Hat"])
        after = store.snapshot()
        assert after.generation == before.generation
        assert after.label_names == LABELS
        assert after.image_ids().tolist() == before.image_ids().tolist()
        # The writer goes on.
        assert writer.gallery.add_images(1, [new("late.jpg")], LABELS).added == 1
    assert verify(store).ok


def test_an_interrupt_before_the_commit_of_a_segment_removes_its_files(stores, monkeypatch):
    store = stores.create()
    ids = fill(store)

    def interrupted(*_):
        raise KeyboardInterrupt

    with store.writer() as writer:
        space = add_space(writer)
        with monkeypatch.context() as patch:
            patch.setattr("olrsearch.store.sql.commit.add_generation", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.spaces.add_segment(space, ids, vectors(10))
    assert list((store.path / "segments").iterdir()) == []
    assert store.snapshot().space().segments == ()


def test_an_interrupt_while_files_are_written_removes_them(stores, monkeypatch):
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        space = add_space(writer)

        def interrupted(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("olrsearch.core.files.sync", interrupted)
            with pytest.raises(KeyboardInterrupt):
                writer.spaces.add_segment(space, ids, vectors(10))
    assert list((store.path / "segments").iterdir()) == []


def test_an_interrupt_after_the_commit_keeps_the_segment(stores, monkeypatch):
    """Ctrl-C may arrive between the commit and the end of the call: the files belong to SQL by then."""
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        space = add_space(writer)
        real = writer.session.change

        class Interrupted:
            def __init__(self, reason):
                self.inner = real(reason)

            def __enter__(self):
                return self.inner.__enter__()

            def __exit__(self, *error):
                self.inner.__exit__(*error)
                raise KeyboardInterrupt

        monkeypatch.setattr(writer.session, "change", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            writer.spaces.add_segment(space, ids, vectors(10))
    snapshot = store.snapshot()
    (info,) = snapshot.space().segments
    assert snapshot.open_segment(info).ids.tolist() == ids


def test_a_kill_between_files_and_commit_leaves_the_old_state(stores):
    store = stores.create()
    ids = fill(store)
    encode(store, ids[:5])
    before = store.snapshot()
    code = f"""
        import os, sys
        sys.path.insert(0, {str(ROOT / "tests")!r})
        from pathlib import Path
        from made_stores import vectors
        from olrsearch.store import Backend
        from olrsearch.store.sql import commit
        commit.add_generation = lambda *_: os._exit(9)
        store = Backend.open(Path(sys.argv[1]), database_url=sys.argv[2] or None)
        with store.writer() as writer:
            writer.spaces.add_segment(1, {ids[5:]!r}, vectors(5))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), store.path, stores.url or ""], check=False, cwd=ROOT
    )
    assert done.returncode == 9
    after = stores.open(store.path).snapshot()
    assert after.generation == before.generation
    assert after.space().segments == before.space().segments
    assert after.missing_embeddings(1).tolist() == ids[5:]
    (registered,) = after.space().segments
    (left,) = {path.name for path in (store.path / "segments").iterdir()} - {registered.uuid}
    report = verify(store)
    assert report.unreferenced == [f"segments/{left}"]
    assert not [problem for problem in report.problems if problem.code != "model"]
    with stores.open(store.path).writer() as writer:
        writer.spaces.add_segment(1, ids[5:], vectors(5))
    assert stores.open(store.path).snapshot().space().count == 10


def test_a_kill_while_files_are_written_leaves_the_old_state(stores):
    store = stores.create()
    ids = fill(store)
    encode(store, ids[:5])
    code = f"""
        import os, sys
        sys.path.insert(0, {str(ROOT / "tests")!r})
        from pathlib import Path
        from made_stores import vectors
        from olrsearch.core import files
        from olrsearch.store import Backend
        store = Backend.open(Path(sys.argv[1]), database_url=sys.argv[2] or None)
        with store.writer() as writer:
            files.sync = lambda _: os._exit(9)
            writer.spaces.add_segment(1, {ids[5:]!r}, vectors(5))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), store.path, stores.url or ""], check=False, cwd=ROOT
    )
    assert done.returncode == 9
    assert store.snapshot().missing_embeddings(1).tolist() == ids[5:]
    (left,) = verify(store).unreferenced
    assert left.startswith("segments/.tmp-")


def insert(writer, table, **values) -> None:
    with writer.session.change("something the database refuses") as change:
        change.touched = True
        change.connection.execute(table.insert().values(**values))


def test_a_refusal_of_the_database_is_a_named_error(stores):
    store = stores.create()
    fill(store)
    image = {"id": 99, "dataset_id": 1, "source_id": 1, "key": "000.jpg", "width": 1, "height": 1}
    with store.writer() as writer:
        with pytest.raises(StoreError, match=r"the database says: .*(?i:unique)"):
            insert(writer, schema.image, **image, created_at=schema.utc_now())
        with pytest.raises(StoreError, match=r"the database says: .*(?i:foreign key)"):
            insert(writer, schema.thumbnail, image_id=5000, jpeg=b"")
    assert store.snapshot().image_count == 10
