"""The informed-prior encoder: losses against float64 formulas, training, model folder, decoding."""

import numpy as np
import olr_case
import pytest
import torch

from olrsearch.core.errors import EncoderError, IncompatibleEncoderError, ModelFileError, TrainingError
from olrsearch.encoders import registry
from olrsearch.encoders.informed_prior.config import InformedPriorConfig
from olrsearch.encoders.informed_prior.encoder import InformedPriorEncoder
from olrsearch.encoders.informed_prior.losses import (
    WordPriors,
    divergence,
    draw,
    word_log_likelihoods,
)
from olrsearch.encoders.informed_prior.network import covariance, split_numbers, to_gaussian
from olrsearch.encoders.informed_prior.training import make_vocabulary, train_informed_prior
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.protocol import PosteriorEncoder
from olrsearch.encoders.trainer.run import has_run
from olrsearch.maths.divergences import kl
from olrsearch.maths.gaussian import SIGMA0, Gaussians, word_prior
from olrsearch.maths.triangles import cholesky, pack, triangle

LABELS = olr_case.LABELS
RNG = np.random.default_rng(0)


def _config(**changes: str) -> InformedPriorConfig:
    return InformedPriorConfig.of_profile("tiny", LABELS).with_overrides({"epochs": "3", **changes})


def _train(run, *, resume=False, source=None, **changes: str):
    return train_informed_prior(
        olr_case.images(),
        _config(**changes),
        run,
        run / "models",
        source=source,
        resume=resume,
        progress=False,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return _train(tmp_path_factory.mktemp("informed"))


def _numbers(count=5, size=4):
    return torch.from_numpy(RNG.normal(size=(count, size + triangle(size))).astype(np.float32))


def test_numbers_become_gaussians_above_the_floor():
    numbers = _numbers()
    numbers[0, 4:] = -40.0  # softplus is nearly 0 there
    mean, factor = to_gaussian(numbers, 4)
    gaussians = Gaussians.of_packed(mean.numpy(), pack(factor.numpy()))
    gaussians.check_floor()
    _, lower = split_numbers(numbers, 4)
    expected = lower.double() @ lower.double().mT + SIGMA0**2 * torch.eye(4)
    np.testing.assert_allclose(gaussians.covariance, expected, atol=1e-5 * float(expected.abs().max()))
    assert float(np.linalg.eigvalsh(gaussians.covariance).min()) >= SIGMA0**2 * 0.95


@pytest.mark.parametrize("shrinkage", [0.01, 0.5, 1.0])
def test_priors_of_a_batch_are_those_of_each_set(shrinkage):
    vectors = RNG.normal(size=(6, 4))
    labels = np.array(
        [[1, 1, 0, -1, -1, -1], [-1] * 6, [-1, 1, -1, -1, -1, -1], [1] * 6, [0, 0, 1, 1, 1, -1]], np.int8
    )
    mean, factor = WordPriors(vectors, shrinkage)(torch.from_numpy(labels))
    for row, present in enumerate(labels > 0):
        one = word_prior(vectors[present], shrinkage, size=4)
        np.testing.assert_allclose(mean[row], one.mean[0], atol=1e-5)
        np.testing.assert_allclose(factor[row] @ factor[row].T, one.covariance[0], atol=1e-4)


def test_drawn_means_are_words_of_the_image():
    vectors = RNG.normal(size=(4, 3))
    labels = torch.tensor([[1, 1, -1, -1]] * 200 + [[-1, -1, -1, -1]], dtype=torch.int8)
    mean, _ = WordPriors(vectors, 0.1)(labels, torch.Generator().manual_seed(0))
    apart = np.abs(mean[:200, None, :].numpy() - vectors[None].astype(np.float32)).max(axis=2)
    chosen = apart.argmin(axis=1)
    assert apart.min(axis=1).max() < 1e-6
    assert set(chosen.tolist()) == {0, 1}
    assert 60 < (chosen == 0).sum() < 140
    np.testing.assert_array_equal(mean[200], 0)


def test_the_divergence_and_its_gradient_are_those_of_float64():
    vectors = RNG.normal(size=(5, 4))
    labels = torch.from_numpy(RNG.choice([-1, 1], (7, 5)).astype(np.int8))
    prior = WordPriors(vectors, 0.1)(labels)
    numbers = _numbers(7).requires_grad_()
    mean, lower = split_numbers(numbers, 4)
    found = divergence(mean, lower, *prior)
    expected = kl(
        Gaussians(mean.detach().double().numpy(), cholesky(covariance(lower.double()).detach().numpy())),
        Gaussians(*(part.double().numpy() for part in prior)),
    )
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-3, atol=1e-3)
    found.sum().backward()
    reference = numbers.detach().double().requires_grad_()
    torch_mean = reference[:, :4]
    rows, columns = torch.tril_indices(4, 4)
    entries = torch.where(rows == columns, torch.nn.functional.softplus(reference[:, 4:]), reference[:, 4:])
    triangles = torch.zeros(7, 4, 4, dtype=torch.float64)
    triangles[:, rows, columns] = entries
    q = torch.distributions.MultivariateNormal(torch_mean, covariance(triangles))
    p = torch.distributions.MultivariateNormal(prior[0].double(), scale_tril=prior[1].double())
    torch.distributions.kl_divergence(q, p).sum().backward()
    np.testing.assert_allclose(numbers.grad, reference.grad, rtol=2e-3, atol=2e-3)


