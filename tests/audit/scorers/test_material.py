"""What scorers get, and folds that keep persons together."""

import numpy as np
import pytest

from olrsearch.audit.scorers.material import FOLDS, Material, identity_folds
from olrsearch.core.errors import AuditError

NAMES = ("A", "B")


def material(count=20, folds=4, **more):
    rows = np.arange(count)
    given = np.ones((count, 2), np.int8)
    return Material(NAMES, given, rows % folds, rows, None, **more)


def test_sizes_and_rows_of_folds():
    found = material()
    assert (found.images, found.labels, found.folds) == (20, 2, 4)
    assert found.inside(1).tolist() == [1, 5, 9, 13, 17]
    assert found.outside(3).tolist() == [row for row in range(20) if row % 4 != 3]
    assert found.outside(3, most=15).tolist() == found.outside(3).tolist()


def test_a_choice_of_the_rows_outside():
    found = material(2000)
    some = found.outside(2, most=100)
    assert len(np.unique(some)) == 100
    assert (np.diff(some) > 0).all()
    assert (some % 4 != 2).all()
    assert np.array_equal(some, material(2000).outside(2, most=100))
    assert not np.array_equal(some, found.outside(3, most=100))
    assert not np.array_equal(some, material(2000, seed=1).outside(2, most=100))
    assert some.mean() == pytest.approx(1000, abs=200)


def test_nothing_to_look_at_has_no_folds():
    empty = material(0)
    assert (empty.images, empty.folds) == (0, 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ("A",)}, r"labels \(6, 2\) of 1 names"),
        ({"given": np.full((6, 2), 3, np.int8)}, "of −1, 0 and"),
        ({"fold": np.zeros(5, np.int64)}, r"folds \(5,\)"),
        ({"identity": np.zeros((6, 1), np.int64)}, r"identities \(6, 1\): expected"),
        ({"twins": np.zeros((1, 3), np.int64)}, r"twins \(1, 3\) are no pairs of rows of 6 images"),
        ({"twins": np.array([[0, 6]])}, "no pairs of rows of 6 images"),
        ({"twins": np.array([[-1, 2]])}, "no pairs of rows of 6 images"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    whole = {
        "names": NAMES,
        "given": np.ones((6, 2), np.int8),
        "fold": np.zeros(6, np.int64),
        "identity": np.zeros(6, np.int64),
        "views": None,
    }
    Material(**whole, twins=np.empty((0, 2), np.int64))
    with pytest.raises(AuditError, match=message):
        Material(**whole | change)


# -- identities and folds -------------------------------------------------------------------


def test_persons_are_in_one_fold_and_folds_are_of_nearly_equal_size():
    rng = np.random.default_rng(0)
    identity = rng.integers(-1, 300, 2000)
    fold = identity_folds(identity)
    assert fold.dtype == np.int64
    for person in range(300):
        assert len(np.unique(fold[identity == person])) <= 1
    sizes = np.bincount(fold)
    assert len(sizes) == FOLDS
    assert np.ptp(sizes) <= np.bincount(identity[identity >= 0]).max()
    assert len(np.unique(fold[identity < 0])) > 1


def test_folds_do_not_depend_on_the_order_of_images_but_on_the_seed():
    rng = np.random.default_rng(1)
    identity = rng.integers(0, 100, 500)
    order = rng.permutation(500)
    fold = identity_folds(identity, folds=3, seed=5)
    assert np.array_equal(identity_folds(identity[order], folds=3, seed=5), fold[order])
    assert not np.array_equal(identity_folds(identity, folds=3, seed=6), fold)


def test_folds_are_these_on_every_machine():
    assert identity_folds(np.arange(12), folds=3).tolist() == [1, 0, 0, 1, 1, 2, 2, 0, 2, 0, 1, 2]


@pytest.mark.parametrize(("identity", "folds"), [([0, 0, 1, 1], 3), ([], 2), ([0, 1, 2], 1), ([0, 1], 0)])
def test_too_few_persons_or_folds(identity, folds):
    with pytest.raises(AuditError, match=f"{folds} folds of {len(set(identity))} identities: expected"):
        identity_folds(np.array(identity, np.int64), folds=folds)
    assert identity_folds(np.array([-1, 3, -1]), folds=3).tolist() != [0, 0, 0]
