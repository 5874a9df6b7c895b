"""Variational encoders trained on tiny pictures: whole runs, and what cannot be trained."""

import dataclasses

import numpy as np
import olr_case
import pytest

from olrsearch.core.errors import EncoderError, TrainingError, WordVectorsError
from olrsearch.encoders import registry
from olrsearch.encoders.trainer.run import TrainingImages
from olrsearch.encoders.vae.training import train_vae

LABELS = ("a", "b", "c")


def _images(many=False):
    """Bars at three heights; where images have many labels, every third has one more."""
    generator = np.random.default_rng(0)
    classes = generator.integers(0, 3, 120)
    pixels = generator.integers(0, 60, (120, 16, 16, 3), dtype=np.uint8)
    for row, found in enumerate(classes):
        pixels[row, 5 * found : 5 * found + 4] += 150
    labels = np.where(np.arange(3) == classes[:, None], 1, -1).astype(np.int8)
    if many:
        labels[::3, 1] = 1
        labels[::7, 2] = 0
    return TrainingImages(pixels, labels, np.arange(96), np.arange(96, 120))


def _config(kind="pse-star", **changes):
    return registry.config_class(kind).of_profile("tiny", LABELS).with_overrides(changes)


def _train(path, config, images=None, **options):
    return train_vae(images or _images(), config, path / "run", path / "models", progress=False, **options)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["jmvae", "pse", "pse-star", "scan", "trelbo"])
def test_every_kind_trains_and_opens(kind, tmp_path):
    epochs = "30" if kind.startswith("pse") else "4"
    trained = _train(tmp_path, _config(kind, epochs=epochs, learning_rate="0.02"))
    encoder = registry.load(trained.path)
    learned = encoder.vocabulary.learned
    assert learned.absent is None
    assert set(trained.metrics) == {"bound", "map", "accuracy"}
    assert encoder.decode(learned.present.mean.astype(np.float32)).shape == (3, 16, 16, 3)
    if kind.startswith("pse"):  # an image's mean is likeliest under its own label, in the model's own numbers
        images = _images()
        found = learned.present.log_likelihood(encoder.encode(images.pixels).mean).T
        right = found.argmax(axis=1) == images.labels.argmax(axis=1)
        assert right.mean() > 0.9
        assert trained.metrics["accuracy"] > 0.9  # by the label encoder's own
        full = learned.present.covariance.copy()
        full[:, np.arange(3), np.arange(3)] = 0
        assert np.abs(full).max() > 0
        plain = learned.map.gaussians(learned.map.inputs)
        assert np.abs(plain.factor * (1 - np.eye(3))).max() == 0


@pytest.mark.slow
def test_many_labels_have_gaussians_with_and_without(tmp_path):
    trained = _train(tmp_path, _config(), _images(many=True))
    learned = registry.load(trained.path).vocabulary.learned
    assert len(learned.absent) == len(learned.present) == 3
    assert learned.map.inputs.shape == (3, 3)
    assert "accuracy" not in trained.metrics


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = _train(tmp_path / "whole", _config())
    broken = tmp_path / "broken"
    with pytest.raises(TrainingError, match="resume it, or name another folder"):
        _train(tmp_path / "whole", _config())
    _train(broken, _config(), resume=False)
    (broken / "run" / "bound" / "result.json").unlink()
    again = _train(broken, _config(), resume=True)
    assert again.fingerprint == whole.fingerprint


@pytest.mark.parametrize(
    ("labels", "changes", "said"),
    [
        (np.full((120, 3), -1, np.int8), {}, "no training image shows a, b, c: import images that do"),
        (np.tile(np.int8([1, 1, -1]), (120, 1)), {}, "shows c: train with --labels a,b"),
        (
            np.where(np.arange(3) == 0, 1, np.eye(3)[np.arange(120) % 3] * 2 - 1).astype(np.int8),
            {},
            "lacks a",
        ),
        (None, {"answer": "one"}, "have no present label or several: set answer=many"),
        (np.zeros((120, 3), np.int8), {}, "no training image has a known value of a, b, c"),
    ],
    ids=["nothing present", "one never", "one always", "several", "nothing known"],
)
def test_labels_that_cannot_be_learnt(labels, changes, said, tmp_path):
    images = _images(many=True)
    if labels is not None:
        images = dataclasses.replace(images, labels=labels)
    with pytest.raises(TrainingError, match=said):
        _train(tmp_path, _config(**changes), images)
    assert not (tmp_path / "run").exists()


