"""Data set → store: what is added, what is skipped, what an interruption leaves."""

import csv
import signal

import pytest
from command import call, good, process, refused, running
from pictures import LABELS, name, picture, write_pictures
from PIL import Image

from olrsearch import Store
from olrsearch.core.errors import ImageDecodeError
from olrsearch.pipeline import importing as ingest


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(ingest, "_IMPORT_BATCH", 8)


# -- adding ------------------------------------------------------------------------------


def test_importing_again_follows_the_rules(tmp_path):
    folder, home = tmp_path / "pictures", tmp_path / "store"
    table = write_pictures(folder, 10)
    with Store.create(home) as store:
        first = store.import_folder(folder, labels=table)
        assert (first.added, first.unchanged) == (10, 0)
        generation = store.info()["generation"]
        again = store.import_folder(folder, labels=table)
        assert (again.added, again.unchanged, again.relabelled, again.replaced) == (0, 10, 0, 0)
        assert store.info()["generation"] == generation

        rows = list(csv.reader(table.read_text().splitlines()))
        rows[3][2] = str(-int(rows[3][2]))
        with table.open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        relabelled = store.import_folder(folder, labels=table)
        assert (relabelled.relabelled, relabelled.unchanged, relabelled.added) == (1, 9, 0)
        assert store.info()["label_revision"] == 1

        old = store.select(f"key = '{name(4)}'")
        Image.fromarray(picture(900)[0]).save(folder / name(4))
        replaced = store.import_folder(folder, labels=table)
        assert (replaced.replaced, replaced.unchanged) == (1, 9)
        new = store.select(f"key = '{name(4)}'")
        assert len(new) == 1
        assert new[0] > old[0]
        (dataset,) = store.info()["datasets"]
        assert (dataset["images"], dataset["deleted"]) == (10, 1)
        assert store.verify(sources=True).ok


def test_images_decoded_before_are_not_decoded_again(gallery, tmp_path, monkeypatch):
    home = gallery.copy(tmp_path / "store")

    def decode(*_, **__):
        raise AssertionError("decoded again")

    monkeypatch.setattr(ingest, "decode_with_size", decode)
    with Store.open(home) as store:
        assert store.import_folder(gallery.data, labels=gallery.data / "labels.csv").unchanged == 120


def test_thumbnails_left_out_at_first_can_be_had_later(tmp_path):
    table = write_pictures(tmp_path / "pictures", 5)
    with Store.create(tmp_path / "store") as store:
        store.import_folder(tmp_path / "pictures", labels=table, thumbnails=False)
        again = store.import_folder(tmp_path / "pictures", labels=table)
        assert (again.updated, again.unchanged) == (5, 0)
        assert store.session.backend.snapshot().thumbnail(1)
        assert store.import_folder(tmp_path / "pictures", labels=table, thumbnails=False).unchanged == 5


def test_a_limit_takes_the_first_images(tmp_path):
    table = write_pictures(tmp_path / "pictures", 10)
    with Store.create(tmp_path / "store") as store:
        assert store.import_folder(tmp_path / "pictures", labels=table, limit=4).added == 4
        assert len(store.select(f"key <= '{name(3)}'")) == 4
        assert store.import_folder(tmp_path / "pictures", labels=table).added == 6


def test_labels_survive_the_way_in(gallery):
    with Store.open(gallery.store, read_only=True) as store:
        ids = [store.session.backend.snapshot().resolve(name(row)) for row in range(20)]
        stored = store.session.backend.snapshot().labels(ids, LABELS)
    assert [tuple(row) for row in stored.tolist()] == [picture(row)[1] for row in range(20)]


