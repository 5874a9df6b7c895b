import json
import logging
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from olrsearch_benchmarks.speed.speed_kl import open_index

from olrsearch.core.errors import (
    EmptyStoreError,
    GaussianError,
    IndexBuildError,
    UnknownImageError,
    VectorError,
)
from olrsearch.maths.divergences import DIRECTIONS, jeffreys, kl
from olrsearch.maths.gaussian import SIGMA0, Gaussians, word_prior
from olrsearch.maths.kl_features import Frame, feature_size, image_features
from olrsearch.maths.triangles import cholesky, pack, triangle
from olrsearch.search.kl import kept_features as kl_files
from olrsearch.search.kl.exact_search import KlIndex
from olrsearch.search.kl.kept_features import KlFeatures, choose_frame, estimate_memory, kept_frame
from olrsearch.search.kl.query import ask
from olrsearch.search.kl.rounding import _direct_sizes, _feature_errors, add_up
from olrsearch.search.kl.view import KlView, PlainPosteriors

DIVERGENCES = (*DIRECTIONS, "jeffreys")
KINDS = ("plain", "floor", "far", "near", "same", "mixed")
seeds = st.integers(0, 2**32 - 1)


def posteriors(count, size, seed, kind="plain"):
    """Means and packed factors in float32, as an encoder would store them, of several kinds of nastiness."""
    rng = np.random.default_rng(seed)
    if kind == "mixed":
        parts = [posteriors(count, size, seed + number, each) for number, each in enumerate(KINDS[:-1])]
        chosen = rng.integers(0, len(parts), count)
        return tuple(
            np.stack([parts[part][field][row] for row, part in enumerate(chosen)]) for field in (0, 1)
        )
    mean = rng.normal(size=(count, size))
    if kind == "floor":  # most eigenvalues at the floor, some far above
        scales = np.where(
            rng.random((count, size, 1)) < 0.7, 0.0, np.exp(rng.uniform(-3, 3, (count, size, 1)))
        )
    else:
        scales = np.exp(rng.uniform(-2, 0.5, (count, size, 1)))
    matrices = rng.normal(size=(count, size, size)) * scales
    if kind == "far":
        mean = mean * 10 + 1000 * rng.normal(size=size)
    if kind == "near":  # differences that float32 features cannot show
        mean = mean[:1] + 1e-5 * rng.normal(size=(count, size))
        matrices = np.repeat(matrices[:1], count, axis=0)
    if kind == "same":
        mean, matrices = (
            np.repeat(mean[:3], count, axis=0)[:count],
            np.repeat(matrices[:3], count, axis=0)[:count],
        )
    covariances = matrices @ matrices.swapaxes(1, 2) + SIGMA0**2 * np.eye(size)
    return mean.astype(np.float32), pack(cholesky(covariances)).astype(np.float32)


def gallery(count, size, seed, kind="plain", *, parts=1, gone=0):
    """A view over several parts, ids in no order, some of them deleted."""
    rng = np.random.default_rng(seed + 7)
    mean, factor = posteriors(count, size, seed, kind)
    ids = rng.permutation(3 * count)[:count].astype(np.int64)
    cuts = np.sort(rng.integers(0, count, parts - 1))
    pieces = [
        PlainPosteriors(*arrays)
        for arrays in zip(np.split(ids, cuts), np.split(mean, cuts), np.split(factor, cuts), strict=True)
    ]
    return KlView(pieces, rng.permutation(ids)[:gone])


def index_of(view, frame=None):
    """An index in memory."""
    if frame is None:
        return open_index(view, [str(number) for number in range(len(view.parts))], None)
    made = {way: [KlFeatures.compute(part, frame, way) for part in view.parts] for way in DIRECTIONS}
    return KlIndex(view, frame, made.__getitem__)


def query_of(size, seed, kind="prior"):
    if kind == "prior":
        return word_prior(np.random.default_rng(seed).normal(size=(3, size)), 0.05)
    return Gaussians.of_packed(*posteriors(1, size, seed, kind))


