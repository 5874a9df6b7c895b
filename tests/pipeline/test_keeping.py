"""What an import keeps: labels, partition, identity and decisions follow keys and bytes; gone files."""

import csv
import json
import os
import shutil
import signal

import pytest
from command import call, good, refused, running
from pictures import LABELS, name, picture, write_pictures
from PIL import Image
from sqlalchemy import event, text

from olrsearch import DecisionRequest, Store
from olrsearch.core.errors import DatasetError, StoreError, UnknownImageError
from olrsearch.pipeline import importing as ingest
from olrsearch.store.sql.database import schema_name


def draw(folder, key, row):
    """Other bytes under a key."""
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(row, seed=9)[0]).save(folder / key)


def make(folder):
    """Twelve pictures, imported with a table; people decided on some of them."""
    table = write_pictures(folder / "pictures", 12)
    rows = list(csv.reader(table.read_text().splitlines()))
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(
            [*row[:2], "identity" if at == 0 else str(at % 4), *row[2:]] for at, row in enumerate(rows)
        )
    with Store.create(folder / "store") as store:
        store.import_folder(folder / "pictures", labels=table, name="faces")
        for row, label, verdict, who in (
            (3, "Bright", "flip", "ann"),
            (3, "Bright", "accept", "bob"),
            (4, "Red", "unsure", "ann"),
        ):
            store.labels.decide([DecisionRequest(name(row), label, verdict)], who=who)


class Faces:
    """What `make` made, to change at will."""

    def __init__(self, folder):
        self.folder, self.home = folder / "pictures", folder / "store"
        self.table = self.folder / "labels.csv"
        self.store = Store.open(self.home)
        self.store.relocate("faces", self.folder)

    def decide(self, key, label, verdict):
        self.store.labels.decide([DecisionRequest(key, label, verdict)], who="ann")

    def again(self, *, labels=None, **options):
        return self.store.import_folder(self.folder, labels=labels, name="faces", **options)

    def about(self, key):
        """What people expect to stay: id, partition, identity, effective labels, verdicts in force."""
        snapshot = self.store.session.backend.snapshot()
        number = snapshot.resolve(key)
        (row,) = snapshot.images([number])
        verdicts = [(item.label, item.verdict, item.who) for item in self.store.labels.history(key)]
        return number, row.partition, row.identity, snapshot.labels([number])[0].tolist(), verdicts

    def said(self, key):
        """The same without the id."""
        return self.about(key)[1:]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "faces"
    make(folder)
    return folder


@pytest.fixture
def faces(made, tmp_path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    found = Faces(tmp_path)
    yield found
    found.store.close()


# -- other bytes under a key -------------------------------------------------------------


@pytest.mark.parametrize("whole_table", [False, True])
def test_a_file_edited_in_place_keeps_what_was_said_of_it(faces, whole_table):
    before, bytes_before = faces.said(name(3)), faces.store.labels.history(name(3))[0].sha256
    assert before[1] is not None
    assert len(before[3]) == 2
    draw(faces.folder, name(3), 3)
    report = faces.again(labels=faces.table if whole_table else None)
    assert report.replaced == 1
    assert faces.said(name(3)) == before
    kept = report.kept
    assert kept.decisions == 2
    assert (kept.labels, kept.partitions, kept.identities) == ((0, 0, 0) if whole_table else (1, 1, 1))
    history = faces.store.labels.history(name(3))
    assert [(item.sha256, item.replaced) for item in history] == [(bytes_before, True)] * 2
    faces.decide(name(3), "Red", "accept")
    latest = faces.store.labels.history(name(3))[-1]
    assert latest.sha256 != bytes_before
    assert not latest.replaced
    assert faces.store.verify(sources=True).ok


def test_a_table_that_lacks_a_column_leaves_it_as_it_was(faces, tmp_path):
    before = faces.said(name(5))
    table = tmp_path / "one.csv"
    table.write_text(f"image,{LABELS[0]}\n{name(5)},{'absent' if before[2][0] > 0 else 'present'}\n")
    draw(faces.folder, name(5), 5)
    report = faces.again(labels=table)
    assert (report.replaced, report.kept.labels) == (1, 1)
    assert faces.said(name(5)) == (*before[:2], [-before[2][0], *before[2][1:]], before[3])


def test_decisions_stand_over_what_a_new_table_says(faces):
    effective = faces.said(name(3))[2]
    rows = list(csv.reader(faces.table.read_text().splitlines()))
    column = rows[0].index("Bright")
    rows[4][column] = str(-int(rows[4][column]))
    with faces.table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    draw(faces.folder, name(3), 3)
    assert faces.again(labels=faces.table).replaced == 1
    assert faces.said(name(3))[2] == effective
    faces.store.labels.undo(name(3), "Bright", who="eve")
    faces.store.labels.undo(name(3), "Bright", who="eve")
    place = faces.store.session.backend.snapshot().label_positions(["Bright"])[0]
    assert faces.said(name(3))[2][place] == int(rows[4][column]), "all taken back: what the table says"
    assert [item.verdict for item in faces.store.labels.history(name(3))] == [
        "flip",
        "accept",
        "undo",
        "undo",
    ]


def test_what_was_taken_over_is_exported_and_replayed(faces, tmp_path):
    for row in (3, 4):
        draw(faces.folder, name(row), row)
    faces.again()
    draw(faces.folder, name(3), 33)
    faces.again()  # and taken over once more
    assert len(faces.store.labels.history()) == 3
    assert [item.who for item in faces.store.labels.history(name(3))] == ["ann", "bob"]
    assert faces.store.labels.export_history(tmp_path / "history.jsonl") == 3
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line.get("sha256") for line in lines] == [item.sha256 for item in faces.store.labels.history()]
    with Store.create(tmp_path / "other") as other:
        other.import_folder(faces.folder, labels=faces.table, name="faces", thumbnails=False)
        other.labels.decide_file(tmp_path / "history.jsonl", who="me")
        ids = other.select("id > 0")
        keys = [row.key for row in other.session.backend.snapshot().images(ids)]
        effective = other.session.backend.snapshot().labels(ids).tolist()
    assert effective == [faces.said(key)[2] for key in keys]


