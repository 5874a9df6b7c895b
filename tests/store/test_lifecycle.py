from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import pytest
from made_stores import fill, new
from sqlalchemy import text

from olrsearch import __version__
from olrsearch.core.errors import (
    OlrsearchError,
    StoreCorruptError,
    StoreError,
    StoreExistsError,
    StoreLockedError,
    StoreNotFoundError,
    StoreReadOnlyError,
    StoreVersionError,
)
from olrsearch.core.files import checked_json
from olrsearch.store import Backend

ROOT = Path(__file__).parents[2]


@pytest.fixture
def empty():
    """Nothing to copy: how stores are made is what is tested here."""


def contents(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def edit_json(path: Path, **changes) -> None:
    content = json.loads(path.read_text()) | changes
    path.write_bytes(checked_json({key: value for key, value in content.items() if key != "checksum"}))


def test_a_new_store_is_empty(stores):
    store = stores.create()
    snapshot = store.snapshot()
    assert snapshot.generation == 0
    assert snapshot.label_names == ()
    assert snapshot.image_ids().tolist() == []
    assert snapshot.image_count == 0
    assert snapshot.datasets() == []
    assert snapshot.spaces() == []
    assert sorted(path.name for path in store.path.iterdir() if path.is_dir()) == [
        "indexes",
        "models",
        "segments",
    ]


def test_store_json_never_changes(stores):
    store = stores.create()
    before = (store.path / "store.json").read_bytes()
    fill(store)
    stores.open(store.path)
    assert (store.path / "store.json").read_bytes() == before
    content = json.loads(before)
    assert content["store_id"] == store.about.store_id
    assert content["backend"] == store.about.backend
    assert content["created_by"] == __version__
    assert "postgresql://" not in before.decode()


def test_what_was_written_is_there_when_opened_again(stores):
    store = stores.create()
    ids = fill(store)
    store.close()
    again = stores.open(store.path)
    assert again.about.store_id == store.about.store_id
    assert again.snapshot().image_ids().tolist() == ids


def test_a_store_may_be_made_in_an_empty_folder_only(stores, tmp_path):
    (tmp_path / "empty").mkdir()
    assert stores.create("empty").path.name == "empty"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for taken, said in (("full", "not empty"), ("file", "not empty"), ("empty", "is a store already")):
        with pytest.raises(StoreExistsError, match=said):
            stores.create(taken)
    assert (tmp_path / "full" / "letter.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]


def test_a_store_cannot_be_made_below_a_file(sqlite_stores, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match="cannot be made a store"):
        sqlite_stores.create("file/store")


def test_an_interrupted_create_leaves_nothing(stores, tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("olrsearch.core.files.sync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stores.create()
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    assert stores.create().snapshot().generation == 0


def test_a_killed_create_leaves_nothing_that_looks_like_a_store(tmp_path):
    code = """
        import os, sys
        from pathlib import Path
        from olrsearch.core import files
        from olrsearch.store import Backend
        files.sync = lambda _: os._exit(9)
        Backend.create(Path(sys.argv[1]))
    """
    done = run(code, tmp_path / "store")
    assert done.returncode == 9
    assert not (tmp_path / "store").exists()
    with pytest.raises(StoreNotFoundError):
        Backend.open(tmp_path / "store")
    Backend.create(tmp_path / "store").close()


def run(code: str, *arguments: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        **options,
    )


def test_no_store_there(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "nowhere", tmp_path / "file"):
        with pytest.raises(StoreNotFoundError, match="import folder IMAGES"):
            Backend.open(path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"format_version": 1}', '{"format_version": "x"}'])
def test_a_damaged_store_json(sqlite_stores, damage):
    store = sqlite_stores.create()
    (store.path / "store.json").write_text(damage)
    with pytest.raises(StoreCorruptError, match=r"store\.json is damaged"):
        Backend.open(store.path)


def test_an_unknown_backend(sqlite_stores):
    store = sqlite_stores.create()
    edit_json(store.path / "store.json", backend="oracle")
    with pytest.raises(StoreCorruptError, match="oracle"):
        Backend.open(store.path)


def test_newer_files_name_the_version_to_install(sqlite_stores):
    store = sqlite_stores.create()
    edit_json(store.path / "store.json", format_version=2, created_by="9.8")
    with pytest.raises(StoreVersionError, match=r"install olrsearch 9\.8"):
        Backend.open(store.path)


def test_newer_tables_name_the_version_to_install(stores):
    store = stores.create()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
        connection.execute(text("UPDATE store SET migrated_by = '9.8'"))
    for read_only in (True, False):
        with pytest.raises(StoreVersionError, match=r"install olrsearch 9\.8"):
            stores.open(store.path, read_only=read_only)
    with pytest.raises(StoreVersionError, match=r"install olrsearch 9\.8"):
        Backend.migrate(store.path, database_url=stores.url)


def test_older_tables_name_the_command_to_run(stores):
    store = stores.create()
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    with pytest.raises(StoreVersionError, match="store migrate"):
        stores.open(store.path)


def test_empty_tables(stores):
    store = stores.create()
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM store"))
    with pytest.raises(StoreCorruptError, match="metadata is empty"):
        stores.open(store.path)


def test_no_generation(stores):
    store = stores.create()
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM generation"))
    with pytest.raises(StoreCorruptError, match="no generation"), store.writer() as writer:
        writer.gallery.add_labels(["Smiling"])
    with pytest.raises(StoreCorruptError, match="no generation"):
        store.snapshot()


def test_a_database_of_another_store(sqlite_stores):
    one, two = sqlite_stores.create("one"), sqlite_stores.create("two")
    one.close()
    two.close()
    shutil.copy(one.path / "metadata.db", two.path / "metadata.db")
    with pytest.raises(StoreCorruptError, match=f"belongs to the store {one.about.store_id}"):
        Backend.open(two.path)


def test_a_missing_database(sqlite_stores):
    store = sqlite_stores.create()
    (store.path / "metadata.db").unlink()
    with pytest.raises(StoreCorruptError, match="missing"):
        Backend.open(store.path)


@pytest.mark.parametrize("keep", [0, 50, 4096, 20_000])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_cut_database(sqlite_stores, keep, read_only):
    store = sqlite_stores.create()
    fill(store)
    store.close()
    path = store.path / "metadata.db"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(StoreError), Backend.open(store.path, read_only=read_only) as broken:
        broken.snapshot().images(broken.snapshot().image_ids())


@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_that_is_none(sqlite_stores, monkeypatch, read_only):
    store = sqlite_stores.create()
    store.close()
    (store.path / "metadata.db").write_bytes(b"a letter, not a database" * 500)
    opened: list[sqlite3.Connection] = []
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: opened.append(real(*a, **k)) or opened[-1])
    with pytest.raises(StoreCorruptError, match="damaged"):
        Backend.open(store.path, read_only=read_only)
    assert opened
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_reading_changes_no_byte(sqlite_stores):
    store = sqlite_stores.create()
    fill(store)
    store.close()
    before = contents(store.path)
    with Backend.open(store.path, read_only=True) as reader:
        snapshot = reader.snapshot()
        snapshot.labels(snapshot.image_ids())
    assert contents(store.path) == before


def test_read_only_refuses_changes(stores):
    store = stores.create()
    fill(store)
    reader = stores.open(store.path, read_only=True)
    with pytest.raises(StoreReadOnlyError, match="read-only"), reader.writer():
        pass
    with pytest.raises(Exception, match=r"readonly|read-only"), reader.engine.begin() as connection:
        connection.execute(text("DELETE FROM label"))


def test_a_read_only_store_sees_what_a_writer_adds(stores):
    store = stores.create()
    reader = stores.open(store.path, read_only=True)
    assert reader.snapshot().image_count == 0
    fill(store)
    assert reader.snapshot().image_count == 10


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_unwritable_media(sqlite_stores):
    """A user who may write nothing there reads all of it, and is told why writing fails."""
    store = sqlite_stores.create()
    fill(store)
    store.close()
    code = """
        import os, sys
        from pathlib import Path
        from olrsearch.core.errors import StoreReadOnlyError
        from olrsearch.store import Backend

        def count(path):
            with Backend.open(Path(path), read_only=True) as store:
                snapshot = store.snapshot()
                return len(snapshot.labels(snapshot.image_ids()))

        count(sys.argv[1])  # every module is loaded while this process may still read it
        os.setuid(65534)
        print(count(sys.argv[2]))
        for change in (Backend.open, Backend.migrate):
            try:
                change(Path(sys.argv[2]))
            except StoreReadOnlyError as error:
                print(error)
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "store"
        shutil.copytree(store.path, place)
        before = contents(place)
        done = run(code, store.path, place)
        assert done.stdout.splitlines()[0] == "10", done.stderr
        assert done.stdout.count("cannot be written") == 2
        assert contents(place) == before


def test_changes_waiting_on_unwritable_media(sqlite_stores, tmp_path, monkeypatch):
    """A copy made while a writer was at work: the log is there, its shared memory is not."""
    store = sqlite_stores.create()
    fill(store)
    copy = tmp_path / "copy"
    shutil.copytree(store.path, copy)
    (copy / "metadata.db-shm").unlink()
    assert (copy / "metadata.db-wal").stat().st_size > 0
    monkeypatch.setattr("olrsearch.store.sql.sqlite.writable", lambda _: False)
    with pytest.raises(StoreReadOnlyError, match="open the store once where it can be written"):
        Backend.open(copy, read_only=True)
    monkeypatch.undo()
    with Backend.open(copy, read_only=True) as reader:
        assert reader.snapshot().image_count == 10


def test_one_writer_in_a_process(stores):
    store = stores.create()
    other = stores.open(store.path)
    with store.writer():
        with pytest.raises(StoreLockedError, match=f"process {os.getpid()} on .* since 20"), other.writer():
            pass
        with pytest.raises(StoreLockedError), store.writer():
            pass
        assert other.snapshot().generation == 0
    with other.writer() as writer:
        writer.gallery.add_labels(["Smiling"])
    assert not (store.path / "LOCK.holder").exists()


def test_the_lock_ends_with_the_process_that_held_it(stores):
    store = stores.create()
    code = """
        import os, sys, time
        from pathlib import Path
        from olrsearch.store import Backend
        with Backend.open(Path(sys.argv[1]), database_url=sys.argv[2] or None).writer():
            print("held", flush=True)
            time.sleep(60)
    """
    arguments = [sys.executable, "-c", textwrap.dedent(code), str(store.path), stores.url or ""]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreLockedError, match=f"process {process.pid} "), store.writer():
            pass
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 10
    while True:  # a server notices a little later that its client is gone
        try:
            with store.writer() as writer:
                assert writer.gallery.add_labels(["Smiling"]) == [0]
            break
        except StoreLockedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_a_holder_that_has_not_said_its_name(sqlite_stores):
    store = sqlite_stores.create()
    with store.writer():
        (store.path / "LOCK.holder").write_text("{")
        with pytest.raises(StoreLockedError, match="not yet said"), store.writer():
            pass


def test_the_lock_is_released_after_an_error(stores):
    store = stores.create()
    with pytest.raises(KeyboardInterrupt), store.writer():
        raise KeyboardInterrupt
    fill(store)


def test_a_busy_database_is_a_named_error(sqlite_stores, monkeypatch):
    monkeypatch.setattr("olrsearch.store.sql.sqlite.BUSY_SECONDS", 0.05)
    store = sqlite_stores.create()
    other = sqlite3.connect(store.path / "metadata.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreLockedError, match="busy"), store.writer() as writer:
        writer.gallery.add_labels(["Smiling"])
    other.close()


def test_a_postgres_store_needs_its_url(postgres_url, tmp_path):
    store = Backend.create(tmp_path / "store", database_url=postgres_url)
    store.close()
    with pytest.raises(StoreError, match="OLRSEARCH_DATABASE_URL"):
        Backend.open(store.path)
    with store.engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA olrsearch_{store.about.store_id} CASCADE"))
    store.close()
    with pytest.raises(StoreNotFoundError, match="another database"):
        Backend.open(store.path, database_url=postgres_url)


def test_a_writer_that_lost_its_server_stops(postgres_url, tmp_path):
    """The lock went with the session: another writer may be at work by now."""
    with Backend.create(tmp_path / "store", database_url=postgres_url) as store:
        ids = fill(store)
        with store.writer() as writer:
            session = writer.session.connection.scalar(text("SELECT pg_backend_pid()"))
            writer.session.connection.commit()
            with store.engine.begin() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": session})
            with pytest.raises(StoreError, match="the database says"):
                writer.gallery.delete(ids[:1])
            writer.gallery.known(1)  # connected again
            with pytest.raises(StoreLockedError, match="connection to the database was lost"):
                writer.gallery.delete(ids[:1])
        assert store.snapshot().image_count == 10
        with store.writer() as writer:
            assert writer.gallery.delete(ids[:1]) == 1
        with store.engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA olrsearch_{store.about.store_id} CASCADE"))


def test_the_url_may_come_from_the_environment(postgres_url, tmp_path, monkeypatch):
    monkeypatch.setenv("OLRSEARCH_DATABASE_URL", postgres_url)
    with Backend.create(tmp_path / "store") as store:
        assert store.about.backend == "postgresql"
        fill(store)
    with Backend.open(tmp_path / "store") as store:
        assert store.snapshot().image_count == 10
        with store.engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA olrsearch_{store.about.store_id} CASCADE"))


@pytest.mark.parametrize(
    ("url", "match"),
    [
        ("mysql://somewhere/db", "mysql"),
        ("no url", "not understood"),
        ("postgresql://nobody:secret@127.0.0.1:1/none", "the database says"),
    ],
)
def test_a_url_that_leads_nowhere(tmp_path, url, match):
    with pytest.raises(OlrsearchError, match=match) as caught:
        Backend.create(tmp_path / "store", database_url=url)
    assert "secret" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_second_batch_of_writes_waits_for_no_reader(stores):
    """A reader in the middle of its answer neither blocks a writer nor sees its changes."""
    store = stores.create()
    ids = fill(store)
    with store.engine.begin() as reading:
        assert reading.scalar(text("SELECT count(*) FROM image")) == 10
        with store.writer() as writer:
            writer.gallery.delete(ids[:1])
            dataset = writer.gallery.add_dataset("more", "folder", store.path)
            writer.gallery.add_images(dataset, [new("a.jpg", labels=None)])
        if store.about.backend == "sqlite":  # PostgreSQL's default level sees commits between statements
            assert reading.scalar(text("SELECT count(*) FROM image")) == 10
    assert store.snapshot().image_count == 10
