"""Copies of a picture are found however they were made; pictures that merely resemble each other are not."""

from __future__ import annotations

import io
import logging

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from olrsearch.audit.scorers.likeness import EDGE, LEAST_LIKENESS, find_alike, likeness, small_grey
from olrsearch.core.errors import ImageDecodeError

SIZE = (178, 218)


def photo(seed, size=SIZE):
    """A picture of its own on a layout that all share, as faces do: an oval on a ground, and much detail."""
    rng = np.random.default_rng(seed)
    width, height = size
    y, x = np.mgrid[0:height, 0:width] / height
    oval = (x - 0.41) ** 2 / 0.06 + (y - 0.5) ** 2 / 0.12 < 1
    pixels = np.where(oval, 190.0, 80.0)
    for _ in range(25):
        cx, cy, radius = rng.uniform(0, 0.82), rng.uniform(0, 1), rng.uniform(0.02, 0.12)
        pixels[(x - cx) ** 2 + (y - cy) ** 2 < radius**2] += rng.uniform(-70, 70)
    colour = pixels[:, :, None] * rng.uniform(0.7, 1.1, 3) + rng.normal(0, 4, (height, width, 3))
    return Image.fromarray(np.clip(colour, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(1))


def saved(image, quality=85):
    """The bytes a store would keep."""
    buffer = io.BytesIO()
    image.resize((78, 96), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def small(image, **options):
    return small_grey(saved(image, **options), where="a picture")


def cropped(image, pixels):
    width, height = image.size
    return image.crop((pixels, pixels, width, height)).resize(image.size)


COPIES = {
    "encoded again": lambda image: small(image, quality=30),
    "cropped by 2 pixels": lambda image: small(cropped(image, 2)),
    "cropped by 4 pixels": lambda image: small(cropped(image, 4)),
    "turned by a degree": lambda image: small(image.rotate(1, Image.Resampling.BICUBIC)),
    "mirrored": lambda image: small(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    "mirrored and cropped": lambda image: small(cropped(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 2)),
    "brighter": lambda image: small(ImageEnhance.Brightness(image).enhance(1.2)),
    "darker": lambda image: small(ImageEnhance.Brightness(image).enhance(0.5)),
    "flatter": lambda image: small(ImageEnhance.Contrast(image).enhance(0.5)),
    "grey": lambda image: small(image.convert("L")),
    "smaller": lambda image: small(image.resize((60, 73))),
    "in a frame": lambda image: small(framed(image)),
}


def framed(image):
    out = image.copy()
    out.paste((0, 0, 0), (0, 0, image.width, 6))
    return out


@pytest.fixture(scope="module")
def pictures():
    return np.stack([small(photo(seed)) for seed in range(30)])


def test_pictures_of_their_own_have_no_copies(pictures):
    assert pictures.shape == (30, EDGE, EDGE)
    assert pictures.dtype == np.uint8
    found = find_alike(pictures)
    assert found.shape == (0, 2)
    assert found.dtype == np.int64


@pytest.mark.parametrize("how", COPIES)
def test_copies_are_found(pictures, how):
    copies = np.stack([COPIES[how](photo(seed)) for seed in range(6)])
    before = pictures.copy()
    found = find_alike(np.concatenate([pictures, copies]))
    assert found.tolist() == [[seed, 30 + seed] for seed in range(6)]
    assert (pictures == before).all()


def test_several_copies_are_all_pairs(pictures):
    more = np.stack([COPIES[how](photo(3)) for how in ("brighter", "mirrored")])
    found = find_alike(np.concatenate([more[:1], pictures[:10], more[1:]]))
    assert found.tolist() == [[0, 4], [0, 11], [4, 11]]


def test_upside_down_is_no_copy(pictures):
    turned = pictures[:6, ::-1]
    assert len(find_alike(np.concatenate([pictures, turned]))) == 0


def test_the_search_does_not_depend_on_its_blocks(pictures, monkeypatch):
    copies = np.stack([COPIES["mirrored"](photo(seed)) for seed in range(0, 30, 2)])
    together = np.concatenate([pictures, copies])
    whole = find_alike(together)
    assert len(whole) == 15
    monkeypatch.setattr("olrsearch.audit.scorers.likeness._ROWS", 7)
    monkeypatch.setattr("olrsearch.audit.scorers.likeness._COLUMNS", 11)
    monkeypatch.setattr("olrsearch.audit.scorers.likeness._BATCH", 5)
    assert find_alike(together).tolist() == whole.tolist()


def test_hashes_propose_what_likeness_decides(pictures):
    copies = np.stack([COPIES["cropped by 2 pixels"](photo(seed)) for seed in range(10)])
    together = np.concatenate([pictures[:20], copies])
    rows, columns = np.triu_indices(len(together), 1)
    plain = likeness(together[rows], together[columns])
    mirrored = likeness(together[rows], together[columns][:, :, ::-1])
    alike = np.maximum(plain, mirrored) >= LEAST_LIKENESS
    assert find_alike(together).tolist() == np.column_stack([rows, columns])[alike].tolist()


def test_likeness_is_a_correlation(pictures):
    assert likeness(pictures, pictures) == pytest.approx(1, abs=1e-4)
    assert likeness(pictures, 255 - pictures).max() < 0.3
    assert likeness(pictures, pictures // 2 + 60).min() > 0.99
    for shift in ((2, -1), (0, 1), (-2, -2)):
        assert likeness(pictures, np.roll(pictures, shift, axis=(1, 2))).min() > 0.97
    assert likeness(pictures, np.roll(pictures, (6, 0), axis=(1, 2))).max() < LEAST_LIKENESS


def test_copies_are_lined_up_between_pixels():
    large = [photo(seed, (256, 256)) for seed in range(8)]
    whole = np.stack([small(image.crop((0, 0, 224, 224))) for image in large])
    half = np.stack([small(image.crop((3, 4, 227, 228))) for image in large])
    assert likeness(whole, half).min() > 0.95


def test_empty_pictures_are_no_copies_of_each_other():
    plain = np.full((4, EDGE, EDGE), 200, np.uint8)
    plain[1] = 40
    plain[2, 10, 10] = 203
    assert len(find_alike(plain)) == 0


def test_no_pictures():
    for count in (0, 1):
        found = find_alike(np.zeros((count, EDGE, EDGE), np.uint8))
        assert found.shape == (0, 2)
        assert found.dtype == np.int64


def test_where_everything_looks_alike_nothing_is_a_copy(pictures, caplog):
    same = np.repeat(pictures[:1], 44, axis=0)
    with caplog.at_level(logging.WARNING):
        assert len(find_alike(same)) == 0
    assert "the 44 pictures look so alike" in caplog.text
    assert len(find_alike(same[:30])) == 30 * 29 / 2


def test_a_damaged_picture():
    with pytest.raises(ImageDecodeError, match="the thumbnail of image 7"):
        small_grey(saved(photo(0))[:300], where="the thumbnail of image 7")


def test_avatars_of_the_same_pieces_are_no_copies(tmp_path):
    pytest.importorskip("dicebear")
    from olrsearch.datasets.generated.avatars import generate_avatars

    made = generate_avatars(tmp_path / "avatars", count=24, seed=0, workers=1, size=(96, 78))
    paths = sorted((made.path / "img_align_celeba").iterdir())
    avatars = np.stack([small_grey(path.read_bytes(), where=path.name) for path in paths])
    assert len(find_alike(avatars)) == 0
    images = [Image.open(path).convert("RGB") for path in paths[:6]]
    copies = np.stack([small(image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for image in images])
    assert find_alike(np.concatenate([avatars, copies])).tolist() == [[row, 24 + row] for row in range(6)]
