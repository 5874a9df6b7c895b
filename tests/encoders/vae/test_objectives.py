"""Objectives against the papers' formulas, computed apart in float64."""

import numpy as np
import pytest
import torch

from olrsearch.encoders import registry
from olrsearch.encoders.vae.config import CvaeConfig
from olrsearch.encoders.vae.gaussians import (
    Diagonal,
    divergence,
    divergence_from_standard,
    draw,
    log_densities,
)
from olrsearch.encoders.vae.network import VaeNetwork
from olrsearch.encoders.vae.objectives import OBJECTIVES
from olrsearch.encoders.vae.objectives.batch import Batch
from olrsearch.maths.gaussian import Gaussians

LABELS = ("a", "b", "c")
PIXELS = 16 * 16


def _config(kind, **changes):
    of_kind = CvaeConfig if kind == "cvae" else registry.config_class(kind)
    return of_kind.of_profile("tiny", LABELS).with_overrides(changes)


def _made(kind, **changes):
    torch.manual_seed(3)
    config = _config(kind, **changes)
    return VaeNetwork(config, 5 * torch.eye(len(LABELS)), OBJECTIVES[kind].parts), config


def _batch(one=True):
    generator = torch.Generator().manual_seed(1)
    seen = torch.rand(6, PIXELS, generator=generator)
    labels = torch.tensor([[1, -1, -1], [-1, 1, -1], [-1, -1, 1]] * 2, dtype=torch.int8)
    return Batch(seen, labels, one, torch.Generator().manual_seed(2))


def _losses(kind, batch=None, **changes):
    network, config = _made(kind, **changes)
    return {
        name: value.item()
        for name, value in OBJECTIVES[kind].losses(network, batch or _batch(), config).items()
    }


def _gaussians(of):
    deviation = of.variance.double().sqrt().numpy()
    return Gaussians(of.mean.double().numpy(), deviation[:, :, None] * np.eye(deviation.shape[1]))


def test_diagonal_gaussians_are_a_case_of_full_ones():
    torch.manual_seed(0)
    one = Diagonal(torch.randn(4, 3), torch.rand(4, 3) + 0.1)
    other = Diagonal(torch.randn(4, 3), torch.rand(4, 3) + 0.1)
    p, q = _gaussians(one), _gaussians(other)
    spread = np.linalg.inv(q.factor) @ p.factor
    apart = np.linalg.solve(q.factor, (q.mean - p.mean)[:, :, None])
    log_ratio = 2 * np.log(np.diagonal(q.factor, axis1=1, axis2=2) / np.diagonal(p.factor, axis1=1, axis2=2))
    expected = 0.5 * ((spread**2).sum((1, 2)) + (apart**2).sum((1, 2)) - 3 + log_ratio.sum(1))
    np.testing.assert_allclose(divergence(one, other), expected, rtol=1e-5)
    standard = Diagonal(torch.zeros(4, 3), torch.ones(4, 3))
    np.testing.assert_allclose(divergence_from_standard(one), divergence(one, standard), rtol=1e-5)
    found = log_densities(one.mean, other)
    normal = torch.distributions.Normal(other.mean, other.variance.sqrt())
    np.testing.assert_allclose(found, normal.log_prob(one.mean[:, None]).sum(2), rtol=1e-5)
    drawn = torch.stack([draw(one, torch.Generator().manual_seed(seed)) for seed in range(400)])
    np.testing.assert_allclose(drawn.var(dim=0), one.variance, rtol=0.4)


def test_pse_is_the_bound_with_a_learned_prior():
    network, config = _made("pse")
    batch = _batch()
    found = OBJECTIVES["pse"].losses(network, batch, config)
    of_images = network.of_images(batch.seen)
    of_labels = network.of_labels(5 * torch.eye(3)[[0, 1, 2, 0, 1, 2]])
    points = draw(of_images, torch.Generator().manual_seed(2))
    expected = torch.sigmoid(network.decoder(points)).clamp(1e-7, 1 - 1e-7)
    nats = -(batch.seen * expected.log() + (1 - batch.seen) * (1 - expected).log()).sum(1).mean()
    assert found["images"].item() == pytest.approx(nats.item(), rel=1e-5)
    assert found["kl"].item() == pytest.approx(divergence(of_images, of_labels).mean().item())
    assert found["loss"].item() == pytest.approx(found["images"].item() + found["kl"].item())


def test_pse_star_adds_what_a_classifier_misses():
    plain, half = _losses("pse-star"), _losses("pse-star", label_weight="0.5")
    assert plain["labels"] > 0
    assert plain["loss"] - half["loss"] == pytest.approx(0.5 * plain["labels"], rel=1e-3)
    assert _losses("pse-star", label_weight="0")["loss"] == pytest.approx(
        plain["images"] + plain["kl"], rel=1e-5
    )


def test_unknown_labels_of_many_cost_nothing():
    batch = _batch(one=False)
    known = _losses("pse-star", batch)
    hidden = Batch(batch.seen, torch.zeros_like(batch.labels), False, torch.Generator().manual_seed(2))
    assert known["labels"] > 0
    assert _losses("pse-star", hidden)["labels"] == 0


def test_weights_of_the_others_do_what_the_paper_says():
    jmvae, drawn = _losses("jmvae", alpha="0"), _losses("jmvae", alpha="2")
    assert drawn["loss"] - jmvae["loss"] == pytest.approx(2 * drawn["apart"], rel=1e-4)
    trelbo = [_losses("trelbo", lambda_1=value)["loss"] for value in ("1", "3")]
    assert trelbo[1] - trelbo[0] == pytest.approx(2 * _losses("trelbo")["labels"], rel=1e-3)
    scan = [_losses("scan", beta=value) for value in ("1", "4")]
    assert scan[1]["loss"] - scan[0]["loss"] == pytest.approx(3 * scan[0]["kl"], rel=1e-4)


def test_scan_changes_nothing_of_its_images_for_the_labels():
    network, config = _made("scan")
    OBJECTIVES["scan"].losses(network, _batch(), config)["apart"].backward()
    assert network.image[0].weight.grad is None
    assert network.label.weight.grad.abs().sum() > 0


def test_cvae_is_told_the_label_on_both_ways():
    network, config = _made("cvae")
    batch = _batch()
    found = OBJECTIVES["cvae"].losses(network, batch, config)
    assert found["loss"].item() == pytest.approx(found["images"].item() + found["kl"].item())
    other = Batch(batch.seen, batch.labels.roll(1, dims=1), True, torch.Generator().manual_seed(2))
    assert OBJECTIVES["cvae"].losses(network, other, config)["images"].item() != found["images"].item()
    with pytest.raises(Exception, match="no encoder of kind 'cvae' can be trained"):
        registry.config_class("cvae")
