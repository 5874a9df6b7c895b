"""Calibration: what it is fitted on, and what it says where that misleads."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from olrsearch import Store
from olrsearch.datasets.celeba_files import ATTRIBUTES, PARTITION
from olrsearch.encoders.folder.shipped import shipped_encoder

IMAGES = 24


@pytest.fixture
def like_celeba(tmp_path):
    """Noise in CelebA's layout with CelebA's labels; the first half in `train`."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "data"
    (folder / "img_align_celeba").mkdir(parents=True)
    names = [f"{number:06}.jpg" for number in range(1, IMAGES + 1)]
    labels = shipped_encoder("faces").labels
    rows = [f"{name} {' '.join(rng.choice(['1', '-1'], len(labels)))}" for name in names]
    (folder / ATTRIBUTES).write_text("\n".join([str(IMAGES), " ".join(labels), *rows, ""]))
    parts = [f"{name} {0 if place < IMAGES // 2 else 1}" for place, name in enumerate(names)]
    (folder / PARTITION).write_text("\n".join([*parts, ""]))
    for name in names:
        pixels = rng.integers(0, 256, (218, 178, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "img_align_celeba" / name)
    return folder


def test_images_that_a_shipped_encoder_learnt_from_are_named(like_celeba, tmp_path):
    with Store.create(tmp_path / "store") as store:
        store.import_celeba(like_celeba)
        store.encode("faces")
        report = store.encoders.calibrate()
        assert report.learnt == IMAGES // 2
        (said,) = [line for line in report.lines() if "was trained on" in line]
        assert f"{IMAGES // 2} of these images" in said
        assert "--where \"partition = 'val'\"" in said


def test_images_of_other_labels_are_nobodys(gallery, tmp_path):
    with Store.open(gallery.copy(tmp_path / "store")) as store:
        report = store.encoders.calibrate()
    assert report.learnt == 0
    assert not any("was trained on" in line for line in report.lines())
