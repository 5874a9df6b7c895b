"""Readers who may not write: beside a writer, in another user's folder, on media and disks without room.

Each reader is another user in a process of its own: the tests may be run by root, who may do anything.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_stores import fill

from olrsearch.core.errors import OlrsearchError, StoreLockedError
from olrsearch.store import Backend
from olrsearch.store.sql.sqlite import sqlite_engine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
NOBODY = 65534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


class Reader:
    """A process of another user that keeps a store open and counts its images whenever it is asked."""

    CODE = """
        import os, sys
        from pathlib import Path
        from olrsearch.core.errors import OlrsearchError
        from olrsearch.store import Backend
        with Backend.open(Path(sys.argv[1]), read_only=True) as store:  # every module is loaded while it may
            store.snapshot().datasets()
        os.setgid(65534)
        os.setuid(65534)
        store = None
        for _ in sys.stdin:
            try:
                store = store or Backend.open(Path(sys.argv[2]), read_only=True)
                print(store.snapshot().image_count, flush=True)
            except OlrsearchError as error:
                print(f"{type(error).__name__}: {error}", flush=True)
    """

    def __init__(self, readable: Path, path: Path) -> None:
        arguments = [sys.executable, "-c", textwrap.dedent(self.CODE), str(readable), str(path)]
        self.process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )

    def asks(self) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def reading(readable: Path, path: Path) -> Iterator[Reader]:
    reader = Reader(readable, path)
    try:
        yield reader
    finally:
        reader.process.communicate()


@pytest.fixture
def place(sqlite_stores) -> Iterator[tuple[Path, Path]]:
    """Two stores of ten images: one that everybody may read, in a folder only its owner may write to."""
    store = sqlite_stores.create()
    fill(store)
    store.close()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder) / "store"
        shutil.copytree(store.path, path)
        yield store.path, path


@as_root
def test_a_reader_sees_what_a_writer_of_another_user_commits(place):
    readable, path = place
    with reading(readable, path) as reader:
        assert reader.asks() == "10"  # nobody writes: the file as it lies
        with Backend.open(path) as store:
            assert reader.asks() == "10"
            with store.writer() as writer:
                writer.gallery.delete([1])
                assert reader.asks() == "9"
                writer.gallery.delete([2, 3])
            assert reader.asks() == "7"
        with Backend.open(path) as store, store.writer() as writer:
            writer.gallery.delete([4])
        assert reader.asks() == "6"  # opened, changed and closed between two questions
        assert reader.asks() == "6"


@as_root
def test_a_reader_beside_a_writer_that_was_killed(place):
    readable, path = place
    code = """
        import os, sys
        from pathlib import Path
        from olrsearch.store import Backend
        with Backend.open(Path(sys.argv[1])).writer() as writer:
            writer.gallery.delete([1, 2])
            os._exit(9)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code), str(path)], check=False, cwd=ROOT)
    assert (path / "metadata.db-wal").stat().st_size > 0
    with reading(readable, path) as reader:
        assert reader.asks() == "8"
    (path / "metadata.db-shm").unlink()
    with reading(readable, path) as reader:
        assert "open the store once where it can be written" in reader.asks()


@as_root
@pytest.mark.parametrize("name", ["metadata.db", "metadata.db-wal", "metadata.db-shm", "store.json"])
def test_what_may_not_be_read_is_not_called_damaged(place, name):
    readable, path = place
    with Backend.open(path) as store, store.writer() as writer:
        writer.gallery.delete([1])
        (path / name).chmod(0o600)
        with reading(readable, path) as reader:
            said = reader.asks()
    assert said.startswith("StoreError: ")
    assert str(path / name) in said
    assert "owner" in said
    assert "damaged" not in said


def test_a_transaction_across_two_states_says_so(sqlite_stores, monkeypatch):
    """What was read before a writer rewrote the file does not go with what is read after."""
    store = sqlite_stores.create()
    fill(store)
    store.close()
    monkeypatch.setattr("olrsearch.store.sql.sqlite.writable", lambda _: False)
    engine = sqlite_engine(store.path, read_only=True)

    def read_across() -> None:
        with engine.begin() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM image").scalar() == 10
            with Backend.open(store.path) as other, other.writer() as writer:
                writer.gallery.delete([1])

    with pytest.raises(StoreLockedError, match="ask again"):
        read_across()
    with engine.begin() as connection:
        living = "SELECT count(*) FROM image WHERE tombstone_version IS NULL"
        assert connection.exec_driver_sql(living).scalar() == 9
    engine.dispose()


def test_a_database_that_was_put_in_anothers_place_is_opened_anew(sqlite_stores, tmp_path):
    store = sqlite_stores.create()
    ids = fill(store)
    store.close()
    kept = tmp_path / "kept"
    shutil.copytree(store.path, kept)
    with Backend.open(store.path) as other, other.writer() as writer:
        writer.gallery.delete(ids[:4])
    with Backend.open(store.path, read_only=True) as reader:
        assert reader.snapshot().image_count == 6
        (kept / "metadata.db").replace(store.path / "metadata.db")
        (kept / "metadata.sums").replace(store.path / "metadata.sums")
        assert reader.snapshot().image_count == 10


@pytest.fixture
def full_disk(tmp_path) -> Iterator[Path]:
    """A small disk of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if done.returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass


@as_root
def test_a_full_disk(sqlite_stores, full_disk):
    store = sqlite_stores.create()
    ids = fill(store)
    store.close()
    path = full_disk / "store"
    shutil.copytree(store.path, path)
    fill_up(full_disk)
    with Backend.open(path, read_only=True) as reader:
        assert reader.snapshot().image_count == 10

    def write() -> None:
        with Backend.open(path) as opened, opened.writer() as writer:
            for number in ids:
                writer.gallery.delete([number])

    with pytest.raises((OlrsearchError, OSError), match=r"full|No space"):
        write()
    (full_disk / "filler").unlink()
    with Backend.open(path) as opened, opened.writer() as writer:
        writer.gallery.delete(ids[:1])
    with Backend.open(path, read_only=True) as reader:
        assert reader.snapshot().image_count == 9
