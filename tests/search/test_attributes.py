import numpy as np
import pytest
from made_up import gallery

from olrsearch.core.errors import QueryError, UnknownLabelError
from olrsearch.maths.calibration import Calibration, fit_calibration
from olrsearch.search.attributes import search_attributes
from olrsearch.search.index.scores import LabelScores
from olrsearch.search.query.parser import parse


@pytest.fixture(scope="module")
def made():
    return gallery(400, parts=(0.6, 0.4), deleted={3, 5, 8, 13})


@pytest.fixture(scope="module")
def scores(made):
    calibration = fit_calibration(made.readout.logits(made.all()), made.labels, made.names)
    return LabelScores(made.view, made.readout, made.names, calibration)


def test_finds_what_has_the_labels(made, scores):
    page = search_attributes(parse("smiling & eyeglasses & !male"), scores, count=10)
    rows = made.view.rows(page.ids)
    right = (made.labels[rows, 0] > 0) & (made.labels[rows, 1] > 0) & (made.labels[rows, 2] < 0)
    wanted = (made.labels[:, 0] > 0) & (made.labels[:, 1] > 0) & (made.labels[:, 2] < 0)
    assert right.mean() > 2 * wanted.mean()
    assert page.query == "Smiling & Eyeglasses & !Male"
    assert page.exact
    assert (page.candidates, page.total, page.notes) == (len(made.view), len(made.view), ())


def test_the_order_is_that_of_the_sum_of_log_probabilities(made, scores):
    page = search_attributes(parse("Smiling & !Male^2"), scores, count=1000)
    z = made.readout.logits(made.all())
    p = scores.calibration.probability(z, range(5))
    value = np.log(p[0]) + 2 * np.log1p(-p[2])
    np.testing.assert_allclose(-page.distances, np.sort(value)[::-1], rtol=1e-5)
    assert set(page.ids.tolist()) == set(made.view.ids.tolist())
    assert "are all there are" in page.notes[0]


@pytest.mark.parametrize(
    "text", ["smiling & !male^2 & (wavy hair | wearing hat)", "(smiling & !male)^2", "!(smiling | male)"]
)
def test_contributions_of_a_conjunction_add_up_to_the_score(scores, text):
    page = search_attributes(parse(text), scores, count=5)
    for distance, parts in zip(page.distances, page.contributions, strict=True):
        assert sum(part.value for part in parts) == pytest.approx(-distance, rel=1e-12)
        assert all(0 <= part.probability <= 1 for part in parts)


def test_contributions_are_spelt_as_literals_and_a_disjunction_shows_its_alternatives(scores):
    page = search_attributes(parse("smiling & !male^2 & (wavy hair | wearing hat)"), scores, count=1)
    assert [part.literal for part in page.contributions[0]] == [
        "Smiling",
        "!Male^2",
        "Wavy_Hair | Wearing_Hat",
    ]
    male = page.contributions[0][1]
    assert male.probability == pytest.approx(np.exp(male.value / 2))
    page = search_attributes(parse("(smiling | !male)^2"), scores, count=1)
    smiling, male = page.contributions[0]
    assert (smiling.literal, male.literal) == ("Smiling^2", "!Male^2")
    either = 1 - (1 - smiling.probability) * (1 - male.probability)
    assert -page.distances[0] == pytest.approx(2 * np.log(either))


def test_pages_follow_each_other_and_cut_offs_count(scores):
    whole = search_attributes(parse("smiling"), scores, count=50)
    page = search_attributes(parse("smiling"), scores, count=20, offset=20)
    assert page.ids.tolist() == whole.ids[20:40].tolist()
    assert page.first_rank == 21
    cut = search_attributes(parse("smiling"), scores, count=50, min_score=-whole.distances[9])
    assert cut.ids.tolist() == whole.ids[:10].tolist()
    assert (cut.total, cut.candidates) == (10, whole.candidates)
    assert "pass the cut-off" in cut.notes[0]
    beyond = search_attributes(parse("smiling"), scores, count=5, offset=10_000)
    assert not len(beyond.ids)


def test_filters_are_never_short(made, scores):
    allowed = np.zeros(len(made.view), bool)
    allowed[-30:] = True
    page = search_attributes(parse("smiling"), scores, count=30, allowed=allowed)
    assert set(page.ids.tolist()) == set(made.view.ids[-30:].tolist())
    assert page.candidates == 30


def test_equal_scores_are_ranked_by_id():
    made = gallery(30)
    made.view.parts[0].embeddings[:] = 1.0
    page = search_attributes(
        parse("male"), LabelScores(made.view, made.readout, made.names, Calibration.identity(5)), count=30
    )
    assert page.ids.tolist() == sorted(made.view.ids.tolist())


def test_errors(scores):
    with pytest.raises(UnknownLabelError, match="Smiling"):
        search_attributes(parse("smilling"), scores)
    with pytest.raises(QueryError, match="cut-off"):
        search_attributes(parse("smiling"), scores, min_score=float("nan"))


def test_an_empty_gallery_answers_with_nothing():
    made = gallery(4, deleted=range(8))
    found = LabelScores(made.view, made.readout, made.names, Calibration.identity(5))
    page = search_attributes(parse("male & !smiling"), found)
    assert (len(page.ids), page.candidates) == (0, 0)