# -- deleted images ----------------------------------------------------------------------


def test_deleted_images_stay_deleted_and_come_back_with_everything(faces):
    before = faces.said(name(3))
    faces.store.delete([name(3), name(4)])
    assert [item.who for item in faces.store.labels.history(name(3))] == ["ann", "bob"], "still told"
    with pytest.raises(UnknownImageError):
        faces.store.labels.history("nobody.png")
    for sync in (False, True):
        report = faces.again(labels=faces.table, sync=sync)
        assert (report.added, report.restored, report.stayed_deleted, report.gone) == (0, 0, 2, 0)
    report = faces.again(restore=True)
    assert (report.restored, report.stayed_deleted, report.kept.decisions) == (2, 0, 3)
    assert faces.said(name(3)) == before
    assert faces.again(restore=True).unchanged == 12


def test_a_deleted_image_stays_deleted_under_another_name(faces):
    before = faces.said(name(3))
    faces.store.delete([name(3)])
    (faces.folder / name(3)).rename(faces.folder / "renamed.png")
    assert faces.again().stayed_deleted == 1
    assert faces.again().stayed_deleted == 1, "and the next time too"
    assert faces.again(restore=True).restored == 1
    assert faces.said("renamed.png") == before


# -- renamed files -----------------------------------------------------------------------


@pytest.mark.parametrize("sync", [False, True])
def test_a_renamed_file_keeps_its_image(faces, sync):
    before = faces.about(name(3))
    (faces.folder / "sub").mkdir()
    (faces.folder / name(3)).rename(faces.folder / "sub" / "x.png")
    old = faces.store.session.backend.snapshot()
    report = faces.again(sync=sync)
    assert (report.moved, report.unchanged, report.gone, report.removed, report.added) == (1, 11, 0, 0, 0)
    assert faces.about("sub/x.png") == before
    (row,) = faces.store.session.backend.snapshot().images([before[0]])
    assert row.uri == "sub/x.png"
    assert faces.store.verify(sources=True).ok
    with pytest.raises(UnknownImageError):
        faces.about(name(3))
    # A reader of before goes on with the names it knows.
    assert old.resolve(name(3)) == before[0]
    assert old.columns([before[0]], ["key"])["key"].tolist() == [name(3)]
    with pytest.raises(UnknownImageError):
        old.resolve("sub/x.png")


def test_renamed_files_take_the_rows_of_their_new_names(faces):
    (faces.folder / name(3)).rename(faces.folder / "x.png")
    text = faces.table.read_text().replace(name(3), "x.png").replace("x.png,val", "x.png,test")
    faces.table.write_text(text)
    before = faces.about(name(3))
    report = faces.again(labels=faces.table)
    assert (report.moved, report.added) == (1, 0)
    assert faces.about("x.png") == (before[0], "test", *before[2:])


