import numpy as np
import pytest
from pictures import read_png

from olrsearch.core.errors import BenchmarkError, QueryError
from olrsearch.evaluation.looks.latent_map import draw_map
from olrsearch.maths.gaussian import Gaussians
from olrsearch.sheets.maps import ellipse, plot_map, spread

WORDS = ("Coat", "Bag", "Boot")


def made(size, images=300, seed=0):
    """Three groups that differ in two directions, while most of the variance lies in a third."""
    rng = np.random.default_rng(seed)
    centres = np.zeros((3, size))
    centres[:, : min(2, size)] = np.array([[0, 0], [4, 0], [0, 4]])[:, : min(2, size)]
    spread = np.full(size, 0.3)
    if size > 2:
        spread[2:] = 9.0
    word = rng.integers(0, 3, images)
    means = centres[word] + spread * rng.normal(size=(images, size))
    labels = np.full((images, 3), -1, np.int8)
    labels[np.arange(images), word] = 1
    gaussians = Gaussians(centres, np.repeat(np.diag(spread)[None], 3, axis=0))
    return means, labels, np.arange(images), gaussians, word


def test_two_dimensions_are_drawn_as_they_are():
    means, labels, ids, gaussians, word = made(2)
    found = draw_map(means, labels, ids, gaussians, WORDS)
    assert found.by == "plain"
    np.testing.assert_array_equal(found.points, means)
    np.testing.assert_array_equal(found.centres, gaussians.mean)
    np.testing.assert_array_equal(found.word, word)
    assert found.explained is None


def test_lda_tells_the_words_apart_and_pca_shows_what_varies_most():
    means, labels, ids, gaussians, word = made(5)
    by_words, by_variance = (draw_map(means, labels, ids, gaussians, WORDS, by=by) for by in ("auto", "pca"))
    assert by_words.by == "lda"
    assert by_words.explained == pytest.approx(1)

    def apart(found):
        near = ((found.points[:, None] - found.centres) ** 2).sum(axis=2).argmin(axis=1)
        return (near == word).mean()

    assert apart(by_words) > 0.99
    assert apart(by_variance) < 0.9
    assert by_variance.explained > 0.6
    assert by_words.covariances.shape == (3, 2, 2)


def test_images_of_no_word_or_of_several_are_grey():
    means, labels, ids, gaussians, _ = made(3)
    labels[0], labels[1] = (1, 1, -1), (-1, -1, 0)
    assert draw_map(means, labels, ids, gaussians, WORDS).word[:2].tolist() == [-1, -1]


@pytest.mark.slow
def test_tsne_keeps_groups_together():
    means, labels, ids, gaussians, word = made(2, 90)
    found = draw_map(means, labels, ids, gaussians, WORDS, by="tsne")
    assert found.centres is None
    middles = np.stack([found.points[word == number].mean(axis=0) for number in range(3)])
    assert (((found.points[:, None] - middles) ** 2).sum(axis=2).argmin(axis=1) == word).mean() > 0.95


def test_what_cannot_be_drawn_is_refused():
    means, labels, ids, gaussians, _ = made(4)
    with pytest.raises(QueryError, match="no way 'umap'"):
        draw_map(means, labels, ids, gaussians, WORDS, by="umap")
    with pytest.raises(QueryError, match="has 4 dimensions, and plain draws two"):
        draw_map(means, labels, ids, gaussians, WORDS, by="plain")
    with pytest.raises(BenchmarkError, match="2 images, expected 3"):
        draw_map(means[:2], labels[:2], ids[:2], gaussians, WORDS)
    with pytest.raises(BenchmarkError, match="2 are on the map"):
        draw_map(means, labels[:, :2], ids, gaussians[:2], WORDS[:2], by="lda")
    with pytest.raises(BenchmarkError, match="all points are one"):
        draw_map(np.zeros((5, 4)), labels[:5], ids[:5], gaussians, WORDS, by="pca")


def test_an_ellipse_lies_so_many_deviations_out():
    centre, covariance = np.array([1.0, 2.0]), np.array([[2.0, 0.6], [0.6, 0.5]])
    points = ellipse(centre, covariance, 2.0) - centre
    np.testing.assert_allclose(np.einsum("ni,ij,nj->n", points, np.linalg.inv(covariance), points), 4.0)


def test_names_do_not_cover_each_other():
    places = np.array([[0.0, 0.0], [0.01, 0.001], [0.5, 0.0], [0.02, 0.002]])
    found = spread(places, np.array([1.0, 1.0]))
    np.testing.assert_array_equal(found[[0, 2]], places[[0, 2]])
    np.testing.assert_allclose(found[[1, 3], 1], [0.03, 0.06])
    np.testing.assert_array_equal(found[:, 0], places[:, 0])


def test_the_plot_shows_points_and_ellipses(tmp_path):
    found = draw_map(*made(2, 60)[:4], WORDS)
    picture = read_png(plot_map(found, tmp_path / "map.png", title="three"))
    assert picture.shape[0] > 500
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50