def test_one_class_one_example_and_a_table_that_is_none(tmp_path):
    one = dataclasses.replace(_config(), labels=("a",))
    images = _images()
    with pytest.raises(TrainingError, match="nothing to tell apart"):
        _train(tmp_path, one, dataclasses.replace(images, labels=np.ones((120, 1), np.int8)))
    with pytest.raises(TrainingError, match="1 training images: expected 2 or more"):
        _train(tmp_path, _config(), dataclasses.replace(images, train=np.arange(1)))
    table = tmp_path / "words.txt"
    table.write_text("a 1 2 3\nb 4 5\n")
    with pytest.raises(WordVectorsError, match=r"words\.txt"):
        _train(tmp_path, _config(words=str(table)))
    table.write_text("a 1 2 3\nb 0 0 0\nc 1 0 1\n")
    with pytest.raises(WordVectorsError, match="the words of b have vectors of zeros"):
        _train(tmp_path, _config(words=str(table)))
    with pytest.raises(TrainingError, match="belong together"):
        _train(tmp_path, _config(), source=tmp_path)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("pse", "label_scale", "0"),
        ("pse", "label_scale", "nan"),
        ("pse", "size", "0"),
        ("pse", "flip", "true"),
        ("pse", "schedule", "cosine"),
        ("pse-star", "label_weight", "-1"),
        ("jmvae", "alpha", "-1"),
        ("trelbo", "lambda_2", "inf"),
        ("scan", "beta", "-0.5"),
    ],
)
def test_settings_out_of_range_are_named(kind, key, value):
    with pytest.raises(TrainingError, match=key):
        _config(kind, **{key: value})


@pytest.mark.slow
def test_features_of_a_trunk_in_place_of_pixels(tmp_path):
    import torch

    from olrsearch.encoders.olr.encoder import save
    from olrsearch.encoders.olr.network import OlrNetwork

    torch.manual_seed(1)
    of_trunk = olr_case.config()
    olr = save(tmp_path, of_trunk, OlrNetwork(of_trunk, torch.full((3,), 128.0), torch.full((3,), 60.0)))
    images = olr_case.images()
    changes = {
        "start_from": "olr",
        "backbone": of_trunk.backbone,
        "width": str(of_trunk.width),
        "epochs": "10",
        "learning_rate": "0.01",
    }
    config = registry.config_class("pse-star").of_profile("tiny", olr_case.LABELS).with_overrides(changes)
    trained = _train(tmp_path, config, images, source=olr)
    encoder = registry.load(trained.path)
    assert trained.metrics["map"] > 0.5
    assert not encoder.has_decoder
    with pytest.raises(EncoderError, match="sees the features of a trunk"):
        encoder.decode(np.zeros((1, 3), np.float32))
    assert encoder.features(images.pixels[:4]).shape == (4, 3 * of_trunk.width)
    learned = encoder.vocabulary.learned
    mean = encoder.encode(images.pixels).mean.astype(np.float64)
    more = learned.present.log_likelihood(mean) - learned.absent.log_likelihood(mean)
    known = images.labels[:, 0] != 0
    assert ((more[0] > 0) == (images.labels[:, 0] > 0))[known].mean() > 0.6
    wider = registry.config_class("pse-star").of_profile("tiny", olr_case.LABELS)
    with pytest.raises(TrainingError, match=r"does not fit: width \(its 8, here 9\)"):
        _train(tmp_path / "other", wider.with_overrides({**changes, "width": "9"}), images, source=olr)
