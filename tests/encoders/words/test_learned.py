import numpy as np
import pytest
from made_words import table_of

from olrsearch.core.errors import (
    EncoderError,
    ModelFileError,
    TrainingError,
    UnknownWordError,
    WordVectorsError,
)
from olrsearch.encoders.words.learned import LabelMap, LearnedWords, fit_learned_words, scaled
from olrsearch.encoders.words.vocabulary import LEARNED, Vocabulary
from olrsearch.maths.gaussian import SIGMA0
from olrsearch.maths.triangles import triangle

NAMES = ("Trouser", "Bag", "Coat")
WORDS = ("trouser", "bag", "coat", "jacket")
SIZE = 2


@pytest.fixture
def table():
    return table_of(WORDS, np.random.default_rng(3).normal(size=(len(WORDS), 5)), source="made-up.txt")


def a_map(table, *, length=5.0, seed=0):
    rng = np.random.default_rng(seed)
    inputs = scaled(table.vectors(WORDS[:3]), length)
    return LabelMap(rng.normal(size=(2 * SIZE, 5)), rng.normal(size=2 * SIZE), inputs, -6.0, 2.0, length)


def read_again(vocabulary):
    return Vocabulary.from_model(vocabulary.to_config(), vocabulary.names, vocabulary.to_tensors())


def same(one, other):
    left, right = one.to_tensors(), other.to_tensors()
    assert left.keys() == right.keys()
    for name, array in left.items():
        np.testing.assert_array_equal(array, right[name])


