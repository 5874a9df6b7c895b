"""Decoders: any size, likelihoods by hand, points drawn some at a time."""

import numpy as np
import pytest
import torch

from olrsearch.core.errors import EncoderError
from olrsearch.encoders.trunks.decoder import Decoder, PlainDecoder, bernoulli_error, decoded


@pytest.mark.parametrize("size", [(28, 28), (28, 56), (16, 16), (37, 20)])
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("kind", [Decoder, PlainDecoder])
def test_decoders_fill_any_size(size, colours, kind):
    assert kind(3, 4, size, colours)(torch.randn(2, 3)).shape == (2, colours, *size)


def test_the_bernoulli_error_sums_over_pixels_and_reduces_the_original():
    planes = torch.full((2, 3, 8, 8), 255.0)
    assert bernoulli_error(torch.full((2, 3, 8, 8), 0.0), planes).tolist() == pytest.approx(
        [192 * np.log(2)] * 2, rel=1e-5
    )
    planes[:, 1:] = 0  # grey of (255, 0, 0) is a third
    third = bernoulli_error(torch.full((2, 1, 4, 4), 0.0), planes)
    assert third.tolist() == pytest.approx([16 * np.log(2)] * 2, rel=1e-5)


def test_points_are_drawn_some_at_a_time():
    decoder = PlainDecoder(3, 4, (8, 6), 1).eval()
    points = np.random.default_rng(0).normal(size=(70, 3)).astype(np.float32)
    found = decoded(decoder, points, 3, torch.device("cpu"))
    assert (found.shape, found.dtype) == ((70, 8, 6, 3), np.uint8)
    assert (found[..., 0] == found[..., 2]).all()
    assert decoded(decoder, points[:0], 3, torch.device("cpu")).shape == (0, 8, 6, 3)
    with pytest.raises(EncoderError, match=r"takes \[m, 3\]"):
        decoded(decoder, points[:, :2], 3, torch.device("cpu"))