def direct(query, images, direction):
    """The oracle: every divergence in float64."""
    if direction == "jeffreys":
        return jeffreys(query, images)
    return kl(query, images) if direction == "query-to-image" else kl(images, query)


def brute(view, query, count, direction, *, allowed=None, exclude=(), farthest=False):
    """The oracle: everything scored and sorted, ties by id."""
    scores = direct(query, view.gaussians(np.arange(len(view))), direction)
    left = np.ones(len(view), bool) if allowed is None else allowed.copy()
    left &= ~np.isin(view.ids, list(exclude))
    rows = np.flatnonzero(left)
    order = rows[np.lexsort((view.ids[rows], -scores[rows] if farthest else scores[rows]))][:count]
    return view.ids[order], scores[order]


# -- answers -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(
    seeds,
    st.sampled_from(KINDS),
    st.sampled_from(DIVERGENCES),
    st.integers(1, 6),
    st.integers(0, 70),
    st.booleans(),
    st.sampled_from(["prior", "plain", "floor", "own"]),
)
def test_answers_are_those_of_brute_force(seed, kind, direction, size, count, farthest, asked):
    view = gallery(60, size, seed, kind, parts=3, gone=7)
    own = asked == "own"
    query = view.gaussians(np.array([seed % len(view)])) if own else query_of(size, seed + 1, asked)
    rng = np.random.default_rng(seed)
    allowed = rng.random(len(view)) < 0.6 if seed % 2 else None
    exclude = view.ids[rng.integers(0, len(view), 3)] if seed % 3 else ()
    found = index_of(view).search(
        query, count, direction=direction, allowed=allowed, exclude=exclude, farthest=farthest
    )
    ids, distances = brute(view, query, count, direction, allowed=allowed, exclude=exclude, farthest=farthest)
    assert found.exact
    assert found.proposals >= len(ids)
    assert found.ids.dtype == np.int64
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_array_equal(found.distances, distances)


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from(KINDS), st.sampled_from(DIVERGENCES))
def test_a_batch_answers_as_single_queries_do(seed, kind, direction):
    view = gallery(50, 4, seed, kind, parts=2, gone=3)
    index = index_of(view)
    queries = word_prior(np.random.default_rng(seed).normal(size=(3, 4)), 0.1)
    others = Gaussians.of_packed(*posteriors(4, 4, seed + 1))
    queries = Gaussians(
        np.concatenate([queries.mean, others.mean]), np.concatenate([queries.factor, others.factor])
    )
    together = index.search_batch(queries, 7, direction=direction)
    assert len(together) == 5
    for number, found in enumerate(together):
        alone = index.search(queries[number], 7, direction=direction)
        assert found.exact
        np.testing.assert_array_equal(found.ids, alone.ids)
        np.testing.assert_array_equal(found.distances, alone.distances)


def test_large_batches_are_answered_in_blocks(monkeypatch):
    view = gallery(50, 3, 1)
    queries = Gaussians.of_packed(*posteriors(5, 3, 2))
    expected = index_of(view).search_batch(queries, 5)
    monkeypatch.setattr("olrsearch.search.kl.exact_search._BATCH_NUMBERS", 100)
    for found, known in zip(index_of(view).search_batch(queries, 5), expected, strict=True):
        np.testing.assert_array_equal(found.ids, known.ids)
    assert index_of(view).search_batch(queries[:0], 5) == []


def test_identical_images_are_ranked_by_id():
    mean, factor = posteriors(1, 3, 0)
    ids = np.array([5, 3, 9, 1, 7], np.int64)
    view = KlView([PlainPosteriors(ids, np.repeat(mean, 5, 0), np.repeat(factor, 5, 0))])
    for farthest in (False, True):
        found = index_of(view).search(query_of(3, 1), 3, farthest=farthest)
        assert found.ids.tolist() == [1, 3, 5]
        assert len(set(found.distances.tolist())) == 1


