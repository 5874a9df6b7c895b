"""The losses of both stages.

Notation: B images in a batch, L labels, k numbers a label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor

_LEAST_SQUARE = 1e-8


def joint_probability_loss(e1: Tensor, e2: Tensor, p1: Tensor, p2: Tensor) -> Tensor:
    """Mean squared error between inner products and joint probabilities of given pairs.

    (1 / BL) Σ_b Σ_l (e1_b^l · e2_b^l − p1_b^l p2_b^l)².

    Source: paper 001, section 3: u_l = E₁^l · E₂^l, the loss is the MSE
    between u and the product of the teacher's probabilities.

    Args:
        e1: float [B, L, k], embeddings of the first images.
        e2: float [B, L, k], of the second ones.
        p1: float [B, L], the teacher's probabilities of the first images.
        p2: float [B, L], of the second ones.

    Returns:
        The loss, a scalar.
    """
    products = (e1 * e2).sum(dim=2)
    return nnf.mse_loss(products, p1 * p2)


def random_pairs_loss(embeddings: Tensor, probabilities: Tensor, partners: Tensor) -> Tensor:
    """`joint_probability_loss` of each image of a batch with a partner in it.

    Args:
        embeddings: float [B, L, k].
        probabilities: float [B, L].
        partners: int64 [B], no image its own partner; see `draw_partners`.

    Returns:
        The loss, a scalar.
    """
    return joint_probability_loss(embeddings, embeddings[partners], probabilities, probabilities[partners])


def draw_partners(count: int, generator: torch.Generator) -> Tensor:
    """A random partner for each of `count` ≥ 2 images: a random cycle, so nobody is alone.

    Returns:
        int64 [count].
    """
    order = torch.randperm(count, generator=generator)
    partners = torch.empty_like(order)
    partners[order] = order.roll(1)
    return partners


def joint_probabilities(probabilities: Tensor) -> Tensor:
    """The targets of all pairs of a batch: p_i p_j of each label.

    Args:
        probabilities: float [B, L].

    Returns:
        float [L, B, B].
    """
    columns = probabilities.t()
    return columns[:, :, None] * columns[:, None, :]


def all_pairs_loss(embeddings: Tensor, joint: Tensor) -> Tensor:
    """`joint_probability_loss` over all B(B − 1)/2 pairs of different images of a batch.

    One Gram matrix a label instead of a loop over pairs. An extension of the paper,
    which draws pairs: the same expectation, with lower variance.

    Args:
        embeddings: float [B, L, k], B ≥ 2.
        joint: float [L, B, B], symmetric; what the inner products should be.

    Returns:
        The loss, a scalar.
    """
    vectors = embeddings.transpose(0, 1)
    squares = (vectors @ vectors.transpose(1, 2) - joint).square()
    count = len(embeddings)
    # Both triangles are equal, so all but the diagonal, each pair twice, has the same mean.
    off_diagonal = squares.sum() - squares.diagonal(dim1=1, dim2=2).sum()
    return off_diagonal / (count * (count - 1) * embeddings.shape[1])


def norm_loss(embeddings: Tensor, probabilities: Tensor) -> Tensor:
    """Mean squared error of ‖e^l‖ against the teacher's probability.

    An extension of the paper, for whose loss e·e = p² is the optimum too: an image is never
    paired with itself there, and errors of small products weigh little.

    Args:
        embeddings: float [B, L, k].
        probabilities: float [B, L].

    Returns:
        The loss, a scalar.
    """
    # The root of 0 has no gradient.
    norms = (embeddings.square().sum(dim=2) + _LEAST_SQUARE).sqrt()
    return nnf.mse_loss(norms, probabilities)


def label_loss(
    logits: Tensor, labels: Tensor, *, smoothing: float = 0.0, negative_focus: float = 0.0
) -> Tensor:
    """Binary cross-entropy against known labels; unknown ones do not count.

    Source of `negative_focus`: Ridnik et al., "Asymmetric Loss For Multi-Label
    Classification", 2021, with γ₊ = 0 and no margin.

    Args:
        logits: float [B, L].
        labels: int8 [B, L], −1 absent, 0 unknown, +1 present.
        smoothing: Targets are smoothing / 2 and 1 − smoothing / 2.
        negative_focus: γ: an absent label's loss is multiplied by p^γ.

    Returns:
        The mean over known entries, nats; 0 where none is known.
    """
    known = (labels != 0).to(logits.dtype)
    present = (labels > 0).to(logits.dtype)
    targets = present * (1 - smoothing) + smoothing / 2
    losses = nnf.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    if negative_focus > 0:
        losses = losses * torch.where(labels > 0, 1.0, torch.sigmoid(logits) ** negative_focus)
    return (losses * known).sum() / known.sum().clamp(min=1)


def readout_loss(logits: Tensor, labels: Tensor, probabilities: Tensor, label_share: float) -> Tensor:
    """Cross-entropy of the readout against a mixture of labels and the teacher's probabilities.

    An extension of the paper: it keeps each label embedding linearly readable. Unknown
    labels are left out of the labels' part; the teacher speaks for them.

    Args:
        logits: float [B, L], of the readout.
        labels: int8 [B, L], −1 absent, 0 unknown, +1 present.
        probabilities: float [B, L], the teacher's, on the same images.
        label_share: Weight of the labels' part, 0 to 1; the teacher's has the rest.

    Returns:
        The loss, nats.
    """
    distilled = nnf.binary_cross_entropy_with_logits(logits, probabilities)
    return label_share * label_loss(logits, labels) + (1 - label_share) * distilled


def manner_factor(features: Tensor, weight: Tensor, share: float) -> Tensor:
    """How much of a joint probability is left when two images show a label differently.

    1 − α + α s_l(i, j) with s the cosine between what the teacher sees of label l in both
    images: its features where it looks for l, weighted as it weights them for l, less
    their mean over the batch. The matrices p_i p_j s_l(i, j) are positive semidefinite, so
    there are vectors with these inner products: a direction that all images share, of
    squared length (1 − α) p², and one of α p² that says in which manner the label shows.
    Their norm is still p, and an absent label's vector still 0.

    An extension of the paper, whose targets p_i p_j alone have rank 1 and are met by
    e(x) = p(x)·v, which holds the probability and nothing else.

    Args:
        features: float [B, C, h, w], the teacher's feature maps.
        weight: float [L, C], its linear layer.
        share: α, 0 to below 1.

    Returns:
        float [L, B, B], 1 on the diagonals.
    """
    maps = features.flatten(2)
    looked = torch.softmax(torch.einsum("lc,bcx->blx", weight, maps), dim=2)
    seen = torch.einsum("blx,bcx->lbc", looked, maps) * weight[:, None]
    seen = nnf.normalize(seen - seen.mean(dim=1, keepdim=True), dim=2)
    return 1 - share + share * (seen @ seen.transpose(1, 2))
