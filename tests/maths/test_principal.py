"""Principal components of features on disk."""

import numpy as np
import pytest

from olrsearch.core.errors import FitError
from olrsearch.core.progress import silent
from olrsearch.maths import principal
from olrsearch.maths.principal import principal_components


def drawn(count=300, size=40, seed=0):
    """Features with a falling spectrum."""
    rng = np.random.default_rng(seed)
    spread = 0.8 ** np.arange(size) * 5
    return (rng.normal(size=(count, size)) * spread @ rng.normal(size=(size, size)) + 3).astype(np.float32)


def expected(features, count, sizes):
    """By numpy's SVD: standardised, and every group divided by the root of its size."""
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    standard = standard / np.sqrt(np.repeat(sizes, sizes))
    left, values, _ = np.linalg.svd(standard.astype(np.float64), full_matrices=False)
    return left[:, :count] * values[:count]


def assert_same_axes(found, right, atol=1e-3):
    """Equal but for the sign of each axis."""
    assert found.dtype == np.float32
    assert found.shape == right.shape
    signs = np.sign((found * right).sum(axis=0))
    assert np.allclose(found * signs, right, atol=atol)


def test_they_are_those_of_the_singular_values():
    features = drawn()
    found = principal_components(features, 5)
    assert_same_axes(found, expected(features, 5, [40]))
    variances = found.var(axis=0)
    assert (np.diff(variances) < 0).all()
    assert np.allclose(np.corrcoef(found.T), np.eye(5), atol=1e-3)
    assert np.allclose(found.mean(axis=0), 0, atol=1e-4)


def test_groups_weigh_alike_however_many_numbers_they_have():
    features = drawn()
    assert_same_axes(principal_components(features, 4, groups=(36, 4)), expected(features, 4, [36, 4]))
    # A small group that is one direction comes before a large one without any.
    rng = np.random.default_rng(1)
    noise, common = rng.normal(size=(500, 400)), rng.normal(size=(500, 1))
    both = np.concatenate([noise, common + 0.1 * rng.normal(size=(500, 4))], axis=1).astype(np.float32)
    first = principal_components(both, 1, groups=(400, 4))[:, 0]
    assert abs(np.corrcoef(first, common[:, 0])[0, 1]) > 0.98


def test_units_do_not_matter():
    features = drawn()
    found = principal_components(features, 3)
    scaled = features * np.float32(1000)
    assert_same_axes(principal_components(scaled, 3), found, atol=1e-2)


def test_memory_maps_of_half_precision_are_read_in_blocks(tmp_path, monkeypatch):
    features = drawn().astype(np.float16)
    np.save(tmp_path / "f.npy", features)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    whole = principal_components(features, 4)
    monkeypatch.setattr(principal, "_ROWS", 64)
    found = principal_components(mapped, 4)
    assert type(found) is np.ndarray
    assert_same_axes(found, whole)
    assert_same_axes(found, expected(features.astype(np.float32), 4, [40]))


def test_they_are_found_in_a_sample(monkeypatch):
    monkeypatch.setattr(principal, "SAMPLE", 200)
    features = drawn(2000)
    found = principal_components(features, 2, seed=1)
    right = expected(features, 2, [40])
    for axis in range(2):
        assert abs(np.corrcoef(found[:, axis], right[:, axis])[0, 1]) > 0.95
    assert np.array_equal(found, principal_components(features, 2, seed=1))
    assert not np.array_equal(found, principal_components(features, 2, seed=2))


def test_numbers_that_do_not_vary_say_nothing():
    features = drawn()
    more = np.concatenate([features, np.full((300, 3), 7, np.float32)], axis=1)
    found = principal_components(more, 4, groups=(40, 3))
    assert_same_axes(found, expected(features, 4, [40]))
    assert np.array_equal(principal_components(np.full((9, 5), 2, np.float32), 3), np.zeros((9, 3)))


def test_numbers_that_hardly_vary_are_not_blown_up():
    """Rounding of a number that is all but constant would else weigh as much as any."""
    features = drawn(400)
    features[:, 0] = features[:, 0] * 1e-4
    found = principal_components(features, 40)
    other = principal_components(features[:, 1:], 39)
    total = found.var(axis=0).sum() - other.var(axis=0).sum() * 39 / 40
    assert abs(total) < 1e-3


@pytest.mark.parametrize(("count", "size", "expected_count"), [(6, 40, 5), (300, 3, 3), (1, 4, 0), (2, 9, 1)])
def test_fewer_than_asked_for(count, size, expected_count):
    found = principal_components(drawn(count, size), 8)
    assert found.shape == (count, expected_count)
    assert np.isfinite(found).all()


def test_nothing_is_changed_and_progress_is_shown(monkeypatch):
    monkeypatch.setattr(principal, "_ROWS", 100)
    features = drawn()
    before = features.copy()
    seen = []

    def track(items, *, total, what, unit="images"):
        seen.append((total, what, unit))
        return silent(items, total=total, what=what, unit=unit)

    principal_components(features, 2, track=track)
    assert seen == [(3, "components", "blocks")]
    assert np.array_equal(features, before)


def test_what_has_no_components_is_refused():
    features = drawn()
    with pytest.raises(FitError, match="0 images of 40 numbers in groups of 40: expected at least one image"):
        principal_components(features[:0], 2)
    for groups in ((30,), (40, 1)):
        with pytest.raises(
            FitError, match=r"300 images of 40 numbers in groups of .*all its numbers together"
        ):
            principal_components(features, 2, groups=groups)
    for wrong in (np.nan, np.inf):
        spoiled = features.copy()
        spoiled[17, 3] = wrong
        with pytest.raises(FitError, match="hold NaN or infinities"):
            principal_components(spoiled, 2)


def test_what_lies_outside_the_sample_is_looked_at_too(monkeypatch):
    monkeypatch.setattr(principal, "SAMPLE", 50)
    features = drawn()
    features[:, 0] = np.nan
    features[np.sort(np.random.default_rng([0, 0x9CA]).choice(300, 50, replace=False)), 0] = 1.0
    with pytest.raises(FitError, match="hold NaN"):
        principal_components(features, 2)