def test_few_posteriors_are_scored_where_float32_can_tell():
    view = gallery(3000, 8, 3)
    found = index_of(view).search(query_of(8, 4), 10)
    assert found.exact
    assert found.proposals < 60


def test_near_duplicates_extend_the_proposals_and_are_said_once(caplog):
    view = gallery(600, 4, 5, "near")
    index = index_of(view, Frame(np.full(4, 50.0), np.eye(4)))  # a frame that makes float32 lose digits
    query = query_of(4, 6)
    with caplog.at_level(logging.INFO, "olrsearch.search.kl.exact_search"):
        found = index.search(query, 5)
        index.search(query, 5)
    assert found.exact
    assert found.proposals > 0.2 * len(view)
    assert len([record for record in caplog.records if "posteriors scored in float64" in record.message]) == 1
    np.testing.assert_array_equal(found.ids, brute(view, query, 5, "query-to-image")[0])


def test_counts_and_masks():
    view = gallery(20, 3, 1)
    index = index_of(view)
    query = query_of(3, 2)
    assert len(index.search(query, 0).ids) == 0
    assert len(index.search(query, 1000).ids) == 20
    nothing = index.search(query, 5, allowed=np.zeros(20, bool))
    assert (len(nothing.ids), nothing.exact, nothing.proposals) == (0, True, 0)
    mask = np.ones(20, bool)
    left_out = view.ids[:18]
    assert set(index.search(query, 5, allowed=mask, exclude=left_out).ids) == set(view.ids[18:])
    assert mask.all()
    assert len(index.search(query, 30, exclude=[10**9]).ids) == 20
    with pytest.raises(VectorError, match="negative"):
        index.search(query, -1)
    for wrong in (np.ones(19, bool), np.ones(20)):
        with pytest.raises(VectorError, match="mask"):
            index.search(query, 5, allowed=wrong)


def test_scan_values_are_near_the_divergences():
    view = gallery(80, 5, 2, parts=2, gone=4)
    index, query = index_of(view), query_of(5, 3)
    for direction in DIVERGENCES:
        found = index.distances(query, direction)
        assert found.dtype == np.float32
        exact = direct(query, view.gaussians(np.arange(len(view))), direction)
        np.testing.assert_allclose(found, exact, rtol=1e-3, atol=1e-3)
        rows = np.array([5, 0, 71])
        np.testing.assert_array_equal(index.distances_of(query, rows, direction), exact[rows])


# -- the bound ---------------------------------------------------------------------------


def check_bounds(view, index, query, direction):
    """The scan and its refinement lie within their bounds of float64, for every row."""
    rows = np.arange(len(view))
    exact = direct(query, view.gaussians(rows), direction)
    asked = ask(query, direction, index.frame, view.size)
    scan = sum(
        index._products(one.direction, one.rounded[None])[0].astype(float) + one.constant for one in asked
    )
    bounds = index.bounds(query, direction)
    assert (bounds > 0).all()
    assert (np.abs(scan - exact) <= bounds).all()
    refined, closer = index._refine(rows, asked, 1.0)
    assert (np.abs(refined - exact) <= closer).all()
    assert (closer <= bounds * (1 + 1e-6)).all()
    return np.abs(scan - exact), bounds


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(
    seeds,
    st.sampled_from(KINDS),
    st.sampled_from(DIVERGENCES),
    st.integers(1, 8),
    st.sampled_from(["prior", "plain", "floor", "far"]),
    st.floats(-3, 3),
    st.floats(-3, 3),
)
def test_the_error_bound_holds_for_every_image(seed, kind, direction, size, asked, scale, shift):
    """Also in frames that fit the images badly: shifted, stretched, sheared."""
    view = gallery(40, size, seed, kind)
    rng = np.random.default_rng(seed)
    matrix = np.tril(rng.normal(size=(size, size)), -1) * 10**scale
    matrix += np.diag(np.exp(rng.normal(size=size)) * 10**scale)
    frame = Frame(rng.normal(size=size) * 10**shift, matrix)
    for index in (index_of(view), index_of(view, frame)):
        check_bounds(view, index, query_of(size, seed + 1, asked), direction)


