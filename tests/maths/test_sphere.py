"""Ways along the unit sphere and straight ones."""

import numpy as np
import pytest

from olrsearch.maths.sphere import on_line, slerp

SHARES = np.linspace(0, 1, 7)
RNG = np.random.default_rng(0)


def _unit(vector):
    return vector / np.linalg.norm(vector)


@pytest.mark.parametrize("apart", [1.0, 1e-2, 1e-6, 0.0])
def test_steps_are_equal_angles_from_end_to_end(apart):
    first = _unit(RNG.normal(size=5))
    second = _unit(first + apart * RNG.normal(size=5))
    found = slerp(3 * first, second, SHARES)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(found[[0, -1]], [first, second], atol=1e-9)
    chords = np.linalg.norm(np.diff(found, axis=0), axis=1)
    np.testing.assert_allclose(chords, chords.mean(), atol=1e-9)


def test_opposite_points_are_joined_by_half_a_circle():
    first = _unit(RNG.normal(size=4))
    found = slerp(first, -first, SHARES)
    np.testing.assert_allclose(found[-1], -first, atol=1e-9)
    np.testing.assert_allclose(np.diff(np.arccos(np.clip(found @ first, -1, 1))), np.pi / 6, atol=1e-6)


def test_the_straight_way():
    np.testing.assert_allclose(on_line([0, 0], [2, 4], [0, 0.25, 1]), [[0, 0], [0.5, 1], [2, 4]])