def test_log_likelihoods_of_words_are_those_of_float64():
    mean, factor = to_gaussian(_numbers(6), 4)
    vectors = RNG.normal(size=(5, 4)).astype(np.float32)
    found = word_log_likelihoods(mean, factor, torch.from_numpy(vectors))
    expected = Gaussians.of_packed(mean.numpy(), pack(factor.numpy())).log_likelihood(vectors)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-2)


def test_draws_have_the_moments_of_the_posterior():
    mean, lower = split_numbers(_numbers(1).expand(40_000, -1), 4)
    points = draw(mean, lower, torch.Generator().manual_seed(1)).double()
    expected = covariance(lower[:1].double())[0]
    np.testing.assert_allclose(points.mean(dim=0), mean[0], atol=0.05)
    np.testing.assert_allclose(np.cov(points.T), expected, atol=0.06 * float(expected.abs().max()))


def test_training_learns_words_and_writes_a_model(trained):
    assert isinstance(registry.load(trained.path), PosteriorEncoder)
    assert trained.history["posterior"][-1]["train_loss"] < trained.history["posterior"][0]["train_loss"]
    assert {"train_kl", "train_likelihood", "selection_map", "selection_set_match"} <= set(
        trained.history["posterior"][0]
    )
    encoder = InformedPriorEncoder(trained.path)
    pixels, _ = olr_case.data()
    mean, factor = encoder.encode(pixels[:40])
    assert mean.shape == (40, 3)
    assert factor.shape == (40, 6)
    assert mean.dtype == factor.dtype == np.float32
    Gaussians.of_packed(mean, factor).check_floor()
    again = InformedPriorEncoder(trained.path, engine="torch").encode(pixels[:40])
    np.testing.assert_allclose(mean, again.mean, atol=1e-3)
    assert encoder.encode(pixels[:0]).mean.shape == (0, 3)
    assert encoder.shrinkage == 0.01
    assert encoder.vocabulary.names == LABELS
    with pytest.raises(IncompatibleEncoderError, match="uint8"):
        encoder.encode(pixels[:2, :8])


def test_onnx_runs_the_network(trained, caplog):
    encoder = InformedPriorEncoder(trained.path)
    assert encoder.engine == "onnx"
    assert not caplog.records


@pytest.mark.slow
def test_training_tells_present_words_from_absent_ones(tmp_path):
    done = _train(tmp_path, epochs="20", decoder="false", shrinkage="0.1")
    # Ratios of likelihoods cannot tell images with all words from images with none.
    assert done.metrics["map"] > 0.85