@settings(deadline=None, max_examples=15)
@given(seeds, st.sampled_from(KINDS), st.sampled_from(DIVERGENCES))
def test_the_error_bound_holds_in_many_dimensions(seed, kind, direction):
    view = gallery(30, 24, seed, kind)
    check_bounds(view, index_of(view), query_of(24, seed + 1), direction)


def rational(array):
    """The same numbers as fractions, in which sums, products and quotients are exact."""
    return np.vectorize(Fraction, otypes=[object])(array)


def rational_inverse(factor):
    """The inverse of a lower triangle of fractions."""
    size = len(factor)
    out = np.full((size, size), Fraction(0), object)
    for row in range(size):
        out[row] = [Fraction(int(row == column)) for column in range(size)]
        for column in range(row):
            out[row] = out[row] - factor[row, column] * out[column]
        out[row] = out[row] / factor[row, row]
    return out


def log_determinant(factor):
    """2 Σ ln C_ii to fifty digits, as a fraction."""
    with localcontext() as context:
        context.prec = 50
        parts = [
            (Decimal(entry.numerator) / Decimal(entry.denominator)).ln() for entry in np.diagonal(factor)
        ]
        return 2 * Fraction(sum(parts))


def true_features(gaussians, frame, direction):
    """`image_features` in a frame, without rounding but for √2: fractions [n, F]."""
    shift, matrix = rational(frame.shift), rational(frame.matrix)
    lower = np.tril_indices(len(shift))
    weights = rational(np.where(lower[0] == lower[1], 1.0, np.sqrt(2.0)))
    out = []
    for mean, factor in zip(rational(gaussians.mean), rational(gaussians.factor), strict=True):
        at, framed = matrix @ (mean - shift), matrix @ factor
        logs = log_determinant(framed)
        if direction == "query-to-image":
            inverse = rational_inverse(framed)
            head, pulled = inverse.T @ inverse, inverse.T @ (inverse @ at)
            tail = at @ pulled + logs
        else:
            head, pulled, tail = framed @ framed.T + np.outer(at, at), at, -logs
        out.append([*(head[lower] * weights), *(-2 * pulled), tail])
    return rational(np.array(out)) / 2


def true_kl(p, q):
    """KL(p‖q) of single Gaussians without rounding, a fraction."""
    mean, other = rational(p.mean[0]), rational(q.mean[0])
    factor, wide = rational(p.factor[0]), rational(q.factor[0])
    inverse = rational_inverse(wide)
    spread, apart = inverse @ factor, inverse @ (other - mean)
    found = (spread**2).sum() + (apart**2).sum() - len(mean)
    return (found + log_determinant(wide) - log_determinant(factor)) / 2


@settings(deadline=None, max_examples=40)
@given(seeds, st.sampled_from(KINDS), st.sampled_from(DIRECTIONS), st.floats(-2, 2))
def test_the_bounds_of_float64_hold_against_exact_fractions(seed, kind, direction, scale):
    rng = np.random.default_rng(seed)
    images = Gaussians.of_packed(*posteriors(2, 3, seed, kind))
    matrix = np.tril(rng.normal(size=(3, 3)) * 10**scale, -1) + np.diag(np.exp(rng.normal(size=3)))
    frame = Frame(rng.normal(size=3) * 100, matrix)
    framed = frame.apply(images)
    apart = rational(image_features(framed, direction)) - true_features(images, frame, direction)
    errors = np.sqrt((apart.astype(float) ** 2).sum(axis=1))
    bounds = _feature_errors(images, framed, frame, direction, image=True)
    assert (errors <= bounds).all()
    p, q = images[0], Gaussians.of_packed(*posteriors(1, 3, seed + 1, "floor"))
    for first, second in ((p, q), (q, p)):
        narrow, _ = _direct_sizes(second, frame)
        _, wide = _direct_sizes(first, frame)
        error = abs(float(Fraction(float(kl(first, second)[0])) - true_kl(first, second)))
        assert error <= narrow[0] * wide[0]