def test_two_names_that_are_swapped(faces):
    a, b = faces.about(name(3)), faces.about(name(4))
    (faces.folder / name(3)).rename(faces.folder / "aside")
    (faces.folder / name(4)).rename(faces.folder / name(3))
    (faces.folder / "aside").rename(faces.folder / name(4))
    assert faces.again().moved == 2
    assert (faces.about(name(4)), faces.about(name(3))) == (a, b)
    assert faces.again().unchanged == 12


def test_an_edited_file_whose_original_is_kept_beside_it(faces):
    before = faces.about(name(3))
    shutil.copy(faces.folder / name(3), faces.folder / "original.png")
    draw(faces.folder, name(3), 3)
    report = faces.again()
    assert (report.moved, report.replaced, report.kept.decisions) == (1, 1, 2)
    assert faces.about("original.png") == before
    assert faces.said(name(3)) == before[1:]


def test_one_file_moved_over_another(faces):
    before = faces.about(name(3))
    (faces.folder / name(3)).replace(faces.folder / name(4))
    report = faces.again()
    assert (report.moved, report.removed, report.replaced, report.unchanged) == (1, 1, 0, 10)
    assert faces.about(name(4))[:4] == before[:4]
    told = [(item.verdict, item.replaced) for item in faces.store.labels.history(name(4))]
    assert told == [("flip", False), ("accept", False), ("unsure", True)]


def test_embeddings_of_renamed_images_stay_valid(gallery, tmp_path):
    home, data = gallery.copy(tmp_path / "store"), tmp_path / "pictures"
    shutil.copytree(gallery.data, data)
    with Store.open(home) as store:
        (dataset,) = store.info()["datasets"]
        store.relocate(dataset["name"], data)
        number = store.session.backend.snapshot().resolve(name(3))
        before = [hit.image_id for hit in store.similar(name(3), k=5)]
        (data / name(3)).rename(data / "other.png")
        report = store.import_folder(data, name=dataset["name"], sync=True)
        assert (report.moved, report.removed) == (1, 0)
        space = store.session.backend.snapshot().space()
        assert store.session.backend.snapshot().missing_embeddings(space.id).size == 0
        assert [hit.image_id for hit in store.similar("other.png", k=5)] == before
        assert store.session.backend.snapshot().resolve("other.png") == number


# -- files that are gone -----------------------------------------------------------------


def test_gone_files_are_counted_and_removed_by_a_sync(faces):
    before = faces.said(name(3))
    aside = faces.folder.parent / "aside.png"
    (faces.folder / name(3)).rename(aside)
    report = faces.again()
    assert (report.gone, report.removed, report.unchanged) == (1, 0, 11)
    assert faces.said(name(3)) == before
    report = faces.again(sync=True)
    assert (report.gone, report.removed, report.unchanged) == (0, 1, 11)
    assert len(faces.store.select("id > 0")) == 11
    assert (faces.again().gone, faces.again(sync=True).removed) == (0, 0)
    # Nobody deleted it: the file is back, and so is everything that was said of it, under another name too.
    aside.rename(faces.folder / "back.png")
    report = faces.again()
    assert (report.restored, report.kept.decisions) == (1, 2)
    assert faces.said("back.png") == before


def test_unreadable_files_are_not_gone(faces):
    before = faces.about(name(3))
    (faces.folder / name(3)).write_bytes(b"broken")
    (faces.folder / name(4)).write_bytes((faces.folder / name(4)).read_bytes()[:60])
    report = faces.again(sync=True)
    assert (len(report.failed), report.removed, report.gone, report.replaced) == (2, 0, 0, 0)
    assert faces.about(name(3)) == before


def test_a_sync_that_would_remove_most_is_refused(faces):
    for row in range(7):
        (faces.folder / name(row)).unlink()
    draw(faces.folder, "new.png", 50)
    with pytest.raises(DatasetError, match=r"7 of the 12 images of 'faces' .* more than half.*--remove-most"):
        faces.again(sync=True)
    assert len(faces.store.select("id > 0")) == 13, "what is new is there, nothing is lost"
    report = faces.again(sync=True, remove_most=True)
    assert (report.removed, report.unchanged) == (7, 6)


def test_leave_to_remove_without_a_sync_is_refused(faces):
    with pytest.raises(DatasetError, match="remove_most lets a sync remove more: say sync too"):
        faces.again(remove_most=True)


