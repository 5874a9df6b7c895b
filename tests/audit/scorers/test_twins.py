"""Twins are found in a store, and lend each other their labels as far as twins can be relied on."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from made_stores import new
from PIL import Image

from olrsearch.audit.scorers.material import Material
from olrsearch.audit.scorers.twins import Twins, find_twins
from olrsearch.core.errors import ImageDecodeError, UnknownImageError
from olrsearch.core.progress import silent
from olrsearch.store import Backend

NAMES = ("Sure", "Doubtful", "Rare", "Always")
SURE, DOUBTFUL, RARE, ALWAYS = range(4)


def picture(seed):
    """A thumbnail with detail of its own."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 10, 3), dtype=np.uint8))
    return coarse.resize((78, 96), Image.Resampling.BICUBIC)


def jpeg(image, quality=85):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def image(key, seed, *, content=None, mirrored=False, quality=85, thumbnail=True):
    shown = picture(seed)
    if mirrored:
        shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return new(key, content or key, (1, -1, 0), thumbnail=jpeg(shown, quality) if thumbnail else None)


@pytest.fixture
def store(tmp_path):
    with Backend.create(tmp_path / "store") as backend:
        yield backend


def filled(store, images, root="/pictures"):
    with store.writer() as writer:
        dataset = writer.gallery.add_dataset(root.strip("/"), "folder", store.path.parent / root.strip("/"))
        writer.gallery.add_images(dataset, images, ("A", "B", "C"))
    return store.snapshot()


def test_twins_of_a_store(store):
    snapshot = filled(
        store,
        [
            *(image(f"{seed}.jpg", seed) for seed in range(6)),
            image("again.jpg", 1, quality=40),
            image("mirror.jpg", 4, mirrored=True),
            image("same.jpg", 90, content="0.jpg", thumbnail=False),
        ],
    )
    ids = snapshot.image_ids()
    found = find_twins(snapshot, ids, track=silent)
    assert found.dtype == np.int64
    assert found.tolist() == [[0, 8], [1, 6], [4, 7]]
    chosen = ids[[7, 3, 4, 1]]
    assert find_twins(snapshot, chosen).tolist() == [[0, 2]], "rows are places in what was asked"


def test_images_without_thumbnails_are_named(store, caplog):
    snapshot = filled(
        store,
        [
            image("a.jpg", 1, thumbnail=False),
            image("b.jpg", 1, content="a.jpg", thumbnail=False),
            image("c", 2),
        ],
    )
    with caplog.at_level(logging.WARNING):
        assert find_twins(snapshot, snapshot.image_ids()).tolist() == [[0, 1]]
    assert "2 of 3 images have no thumbnail" in caplog.text


def test_equal_files_of_two_data_sets_and_many_equal_files(store):
    filled(store, [image("a.jpg", 1, thumbnail=False)])
    many = [image(f"{row:03}.jpg", row, content="a.jpg", thumbnail=False) for row in range(40)]
    snapshot = filled(store, many, root="/more")
    found = find_twins(snapshot, snapshot.image_ids())
    assert found[0].tolist() == [0, 1]
    assert np.bincount(found[:, 0]).max() == 20
    assert set(found.ravel().tolist()) == set(range(41))


def test_several_images_of_one_file_are_no_twins(store):
    snapshot = filled(
        store,
        [
            image("left", 1, content="photo", thumbnail=False),
            new("right", "photo", (1, -1, 0), uri="img/left"),
        ],
    )
    assert len(find_twins(snapshot, snapshot.image_ids())) == 0


def test_nothing_to_compare(store):
    snapshot = filled(store, [image("a.jpg", 1)])
    assert find_twins(snapshot, np.empty(0, np.int64)).shape == (0, 2)
    assert find_twins(snapshot, snapshot.image_ids()).shape == (0, 2)
    with pytest.raises(UnknownImageError):
        find_twins(snapshot, np.array([99]))


def test_a_damaged_thumbnail_is_named(store):
    snapshot = filled(store, [new("a", "a", (1, 1, 1), thumbnail=b"no jpeg")])
    with pytest.raises(ImageDecodeError, match="the thumbnail of image 1 is no image"):
        find_twins(snapshot, snapshot.image_ids())


class NoViews:
    """Twins look at no embedding."""

    def features(self, fold, rows):
        raise AssertionError(fold, rows)

    def embeddings(self, fold, label):
        raise AssertionError(fold, label)