def test_the_error_bound_holds_against_a_product_in_the_worst_order():
    """One number after another, each sum rounded: what a scan on another machine may do."""
    view = gallery(20, 12, 3, "floor")
    index = index_of(view)
    query = query_of(12, 4, "floor")
    exact = direct(query, view.gaussians(np.arange(20)), "query-to-image")
    (one,) = ask(query, "query-to-image", index.frame, 12)
    features = index.features("query-to-image")[0].features
    order = np.argsort(index.view.parts[0].ids)
    for numbers in (np.arange(feature_size(12)), np.argsort(-np.abs(features[0] * one.rounded))):
        total = np.zeros(20, np.float32)
        for number in numbers:
            total += features[order, number] * one.rounded[number]
        error = np.abs(total.astype(float) + one.constant - exact)
        assert (error <= index.bounds(query)).all()


@settings(deadline=None, max_examples=30)
@given(seeds, st.sampled_from(DIRECTIONS))
def test_the_error_bound_is_of_use(seed, direction):
    """On images that posteriors may be, it is a small part of the divergences."""
    view = gallery(40, 8, seed)
    query = query_of(8, seed + 1)
    bounds = index_of(view).bounds(query, direction)
    exact = direct(query, view.gaussians(np.arange(40)), direction)
    assert np.median(bounds / (1 + exact)) < 1e-2


def test_where_no_bound_can_be_given_it_is_infinite_and_answers_stay_exact():
    size = 3
    narrow = np.zeros((4, size, size))
    narrow[:] = np.diag([1.0, 1e-4, 1.0])
    narrow[1, 2] = [1e13, 0.0, 1e-1]  # its condition is beyond float64
    mean = np.arange(12, dtype=np.float32).reshape(4, 3)
    view = KlView([PlainPosteriors(np.arange(4), mean, pack(narrow).astype(np.float32))])
    index = index_of(view, Frame(np.zeros(3), np.eye(3)))
    query = query_of(size, 1)
    assert np.isinf(index.bounds(query)[1])
    found = index.search(query, 2)
    assert found.exact
    assert 1 in index.search(query, 2, farthest=True).ids
    np.testing.assert_array_equal(found.ids, brute(view, query, 2, "query-to-image")[0])


def test_bounds_are_added_up_upwards():
    rng = np.random.default_rng(0)
    bounds, weights = rng.random((100, 9)).astype(np.float32), rng.random(9)
    assert (add_up(bounds, weights) >= bounds.astype(float) @ weights).all()
    assert np.isinf(add_up(np.array([[np.inf, 1]], np.float32), np.zeros(2))).all()
    assert np.isinf(add_up(np.array([[1, 1]], np.float32), np.array([np.inf, 0]))).all()


# -- views -------------------------------------------------------------------------------


def test_rows_ascend_by_id_over_all_parts_without_the_deleted():
    mean, factor = posteriors(6, 2, 0)
    ids = np.array([7, 2, 9, 4, 8, 1], np.int64)
    parts = [PlainPosteriors(ids[:3], mean[:3], factor[:3]), PlainPosteriors(ids[3:], mean[3:], factor[3:])]
    view = KlView(parts, [9, 4, 1000])
    assert view.ids.tolist() == [1, 2, 7, 8]
    np.testing.assert_array_equal(view.means(np.array([3, 0, 1])), mean[[4, 5, 1]])
    np.testing.assert_array_equal(view.factors(np.array([2, 3])), factor[[0, 4]])
    np.testing.assert_array_equal(view.gaussians(np.array([1])).mean, mean[[1]].astype(float))
    assert view.find(np.array([7, 9, 3])).tolist() == [2, -1, -1]
    assert view.rows([8, 1]).tolist() == [3, 0]
    with pytest.raises(UnknownImageError, match="image 9"):
        view.rows([9])
    assert len(view.sample(2)) == 2
    assert len(view.sample(100)) == 4


