"""The tables and their migrations, and what opening a store does not import."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from made_stores import add_posterior_space, add_space, encode, fill, posteriors, vectors
from sqlalchemy import text, update

from olrsearch.core import resources
from olrsearch.core.errors import OlrsearchError, StoreVersionError
from olrsearch.core.files import sha256_hex
from olrsearch.store import Backend, DecisionRequest
from olrsearch.store.read.decisions import read_history, read_verdicts
from olrsearch.store.sql import migrate, schema
from olrsearch.store.vectors.segments import verify_segment

ROOT = Path(__file__).parents[3]


@pytest.fixture
def empty():
    """Nothing to copy: how stores are made is what is tested here."""


def test_head_is_the_newest_revision():
    scripts = ScriptDirectory(str(resources.migrations_dir()))
    assert scripts.get_current_head() == migrate.HEAD
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True), "revisions are compared as text"


def test_the_migrations_make_the_tables_the_program_expects(stores):
    store = stores.create()
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found = compare_metadata(context, schema.metadata)
    # Partial indexes are in the migrations alone; see schema.py.
    assert sorted((what, index.name) for what, index in found) == [
        ("remove_index", "ix_image_tombstone"),
        ("remove_index", "uq_image_living_key"),
    ]


def test_a_store_of_today_needs_no_migration(stores):
    store = stores.create()
    store.close()
    before = sorted(path.name for path in store.path.iterdir())
    assert Backend.migrate(store.path, database_url=stores.url) == (migrate.HEAD, migrate.HEAD)
    assert sorted({path.name for path in store.path.iterdir()} - {"LOCK"}) == before


AFTER = f"{int(migrate.HEAD) + 1:04}"

NEXT = f'''
"""Images get a note."""
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "{AFTER}", "{migrate.HEAD}", None, None


def upgrade() -> None:
    with op.batch_alter_table("image") as table:
        table.add_column(sa.Column("note", sa.Text(), nullable=True))
    op.execute("UPDATE image SET note = 'old'")
'''


@pytest.fixture
def newer_program(tmp_path, monkeypatch):
    """This program as its next version might be, with one more revision."""
    scripts = tmp_path / "migrations"
    shutil.copytree(resources.migrations_dir(), scripts)
    (scripts / "versions" / f"{AFTER}_next.py").write_text(NEXT)

    def begin():
        monkeypatch.setattr("olrsearch.store.sql.migrate.migrations_dir", lambda: scripts)
        monkeypatch.setattr("olrsearch.store.sql.migrate.HEAD", AFTER)
        monkeypatch.setattr("olrsearch.store.backend.HEAD", AFTER)
        monkeypatch.setattr("olrsearch.store.backend.__version__", "9.8")

    return begin


def test_an_older_store_is_migrated_with_its_rows(stores, newer_program):
    store = stores.create()
    ids = fill(store)
    encode(store, ids[:5])
    before, head = store.snapshot().labels(ids), migrate.HEAD
    store.close()
    newer_program()
    assert Backend.migrate(store.path, database_url=stores.url) == (head, AFTER)
    again = stores.open(store.path)
    snapshot = again.snapshot()
    assert snapshot.image_ids().tolist() == ids
    assert (snapshot.labels(ids) == before).all()
    with again.engine.begin() as connection:
        assert connection.execute(text("SELECT DISTINCT note FROM image")).scalars().all() == ["old"]
        assert connection.execute(text("SELECT migrated_by FROM store")).scalar() == "9.8"
    if again.about.backend == "sqlite":
        shutil.copy(store.path / f"metadata.db.before-{head}", store.path / "metadata.db")
        assert Backend.migrate(store.path) == (head, AFTER)


def test_a_migration_that_fails_changes_nothing(stores, newer_program, tmp_path):
    store = stores.create()
    ids = fill(store)
    store.close()
    before = migrate.HEAD
    with (tmp_path / "migrations" / "versions" / f"{AFTER}_next.py").open("a") as file:
        file.write("    raise KeyboardInterrupt\n")
    newer_program()
    with pytest.raises(KeyboardInterrupt):
        Backend.migrate(store.path, database_url=stores.url)
    with store.engine.begin() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == before
        assert len(connection.execute(text("SELECT * FROM image")).keys()) == len(schema.image.c)
    assert store.snapshot().image_ids().tolist() == ids


BEFORE = {  # what takes a revision's changes back, the newest first
    "0006": [
        "DROP TABLE former_key",
        "ALTER TABLE image DROP COLUMN cause",
        "ALTER TABLE label_override DROP COLUMN copy_of",
    ],
    "0005": ["DROP TABLE person"],
    "0004": ["DROP TABLE audit_suspect", "DROP TABLE audit_run"],
    "0003": [f"ALTER TABLE label_override DROP COLUMN {name}" for name in ("verdict", "given", "run")],
    "0002": ["ALTER TABLE space DROP COLUMN layout"],
}


def back_to(connection, revision) -> None:
    """Makes the tables what an older revision left."""
    for newer, statements in BEFORE.items():
        if newer > revision:
            for statement in statements:
                connection.execute(text(statement))
    connection.execute(text(f"UPDATE alembic_version SET version_num = '{revision}'"))


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005"])
def test_older_tables_are_brought_up_to_date_with_their_rows(stores, revision):
    assert set(BEFORE) == {f"{number:04}" for number in range(2, int(migrate.HEAD) + 1)}
    store = stores.create()
    ids = fill(store)
    with store.writer() as writer:
        writer.decisions.set(ids[:2], "Smiling", -1, who="ann", why="seen")
        writer.decisions.set(ids[1:2], "Smiling", None, who="bob", why="no")
    before, held = store.snapshot(), read_history(store.snapshot())
    with store.engine.begin() as connection:
        back_to(connection, revision)
    store.close()
    assert Backend.migrate(store.path, database_url=stores.url) == (revision, migrate.HEAD)
    again = stores.open(store.path)
    after = again.snapshot()
    with again.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert {what for what, _ in compare_metadata(context, schema.metadata)} == {"remove_index"}
    assert after.labels(ids).tolist() == before.labels(ids).tolist()
    given = [1, 1, -1] if revision >= "0003" else [None] * 3
    assert [item.given for item in read_history(after)] == given, "older tables did not keep what was given"
    assert [replace(item, given=None) for item in read_history(after)] == [
        replace(item, given=None) for item in held
    ]
    assert (read_verdicts(after, ids, ["Smiling"]) != 0)[:3, 0].tolist() == [True, False, False]
    # What was set then can be taken back now.
    with again.writer() as writer:
        writer.decisions.decide([DecisionRequest(number, "Smiling", "undo") for number in ids[:2]], who="eve")
    assert again.snapshot().labels(ids[:2], ["Smiling"]).tolist() == [[1], [-1]]


def as_before_layouts(store) -> None:
    """Makes a store what revision 0001 left: no column `layout`, and manifests without one."""
    with store.engine.begin() as connection:
        for info in store.snapshot().space().segments:
            path = info.path / "manifest.json"
            manifest = json.loads(path.read_text())
            assert manifest.pop("layout") == "labels"
            path.write_text(json.dumps(manifest))
            connection.execute(
                update(schema.segment)
                .where(schema.segment.c.uuid == info.uuid)
                .values(manifest_sha256=sha256_hex(path.read_bytes()))
            )
        back_to(connection, "0001")
    store.close()


def test_what_the_first_revision_left_is_still_read(stores):
    store = stores.create()
    ids = fill(store)
    space, _ = encode(store, ids[:6])
    with store.writer() as writer:
        writer.spaces.set_metric(space, {"kind": "ip"})
    held = np.array(store.snapshot().open_segment(store.snapshot().space().segments[0]).embeddings)
    as_before_layouts(store)
    for read_only in (True, False):
        with pytest.raises(
            StoreVersionError, match=rf"revision 0001, .* needs {migrate.HEAD}: run `olrsearch store migr"
        ):
            stores.open(store.path, read_only=read_only)
    assert Backend.migrate(store.path, database_url=stores.url) == ("0001", migrate.HEAD)
    again = stores.open(store.path)
    snapshot = again.snapshot()
    info = snapshot.space()
    assert (info.layout, info.count, info.metric) == ("labels", 6, {"kind": "ip"})
    assert np.array_equal(snapshot.open_segment(info.segments[0]).embeddings, held)
    assert list(verify_segment(info.segments[0])) == []
    with again.writer() as writer:  # and it goes on
        assert add_space(writer) == space
        writer.spaces.add_segment(space, ids[6:], vectors(4, seed=1))
        writer.spaces.add_segment(add_posterior_space(writer), ids, posteriors(10))
    assert [item.layout for item in again.snapshot().spaces()] == ["labels", "posterior"]


def test_shipped_files_are_found(tmp_path, monkeypatch):
    assert (resources.migrations_dir() / "versions").is_dir()
    shipped = tmp_path / "_resources"
    (shipped / "migrations").mkdir(parents=True)
    (shipped / "migrations" / "env.py").touch()
    monkeypatch.setattr(resources, "_SHIPPED", shipped)
    assert resources.migrations_dir() == shipped / "migrations"
    monkeypatch.setattr(resources, "_CHECKOUT", tmp_path)
    with pytest.raises(OlrsearchError, match="install it again"):
        resources.recipes_dir()


def test_reading_a_store_imports_little(sqlite_stores):
    store = sqlite_stores.create()
    encode(store, fill(store))
    store.close()
    code = """
        import sys
        from pathlib import Path
        from olrsearch.store import Backend
        with Backend.open(Path(sys.argv[1]), read_only=True) as store:
            snapshot = store.snapshot()
            ids = snapshot.image_ids()
            snapshot.labels(ids)
            snapshot.images(ids)
            snapshot.open_segment(snapshot.space().segments[0])
        heavy = {"alembic", "torch", "faiss", "PIL", "lightning", "sqlalchemy.orm", "psycopg", "filelock"}
        heavy.add("sqlalchemy.dialects.postgresql")
        print(sorted(heavy & set(sys.modules)))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), store.path],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    assert done.stdout == "[]\n"
