"""Decoding beside other work: order, look-ahead, unreadable images, interruptions, threads that end."""

import itertools
import signal
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from command import good, running
from pictures import name, picture, write_pictures

from olrsearch import Store
from olrsearch.core.errors import ImageDecodeError, ImageMissingError
from olrsearch.datasets.images import load_array
from olrsearch.pipeline import reading_pixels as pixels
from olrsearch.pipeline.adding_encoders import add_model
from olrsearch.pipeline.reading_pixels import Failure, batched, cache_pixels, decoded, read_pixels
from olrsearch.store.values import ImageRow

SIZE = (3, 2)


def row_of(number, root="nowhere", uri=None):
    uri = name(number) if uri is None else uri
    return ImageRow(number, name(number), "pictures", uri, None, None, 24, 24, 10, root, "ab" * 32)


def batches_of(*sizes):
    """Lists of rows of these lengths, numbered through."""
    numbers = itertools.count()
    return [[row_of(number) for number in itertools.islice(numbers, size)] for size in sizes]


@pytest.fixture
def made(monkeypatch):
    """No files: the pixels of picture n are all n, and what is asked for is noted."""
    asked = []

    def load(_, uri, size, crop):
        assert crop == "center"
        number = int(uri[:4])
        asked.append(number)
        time.sleep(0.02 * (number % 3 == 0))  # some take longer than what comes after them
        return np.full((*size, 3), number, np.uint8)

    monkeypatch.setattr(pixels, "load_array", load)
    return asked


@pytest.fixture
def threads_end():
    """Whatever a test does, the threads that decode are gone after it."""
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.fixture
def folder(tmp_path):
    """Forty pictures; number 7 is cut off, number 30 is gone."""
    write_pictures(tmp_path / "pictures", 40)
    cut = tmp_path / "pictures" / name(7)
    cut.write_bytes(cut.read_bytes()[:200])
    (tmp_path / "pictures" / name(30)).unlink()
    return tmp_path / "pictures"


# -- order and look-ahead --------------------------------------------------------------------


@pytest.mark.usefixtures("threads_end")
def test_order_is_kept(made):
    found = list(decoded(batches_of(40, 1, 17, 0, 33), SIZE, "center"))
    assert [len(batch) for batch in found] == [40, 1, 17, 0, 33]
    assert [number for batch in found for number in batch.ids] == list(range(91))
    for batch in found:
        assert batch.pixels.dtype == np.uint8
        assert batch.pixels.shape == (len(batch.ids), *SIZE, 3)
        assert (batch.pixels == np.array(batch.ids).reshape(-1, 1, 1, 1)).all()
        assert not batch.failures
    assert sorted(made) == list(range(91))  # each once


def test_pixels_are_those_of_the_files(folder):
    ids, found, failures = read_pixels([row_of(number, folder) for number in (5, 0, 12)], (10, 8), "none")
    assert (ids, failures) == ([5, 0, 12], [])
    for number, image in zip(ids, found, strict=True):
        np.testing.assert_array_equal(image, load_array(folder, name(number), (10, 8), "none"))
    ids, found, failures = read_pixels([], (10, 8), "none")
    assert (ids, found.shape, failures) == ([], (0, 10, 8, 3), [])


@pytest.mark.usefixtures("threads_end")
@pytest.mark.parametrize("ahead", [0, 1, 2, 5])
def test_the_look_ahead_is_bounded(made, ahead):
    given = []

    def source():
        for batch in batches_of(*[5] * 8):
            assert threading.current_thread() is threading.main_thread()  # it may ask a database
            given.append(batch)
            yield batch

    for number, batch in enumerate(decoded(source(), SIZE, "center", ahead=ahead), 1):
        assert batch.ids[0] == 5 * (number - 1)
        assert len(given) == min(number + ahead, 8)
        time.sleep(0.03)  # time to run further ahead, for those that would
        assert max(made) < 5 * len(given)


@pytest.mark.usefixtures("threads_end", "made")
def test_later_batches_are_decoded_while_the_caller_works(monkeypatch):
    inner, third = pixels.load_array, threading.Event()

    def load(root, uri, *rest):
        if uri == name(11):
            third.set()
        return inner(root, uri, *rest)

    monkeypatch.setattr(pixels, "load_array", load)
    with closing(decoded(batches_of(4, 4, 4), SIZE, "center", ahead=2)) as source:
        assert next(source).ids == [0, 1, 2, 3]
        assert third.wait(30)  # nobody has asked for it yet