# -- faults ------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path):
    """Nine sound pictures, one truncated and one text file that calls itself an image."""
    folder = tmp_path / "damaged"
    write_pictures(folder, 10)
    Image.open(folder / name(3)).save(folder / "full.jpg", quality=95)
    data = (folder / "full.jpg").read_bytes()
    (folder / "full.jpg").unlink()
    (folder / "cut.jpg").write_bytes(data[: len(data) // 2])
    (folder / "text.jpg").write_text("not an image at all\n")
    return folder


def test_unreadable_images_are_skipped_and_reported(damaged, tmp_path):
    called = good(
        tmp_path / "store", "import", "folder", damaged, "--labels", damaged / "labels.csv", "--json"
    )
    report = called.row
    assert report["added"] == 10
    assert {failure["key"] for failure in report["failed"]} == {"cut.jpg", "text.jpg"}
    assert all(failure["reason"] for failure in report["failed"])
    assert [issue["code"] for issue in report["issues"]] == ["images-without-row"]
    shown = good(tmp_path / "store", "import", "folder", damaged)
    assert "2 unreadable" in shown.out
    assert "unreadable: cut.jpg: " in shown.err
    assert good(tmp_path / "store", "store", "verify", "--json").row["ok"]


def test_many_unreadable_images_are_counted_not_listed(tmp_path):
    folder = tmp_path / "pictures"
    write_pictures(folder, 1)
    for number in range(14):
        (folder / f"bad{number:02}.jpg").write_text("no image")
    called = good(tmp_path / "store", "import", "folder", folder)
    assert called.err.count("unreadable: bad") == 10
    assert "and 4 more" in called.err


@pytest.mark.parametrize("bad", ["cut.jpg", "text.jpg"])
def test_unreadable_images_may_be_fatal(damaged, tmp_path, bad):
    for other in {"cut.jpg", "text.jpg"} - {bad}:
        (damaged / other).unlink()
    Store.create(tmp_path / "store").close()
    line = refused(tmp_path / "store", "import", "folder", damaged, "--on-error", "fail")
    assert bad in line
    with Store.create(tmp_path / "other") as store, pytest.raises(ImageDecodeError):
        store.import_folder(damaged, on_error="fail")


# -- interruptions -----------------------------------------------------------------------


def interrupting(after):
    """A track that is interrupted once it has passed on some batches."""

    def track(items, **_):
        for number, item in enumerate(items):
            if number == after:
                raise KeyboardInterrupt
            yield item

    return track


@pytest.mark.usefixtures("small_batches")
def test_an_interrupted_import_is_whole_and_goes_on(tmp_path):
    folder = tmp_path / "pictures"
    table = write_pictures(folder, 30)
    with Store.create(tmp_path / "store", track=interrupting(2)) as store, pytest.raises(KeyboardInterrupt):
        store.import_folder(folder, labels=table)
    with Store.open(tmp_path / "store") as store:
        assert store.verify(sources=True).ok
        assert store.info()["images"] == 16
        report = store.import_folder(folder, labels=table)
        assert (report.added, report.unchanged) == (14, 16)
        assert store.verify(sources=True).ok


SLOW_IMPORT = """
import sys, time
from olrsearch.pipeline import importing as ingest
from olrsearch.apps.cli import run
ingest._IMPORT_BATCH = 4
original, count = ingest.decode_with_size, 0
def decode(*a, **k):
    global count
    count += 1
    if count == 10:
        print('under way', flush=True)
    time.sleep(0.05)
    return original(*a, **k)
ingest.decode_with_size = decode
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
def test_ctrl_c_during_an_import(tmp_path):
    folder = tmp_path / "pictures"
    table = write_pictures(folder, 200)
    arguments = ["--store", tmp_path / "store", "import", "folder", folder, "--labels", table]
    with running(SLOW_IMPORT, *arguments, said="under way") as child:
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 130, errors
    assert "\ninterrupted; go on with: olrsearch " in errors
    assert "Traceback" not in errors
    with Store.open(tmp_path / "store") as store:
        assert store.verify(sources=True).ok
        had = store.info()["images"]
        assert 0 < had < 200
        report = store.import_folder(folder, labels=table)
        assert (report.added, report.unchanged) == (200 - had, had)


HOLD = """
import sys
from pathlib import Path
from olrsearch.store.backend import Backend
with Backend.open(Path(sys.argv[2])) as store, store.writer():
    print('held', flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_told_who_writes(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    with running(HOLD, "--store", home, said="held") as child:
        for arguments in (
            ("delete", name(0)),
            ("label", "set", "bright", "absent", name(0)),
            ("encode",),
            ("calibrate",),
            ("index", "build"),
            ("import", "folder", gallery.data),
        ):
            line = refused(home, *arguments)
            assert f"is being written by process {child.pid} " in line
        assert call(home, "search", "bright").code == 0  # readers do not wait
        child.stdin.close()
        child.wait(timeout=30)
    assert good(home, "delete", name(0)).err == "1 image deleted\n"


def test_the_lock_dies_with_its_process(gallery, tmp_path):
    home = gallery.copy(tmp_path / "store")
    with running(HOLD, "--store", home, said="held") as child:
        child.kill()
        child.wait(timeout=30)
    good(home, "delete", name(0))


def test_progress_is_shown_to_a_terminal_only(tmp_path):
    write_pictures(tmp_path / "pictures", 3)
    done = process(tmp_path / "store", "import", "folder", tmp_path / "pictures")
    assert done.code == 0
    assert "import:" not in done.err