def test_moving_all_files_is_no_loss(faces):
    (faces.folder / "sub").mkdir()
    for row in range(12):
        (faces.folder / name(row)).rename(faces.folder / "sub" / name(row))
    assert faces.again(sync=True).moved == 12


def test_an_empty_folder_removes_nothing(faces):
    for row in range(12):
        (faces.folder / name(row)).unlink()
    with pytest.raises(DatasetError, match="no images"):
        faces.again(sync=True)
    shutil.rmtree(faces.folder)
    with pytest.raises(DatasetError, match="no folder"):
        faces.again(sync=True)
    assert len(faces.store.select("id > 0")) == 12


def test_a_sync_of_a_part_is_refused(faces):
    with pytest.raises(DatasetError, match="limit"):
        faces.again(sync=True, limit=5)
    assert faces.again(limit=5).gone == 0


def test_a_folder_that_cannot_be_read_keeps_its_images(faces, monkeypatch):
    """The superuser may read every folder, so the refusal is made."""
    sub = faces.folder / "sub"
    sub.mkdir()
    for row in (1, 2):
        (faces.folder / name(row)).rename(sub / name(row))
    faces.again()
    real = os.scandir

    def scandir(path="."):
        if str(path) == str(sub):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(
        DatasetError, match=r"1 folder cannot be read.*2 images of 'faces' .*nothing was removed"
    ):
        faces.again(sync=True)
    monkeypatch.undo()
    assert len(faces.store.select("id > 0")) == 12
    assert faces.again(sync=True).removed == 0


# -- kills -------------------------------------------------------------------------------


