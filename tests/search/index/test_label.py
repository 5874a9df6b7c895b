import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import gallery

from olrsearch.core.errors import VectorError
from olrsearch.maths.metric import fit_metric
from olrsearch.search.index.label import LabelIndex, LabelIndexes, WholeIndex, combine, nearest


def indexes(made, kind="l2", *, form="standardised"):
    return LabelIndexes(made.view, fit_metric(made.all(), kind, form=form))


@settings(max_examples=40)
@given(st.sampled_from(["ip", "l2", "cosine"]), st.integers(0, 20))
def test_parts_and_tombstones_do_not_change_distances(kind, seed):
    whole = gallery(40, seed=seed)
    gone = set(whole.view.ids[::5].tolist())
    split = gallery(40, parts=(0.25, 0.5, 0.25), seed=seed, deleted=gone)
    metric = fit_metric(whole.all(), kind, form="standardised")
    query = whole.view.gather(3, np.array([7]))[0]
    expected = LabelIndex(whole.view, metric, 3).distances(query)
    index = LabelIndex(split.view, metric, 3)
    rows = split.view.find(whole.view.ids)
    assert (rows < 0).sum() == len(gone)
    np.testing.assert_allclose(
        index.distances(query)[rows[rows >= 0]], expected[rows >= 0], rtol=1e-5, atol=1e-5
    )
    some = np.array([3, 0, 11])
    np.testing.assert_allclose(
        index.distances_of(query, some), index.distances(query)[some], rtol=1e-5, atol=1e-5
    )


def test_search_ranks_as_distances_do_and_filters_without_falling_short():
    made = gallery(50, parts=(0.5, 0.5))
    index = indexes(made).of(1)
    query = made.view.embedding(int(made.view.ids[0]))[1]
    distances = index.distances(query)
    ids, found = nearest(index, query, 7)
    order = np.lexsort((made.view.ids, distances))
    assert ids.tolist() == made.view.ids[order[:7]].tolist()
    np.testing.assert_array_equal(found, distances[order[:7]])
    allowed = np.zeros(50, bool)
    allowed[order[-9:]] = True
    ids, _ = nearest(index, query, 7, allowed)
    assert ids.tolist() == made.view.ids[order[-9:-2]].tolist()
    assert len(nearest(index, query, 1000)[0]) == 50


def test_combining_is_the_sum_over_all_images_not_a_merge_of_lists():
    # The image best by the sum is among no label's best: merged lists of three would lose it.
    made = gallery(30, size=1)
    embeddings = made.all()
    embeddings[0, :, 0] = np.linspace(10, 20, 30)
    embeddings[1, :, 0] = np.linspace(20, 10, 30)
    middle = 12
    embeddings[0, middle, 0], embeddings[1, middle, 0] = 9.0, 9.0
    for row in range(4):
        embeddings[0, row, 0] = 0
        embeddings[1, 29 - row, 0] = 0
    made.view.parts[0].embeddings[:] = embeddings
    found = indexes(made, form="plain")
    zero = np.zeros(1, np.float32)
    total = combine(found, {0: zero, 1: zero})
    lists = [set(nearest(found.of(label), zero, 3)[0].tolist()) for label in (0, 1)]
    best = int(made.view.ids[np.argmin(total)])
    assert best == int(made.view.ids[middle])
    assert best not in lists[0] | lists[1]
    expected = sum(found.of(label).distances(zero) / found.metric.scale[label] for label in (0, 1))
    np.testing.assert_allclose(total, expected, rtol=1e-12)


def test_weights_scale_a_labels_share():
    made = gallery(30)
    found = indexes(made)
    query = made.view.embedding(int(made.view.ids[4]))
    parts = {label: combine(found, {label: query[label]}) for label in (1, 3)}
    total = combine(found, {1: query[1], 3: query[3]}, {3: 2.5})
    np.testing.assert_allclose(total, parts[1] + 2.5 * parts[3], rtol=1e-12)


def test_whole_index_is_the_sum_of_its_labels():
    made = gallery(40, parts=(0.5, 0.5))
    found = indexes(made)
    query = made.view.embedding(int(made.view.ids[9]))
    whole = WholeIndex(found)
    np.testing.assert_allclose(whole.distances(query), combine(found, dict(enumerate(query))), rtol=1e-12)
    some = np.array([39, 2])
    np.testing.assert_allclose(
        whole.distances_of(query, some), whole.distances(query)[some], rtol=1e-5, atol=1e-6
    )
    ids, distances = nearest(whole, query, 3)
    assert ids[0] == made.view.ids[9]
    assert distances[0] == pytest.approx(0, abs=1e-6)


def test_only_the_labels_asked_for_are_read():
    made = gallery(30)
    found = indexes(made)
    query = made.view.embedding(int(made.view.ids[0]))
    made.view.parts[0].embeddings[4] = np.nan
    assert np.isfinite(combine(found, {0: query[0], 3: query[3]})).all()


def test_bad_queries_are_named():
    made = gallery(20)
    found = indexes(made)
    query = made.view.embedding(int(made.view.ids[0]))
    with pytest.raises(VectorError, match="at least one label"):
        combine(found, {})
    with pytest.raises(VectorError, match="label 5"):
        combine(found, {5: query[0]})
    for weight in (0.0, -1.0, float("nan")):
        with pytest.raises(VectorError, match="weight"):
            combine(found, {0: query[0]}, {0: weight})
    with pytest.raises(VectorError, match=r"expected \(5, 4\)"):
        WholeIndex(found).distances(query[:4])
    with pytest.raises(VectorError, match="does not fit"):
        LabelIndex(gallery(20, size=3).view, found.metric, 0)
