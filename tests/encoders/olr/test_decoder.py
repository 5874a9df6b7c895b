"""The decoder of label embeddings: networks, training, files, decoding."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from olrsearch.core.errors import IncompatibleEncoderError, ModelFileError, TrainingError
from olrsearch.encoders.folder.model_config import DECODER_NAME
from olrsearch.encoders.folder.model_files import save_model
from olrsearch.encoders.olr import decoder_training
from olrsearch.encoders.olr.decoder import open_decoder
from olrsearch.encoders.olr.decoder_config import DecoderConfig
from olrsearch.encoders.olr.decoder_file import (
    DECODER_TENSORS,
    copy_decoder,
    read_decoder,
    write_decoder,
)
from olrsearch.encoders.olr.decoder_network import DecoderNetwork, shown
from olrsearch.encoders.olr.decoder_stage import DecoderStage
from olrsearch.encoders.olr.decoder_training import DecoderImages, train_decoder_network
from olrsearch.encoders.trainer.stage import Stage

LABELS = ("Red", "Green", "Bright_Top")
K = 2


def _config(**changes: str) -> DecoderConfig:
    chosen = DecoderConfig.of_profile("tiny", LABELS).with_overrides({"epochs": "2", **changes})
    return dataclasses.replace(chosen, k=K)


def _images(count=120, seed=0):
    """Pictures whose colours an embedding tells."""
    rng = np.random.default_rng(seed)
    colour = rng.integers(40, 216, (count, 1, 1, 3))
    pixels = np.clip(colour + rng.integers(-20, 20, (count, 16, 16, 3)), 0, 255).astype(np.uint8)
    told = np.repeat(colour.reshape(count, 3) / 128 - 1, K, axis=1)
    embeddings = (told + rng.normal(0, 0.05, told.shape)).astype(np.float32)
    return DecoderImages(pixels, embeddings, np.arange(count - 20), np.arange(count - 20, count))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return train_decoder_network(_images(), _config(), tmp_path_factory.mktemp("run"), progress=False)


def make_model(root, bias=0.0):
    """A model folder of an encoder that nobody can open, which is all that a companion needs."""
    config = {"kind": "olr", "labels": list(LABELS), "k": K, "input_size": [16, 16], "crop": "none"}
    readout = {
        "readout.weight": np.zeros((3, K), np.float32),
        "readout.bias": np.full(3, bias, np.float32),
    }
    return save_model(root, config, readout)


@pytest.fixture
def folder(trained, tmp_path):
    """A model folder with its decoder."""
    made = make_model(tmp_path)
    write_decoder(made, trained.file)
    return made


def embeddings(count=5):
    return _images(count + 20).embeddings[:count].reshape(count, 3, K)


def test_at_the_papers_size_the_network_is_its_table():
    config = dataclasses.replace(DecoderConfig.of_profile("paper", LABELS), k=K)
    sizes = []
    with torch.device("meta"):  # shapes without numbers
        network = DecoderNetwork(config, 1216, 1).network
        maps = torch.zeros(1, 512, 6, 6)
        for layer in network.layers:
            maps = layer(maps)
            if isinstance(layer, torch.nn.ConvTranspose2d | torch.nn.Conv2d):
                sizes.append((maps.shape[2], maps.shape[1]))
    assert network.linear.out_features == 18432
    assert sizes == [
        *((12, 128), (12, 64), (24, 64), (22, 64), (44, 64), (44, 64), (88, 64), (88, 64)),
        *((176, 64), (176, 32), (176, 3)),
    ]


@pytest.mark.parametrize(
    "changes", [{"network": "paper"}, {"detail": "4"}, {"detail": "0", "components_rate": "0"}]
)
@pytest.mark.parametrize("size", [(16, 16), (37, 20), (64, 64), (100, 90)])
def test_networks_fill_any_size(changes, size):
    config = dataclasses.replace(_config(**changes), image_size=size)
    assert DecoderNetwork(config, 6, 4)(torch.randn(2, 6)).shape == (2, 3, *size)


def test_training_begins_at_the_linear_reconstruction_and_gets_better(trained, tmp_path):
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]
    assert set(trained.metrics) == {"ssim", "psnr", "mse"}
    assert trained.metrics["psnr"] > 15
    assert trained.file.images == 100
    assert trained.file.selection == 20
    again = train_decoder_network(_images(), _config(), tmp_path / "again", progress=False)
    assert again.file.fingerprint == trained.file.fingerprint


@pytest.mark.parametrize("inputs", ["plain", "standardised", "whitened"])
def test_it_begins_at_the_linear_reconstruction(inputs):
    images = _images()
    network, weights = decoder_training._begun(images, _config(inputs=inputs))
    numbers = torch.from_numpy(images.embeddings[:7])
    with torch.no_grad():
        np.testing.assert_allclose(network.eval()(numbers), network.linear(numbers), atol=2e-4)
        own = network.linear.coordinates(torch.from_numpy(images.embeddings)).numpy()
    np.testing.assert_allclose(weights[images.selection], own[images.selection], atol=1e-4)
    assert np.abs(weights - own)[images.train].max() > 1e-4


def test_the_papers_way_trains(tmp_path):
    changes = {
        "network": "paper",
        "optimiser": "rmsprop",
        "rescale": "true",
        "inputs": "plain",
        "epochs": "1",
    }
    done = train_decoder_network(_images(), _config(**changes), tmp_path, progress=False)
    assert np.isfinite(done.metrics["ssim"])


def test_pictures_depend_on_nothing_else_in_the_batch(folder):
    decoder = open_decoder(folder)
    numbers = embeddings()
    pictures = decoder.decode(numbers)
    assert pictures.shape == (5, 16, 16, 3)
    assert pictures.dtype == np.uint8
    np.testing.assert_array_equal(decoder.decode(numbers[2:3])[0], pictures[2])
    np.testing.assert_array_equal(decoder.decode(numbers[::-1]), pictures[::-1])
    assert decoder.decode(numbers[:0]).shape == (0, 16, 16, 3)
    told = numbers.mean(axis=2) * 128 + 128
    assert np.abs(pictures.mean(axis=(1, 2)) - told).mean() < 25
    assert np.abs(decoder.linear(numbers).mean(axis=(1, 2)) - told).mean() < 25
    assert decoder.size == (16, 16)
    assert (decoder.labels, decoder.k, decoder.images) == (LABELS, K, 100)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((2, 3, K + 1), np.float32), r"float32 \[m, 3, 2\], not float32 \[2, 3, 3\]"),
        (np.zeros((3, K), np.float32), "own encoder"),
        (np.zeros((2, 3, K)), "not float64"),
        (np.full((1, 3, K), np.nan, np.float32), "NaN or infinity"),
    ],
)
def test_other_embeddings_are_refused(folder, given, message):
    with pytest.raises(IncompatibleEncoderError, match=message):
        open_decoder(folder).decode(given)


def test_a_model_without_a_decoder_has_none(tmp_path):
    assert open_decoder(make_model(tmp_path)) is None


def test_a_copy_is_bound_to_the_model_it_lies_beside(folder, tmp_path):
    target = make_model(tmp_path, bias=1.0)
    copy_decoder(folder, target)
    np.testing.assert_array_equal(
        open_decoder(target).decode(embeddings()), open_decoder(folder).decode(embeddings())
    )
    shutil.copyfile(folder / DECODER_NAME, target / DECODER_NAME)
    with pytest.raises(ModelFileError, match=r"about another model .* olrsearch train decoder"):
        open_decoder(target)


def _cut(path):
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        (DECODER_TENSORS, _cut, "cannot be read"),
        (DECODER_TENSORS, _flip, "does not match its checksums"),
        (DECODER_TENSORS, lambda path: path.unlink(), "is missing"),
        (DECODER_NAME, _cut, "cannot be read"),
        (DECODER_NAME, lambda path: path.write_text("{}"), "does not match its checksum"),
    ],
)
def test_damaged_files_say_what_to_run(folder, name, damage, message):
    damage(folder / name)
    with pytest.raises(ModelFileError, match=rf"{message}.*olrsearch train decoder") as caught:
        open_decoder(folder)
    assert str(caught.value).count("copy the model again") == 1


def test_a_decoder_of_other_labels_is_refused(trained, tmp_path):
    other = dataclasses.replace(trained.file, config=dataclasses.replace(trained.file.config, k=5))
    with pytest.raises(ModelFileError, match="takes 5 numbers for each of 3 labels"):
        write_decoder(make_model(tmp_path), other)


def test_files_hold_half_precision(folder, trained):
    kept = read_decoder(folder)
    assert kept.fingerprint == trained.file.fingerprint
    assert kept.tensors["linear.axes"].dtype == np.float16
    assert json.loads((folder / DECODER_NAME).read_text())["metrics"] == trained.metrics


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_decoder(tmp_path, trained, monkeypatch):
    inner = Stage.training_step

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1:
            raise RuntimeError("killed")
        return inner(self, batch, batch_idx)

    monkeypatch.setattr(Stage, "training_step", training_step)
    with pytest.raises(RuntimeError, match="killed"):
        train_decoder_network(_images(), _config(), tmp_path, progress=False)
    monkeypatch.setattr(Stage, "training_step", inner)
    again = train_decoder_network(_images(), _config(), tmp_path, resume=True, progress=False)
    assert again.file.fingerprint == trained.file.fingerprint


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flip": "true"}, "its own image"),
        ({"shift": "2"}, "its own image"),
        ({"network": "gan"}, "one of paper, components"),
        ({"similarity_weight": "1.5"}, "a share from 0 to 1"),
        ({"optimiser": "sgd"}, "one of adamw, rmsprop"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(TrainingError, match=message):
        _config(**changes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda images: {"embeddings": images.embeddings[:, :4]}, "embeddings of type"),
        (lambda images: {"pixels": images.pixels[:, :8]}, "pixels of type"),
        (lambda images: {"train": images.train[:1]}, "1 training images"),
        (lambda images: {"selection": images.train[:3]}, "keep the two apart"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    images = _images()
    with pytest.raises(TrainingError, match=message):
        dataclasses.replace(images, **change(images)).check(_config())


def test_rescaling_reaches_from_black_to_white():
    pictures = torch.rand(2, 3, 8, 8) * 0.3 + 0.2
    stretched = shown(pictures, rescale=True)
    np.testing.assert_allclose(stretched.amin((1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(stretched.amax((1, 2, 3)), 1, atol=1e-4)
    assert torch.isfinite(shown(torch.full((1, 3, 8, 8), 0.5), rescale=True)).all()
    assert float(shown(pictures * 9 - 3, rescale=False).max()) == 1


def test_the_loss_is_the_papers():
    config = _config(network="paper", rescale="true")
    network = DecoderNetwork(config, 6, 4)
    stage = DecoderStage(config, network)
    planes, numbers = torch.rand(3, 3, 16, 16) * 255, torch.randn(3, 6 + 4)
    with torch.no_grad():
        found = stage.losses(planes, numbers, torch.Generator())
        made = network(numbers[:, :6])
    low, high = made.amin((1, 2, 3), keepdim=True), made.amax((1, 2, 3), keepdim=True)
    error = ((made - low) / (high - low + 1e-6) - planes / 255).square().mean()
    np.testing.assert_allclose(float(found["mse"]), float(error), rtol=1e-4)
    total = 0.5 * (1 - float(found["ssim"])) + 0.5 * float(error)
    np.testing.assert_allclose(float(found["loss"]), total, rtol=1e-5)
