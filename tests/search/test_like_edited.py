"""Edited embeddings as queries."""

import numpy as np
import pytest
from made_up import gallery

from olrsearch.core.errors import QueryError
from olrsearch.maths.calibration import fit_calibration
from olrsearch.search.index.scores import LabelScores
from olrsearch.search.like_edited import ASKED, search_edited
from olrsearch.search.query.edits import parse_edits
from olrsearch.search.results import ALIKE


@pytest.fixture(scope="module")
def made():
    return gallery(400, parts=(0.6, 0.4), deleted={3, 5, 8, 13})


@pytest.fixture(scope="module")
def scores(made):
    calibration = fit_calibration(made.readout.logits(made.all()), made.labels, made.names)
    return LabelScores(made.view, made.readout, made.names, calibration)


@pytest.fixture(scope="module")
def chances(scores):
    """float64 [L, N]."""
    return np.exp(np.stack([scores.log_probability(label) for label in range(5)]))


def test_the_score_is_expected_likeness_and_the_asked_labels(scores, chances):
    asked = chances[:, 17]
    page = search_edited(scores, asked, parse_edits("+Smiling -Male^2"), count=400)
    others = [1, 3, 4]
    weight = -np.log(chances[others].mean(axis=1))
    both = (weight * asked[others]) @ chances[others]
    either = (weight * asked[others]).sum() + weight @ chances[others] - both
    expected = np.log(both / either) + ASKED * (np.log(chances[0]) + 2 * np.log1p(-chances[2]))
    np.testing.assert_allclose(-page.distances, np.sort(expected)[::-1], rtol=1e-4)
    assert page.query == "+Smiling -Male^2"
    for distance, parts in zip(page.distances, page.contributions, strict=True):
        assert [part.literal for part in parts] == [ALIKE, "Smiling", "!Male^2"]
        assert sum(part.value for part in parts) == pytest.approx(-distance)
        assert parts[0].probability is None


def test_hits_show_what_was_asked_and_are_like_the_rest(made, scores, chances):
    row = int(np.flatnonzero((made.labels[:, 0] < 0) & (made.labels[:, 4] > 0))[0])
    page = search_edited(
        scores, chances[:, row], parse_edits("+Smiling"), exclude=[int(made.view.ids[row])], count=20
    )
    assert int(made.view.ids[row]) not in page.ids
    found = made.view.rows(page.ids)
    assert (made.labels[found, 0] > 0).mean() > 0.8
    agree = (made.labels[found, 1:] == made.labels[row, 1:]).mean()
    assert agree > (made.labels[:, 1:] == made.labels[row, 1:]).mean() + 0.1


def test_likeness_counts_some_labels_and_a_page_some_images(made, scores, chances):
    allowed = np.arange(len(made.view)) % 2 == 0
    page = search_edited(
        scores, chances[:, 4], parse_edits("+Smiling"), by={4}, allowed=allowed, count=5, offset=2
    )
    assert page.first_rank == 3
    assert page.candidates == allowed.sum()
    assert allowed[made.view.rows(page.ids)].all()
    with pytest.raises(QueryError, match="nothing is left to be alike by"):
        search_edited(scores, chances[:, 4], parse_edits("+Smiling"), by={0})