def test_parts_that_do_not_fit_are_refused():
    mean, factor = posteriors(4, 2, 0)
    ids = np.arange(4)
    good = PlainPosteriors(ids, mean, factor)
    with pytest.raises(VectorError, match="two segments"):
        KlView([good, PlainPosteriors(ids[3:], mean[3:], factor[3:])])
    KlView([good, PlainPosteriors(ids[3:], mean[3:], factor[3:])], [3])
    for bad in (
        PlainPosteriors(ids[:3], mean, factor),
        PlainPosteriors(ids + 9, mean, factor[:, :2]),
        PlainPosteriors(ids + 9, mean.astype(float), factor),
        PlainPosteriors(ids + 9, *posteriors(4, 3, 0)),
    ):
        with pytest.raises(VectorError, match="segment"):
            KlView([good, bad])


def test_an_empty_view_is_an_empty_store():
    view = KlView([PlainPosteriors(np.arange(4), *posteriors(4, 3, 0))], np.arange(4))
    assert view.find(np.array([1])).tolist() == [-1]
    with pytest.raises(EmptyStoreError, match="encode"):
        open_index(view, ["a"], None)
    index = KlIndex(view, Frame(np.zeros(3), np.eye(3)), lambda _: [])
    for call in (lambda q: index.search(q, 1), index.distances):
        with pytest.raises(EmptyStoreError):
            call(query_of(3, 0))
    with pytest.raises(EmptyStoreError):
        view.sample(5)


def test_queries_that_do_not_fit_are_refused():
    index = index_of(gallery(10, 3, 0))
    with pytest.raises(GaussianError, match="expected one in 3"):
        index.search(query_of(4, 0), 2)
    with pytest.raises(GaussianError, match="expected one in 3"):
        index.search(Gaussians.of_packed(*posteriors(2, 3, 0)), 2)
    with pytest.raises(GaussianError, match="NaN"):
        index.search(Gaussians(np.full((1, 3), np.nan), np.eye(3)[None]), 2)
    with pytest.raises(GaussianError, match="direction"):
        index.search(query_of(3, 0), 2, direction="sideways")
    with pytest.raises(GaussianError, match="too far"):
        index.search(Gaussians(np.full((1, 3), 1e30), np.eye(3)[None]), 2)


def test_damaged_posteriors_are_named():
    mean, factor = posteriors(4, 2, 0)
    for place, value in (((2, 0), np.nan), ((2, 2), 0.0), ((2, 1), np.inf)):
        broken = factor.copy()
        broken[place] = value
        view = KlView([PlainPosteriors(np.arange(10, 14), mean, broken)])
        with pytest.raises(VectorError, match="image 12"):
            index_of(view, Frame(np.zeros(2), np.eye(2)))
    far = mean.copy()
    far[1] = 1e25
    with pytest.raises(IndexBuildError, match="image 11 lies too far"):
        index_of(KlView([PlainPosteriors(np.arange(10, 14), far, factor)]), Frame(np.zeros(2), np.eye(2)))


# -- files -------------------------------------------------------------------------------


def computations(monkeypatch):
    """Counts how often features are computed."""
    calls = []
    real = kl_files._fill
    monkeypatch.setattr(kl_files, "_fill", lambda *args: (calls.append(args[2]), real(*args))[1])
    return calls


def kept(folder, **changes):
    """A view of two parts, and its index kept in a folder."""
    view = gallery(40, 3, 1, parts=2, **changes)
    return view, open_index(view, ["a", "b"], folder)


