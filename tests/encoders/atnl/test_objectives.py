"""Objectives of the six auto-encoders: losses by hand, and who learns from what."""

import numpy as np
import olr_case
import pytest
import torch

from olrsearch.encoders import registry
from olrsearch.encoders.atnl.network import AutoEncoder, on_sphere, split_spread
from olrsearch.encoders.atnl.objectives.atnl import angles, angular_loss, bend
from olrsearch.encoders.atnl.objectives.triplets import among, classes_of, triplet_loss
from olrsearch.encoders.atnl.training import OBJECTIVES, critic_of
from olrsearch.encoders.trainer.data import to_planes
from olrsearch.maths.gaussian import SIGMA0

LABELS = olr_case.LABELS


def _case(kind, **changes):
    torch.manual_seed(0)
    order = {"order": ",".join(LABELS)} if kind == "atnl" else {}
    config = registry.config_class(kind).of_profile("tiny", LABELS).with_overrides({**order, **changes})
    mean, std = torch.full((3,), 128.0), torch.full((3,), 60.0)
    network = AutoEncoder(config, mean, std, critic_of(config, mean, std))
    pixels, labels = olr_case.data(16)
    return config, network, to_planes(torch.from_numpy(pixels)), torch.from_numpy(labels)


def _triplets(distances, steps, margin, *, graded):
    """By three loops."""
    found = []
    for a in range(len(distances)):
        for p in range(len(distances)):
            for n in range(len(distances)):
                farther = steps[a, n] - steps[a, p]
                valid = farther > 0 if graded else steps[a, p] <= 1 < steps[a, n]
                excess = distances[a, p] - distances[a, n] + margin * (farther if graded else 1)
                if p != a and valid and excess > 0:
                    found.append(float(excess))
    return np.mean(found) if found else 0.0


@pytest.mark.parametrize("graded", [True, False])
def test_the_triplet_loss_is_that_of_three_loops(graded):
    ranks = torch.tensor([0, 0, 1, 2, 2, 4])
    distances = torch.rand(6, 6, generator=torch.Generator().manual_seed(1))
    steps = (ranks[:, None] - ranks[None]).abs()
    found = triplet_loss(among(distances), steps, 0.3, graded=graded)
    assert float(found) == pytest.approx(_triplets(distances, steps.numpy(), 0.3, graded=graded), rel=1e-5)
    assert float(triplet_loss(among(distances), torch.zeros_like(steps), 0.3, graded=graded)) == 0
    assert float(triplet_loss(distances[:0, :0], steps[:0, :0], 0.3, graded=graded)) == 0


def test_angles_are_those_between_points_and_their_slope_is_finite():
    points = on_sphere(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1e-9]])).requires_grad_()
    found = angles(points, points)
    np.testing.assert_allclose(found.detach()[0, 1:3], [np.pi / 2, np.pi], atol=0.02)
    found.sum().backward()
    assert torch.isfinite(points.grad).all()


def test_points_on_an_arc_in_order_are_right_and_an_arc_that_winds_is_not():
    config, *_ = _case("atnl", graded="true", margin="0.3")
    ranks = torch.tensor([0, 3, 1, 4, 2, 0, 3, 1, 4, 2])
    turned = 0.4 * ranks
    arc = torch.stack([turned.cos(), turned.sin(), torch.zeros(10)], dim=1)
    assert float(angular_loss(config, arc, ranks)) == pytest.approx(0, abs=0.02)
    winding = on_sphere(arc + torch.tensor([0, 0, 0.8]) * (ranks % 2)[:, None])
    assert float(bend(winding, ranks)) > 0.3
    assert float(bend(arc[:0], ranks[:0])) == float(bend(arc[:2], ranks[:2])) == 0
    assert float(angular_loss(config, arc, torch.tensor([0, 1, 2, 3, 4, 0, 1, 2, 3, 4]))) > 0.1


def test_one_label_an_image_is_a_class():
    labels = torch.tensor([[1, -1, 0], [1, 1, -1], [-1, -1, -1], [0, -1, 1]], dtype=torch.int8)
    assert classes_of(labels).tolist() == [0, -1, -1, 2]


def test_variances_keep_the_floor():
    _, variance = split_spread(torch.tensor([[0.0, 0.0, -90.0, 90.0]]))
    assert float(variance[0, 0]) >= SIGMA0**2
    assert float(variance[0, 1]) == pytest.approx(np.exp(10), rel=1e-4)


@pytest.mark.parametrize("kind", sorted(OBJECTIVES))
def test_every_objective_teaches_encoder_and_decoder(kind):
    config, network, planes, labels = _case(kind)
    losses = OBJECTIVES[kind](config, network, planes, labels, torch.Generator().manual_seed(0))
    assert all(torch.isfinite(value) for value in losses.values())
    losses["loss"].backward()
    for part in (network.encoder, network.decoder, *(() if network.critic is None else (network.critic,))):
        assert max(float(one.grad.abs().max()) for one in part.parameters() if one.grad is not None) > 0


@pytest.mark.parametrize(("kind", "critics"), [("aae", "critic"), ("acai", "critic")])
def test_players_learn_from_their_own_part_alone(kind, critics):
    config, network, planes, labels = _case(kind)
    network.eval()  # statistics of batches would change between the two
    losses = OBJECTIVES[kind](config, network, planes, labels, torch.Generator().manual_seed(0))
    of_critic = list(network.critic.parameters())
    others = [*network.encoder.parameters(), *network.decoder.parameters()]
    (losses["fooling"] + losses["reconstruction"]).backward(retain_graph=True)
    assert all(one.grad is None for one in of_critic)
    assert any(one.grad is not None for one in others)
    network.zero_grad(set_to_none=True)
    losses[critics].backward()
    assert all(one.grad is None for one in others)
    assert any(one.grad is not None for one in of_critic)


def test_weights_beside_reconstruction_grow_with_the_numbers_of_an_image():
    digits = registry.config_class("atnl").of_profile("digits", LABELS)
    assert digits.scale == 1
    assert digits.with_overrides({"grey": "false", "image_size": "56,28"}).scale == 6
