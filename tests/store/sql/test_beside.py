"""Who reads `metadata.db` beside SQLite keeps its locks: other processes then leave the log alone."""

import os
import sqlite3
import subprocess
import sys

import pytest
from command import environment
from made_stores import fill

from olrsearch.core.checksums import block_sums
from olrsearch.store import Backend
from olrsearch.store.files import DATABASE
from olrsearch.store.sql import beside

DELETE = """
import sys
from pathlib import Path
from olrsearch.store import Backend
with Backend.open(Path(sys.argv[1])) as store, store.writer() as writer:
    writer.gallery.delete([int(sys.argv[2])])
"""


@pytest.fixture
def store(tmp_path):
    with Backend.create(tmp_path / "store") as made:
        fill(made, 4)
        yield made


def elsewhere(store, image):
    """Another process deletes an image, and goes."""
    done = subprocess.run(
        [sys.executable, "-c", DELETE, store.path, str(image)],
        capture_output=True,
        text=True,
        check=False,
        env=environment(),
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_what_another_process_writes_is_seen_and_nothing_is_lost(store):
    with Backend.open(store.path) as mine:
        first, second, third, _ = mine.snapshot().image_ids().tolist()  # compares the checksums
        elsewhere(store, first)
        assert first not in mine.snapshot().image_ids()
        with mine.writer() as writer:
            writer.gallery.delete([second])
        elsewhere(store, third)
        assert mine.snapshot().image_count == 1
    with sqlite3.connect(store.path / DATABASE) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    plain.close()


def test_a_descriptor_stays_open_as_long_as_an_engine_is(store):
    path = store.path / DATABASE
    inode = beside._inode(path)
    assert beside.file_sums(path) == block_sums(path)
    kept = beside._descriptors[inode]
    os.fstat(kept)
    with Backend.open(store.path, read_only=True) as other:
        other.snapshot()
    assert beside._descriptors[inode] == kept  # the store is still open
    store.close()
    assert inode not in beside._descriptors
    assert inode not in beside._engines
    assert beside.file_sums(path) == block_sums(path)
    assert inode not in beside._descriptors  # nobody is there whose locks could be lost