def test_features_are_computed_once_and_only_as_asked_for(tmp_path, monkeypatch):
    calls = computations(monkeypatch)
    view, index = kept(tmp_path / "kl")
    assert calls == []
    expected = index.search(query_of(3, 0), 5)
    assert calls == ["query-to-image"] * 2
    index.search(query_of(3, 0), 5, direction="jeffreys")
    assert calls[2:] == ["image-to-query"] * 2
    again = open_index(view, ["a", "b"], tmp_path / "kl")
    found = again.search(query_of(3, 0), 5, direction="query-to-image")
    again.search(query_of(3, 0), 5, direction="jeffreys")
    assert len(calls) == 4
    np.testing.assert_array_equal(found.ids, expected.ids)
    assert not again.features("query-to-image")[0].features.flags.writeable
    for way in DIRECTIONS:
        for features in again.features(way):
            features.verify()
    assert not list((tmp_path / "kl").glob(".tmp-*"))


def test_images_added_later_use_the_frame_that_is_kept(tmp_path, monkeypatch):
    view, index = kept(tmp_path)
    index.search(query_of(3, 0), 5)
    calls = computations(monkeypatch)
    mean, factor = posteriors(15, 3, 9, "far")
    more = KlView([*view.parts, PlainPosteriors(np.arange(500, 515), mean, factor)], view.ids[:3])
    later = open_index(more, ["a", "b", "c"], tmp_path)
    found = later.search(query_of(3, 0), 30)
    assert calls == ["query-to-image"]
    np.testing.assert_array_equal(later.frame.matrix, index.frame.matrix)
    np.testing.assert_array_equal(found.ids, brute(more, query_of(3, 0), 30, "query-to-image")[0])


def test_features_of_something_else_are_passed_over(tmp_path, monkeypatch, caplog):
    view, index = kept(tmp_path)
    frame = index.frame
    index.features("query-to-image")
    part, other = view.parts
    way = "query-to-image"

    def opened(part, frame, way, segment):
        return KlFeatures.open(tmp_path, part, frame, way, segment=segment)

    assert opened(part, frame, way, "a") is not None
    assert opened(part, frame, "image-to-query", "a") is None
    assert opened(part, frame, way, "c") is None
    assert not caplog.records
    assert opened(other, frame, way, "a") is None
    assert opened(part, Frame(frame.shift + 1, frame.matrix), way, "a") is None
    (tmp_path / f"a.{way}").rename(tmp_path / "rest")
    (tmp_path / f"b.{way}").rename(tmp_path / f"a.{way}")
    assert opened(part, frame, way, "a") is None
    described = tmp_path / f"a.{way}" / "kl.json"
    described.write_text("{")
    assert opened(part, frame, way, "a") is None
    assert all("not used" in record.message for record in caplog.records)
    calls = computations(monkeypatch)
    KlFeatures.write(tmp_path, part, frame, way, segment="a")
    assert calls == [way]
    content = json.loads(described.read_text())
    described.write_text(json.dumps({**content, "format_version": 2}))
    assert opened(part, frame, way, "a") is None


@pytest.mark.parametrize("name", ["features.npy", "bounds.npy"])
@pytest.mark.parametrize("damage", ["missing", "cut", "longer", "swapped", "head", "nothing"])
def test_damaged_features_are_refused_at_opening(tmp_path, name, damage):
    view, index = kept(tmp_path)
    index.features("query-to-image")
    path = tmp_path / "a.query-to-image" / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        other = tmp_path / "b.query-to-image" / name
        path.write_bytes(
            {
                "cut": content[:-4],
                "longer": content + b"\0" * 4,
                "swapped": other.read_bytes(),
                "head": content[:140] + bytes([content[140] ^ 1]) + content[141:],
                "nothing": b"",
            }[damage]
        )
    with pytest.raises(IndexBuildError, match="run index build again"):
        open_index(view, ["a", "b"], tmp_path).search(query_of(3, 0), 3)


