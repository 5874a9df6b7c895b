import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from olrsearch.encoders.olr.losses import (
    all_pairs_loss,
    draw_partners,
    joint_probabilities,
    joint_probability_loss,
    label_loss,
    manner_factor,
    norm_loss,
    random_pairs_loss,
    readout_loss,
)
from olrsearch.encoders.olr.occlusion import draw_rectangles, occlude


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _batch(count: int, labels: int = 3, k: int = 4, seed: int = 0):
    generator = _generator(seed)
    embeddings = torch.rand(count, labels, k, generator=generator, dtype=torch.float64)
    return embeddings, torch.rand(count, labels, generator=generator, dtype=torch.float64)


def _naive(embeddings, probabilities, pairs) -> float:
    errors = [
        (
            sum(float(a * b) for a, b in zip(embeddings[i, label], embeddings[j, label], strict=True))
            - float(probabilities[i, label] * probabilities[j, label])
        )
        ** 2
        for i, j in pairs
        for label in range(embeddings.shape[1])
    ]
    return sum(errors) / len(errors)


@given(st.integers(2, 9), st.integers(1, 4), st.integers(1, 5), st.integers(0, 99))
def test_losses_equal_the_naive_loops(count, labels, k, seed):
    embeddings, probabilities = _batch(count, labels, k, seed)
    every = [(i, j) for i in range(count) for j in range(i)]
    assert all_pairs_loss(embeddings, joint_probabilities(probabilities)).item() == pytest.approx(
        _naive(embeddings, probabilities, every)
    )
    partners = draw_partners(count, _generator(seed))
    drawn = list(enumerate(partners.tolist()))
    assert random_pairs_loss(embeddings, probabilities, partners).item() == pytest.approx(
        _naive(embeddings, probabilities, drawn)
    )
    assert all(i != j for i, j in drawn)
    assert sorted(j for _, j in drawn) == list(range(count))


def test_rank_one_solution_has_no_loss():
    probabilities = torch.rand(6, 3, generator=_generator())
    direction = torch.tensor([0.6, 0.8, 0.0])
    embeddings = probabilities[:, :, None] * direction
    assert all_pairs_loss(embeddings, joint_probabilities(probabilities)).item() < 1e-12
    assert (
        joint_probability_loss(embeddings[:3], embeddings[3:], probabilities[:3], probabilities[3:]).item()
        < 1e-12
    )


def test_all_pairs_gradient_is_that_of_the_pairs():
    embeddings, probabilities = _batch(5)
    whole = embeddings.clone().requires_grad_()
    all_pairs_loss(whole, joint_probabilities(probabilities)).backward()
    single = embeddings.clone().requires_grad_()
    first, second = torch.combinations(torch.arange(5)).unbind(1)
    joint_probability_loss(
        single[first], single[second], probabilities[first], probabilities[second]
    ).backward()
    torch.testing.assert_close(whole.grad, single.grad)


