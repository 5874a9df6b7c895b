"""Structural similarity against a window by window computation."""

import numpy as np
import pytest
import torch

from olrsearch.encoders.olr.ssim import ssim

RNG = np.random.default_rng(0)


def _slowly(first, second):
    """The same for one channel, window by window, in float64."""
    offsets = np.arange(11) - 5
    one = np.exp(-(offsets**2) / (2 * 1.5**2))
    window = np.outer(one, one) / np.outer(one, one).sum()
    found = []
    for top in range(first.shape[0] - 10):
        for left in range(first.shape[1] - 10):
            x, y = (image[top : top + 11, left : left + 11] for image in (first, second))
            a, b = (window * x).sum(), (window * y).sum()
            aa, bb, ab = (
                (window * (x - a) ** 2).sum(),
                (window * (y - b) ** 2).sum(),
                (window * (x - a) * (y - b)).sum(),
            )
            found.append((2 * a * b + 1e-4) * (2 * ab + 9e-4) / ((a * a + b * b + 1e-4) * (aa + bb + 9e-4)))
    return np.mean(found)


def test_it_is_the_mean_over_windows_and_channels():
    first, second = RNG.random((2, 2, 3, 15, 13))
    second = 0.5 * first + 0.5 * second
    found = ssim(torch.tensor(first), torch.tensor(second))
    expected = [
        np.mean([_slowly(first[row, channel], second[row, channel]) for channel in range(3)])
        for row in range(2)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [(8, 8), (9, 30), (88, 88)])
def test_an_image_is_like_itself_whatever_its_size(size):
    image = torch.rand(2, 3, *size)
    np.testing.assert_allclose(ssim(image, image), 1, atol=1e-4)
    assert float(ssim(image, 1 - image).max()) < 0.3


def test_it_has_a_gradient_where_both_are_flat():
    flat = torch.full((1, 3, 16, 16), 0.5, requires_grad=True)
    ssim(flat, torch.zeros(1, 3, 16, 16)).sum().backward()
    assert torch.isfinite(flat.grad).all()


def test_it_trains_after_having_measured():
    ssim.__globals__["_windows"].cache_clear()
    image = torch.rand(1, 3, 20, 20, requires_grad=True)
    with torch.inference_mode():
        ssim(image, image)
    ssim(image, torch.rand(1, 3, 20, 20), step=2).sum().backward()
    assert torch.isfinite(image.grad).all()


def test_some_windows_tell_about_the_same():
    first = torch.rand(2, 3, 40, 40)
    second = first * 0.5 + torch.rand(2, 3, 40, 40) * 0.5
    np.testing.assert_allclose(ssim(first, second, step=2), ssim(first, second), atol=0.02)
