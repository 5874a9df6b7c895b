"""Principal pictures and ridge regression onto them."""

import numpy as np
import pytest

from olrsearch.core.errors import FitError
from olrsearch.maths.pictures import fit_ridge, principal_pictures, ridge_pictures, unseen_ridge

RNG = np.random.default_rng(0)


def _pictures(count=60, rank=3):
    axes = RNG.normal(size=(rank, 8 * 6 * 3)) * 6
    numbers = RNG.normal(size=(count, rank))
    return np.clip(128 + numbers @ axes, 0, 255).round().astype(np.uint8).reshape(count, 8, 6, 3), numbers


def test_pictures_of_few_components_are_found_again():
    pixels, _ = _pictures()
    basis = principal_pictures(pixels, np.arange(60), 3)
    np.testing.assert_allclose(basis.axes @ basis.axes.T, np.eye(3), atol=1e-5)
    again = basis.pictures(basis.coordinates(pixels)).reshape(pixels.shape) * 255
    assert np.abs(again - pixels).mean() < 2
    assert len(principal_pictures(pixels[:4], np.arange(4), 50).axes) == 3


def test_a_ridge_finds_a_linear_map_whatever_the_scale():
    numbers = RNG.normal(size=(300, 5)).astype(np.float32) * [1, 100, 0.01, 1, 0] + [5, 0, 0, 3, 2]
    numbers = numbers.astype(np.float32)
    targets = (numbers @ [[1, 0], [0.01, 1], [50, 0], [0, 2], [0, 0]] + [1, -1]).astype(np.float32)
    found = fit_ridge(numbers[:200], targets[:200], numbers[200:], targets[200:])
    apart = found(numbers[200:]) - targets[200:]
    assert float(np.abs(apart).mean()) < 0.02 * float(targets.std())
    assert found.strength == 0.001


def test_a_ridge_to_noise_is_nearly_the_mean():
    numbers, targets = (RNG.normal(size=(60, size)).astype(np.float32) for size in (50, 4))
    found = fit_ridge(numbers[:40], targets[:40], numbers[40:], targets[40:])
    assert found.strength == 10


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_pictures_are_refused(count):
    with pytest.raises(FitError, match="expected 2 or more"):
        principal_pictures(np.zeros((count, 8, 6, 3), np.uint8), np.arange(count), 3)


def test_examples_that_are_no_numbers_are_refused():
    numbers = np.full((4, 2), np.nan, np.float32)
    with pytest.raises(FitError, match="NaN"):
        fit_ridge(numbers, numbers, numbers, numbers)
    with pytest.raises(FitError, match="one or more"):
        fit_ridge(numbers[:0], numbers[:0], numbers, numbers)


def test_a_ridge_to_every_value_is_that_to_some():
    pixels, numbers = _pictures(200)
    numbers = (numbers * [1, 10, 0.1] + 3).astype(np.float32)
    values = pixels.reshape(200, -1).astype(np.float32) / 255
    some = fit_ridge(numbers[:150], values[:150, :20], numbers[150:], values[150:, :20])
    found = ridge_pictures(numbers[:150], pixels, np.arange(150), some.strength)
    np.testing.assert_allclose(found(numbers[150:])[:, :20], some(numbers[150:]), atol=1e-3)


def test_what_is_unseen_is_told_as_well_as_new_examples():
    numbers, targets = (RNG.normal(size=(200, size)).astype(np.float32) for size in (60, 4))
    targets += numbers[:, :4]
    found = unseen_ridge(numbers, targets, 0.01)
    seen = fit_ridge(numbers, targets, numbers, targets)(numbers)
    new, wanted = (RNG.normal(size=(2000, size)).astype(np.float32) for size in (60, 4))
    wanted += new[:, :4]
    told = fit_ridge(numbers, targets, new, wanted)(new)
    unseen, own, others = (
        np.square(a - b).mean() for a, b in ((found, targets), (seen, targets), (told, wanted))
    )
    assert own < 0.8 * others
    assert unseen == pytest.approx(others, rel=0.2)
    assert unseen_ridge(numbers[:3], targets[:3], 1.0).shape == (3, 4)