def points_and_labels(images=400, *, several, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.full((images, 3), -1, np.int8)
    if several:
        labels[rng.random((images, 3)) < 0.4] = 1
    else:
        labels[np.arange(images), rng.integers(0, 3, images)] = 1
    points = (labels > 0) @ np.array([[2.0, 0], [0, 2], [-2, -1]]) + 0.3 * rng.normal(size=(images, SIZE))
    return points, labels


def test_a_label_map_gives_diagonal_gaussians_with_a_floor(table):
    found = a_map(table)
    numbers = found.inputs[:1] @ found.weight.T + found.bias
    gaussian = found.gaussians(found.inputs[:1])
    np.testing.assert_allclose(gaussian.mean, numbers[:, :SIZE])
    variances = np.exp(np.clip(numbers[0, SIZE:], -6, 2)) + SIGMA0**2
    np.testing.assert_allclose(gaussian.covariance[0], np.diag(variances))


def test_vectors_of_a_table_are_scaled_as_the_words_were(table):
    found = a_map(table)
    np.testing.assert_allclose(np.linalg.norm(found.inputs, axis=1), 5.0)
    np.testing.assert_allclose(
        found.of_vectors(table.vectors(["bag"])).mean, found.gaussians(found.inputs[1:2]).mean
    )
    np.testing.assert_array_equal(scaled(found.inputs, 0), found.inputs)


@pytest.mark.parametrize("bad", [np.ones(5), np.ones((1, 4)), np.full((1, 5), np.nan)])
def test_inputs_that_do_not_fit_are_refused(table, bad):
    with pytest.raises(WordVectorsError, match="expected finite numbers"):
        a_map(table).gaussians(bad)


@pytest.mark.parametrize(
    ("vectors", "length", "said"),
    [(np.zeros((1, 3)), 5.0, "no length"), (np.ones((1, 3)), -1.0, "0 .as they are. or more"),
     (np.ones((1, 3)), np.nan, "0 .as they are. or more"), (np.full((1, 3), np.inf), 1.0, "finite")],
)  # fmt: skip
def test_inputs_that_cannot_be_scaled_are_refused(vectors, length, said):
    with pytest.raises(WordVectorsError, match=said):
        scaled(vectors, length)


@pytest.mark.parametrize("several", [False, True])
def test_a_vocabulary_of_fitted_words_comes_back_number_for_number(several):
    points, labels = points_and_labels(several=several)
    learned = fit_learned_words(points, labels, NAMES, absent=several)
    vocabulary = Vocabulary.of_learned(NAMES, learned)
    again = read_again(vocabulary)
    same(vocabulary, again)
    np.testing.assert_array_equal(again.vectors, vocabulary.vectors)
    np.testing.assert_array_equal(again.learned.present.factor, vocabulary.learned.present.factor)
    assert (again.learned.absent is not None) == several
    assert again.transform == LEARNED
    assert again.size == SIZE


def test_a_vocabulary_of_a_label_map_knows_words_it_was_not_trained_on(table):
    learned = LearnedWords.of_map(a_map(table))
    vocabulary = Vocabulary.of_learned(NAMES, learned, words=table, table={})
    again = read_again(vocabulary)
    same(vocabulary, again)
    assert again.learned.map.length == 5.0
    own, other = again.gaussian("bag", table), again.gaussian("jacket", table)
    np.testing.assert_array_equal(own.mean[0], again.vectors[1])
    np.testing.assert_allclose(other.mean, learned.map.of_vectors(table.vectors(["jacket"])).mean, atol=1e-5)
    with pytest.raises(UnknownWordError, match="jacket"):
        again.gaussian("jacket")
    with pytest.raises(UnknownWordError, match="gloves"):
        again.gaussian("gloves", table)


def test_a_vocabulary_without_learned_words_has_no_gaussians():
    vocabulary = Vocabulary.one_hot(NAMES)
    assert set(vocabulary.to_tensors()) == {"words.vectors"}
    assert read_again(vocabulary).learned is None
    with pytest.raises(EncoderError, match="learned no Gaussians"):
        vocabulary.gaussian("Bag")


def test_fitted_gaussians_are_those_of_the_images():
    points, labels = points_and_labels(5000, several=False)
    learned = fit_learned_words(points, labels, NAMES, absent=False)
    for word in range(3):
        mine = points[labels[:, word] > 0]
        np.testing.assert_allclose(learned.present.mean[word], mine.mean(axis=0), atol=1e-6)
        np.testing.assert_allclose(learned.present.covariance[word], np.cov(mine.T), atol=3e-3)


def test_a_word_of_one_image_has_the_usual_spread_about_it():
    points, labels = points_and_labels(300, several=False)
    labels[labels[:, 2] > 0, 2] = -1
    labels[7] = (-1, -1, 1)
    learned = fit_learned_words(points, labels, NAMES, absent=False)
    np.testing.assert_allclose(learned.present.mean[2], points[7], atol=1e-6)
    spread = np.sqrt(np.diagonal(learned.present.covariance[2]))
    assert (spread > 0.2).all()
    assert (spread < 0.4).all()


def test_unknown_labels_count_neither_way():
    points, labels = points_and_labels(several=True)
    hidden = labels.copy()
    hidden[200:, 0] = 0
    found = fit_learned_words(points, hidden, NAMES, absent=True)
    first = fit_learned_words(points[:200], labels[:200], NAMES, absent=True)
    np.testing.assert_allclose(found.present.mean[0], first.present.mean[0], atol=1e-6)
    np.testing.assert_allclose(found.absent.mean[0], first.absent.mean[0], atol=1e-6)


def test_a_word_that_no_image_shows_or_lacks_is_named():
    points, labels = points_and_labels(several=True)
    labels[:, 1] = -1
    with pytest.raises(TrainingError, match="no image shows Bag"):
        fit_learned_words(points, labels, NAMES, absent=True)
    labels[:, 1] = 1
    with pytest.raises(TrainingError, match="no image lacks Bag"):
        fit_learned_words(points, labels, NAMES, absent=True)
    with pytest.raises(TrainingError, match="of 3 words"):
        fit_learned_words(points[:-1], labels, NAMES, absent=False)


def test_another_number_of_gaussians_than_words_is_refused():
    points, labels = points_and_labels(several=False)
    with pytest.raises(WordVectorsError, match="3 learned Gaussians for 2 words"):
        Vocabulary.of_learned(NAMES[:2], fit_learned_words(points, labels, NAMES, absent=False))


_SPOILED = {
    "words.present": (None, np.zeros((3, triangle(SIZE))), np.ones((2, triangle(SIZE)))),
    "words.absent_mean": (None, np.full((3, SIZE), np.nan, np.float32), np.ones((2, SIZE), np.float32)),
    "words.absent_factor": (None, np.ones((3, SIZE), np.float32)),
    "words.map_weight": (None, np.ones((3, 5), np.float32), np.full((4, 5), np.inf, np.float32)),
    "words.map_bias": (None, np.ones((2, 2), np.float32)),
    "words.map_range": (None, np.float32([1, 0, 5]), np.float32([0, 1])),
    "words.inputs": (None, np.ones((3, 4), np.float32)),
}  # fmt: skip


@pytest.mark.parametrize(("name", "bad"), [(name, bad) for name, all_ in _SPOILED.items() for bad in all_])
def test_a_damaged_tensor_is_a_model_file_error(table, name, bad):
    points, labels = points_and_labels(several=True)
    learned = fit_learned_words(points, labels, NAMES, absent=True, label_map=a_map(table))
    vocabulary = Vocabulary.of_learned(NAMES, learned)
    tensors = vocabulary.to_tensors()
    del tensors[name]
    if bad is not None:
        tensors[name] = bad
    with pytest.raises(ModelFileError, match=r"cop.* again"):
        Vocabulary.from_model(vocabulary.to_config(), NAMES, tensors)
