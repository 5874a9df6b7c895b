"""The losses of both stages.

Notation: B images in a batch, L labels, k numbers a label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as nnf
from torch import Tensor


def joint_probability_loss(e1: Tensor, e2: Tensor, p1: Tensor, p2: Tensor) -> Tensor:
    """Mean squared error between inner products and joint probabilities of given pairs.

    (1 / BL) Σ_b Σ_l (e1_b^l · e2_b^l − p1_b^l p2_b^l)².

    Source: Karatsiolis and Kamilaris, section 3: u_l = E₁^l · E₂^l, the loss is the MSE
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


def all_pairs_loss(embeddings: Tensor, probabilities: Tensor) -> Tensor:
    """`joint_probability_loss` over all B(B − 1)/2 pairs of different images of a batch.

    One Gram matrix a label instead of a loop over pairs. An extension of the paper,
    which draws pairs: the same expectation, with lower variance.

    Args:
        embeddings: float [B, L, k], B ≥ 2.
        probabilities: float [B, L].

    Returns:
        The loss, a scalar.
    """
    vectors = embeddings.transpose(0, 1)
    columns = probabilities.t()
    squares = (vectors @ vectors.transpose(1, 2) - columns[:, :, None] * columns[:, None, :]).square()
    count = len(embeddings)
    # Both triangles are equal, so all but the diagonal, each pair twice, has the same mean.
    off_diagonal = squares.sum() - squares.diagonal(dim1=1, dim2=2).sum()
    return off_diagonal / (count * (count - 1) * embeddings.shape[1])


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross-entropy against known labels; unknown ones do not count.

    Args:
        logits: float [B, L].
        labels: int8 [B, L], −1 absent, 0 unknown, +1 present.

    Returns:
        The mean over known entries, nats; 0 where none is known.
    """
    known = (labels != 0).to(logits.dtype)
    losses = nnf.binary_cross_entropy_with_logits(logits, (labels > 0).to(logits.dtype), reduction="none")
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
