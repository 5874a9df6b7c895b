"""What is shown of one Gaussian of a space of posteriors: its covariance, its words, pictures of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.evaluation.looks.gaussians import GaussianLook, word_correlations

if TYPE_CHECKING:
    from olrsearch.api.session import Session
    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.posteriors import OpenPosteriors


def gaussian_look(
    session: Session,
    opened: OpenPosteriors,
    name: str,
    gaussian: Gaussians,
    samples: int,
    *,
    seed: int,
    shown: bytes | None = None,
) -> GaussianLook:
    """The look at one Gaussian.

    Args:
        session: Opens the space's encoder.
        opened: The space.
        name: What it is called.
        gaussian: A batch of one.
        samples: How many are decoded, where there is a decoder.
        seed: Of the samples.
        shown: A JPEG of the image whose posterior it is.

    Raises:
        QueryError: a negative number of samples.
    """
    if samples < 0:
        raise QueryError(f"{samples} samples: expected 0 or more")
    vocabulary, decoded = opened.vocabulary, None
    notes: tuple[str, ...] = ()
    encoder = cast("PosteriorEncoder", session.encoder(opened.info))
    if encoder.has_decoder:
        drawn = gaussian.sample(samples, np.random.default_rng(seed))[0]
        decoded = encoder.decode(np.concatenate([gaussian.mean, drawn]).astype(np.float32))
    else:
        notes = (f"the encoder of {opened.info.name} has no decoder: its covariance alone is shown",)
    correlations = word_correlations(gaussian, vocabulary.vectors)
    return GaussianLook(name, gaussian, vocabulary.names, correlations, decoded, shown, notes)
