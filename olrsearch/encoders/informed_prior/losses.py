"""Priors of a batch's words, divergences and likelihoods, in torch.

Notation: B images in a batch, L labels, d dimensions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from olrsearch.encoders.informed_prior.network import covariance
from olrsearch.maths.gaussian import SIGMA0

if TYPE_CHECKING:
    from torch import Generator

    from olrsearch.core.arrays import F64

_LOG_2PI = math.log(2.0 * math.pi)


class WordPriors(nn.Module):
    """The Gaussians that sets of labels define: `gaussian.word_prior` for a batch at once.

    No label gives N(0, I), one N(w, λ I).

    Source: paper 004, section 2, "A Semantic Prior".

    Args:
        vectors: float64 [L, d].
        shrinkage: λ.
    """

    vectors: Tensor
    squares: Tensor

    def __init__(self, vectors: F64, shrinkage: float) -> None:
        super().__init__()
        words = torch.as_tensor(vectors, dtype=torch.float64)
        self.shrinkage = shrinkage
        self.register_buffer("vectors", words, persistent=False)
        self.register_buffer("squares", (words[:, :, None] * words[:, None, :]).flatten(1), persistent=False)

    def forward(self, labels: Tensor, drawn: Generator | None = None) -> tuple[Tensor, Tensor]:
        """Means float32 [B, d] and Cholesky factors float32 [B, d, d].

        Args:
            labels: int8 [B, L]; the words of an image are its labels that are +1.
            drawn: Draw each mean uniformly from the image's words; their mean when None.
        """
        present = (labels > 0).to(torch.float64)
        count = present.sum(dim=1)
        size = self.vectors.shape[1]
        eye = torch.eye(size, dtype=torch.float64, device=labels.device)
        mean = present @ self.vectors / count.clamp(min=1)[:, None]
        second = (present @ self.squares).reshape(-1, size, size)
        scatter = second - count[:, None, None] * mean[:, :, None] * mean[:, None, :]
        estimate = scatter / (count - 1).clamp(min=1)[:, None, None]
        covariance = (1 - self.shrinkage) * estimate + self.shrinkage * eye
        covariance = torch.where((count == 0)[:, None, None], eye, covariance)
        # Rounding of the difference above is far below λ, but not below a tiny λ.
        factor = torch.linalg.cholesky(covariance + 1e-12 * eye)
        if drawn is not None:
            weights = torch.where((count == 0)[:, None], torch.ones_like(present), present).cpu()
            chosen = torch.multinomial(weights, 1, generator=drawn)[:, 0].to(labels.device)
            mean = torch.where((count == 0)[:, None], mean, self.vectors[chosen])
        return mean.float(), factor.float()


class _LogDeterminant(torch.autograd.Function):
    """ln det of positive definite matrices; its gradient is the inverse, from the same factors.

    torch's own goes through the gradient of a Cholesky factor, which costs several times as much.
    """

    @staticmethod
    def forward(ctx: Any, matrices: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        factor = torch.linalg.cholesky(matrices)
        ctx.save_for_backward(factor)
        return 2.0 * _log_diagonal(factor)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ANN401 - torch's context
        (factor,) = ctx.saved_tensors
        return gradients[0][:, None, None] * torch.cholesky_inverse(factor)


def divergence(mean: Tensor, lower: Tensor, prior_mean: Tensor, prior_factor: Tensor) -> Tensor:
    """KL(q‖p), float [B], nats: q = N(μ, L Lᵀ + σ₀² I) the posterior, p the prior.

    Args:
        mean: μ, [B, d].
        lower: L, [B, d, d].
        prior_mean: [B, d], without gradient.
        prior_factor: [B, d, d], Cholesky, without gradient.
    """
    size = mean.shape[1]
    eye = torch.eye(size, device=mean.device).expand_as(prior_factor)
    inverse = torch.linalg.solve_triangular(prior_factor, eye, upper=False)
    # tr(Λ_p Σ_q) = ‖C_p⁻¹ L‖² + σ₀² ‖C_p⁻¹‖²
    spread = (inverse @ lower).square().sum(dim=(1, 2)) + SIGMA0**2 * inverse.square().sum(dim=(1, 2))
    apart = (inverse @ (prior_mean - mean)[:, :, None]).square().sum(dim=(1, 2))
    own: Tensor = _LogDeterminant.apply(covariance(lower))  # type: ignore[no-untyped-call]  # torch's
    found: Tensor = 0.5 * (spread + apart - size + 2.0 * _log_diagonal(prior_factor) - own)
    return found


def draw(mean: Tensor, lower: Tensor, generator: Generator) -> Tensor:
    """One point of each posterior, [B, d]: z = μ + L ε + σ₀ ε′, which has the covariance L Lᵀ + σ₀² I.

    Source: paper 004, equation 1.

    Args:
        mean: μ, [B, d].
        lower: L, [B, d, d].
        generator: On CPU; the only source of chance.
    """
    noise = torch.randn(2, *mean.shape, generator=generator).to(mean.device)
    return mean + (lower @ noise[0, :, :, None])[:, :, 0] + SIGMA0 * noise[1]


def word_log_likelihoods(mean: Tensor, factor: Tensor, vectors: Tensor) -> Tensor:
    """Ln N(w; μ, Σ) of each word under each image's posterior, float [B, L].

    Source: paper 004, section 3, "Classification".

    Args:
        mean: [B, d].
        factor: [B, d, d], Cholesky.
        vectors: [L, d].
    """
    apart = (vectors[None] - mean[:, None, :]).mT
    solved = torch.linalg.solve_triangular(factor, apart, upper=False)
    squares: Tensor = solved.square().sum(dim=1)
    return -0.5 * (squares + mean.shape[1] * _LOG_2PI) - _log_diagonal(factor)[:, None]


def _log_diagonal(factor: Tensor) -> Tensor:
    """½ ln det of C Cᵀ, [B]."""
    return factor.diagonal(dim1=1, dim2=2).log().sum(dim=1)
