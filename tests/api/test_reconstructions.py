"""What a decoder makes of embeddings, beside the images: from Python, as JSON, as a sheet."""

import numpy as np
import pytest
from command import good, refused
from pictures import name, picture, write_pictures
from PIL import Image

from olrsearch import Store
from olrsearch.core.made import MADE
from olrsearch.encoders.olr.ssim import compare


@pytest.fixture(scope="module")
def decoded(gallery, tmp_path_factory):
    """The pictures' store with a decoder of its space."""
    store = gallery.copy(tmp_path_factory.mktemp("reconstructed") / "store")
    with Store.open(store) as opened:
        opened.encoders.train_decoder(profile="tiny")
    return store


def test_pictures_are_of_the_images_and_marked_as_made(decoded):
    with Store.open(decoded, read_only=True) as store:
        found = store.looks.reconstruct([name(3), picture(500)[0]])
        stored, outside = found.images
        assert store.looks.reconstruct(name(3)).images[0].picture.tobytes() == stored.picture.tobytes()
    assert (stored.name, stored.image_id is None, outside.image_id) == (name(3), False, None)
    assert stored.picture.shape == stored.linear.shape == stored.original.shape == (16, 16, 3)
    alike, psnr, error = (part[0] for part in compare(stored.picture[None], stored.original[None]))
    assert (stored.likeness.ssim, stored.likeness.psnr, stored.likeness.mse) == (alike, psnr, error)
    assert outside.likeness.mse < 0.1
    assert found.notes == (MADE,)
    assert stored.to_dict()["made"] is True


def test_by_command(decoded, tmp_path):
    sheet = tmp_path / "made.png"
    called = good(decoded, "look", "reconstruct", name(3), "id:5", "--sheet", sheet, "--json")
    assert [row["made"] for row in called.rows] == [True, True]
    assert called.rows[0]["linear"]["ssim"] <= 1
    assert MADE in called.err
    with Image.open(sheet) as image:
        assert MADE in image.text.values()
        assert image.width > 900
    text = good(decoded, "look", "reconstruct", name(3)).out
    assert "linear SSIM" in text
    assert name(3) in text


@pytest.mark.slow
def test_where_a_file_is_gone_there_is_nothing_to_compare_with(decoded, tmp_path):
    folder = tmp_path / "pictures"
    write_pictures(folder, 5)
    store = tmp_path / "store"
    with Store.create(store) as opened:
        opened.import_folder(folder)
        (model,) = (decoded / "models").iterdir()
        opened.encode(model)
    (folder / name(2)).unlink()
    row, other = good(store, "look", "reconstruct", name(2), name(3), "--json").rows
    assert row["ssim"] is None
    assert row["linear"] == {"ssim": None, "psnr": None, "mse": None}
    assert other["ssim"] is not None
    assert "its file is gone" in good(store, "look", "reconstruct", name(2)).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("nobody.png",), "nobody.png"), ((name(3), "--space", "other"), "other")],
)
def test_what_is_not_there_is_refused(decoded, arguments, message):
    assert message in refused(decoded, "look", "reconstruct", *arguments)


def test_without_a_decoder_it_is_said_what_to_run(gallery):
    assert "run olrsearch train decoder --space" in refused(gallery.store, "look", "reconstruct", name(3))


def test_equal_pictures_are_alike():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    alike, psnr, error = compare(pixels, pixels)
    np.testing.assert_allclose(alike, 1, atol=1e-4)
    assert psnr.tolist() == [120, 120]
    assert error.tolist() == [0, 0]