def test_points_are_decoded(trained):
    encoder = InformedPriorEncoder(trained.path)
    images = encoder.decode(np.zeros((3, 3), np.float32))
    assert images.shape == (3, 16, 16, 3)
    assert images.dtype == np.uint8
    assert encoder.decode(np.zeros((0, 3), np.float32)).shape == (0, 16, 16, 3)
    with pytest.raises(EncoderError, match=r"takes \[m, 3\]"):
        encoder.decode(np.zeros((3, 4), np.float32))


def test_without_a_decoder_nothing_is_decoded(tmp_path):
    encoder = InformedPriorEncoder(_train(tmp_path, decoder="false", epochs="1").path)
    assert not encoder.has_decoder
    with pytest.raises(EncoderError, match="decoder=true"):
        encoder.decode(np.zeros((1, 3), np.float32))


def test_a_resumed_run_ends_in_the_same_model(tmp_path, trained, monkeypatch):
    from olrsearch.encoders.trainer.stage import Stage

    inner = Stage.training_step

    def training_step(self, batch, batch_idx):
        if self.current_epoch == 1:
            raise RuntimeError("killed")
        return inner(self, batch, batch_idx)

    monkeypatch.setattr(Stage, "training_step", training_step)
    with pytest.raises(RuntimeError, match="killed"):
        _train(tmp_path)
    assert has_run(tmp_path, "informed-prior")
    monkeypatch.setattr(Stage, "training_step", inner)
    assert _train(tmp_path, resume=True).fingerprint == trained.fingerprint


@pytest.mark.slow
def test_an_olr_trunk_is_taken_and_kept(tmp_path):
    olr = olr_case.train(tmp_path / "olr", teacher_epochs="1", siamese_epochs="1")
    assert OlrConfig.of_profile("tiny", LABELS).width == 8
    done = _train(
        tmp_path / "words",
        source=olr.path,
        start_from="olr",
        freeze_trunk="true",
        pooling="average",
        epochs="1",
    )
    from olrsearch.encoders.folder.model_files import read_tensors

    before, after = read_tensors(olr.path), read_tensors(done.path)
    shared = [name for name in before if name.startswith(("network.trunk.", "network.normalise."))]
    assert len(shared) > 10
    for name in shared:
        assert after[name.replace("network.", "network.encoder.")].tobytes() == before[name].tobytes(), name
    with pytest.raises(TrainingError, match=r"width \(its 8, here 9\)"):
        _train(tmp_path / "other", source=olr.path, start_from="olr", width="9")
    with pytest.raises(TrainingError, match="belong together"):
        _train(tmp_path / "neither", start_from="olr")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shrinkage": "0"}, "singular"),
        ({"freeze_trunk": "true"}, "must have learnt something"),
        ({"prior_mean": "median"}, "one of mean, draw"),
        ({"decoder_size": "3,3"}, "4 pixels or more"),
        ({"pretrained": "true"}, "backbone=efficientnet-lite0"),
        ({"latent": "3"}, "unknown configuration key 'latent'"),
        ({"transform": "zca"}, "one of none, centre, whiten"),
    ],
)
def test_bad_settings_are_named(changes, message):
    with pytest.raises(TrainingError, match=message):
        _config(**changes)


def test_one_hot_words_have_a_dimension_each():
    with pytest.raises(TrainingError, match="a dimension each, here 3"):
        make_vocabulary(_config(size="5"))
    assert make_vocabulary(_config()).size == 3


def test_unknown_profiles_are_named():
    with pytest.raises(TrainingError, match="faces, demo, tiny"):
        InformedPriorConfig.of_profile("face", LABELS)


def test_a_damaged_model_is_said_to_be_one(trained, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(trained.path, folder)
    weights = folder / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-20] ^= 0xFF
    weights.write_bytes(data)
    with pytest.raises(ModelFileError, match="checksum"):
        InformedPriorEncoder(folder)