def material(given, twins, folds=5):
    rows = np.arange(len(given))
    return Material(NAMES, given, rows // 2 % folds, rows, NoViews(), twins=twins)


def labelled(pairs=400, seed=0):
    """Rows 2p and 2p+1 are twins: they agree always, in 75 % of the cases, and about a rare label in 98 %."""
    rng = np.random.default_rng(seed)
    truth = rng.random((pairs, 4)) < [0.5, 0.5, 0.04, 1.1]
    flipped = rng.random((2, pairs, 4)) < [0, 0.146, 0.01, -1]
    given = np.where(truth ^ flipped, 1, -1).astype(np.int8)
    return given.transpose(1, 0, 2).reshape(2 * pairs, 4), np.arange(2 * pairs).reshape(pairs, 2)


@pytest.fixture(scope="module")
def case():
    given, twins = labelled()
    data = material(given, twins)
    return data, Twins().evidence(data, track=silent)


def test_evidence_is_what_twins_say_as_far_as_they_agree(case):
    data, evidence = case
    assert evidence.dtype == np.float32
    assert evidence.shape == data.given.T.shape
    other = data.given.reshape(-1, 2, 4)[:, ::-1].reshape(-1, 4)
    assert (evidence[SURE, other[:, SURE] > 0] > 0.98).all()
    assert (evidence[SURE, other[:, SURE] < 0] < 0.02).all()
    doubtful = evidence[DOUBTFUL, other[:, DOUBTFUL] > 0]
    assert (abs(doubtful - 0.75) < 0.06).all()
    assert (evidence[RARE, other[:, RARE] < 0] < 0.03).all()
    assert (evidence[RARE, other[:, RARE] > 0] < 0.9).all(), "of the rare ones many are wrong"
    assert np.isnan(evidence[ALWAYS]).all(), "a label with one class"


def test_one_twin_among_few_says_nine_tenths():
    given = np.array([[1, 1, -1, 1], [-1, 1, -1, 1], [1, -1, 1, -1]], np.int8)
    more = np.concatenate([given, -given])
    data = Material(
        NAMES, more, np.array([0, 0, 1, 1, 1, 1]), np.arange(6), NoViews(), twins=np.array([[0, 1]])
    )
    evidence = Twins().evidence(data, track=silent)
    assert evidence[SURE, :2] == pytest.approx([0.1, 0.9])
    assert evidence[DOUBTFUL, :2] == pytest.approx([0.9, 0.9])
    assert np.isnan(evidence[:, 2:]).all()


def test_several_twins_are_surer_and_may_cancel():
    given, twins = labelled()
    trio = np.concatenate([given, np.array([[1, 1, -1, 1], [1, 1, -1, 1], [1, -1, -1, 1]], np.int8)])
    rows = np.arange(800, 803)
    pairs = np.concatenate([twins, [[800, 801], [800, 802], [801, 802]]])
    data = material(trio, pairs)
    data = Material(NAMES, trio, np.r_[data.fold[:800], [0, 0, 0]], data.identity, NoViews(), twins=pairs)
    evidence = Twins().evidence(data, track=silent)
    one = evidence[SURE, :800].max()
    assert evidence[SURE, rows[0]] > one
    assert evidence[DOUBTFUL, rows[2]] > 0.85, "two have it"
    assert abs(evidence[DOUBTFUL, rows[0]] - 0.5) < 0.1, "one has it and one lacks it"


def test_own_values_do_not_count(case):
    data, evidence = case
    rng = np.random.default_rng(4)
    for label in range(3):
        for value in (-1, 0, 1):
            changed = data.given.copy()
            row = int(rng.integers(len(changed)))
            changed[row, label] = value
            again = Twins().evidence(material(changed, data.twins), track=silent)
            assert again[label, row] == evidence[label, row]


def test_twins_of_other_folds_count_too():
    given, twins = labelled()
    data = material(given, twins)
    split = Material(NAMES, given, np.arange(800) % 5, data.identity, NoViews(), twins=twins)
    evidence = Twins().evidence(split, track=silent)
    assert np.isfinite(evidence[:3]).all()
    changed = given.copy()
    changed[10, SURE] *= -1
    again = Twins().evidence(
        Material(NAMES, changed, split.fold, split.identity, NoViews(), twins=twins), track=silent
    )
    assert again[SURE, 10] == evidence[SURE, 10]
    assert again[SURE, 11] != evidence[SURE, 11]


def test_unknown_labels_say_nothing(case):
    data, evidence = case
    changed = data.given.copy()
    changed[0] = 0
    again = Twins().evidence(material(changed, data.twins), track=silent)
    assert np.isnan(again[:, 1]).all()
    assert np.array_equal(again[:, 0], evidence[:, 0], equal_nan=True), "an unknown label gets evidence"


def test_no_twins():
    given, _ = labelled(20)
    before = given.copy()
    for twins in (None, np.empty((0, 2), np.int64)):
        assert np.isnan(Twins().evidence(material(given, twins), track=silent)).all()
    assert (given == before).all()
    assert np.isnan(Twins().evidence(material(np.zeros_like(given), np.array([[0, 1]])), track=silent)).all()


def test_explanations(case):
    data, evidence = case
    row = int(np.flatnonzero(data.given[::2, DOUBTFUL] != data.given[1::2, DOUBTFUL])[0]) * 2
    said = Twins().explain(data, row, DOUBTFUL, float(evidence[DOUBTFUL, row]))
    has = "has" if data.given[row + 1, DOUBTFUL] > 0 else "lacks"
    pairs = data.given[data.fold != data.fold[row]].reshape(-1, 2, 4)[:, :, DOUBTFUL]
    agree = (pairs[:, 0] == pairs[:, 1]).mean()
    assert said.text == (
        f"the other copy of this picture {has} it; {agree:.0%} of 320 other pairs of copies agree on it"
    )
    assert said.rows == (row + 1,)
    said = Twins().explain(material(data.given, None), row, DOUBTFUL, None)
    assert said.rows == ()


def test_contrary_twins_are_shown_first():
    given = np.full((12, 4), -1, np.int8)
    given[[0, 5, 7]] = 1
    twins = np.array([[0, other] for other in range(1, 11)])
    said = Twins().explain(material(given, twins), 0, SURE, 0.3)
    assert said.text.startswith("2 of 10 other copies of this picture have it")
    assert said.rows == (1, 2, 3, 4, 6, 8, 9, 10)
