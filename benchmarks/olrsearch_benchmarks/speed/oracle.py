"""Divergences by `torch.distributions`: what exact search is held against, in time and in value."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from olrsearch.maths.divergences import Direction, check_direction
from olrsearch.maths.triangles import unpack

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32
    from olrsearch.maths.gaussian import Gaussians


class TorchKl:
    """One batch of posteriors, made once.

    Args:
        mean: float32 [N, d].
        factor: float32 [N, T], packed Cholesky factors.
        double: Whether to compute in float64.
    """

    def __init__(self, mean: F32, factor: F32, *, double: bool = False) -> None:
        self._type = torch.float64 if double else torch.float32
        self._images = self._normal(mean, unpack(factor, mean.shape[1]))

    def divergences(self, query: Gaussians, direction: Direction = "query-to-image") -> F32:
        """Divergences between one Gaussian and each of the batch, float32 [N] nats.

        Raises:
            GaussianError: there is no such direction.
        """
        check_direction(direction)
        asked = self._normal(query.mean, query.factor)
        pair = (asked, self._images) if direction == "query-to-image" else (self._images, asked)
        with torch.inference_mode():
            found = kl_divergence(*pair)
        return np.asarray(found.numpy(), np.float32)

    def _normal(self, mean: np.ndarray, factor: np.ndarray) -> MultivariateNormal:
        return MultivariateNormal(
            torch.tensor(mean, dtype=self._type),
            scale_tril=torch.tensor(factor, dtype=self._type),
            validate_args=False,
        )