def test_unknown_labels_do_not_count():
    logits = torch.tensor([[2.0, 50.0], [-1.0, 3.0]], requires_grad=True)
    labels = torch.tensor([[1, 0], [-1, 1]], dtype=torch.int8)
    loss = label_loss(logits, labels)
    expected = (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 3
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    loss.backward()
    assert logits.grad[0, 1] == 0
    assert label_loss(logits, torch.zeros(2, 2, dtype=torch.int8)).item() == 0


def test_smoothing_moves_targets_and_focus_plays_down_sure_absences():
    logits = torch.tensor([[2.0, -3.0]])
    labels = torch.tensor([[1, -1]], dtype=torch.int8)
    p = torch.sigmoid(logits.double())[0]
    smooth = -(0.9 * p[0].log() + 0.1 * (1 - p[0]).log() + 0.1 * p[1].log() + 0.9 * (1 - p[1]).log()) / 2
    assert label_loss(logits, labels, smoothing=0.2).item() == pytest.approx(smooth.item(), rel=1e-5)
    focused = -(p[0].log() + p[1] ** 2 * (1 - p[1]).log()) / 2
    assert label_loss(logits, labels, negative_focus=2.0).item() == pytest.approx(focused.item(), rel=1e-5)


def test_norms_are_probabilities_where_their_loss_is_none():
    embeddings, probabilities = _batch(6)
    unit = torch.nn.functional.normalize(embeddings, dim=2)
    assert norm_loss(unit * probabilities[:, :, None], probabilities).item() < 1e-12
    expected = (embeddings.norm(dim=2) - probabilities).square().mean()
    torch.testing.assert_close(norm_loss(embeddings, probabilities), expected, rtol=1e-6, atol=0)
    nothing = torch.zeros(2, 3, 4, requires_grad=True)
    norm_loss(nothing, torch.ones(2, 3)).backward()
    assert torch.isfinite(nothing.grad).all()


def _manner(share: float, seed: int = 0, count: int = 12, labels: int = 3):
    features = torch.rand(count, 20, 3, 2, generator=_generator(seed), dtype=torch.float64)
    weight = torch.randn(labels, 20, generator=_generator(seed + 1), dtype=torch.float64)
    return features, weight, manner_factor(features, weight, share)


def test_manner_keeps_norms_and_never_exceeds_the_joint_probability():
    _, _, factor = _manner(0.4)
    assert factor.shape == (3, 12, 12)
    torch.testing.assert_close(factor.diagonal(dim1=1, dim2=2), torch.ones(3, 12, dtype=torch.float64))
    assert (factor <= 1 + 1e-9).all()
    assert (factor >= 1 - 2 * 0.4 - 1e-9).all()
    torch.testing.assert_close(_manner(0.0)[2], torch.ones_like(factor))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_manner_has_exact_solutions_of_a_higher_rank(share):
    _, _, factor = _manner(share)
    probabilities = torch.rand(12, 3, generator=_generator(7), dtype=torch.float64)
    target = joint_probabilities(probabilities) * factor
    values, vectors = torch.linalg.eigh(target)
    assert (values > -1e-9).all()  # so there are vectors with these inner products,
    embeddings = (vectors * values.clamp(min=0).sqrt()[:, None]).transpose(0, 1)
    assert all_pairs_loss(embeddings, target).item() < 1e-15
    torch.testing.assert_close(embeddings.norm(dim=2), probabilities)  # of length p,
    assert (values > 1e-3).sum(dim=1).min() > 1  # and they do not all lie on one line


def test_manner_compares_what_the_teacher_looks_at():
    """Images alike where and in what the label is looked for are alike, whatever else they hold."""
    weight = torch.zeros(1, 4)
    weight[0, 0], weight[0, 1] = 20.0, 1.0
    features = torch.zeros(3, 4, 2, 2)
    features[:, 0, 0, 0] = 1.0  # the label shows in the first corner
    features[:, 1, 0, 0] = torch.tensor([1.0, 1.0, 3.0])  # the third shows it differently
    features[1, 2:, 1, 1] = 9.0  # the second differs elsewhere, in what the label does not need
    factor = manner_factor(features, weight, 0.5)[0]
    assert factor[0, 1] > 0.99
    assert factor[0, 2] < 0.5


def test_readout_loss_mixes_labels_and_teacher():
    logits = torch.randn(4, 3, generator=_generator())
    labels = torch.tensor([[1, 0, -1]] * 4, dtype=torch.int8)
    probabilities = torch.rand(4, 3, generator=_generator(1))
    only_labels = readout_loss(logits, labels, probabilities, 1.0)
    only_teacher = readout_loss(logits, labels, probabilities, 0.0)
    torch.testing.assert_close(only_labels, label_loss(logits, labels))
    mixed = readout_loss(logits, labels, probabilities, 0.25)
    torch.testing.assert_close(mixed, 0.25 * only_labels + 0.75 * only_teacher)


@given(st.integers(8, 90), st.integers(8, 90), st.integers(0, 99))
def test_rectangles_lie_inside_with_sides_in_range(height, width, seed):
    rectangles = draw_rectangles(64, (height, width), (0.33, 0.66), 1.0, _generator(seed))
    top, left, bottom, right = rectangles.unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (bottom <= height).all()
    assert (right <= width).all()
    for lengths, extent in ((bottom - top, height), (right - left, width)):
        assert (lengths >= round(0.33 * extent - 0.5)).all()
        assert (lengths <= round(0.66 * extent + 0.5)).all()


def test_sides_are_drawn_apart_and_reach_every_place():
    rectangles = draw_rectangles(4000, (80, 64), (0.33, 0.66), 1.0, _generator()).double()
    heights, widths = rectangles[:, 2] - rectangles[:, 0], rectangles[:, 3] - rectangles[:, 1]
    assert abs(torch.corrcoef(torch.stack((heights, widths)))[0, 1]) < 0.05
    assert heights.mean().item() == pytest.approx(0.495 * 80, abs=0.5)
    assert rectangles[:, 0].min() == 0
    assert rectangles[:, 2].max() == 80


def test_probability_leaves_some_images_whole():
    generator = _generator()
    rectangles = draw_rectangles(2000, (20, 20), (0.5, 0.5), 0.75, generator)
    empty = (rectangles[:, 2] == rectangles[:, 0]).float().mean().item()
    assert empty == pytest.approx(0.25, abs=0.03)
    none = draw_rectangles(50, (20, 20), (0.5, 0.5), 0.0, generator)
    torch.testing.assert_close(none[:, :2], none[:, 2:])


def test_occlusion_fills_the_rectangle_and_nothing_else():
    pixels = torch.rand(5, 3, 12, 10, generator=_generator()) * 255
    kept = pixels.clone()
    rectangles = draw_rectangles(5, (12, 10), (0.3, 0.6), 1.0, _generator())
    rectangles[0] = torch.tensor([3, 2, 3, 2])
    fill = torch.tensor([1.0, 2.0, 3.0])
    occluded = occlude(pixels, rectangles, fill)
    expected = pixels.clone()
    for image, (top, left, bottom, right) in enumerate(rectangles.tolist()):
        expected[image, :, top:bottom, left:right] = fill[:, None, None]
    torch.testing.assert_close(occluded, expected)
    torch.testing.assert_close(pixels, kept)
    torch.testing.assert_close(occluded[0], pixels[0])