def test_a_flipped_payload_is_found_at_the_latest_by_verify(tmp_path):
    mean, factor = posteriors(900, 3, 1)
    part = PlainPosteriors(np.arange(900), mean, factor)
    frame = kept_frame(tmp_path, KlView([part]))
    KlFeatures.write(tmp_path, part, frame, "query-to-image", segment="a")
    path = tmp_path / "a.query-to-image" / "features.npy"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(IndexBuildError, match=r"features\.npy.* does not match"):
        KlFeatures.open(tmp_path, part, frame, "query-to-image", segment="a").verify()


def test_features_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    view, index = kept(tmp_path)
    part = view.parts[0]

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("olrsearch.search.artefacts._checksums", interrupted)
    with pytest.raises(KeyboardInterrupt):
        KlFeatures.write(tmp_path, part, index.frame, "query-to-image", segment="a")
    assert [path.name for path in tmp_path.iterdir()] == ["frame.npy"]
    assert KlFeatures.open(tmp_path, part, index.frame, "query-to-image", segment="a") is None


def test_a_folder_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "kl").write_text("in the way")
    with pytest.raises(OSError, match="kl"):
        kept(tmp_path / "kl")
    assert [path.name for path in tmp_path.iterdir()] == ["kl"]


@pytest.mark.parametrize("content", [b"", b"not an array", None])
def test_a_damaged_frame_is_chosen_again(tmp_path, content, caplog):
    view, index = kept(tmp_path)
    index.features("query-to-image")
    if content is None:
        np.save(tmp_path / "frame.npy", np.zeros((4, 3)))
    else:
        (tmp_path / "frame.npy").write_bytes(content)
    again = open_index(view, ["a", "b"], tmp_path)
    assert any("new frame" in record.message for record in caplog.records)
    found = again.search(query_of(3, 0), 5)
    np.testing.assert_array_equal(found.ids, brute(view, query_of(3, 0), 5, "query-to-image")[0])


def test_features_that_do_not_belong_to_the_view_are_refused():
    view = gallery(20, 3, 1, parts=2)
    frame = choose_frame(view)
    made = [KlFeatures.compute(part, frame, "query-to-image") for part in view.parts]
    with pytest.raises(IndexBuildError, match="do not fit segments"):
        KlIndex(view, frame, lambda _: made[:1]).features("query-to-image")
    with pytest.raises(IndexBuildError, match="are of query-to-image"):
        KlIndex(view, frame, lambda _: made).features("image-to-query")
    with pytest.raises(IndexBuildError, match="frame"):
        KlIndex(view, Frame(frame.shift + 1, frame.matrix), lambda _: made).features("query-to-image")


def test_features_are_computed_in_blocks_as_they_are_at_once(monkeypatch):
    part = PlainPosteriors(np.arange(50), *posteriors(50, 3, 0))
    frame = choose_frame(KlView([part]))
    monkeypatch.setattr(kl_files, "_BLOCK_NUMBERS", 7 * feature_size(3))
    for way in DIRECTIONS:
        found = KlFeatures.compute(part, frame, way)
        stored = Gaussians.of_packed(part.mean, part.factor)
        expected = image_features(frame.apply(stored), way).astype(np.float32)
        np.testing.assert_allclose(found.features, expected, rtol=1e-5)


def test_memory_is_what_the_arrays_take():
    part = PlainPosteriors(np.arange(50), *posteriors(50, 16, 0))
    frame = choose_frame(KlView([part]))
    made = [KlFeatures.compute(part, frame, way) for way in DIRECTIONS]
    assert made[0].features.shape == (50, triangle(16) + 17)
    assert estimate_memory(50, 16, DIRECTIONS) == sum(f.features.nbytes + f.bounds.nbytes for f in made)
    assert estimate_memory(50, 16, ["query-to-image"]) * 2 == estimate_memory(50, 16)