SLOW_SYNC = """
import sys, time
from olrsearch.apps.cli import run
from olrsearch.pipeline import importing as ingest
from olrsearch.store.write import gallery
ingest._IMPORT_BATCH = 4
where = sys.argv.pop(1)
def stop(*_):
    print('under way', flush=True)
    time.sleep(60)
if where == 'before':
    ingest._check_gone = lambda *_, **__: stop()
elif where == 'inside':
    gallery.rename = stop
else:
    ingest._Import.take_changed = stop
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("where", ["before", "inside", "after"])
def test_a_sync_that_is_killed_leaves_a_whole_store_and_goes_on(faces, where):
    (faces.folder / name(1)).unlink()
    moved, edited = faces.about(name(3)), faces.said(name(4))
    (faces.folder / name(3)).rename(faces.folder / "x.png")
    draw(faces.folder, name(4), 4)
    draw(faces.folder, "new.png", 50)
    options = ["import", "folder", faces.folder, "--name", "faces", "--sync"]
    with running(SLOW_SYNC, where, "--store", faces.home, *options, said="under way") as child:
        child.kill()
        child.wait(timeout=30)
    assert child.returncode == -signal.SIGKILL
    assert faces.store.verify().ok
    there = len(faces.store.select("id > 0"))
    assert there == (12 if where == "after" else 13)
    report = faces.again(sync=True)
    assert report.replaced == 1
    assert faces.about("x.png") == moved
    assert faces.said(name(4)) == edited
    assert len(faces.store.select("id > 0")) == 12
    assert faces.store.verify(sources=True).ok
    assert faces.again(sync=True).unchanged == 12


# -- a full disk -------------------------------------------------------------------------


def test_a_disk_that_is_full_leaves_what_was_imported(faces, monkeypatch):
    """The database may not grow: SQLite says what it says where nothing is left."""
    monkeypatch.setattr(ingest, "_IMPORT_BATCH", 4)
    write_pictures(faces.folder, 40, first=100)
    (faces.folder / name(3)).rename(faces.folder / "0000-first.png")
    before = faces.about(name(3))
    engine = faces.store.session.backend.engine

    with engine.begin() as connection:
        pages = connection.execute(text("PRAGMA page_count")).scalar()

    def little(connection, *_):
        connection.execute(f"PRAGMA max_page_count = {pages + 4}")

    event.listen(engine, "checkout", little)
    with pytest.raises(StoreError, match="disk is full"):
        faces.again()
    event.remove(engine, "checkout", little)
    faces.store.close()  # and the limit with the connection
    with Store.open(faces.home) as store:
        assert store.verify(sources=False).ok
        had = len(store.select("id > 0"))
        assert 12 < had < 52
        report = store.import_folder(faces.folder, name="faces")
        assert (report.moved, report.added, report.unchanged) == (1, 52 - had, had - 1)
    faces.store = Store.open(faces.home)
    assert faces.about("0000-first.png") == before


# -- what is said ------------------------------------------------------------------------


def test_the_command_says_what_was_kept_and_what_to_run(faces):
    faces.store.delete([name(5)])
    (faces.folder / name(1)).unlink()
    draw(faces.folder, name(3), 3)
    arguments = ("import", "folder", faces.folder, "--name", "faces")
    said = good(faces.home, *arguments)
    assert said.out == "faces: 0 added, 9 unchanged, 0 relabelled, 1 replaced, 0 unreadable\n"
    kept = "labels of 1, partition of 1, identity of 1, decisions: 2"
    assert f"note: kept of 1 image replaced or restored: {kept}; `olrsearch audit history` says" in said.err
    command = f"olrsearch --store {faces.home} import folder {faces.folder} --name faces"
    gone = f"1 image still answers although its file is gone or left out ({name(1)})"
    assert f"note: {gone}: `{command} --sync` removes it" in said.err
    assert f"`{command} --restore` brings it back" in said.err
    said = good(faces.home, *arguments, "--sync", "--restore")
    assert said.out == (
        "faces: 0 added, 10 unchanged, 0 relabelled, 0 replaced, 1 restored, 1 removed, 0 unreadable\n"
    )
    row = good(faces.home, *arguments, "--json").row
    assert not any(row[name] for name in ("gone", "removed", "moved", "restored", "stayed_deleted"))
    assert row["kept"] == {"labels": 0, "partitions": 0, "identities": 0, "decisions": 0}
    history = good(faces.home, "audit", "history", name(3)).out
    assert history.count("(of other bytes: sha256 ") == 2
    assert [item["replaced"] for item in good(faces.home, "audit", "history", name(3), "--json").rows] == [
        True,
        True,
    ]
    assert call(faces.home, *arguments, "--sync", "--limit", "3").code == 1


def test_a_store_that_nothing_gets_into_is_not_kept(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_text("no image")
    assert "WARNING" not in call(tmp_path / "store", "import", "folder", folder).err
    line = refused(tmp_path / "store", "import", "folder", folder)
    assert "nothing was imported: none of the 1 files of 'pictures' can be read; the first, a.jpg: " in line
    assert not (tmp_path / "store").exists()
    refused(tmp_path / "store", "import", "folder", folder, "--on-error", "fail")
    assert not (tmp_path / "store").exists()
    draw(folder, "b.png", 1)
    good(tmp_path / "store", "import", "folder", folder)
    refused(tmp_path / "store", "import", "folder", folder, "--on-error", "fail")
    with Store.open(tmp_path / "store") as store:
        assert store.info()["images"] == 1
        assert not Store.discard_empty(tmp_path / "store")


@pytest.mark.slow
def test_the_same_on_postgresql(tmp_path):
    url = os.environ.get("OLRSEARCH_TEST_POSTGRES")
    if not url:
        pytest.skip("OLRSEARCH_TEST_POSTGRES names no PostgreSQL to test with")
    folder = tmp_path / "pictures"
    table = write_pictures(folder, 6)
    with Store.create(tmp_path / "store", database_url=url) as store:
        store.import_folder(folder, labels=table, name="faces")
        number = store.session.backend.snapshot().resolve(name(1))
        store.labels.decide([DecisionRequest(name(row), "Red", "unsure") for row in (1, 2, 3)], who="ann")
        old = store.session.backend.snapshot()
        (folder / name(1)).rename(folder / "x.png")
        draw(folder, name(2), 2)
        (folder / name(4)).unlink()
        store.delete([name(3)])
        report = store.import_folder(folder, name="faces", sync=True)
        assert (report.moved, report.replaced, report.removed, report.stayed_deleted) == (1, 1, 1, 1)
        assert report.kept.decisions == 1
        assert store.session.backend.snapshot().resolve("x.png") == number == old.resolve(name(1))
        assert store.import_folder(folder, name="faces", restore=True).restored == 1
        assert [item.key for item in store.labels.history()] == ["x.png", name(2), name(3)]
        assert not Store.discard_empty(tmp_path / "store", database_url=url)
        assert store.verify(sources=True).ok
        mine = schema_name(store.session.backend.about.store_id)
        with store.session.backend.engine.begin() as connection:
            connection.execute(text(f"DROP SCHEMA {mine} CASCADE"))
    Store.create(tmp_path / "empty", database_url=url).close()
    assert Store.discard_empty(tmp_path / "empty", database_url=url)
    assert not (tmp_path / "empty").exists()
