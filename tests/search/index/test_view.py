import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import PlainPart, gallery

from olrsearch.core.errors import UnknownImageError, VectorError
from olrsearch.search.index.view import EmbeddingView


def part(ids, labels=2, size=3, seed=0):
    rng = np.random.default_rng(seed)
    return PlainPart(np.array(ids, np.int64), rng.normal(size=(labels, len(ids), size)).astype(np.float32))


def test_rows_are_those_of_the_parts_without_the_deleted():
    first, second = part([7, 2, 9]), part([1, 4], seed=1)
    view = EmbeddingView([first, second], {2, 4, 1000})
    assert view.ids.tolist() == [7, 9, 1]
    assert len(view) == 3
    assert (view.labels, view.size) == (2, 3)
    for label in range(2):
        expected = [first.embeddings[label, 0], first.embeddings[label, 2], second.embeddings[label, 0]]
        np.testing.assert_array_equal(view.vectors(label), expected)
        np.testing.assert_array_equal(
            view.gather(label, np.array([2, 0, 2])), [expected[2], expected[0], expected[2]]
        )
    np.testing.assert_array_equal(view.embedding(9), first.embeddings[:, 2])
    assert view.rows([1, 7]).tolist() == [2, 0]
    assert view.find(np.array([4, 9, -1, 5000])).tolist() == [-1, 1, -1, -1]


def test_one_whole_part_is_not_copied():
    only = part([3, 1, 2])
    assert np.shares_memory(EmbeddingView([only]).vectors(1), only.embeddings)


@settings(max_examples=40)
@given(st.integers(0, 5), st.sets(st.integers(0, 60), max_size=40))
def test_embedding_and_gather_agree(seed, deleted):
    made = gallery(30, parts=(0.3, 0.5, 0.2), seed=seed, deleted=deleted)
    whole = made.all()
    for row, image in enumerate(made.view.ids.tolist()):
        np.testing.assert_array_equal(made.view.embedding(image), whole[:, row])
    rows = np.arange(len(made.view))[::-1]
    np.testing.assert_array_equal(made.view.gather(2, rows), whole[2, rows])


def test_deleted_and_unknown_images_are_named():
    view = EmbeddingView([part([1, 2])], [2])
    with pytest.raises(UnknownImageError, match="image 2 has no embedding"):
        view.embedding(2)
    with pytest.raises(UnknownImageError, match="2 of 3"):
        view.rows([1, 5, 6])


def test_an_empty_view():
    view = EmbeddingView([part([1, 2], labels=4, size=8)], [1, 2])
    assert len(view) == 0
    assert view.vectors(3).shape == (0, 8)
    assert view.find(np.array([1])).tolist() == [-1]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([part([1, 2]), part([2, 3])], "image id 2 has embeddings in two segments"),
        ([part([5, 5])], "image id 5"),
        ([part([1]), part([2], size=4)], "2 labels × 4 numbers"),
        ([part([1]), part([2], labels=3)], "3 labels"),
        ([PlainPart(np.array([1, 2]), np.zeros((2, 1, 3), np.float32))], "expected \\[n\\]"),
        ([PlainPart(np.array([1]), np.zeros((2, 1, 3)))], "float64"),
    ],
)
def test_parts_that_do_not_fit_are_refused(parts, message):
    with pytest.raises(VectorError, match=message):
        EmbeddingView(parts)