def test_batched():
    assert list(batched(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert not list(batched([], 3))


# -- unreadable images -------------------------------------------------------------------------


def rows_in(folder):
    return list(batched([row_of(number, folder) for number in range(40)], 20))


@pytest.mark.usefixtures("threads_end")
def test_unreadable_images_are_left_out_and_reported(folder):
    first, second = decoded(rows_in(folder), (24, 24), "none")
    assert first.ids == [number for number in range(20) if number != 7]
    assert second.ids == [number for number in range(20, 40) if number != 30]
    assert (len(first), len(second)) == (20, 20)  # progress counts them too
    for batch, number in ((first, 7), (second, 30)):
        (failure,) = batch.failures
        assert failure.key == name(number)
        assert name(number) in failure.reason
        for at, image in zip(batch.ids, batch.pixels, strict=True):
            np.testing.assert_array_equal(image, picture(at)[0])


@pytest.mark.usefixtures("threads_end")
def test_unreadable_images_may_be_fatal_when_their_batch_is_asked_for(folder):
    source = decoded([rows_in(folder)[1], rows_in(folder)[0]], (24, 24), "none", on_error="fail")
    with pytest.raises(ImageMissingError, match=name(30)):
        next(source)
    with pytest.raises(ImageDecodeError, match=name(7)):
        read_pixels([row_of(7, folder)], (24, 24), "none", on_error="fail")
    good_first = [[row_of(number, folder) for number in (0, 1)], [row_of(7, folder)]]
    source = decoded(good_first, (24, 24), "none", on_error="fail")
    assert next(source).ids == [0, 1]
    with pytest.raises(ImageDecodeError, match=name(7)):
        next(source)
    assert not list(source)


def test_nothing_but_unreadable_images(folder):
    ids, found, failures = read_pixels([row_of(7, folder), row_of(30, folder)], (5, 4), "none")
    assert (ids, found.shape) == ([], (0, 5, 4, 3))
    assert [failure.key for failure in failures] == [name(7), name(30)]


def test_pixels_in_a_file(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(pixels, "_CACHED", 12)
    counted = []

    def track(items, *, total, what):
        for item in items:
            counted.append((len(item), total, what))
            yield item

    rows = [row_of(number, folder) for number in range(40)]
    ids, failures = cache_pixels(rows, (24, 24), "none", tmp_path / "pixels.npy", track=track)
    assert counted == [(12, 40, "decode")] * 3 + [(4, 40, "decode")]
    assert ids.dtype == np.int64
    assert ids.tolist() == [number for number in range(40) if number not in {7, 30}]
    assert [failure.key for failure in failures] == [name(7), name(30)]
    kept = np.load(tmp_path / "pixels.npy", mmap_mode="r")
    np.testing.assert_array_equal(kept, [picture(number)[0] for number in ids])
    assert not list(tmp_path.glob(".tmp-*"))
    sound, none = cache_pixels(rows[10:20], (24, 24), "none", tmp_path / "pixels.npy")
    assert (sound.tolist(), none) == (list(range(10, 20)), [])
    np.testing.assert_array_equal(np.load(tmp_path / "pixels.npy"), [picture(n)[0] for n in range(10, 20)])
    assert not list(tmp_path.glob(".tmp-*"))


# -- interruptions -------------------------------------------------------------------------------


@pytest.mark.usefixtures("threads_end")
def test_closing_ends_the_threads_and_leaves_the_rest_undecoded(made):
    with closing(decoded(batches_of(*[160] * 4), SIZE, "center")) as source:
        next(source)
        asked = threading.active_count()
    assert asked > threading.active_count()  # they were at work
    assert len(made) < 160 * 3


@pytest.mark.usefixtures("threads_end", "made")
def test_a_fault_in_the_source_ends_the_threads():
    def source():
        yield from batches_of(4)
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="the database is gone"):
        list(decoded(source(), SIZE, "center"))


@pytest.mark.usefixtures("threads_end")
def test_faults_that_are_no_images_are_never_skipped(monkeypatch):
    def load(*_):
        raise MemoryError

    monkeypatch.setattr(pixels, "load_array", load)
    with pytest.raises(MemoryError):
        list(decoded(batches_of(4), SIZE, "center", on_error="skip"))


@pytest.mark.usefixtures("threads_end")
def test_encoding_interrupted_while_it_waits_for_pixels_keeps_what_it_had(gallery, tmp_path, monkeypatch):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data)

    def load(root, uri, *rest):
        if uri == name(70):
            raise KeyboardInterrupt
        return load_array(root, uri, *rest)

    with Store.open(home) as store:
        add_model(store.session.backend, gallery.model)
        with monkeypatch.context() as patched:
            patched.setattr(pixels, "load_array", load)
            with pytest.raises(KeyboardInterrupt):
                store.encode(batch_size=16)
        assert store.verify().ok
        report = store.encode(batch_size=16)
        assert (report.encoded, report.present) == (120 - 64, 64)  # four whole batches
        assert store.verify().ok


def test_encoding_stopped_by_an_unreadable_image_keeps_what_it_had(gallery, tmp_path):
    home = tmp_path / "store"
    write_pictures(tmp_path / "pictures", 40)
    good(home, "import", "folder", tmp_path / "pictures")
    (tmp_path / "pictures" / name(25)).write_text("no image any more")
    with Store.open(home) as store:
        add_model(store.session.backend, gallery.model)
        with pytest.raises(ImageDecodeError, match=name(25)):
            store.encode(batch_size=10, on_error="fail")
        report = store.encode(batch_size=10)
        assert (report.present, report.encoded) == (20, 19)
        (failure,) = report.failed
        assert isinstance(failure, Failure)
        assert failure.key == name(25)
        assert store.verify().ok


SLOW_ENCODING = """
import sys, threading, time
from pathlib import Path
from olrsearch import Store
from olrsearch.pipeline import reading_pixels
original, lock, count = reading_pixels.load_array, threading.Lock(), 0
def load(*arguments):
    global count
    time.sleep(0.1)
    with lock:
        count += 1
        if count == 60:  # of three batches of 16 in hand: one is encoded
            print('under way', flush=True)
    return original(*arguments)
reading_pixels.load_array = load
with Store.open(Path(sys.argv[1])) as store:
    try:
        store.encode(batch_size=16)
    except KeyboardInterrupt:
        print('interrupted with', threading.active_count(), 'thread', flush=True)
"""


@pytest.mark.slow
def test_ctrl_c_during_an_encoding(gallery, tmp_path):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data)
    with Store.open(home) as store:
        add_model(store.session.backend, gallery.model)
    with running(SLOW_ENCODING, home, said="under way") as child:
        child.send_signal(signal.SIGINT)
        out, errors = child.communicate(timeout=60)
    assert (child.returncode, out) == (0, "interrupted with 1 thread\n"), errors
    with Store.open(home) as store:
        assert store.verify().ok
        report = store.encode()
        assert 0 < report.present < 120
        assert report.encoded == 120 - report.present
