"""Training of the six auto-encoders: model folders, points, words, resuming, refusals."""

import numpy as np
import olr_case
import pytest

from olrsearch.core.errors import TrainingError
from olrsearch.encoders import registry
from olrsearch.encoders.atnl.encoder import to_posteriors
from olrsearch.encoders.atnl.training import train_auto_encoder
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.maths.gaussian import SIGMA0, Gaussians

LABELS = olr_case.LABELS
ORDER = {"order": ",".join(LABELS)}
KINDS = ("aae", "acai", "ae", "atnl", "vae", "vae-tl")


def _config(kind, **changes):
    order = ORDER if kind == "atnl" else {}
    return registry.config_class(kind).of_profile("tiny", LABELS).with_overrides({**order, **changes})


def _train(run, kind, *, resume=False, images=None, **changes):
    images = olr_case.images() if images is None else images
    config = _config(kind, **changes)
    return train_auto_encoder(images, config, run, run / "models", resume=resume, progress=False)


def test_points_have_the_smallest_covariance_and_spreads_their_own():
    numbers = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    for kind, size in (("ae", 6), ("atnl", 6), ("vae", 3)):
        found = to_posteriors(registry.config_class(kind), numbers)
        gaussians = Gaussians.of_packed(*found)
        gaussians.check_floor()
        assert gaussians.size == size
        if kind != "vae":
            np.testing.assert_allclose(gaussians.covariance[0], SIGMA0**2 * np.eye(6), rtol=1e-6)
        lengths = np.linalg.norm(found.mean, axis=1)
        assert np.allclose(lengths, 1, atol=1e-6) == (kind == "atnl")


@pytest.mark.slow  # about a second each
@pytest.mark.parametrize("kind", KINDS)
def test_training_writes_a_model_with_words_and_a_decoder(kind, tmp_path):
    trained = _train(tmp_path, kind, epochs="6")
    encoder, config = registry.load(trained.path), read_config(trained.path)
    assert (encoder.kind, config["sphere"], encoder.has_decoder) == (kind, kind == "atnl", True)
    assert not any("critic" in name for name in config["tensors"])
    words = encoder.vocabulary.learned
    assert (len(words), words.absent is not None, words.size) == (len(LABELS), True, encoder.k)
    pixels, _ = olr_case.data(9)
    mean, _ = encoder.encode(pixels)
    assert encoder.decode(mean).shape == (9, 16, 16, 3)
    assert trained.metrics["reconstruction"] > 0
    assert ("neighbours" in trained.metrics) == (kind in {"atnl", "vae-tl"})
    first, *_, last = (epoch["train_reconstruction"] for epoch in trained.history["points"])
    assert last < first


@pytest.mark.slow  # some seconds
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    whole = _train(tmp_path / "whole", "atnl", epochs="2")
    from olrsearch.encoders.trainer import callbacks

    done = callbacks.Record.on_train_epoch_end

    def stop(self, trainer, stage):
        done(self, trainer, stage)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(callbacks.Record, "on_train_epoch_end", stop)
        with pytest.raises(KeyboardInterrupt):
            _train(tmp_path / "cut", "atnl", epochs="2")
    assert _train(tmp_path / "cut", "atnl", resume=True, epochs="2").fingerprint == whole.fingerprint


def test_labels_without_order_and_words_without_examples_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(TrainingError, match="labels have no order"):
        _train(tmp_path, "atnl", order="")
    images = olr_case.images()
    images.labels[:, 1] = -1
    with pytest.raises(TrainingError, match="no training image shows Green"):
        _train(tmp_path, "ae", images=images)
    images.labels[:, 1] = 1
    with pytest.raises(TrainingError, match="no training image lacks Green"):
        _train(tmp_path, "vae", images=images)
    assert not list(tmp_path.iterdir())


def test_triplets_need_two_classes(tmp_path):
    images = olr_case.images()
    images.labels[:] = -1
    images.labels[np.arange(len(images.labels)), np.arange(len(images.labels)) % 3] = 1
    _config("vae-tl").check_labels(images.labels)
    images.labels[:] = np.where(np.arange(len(images.labels))[:, None] % 2, 1, -1)
    with pytest.raises(TrainingError, match="two classes or more"):
        _train(tmp_path, "vae-tl", images=images)
