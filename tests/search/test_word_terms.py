"""Word queries against brute force in float64."""

import numpy as np
import pytest
from made_stores import posteriors
from made_words import table_of
from olrsearch_benchmarks.speed.speed_kl import open_index

from olrsearch.core.errors import GaussianError, QueryError, UnknownWordError, VectorError
from olrsearch.encoders.words.meanings import read_meanings
from olrsearch.encoders.words.understanding import Understanding
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.calibration import Calibration, log_sigmoid
from olrsearch.maths.divergences import jeffreys, kl
from olrsearch.maths.gaussian import word_prior
from olrsearch.search.attributes import query_values, search_attributes
from olrsearch.search.fusion import fuse_ranks
from olrsearch.search.kl.view import KlView, PlainPosteriors
from olrsearch.search.kl.word_scores import WordScores
from olrsearch.search.query.ast import canonical
from olrsearch.search.ranking_by_divergence import match_prior, match_words, similar_posteriors
from olrsearch.search.word_terms import WordProbabilities, parse_words, query_of, resolve_words

NAMES = ("Smiling", "Wavy_Hair", "Male", "Beard")
TABLE = table_of(
    ["smiling", "wavy", "hair", "male", "beard"],
    np.random.default_rng(1).normal(size=(5, 4)) + np.eye(5, 4),
    source="table",
)
VOCABULARY = Vocabulary.of_table(NAMES, TABLE, table={}, kind="none")
CALIBRATION = Calibration(np.array([0.5, 0.1, 0.2, 0.3]), np.array([-1.0, 0.5, 2.0, 0.7]))
UNDERSTANDING = Understanding(NAMES, vectors=None)
DIRECTIONS = {
    "query-to-image": kl,
    "image-to-query": lambda query, images: kl(images, query),
    "jeffreys": jeffreys,
}


@pytest.fixture(scope="module")
def view():
    first, second = posteriors(150, 4, 3), posteriors(80, 4, 4)
    parts = [
        PlainPosteriors(np.arange(1, 151), first["mean"], first["factor"]),
        PlainPosteriors(np.arange(151, 231), second["mean"], second["factor"]),
    ]
    return KlView(parts, [5, 200])


@pytest.fixture(scope="module")
def index(view):
    return open_index(view, ["a", "b"], None)


def terms_of(*texts):
    return resolve_words(parse_words(texts), VOCABULARY, UNDERSTANDING)[0]


def chances_of(view, terms, calibration=CALIBRATION):
    return WordProbabilities(WordScores(view, VOCABULARY.vectors), terms, calibration)


def ratios(view, vector):
    """By the formula, over all rows."""
    images = view.gaussians(np.arange(len(view)))
    own = images.log_likelihood(VOCABULARY.vectors)
    top = own.max(axis=1, keepdims=True)
    background = np.log(np.exp(own - top).mean(axis=1)) + top[:, 0]
    return images.log_likelihood(vector[None])[:, 0] - background


# -- words -------------------------------------------------------------------------------


def test_words_are_parsed_as_a_set():
    words = parse_words(["beard", "!male", "blonde hair^2", '"rock & roll"'])
    assert [canonical(word) for word, _ in words] == ["beard", "male", "blonde hair^2", '"rock & roll"']
    assert [negated for _, negated in words] == [False, True, False, False]
    assert len(parse_words("beard & hat, !male")) == 3
    assert [canonical(word) for word, _ in parse_words(['"a(b)|c"'])] == ['"a(b)|c"']


@pytest.mark.parametrize("texts", ["a | b", "a or b", "(a)", "!(a & b)", "(a & b)^2"])
def test_what_is_no_set_of_words(texts):
    with pytest.raises(QueryError, match="is no set of words"):
        parse_words([texts])


@pytest.mark.parametrize("texts", [(), "", ["", " "]])
def test_an_empty_set(texts):
    with pytest.raises(QueryError, match="no words: expected a set such as beard"):
        parse_words(texts)


def test_the_encoders_own_words_are_asked_by_any_spelling():
    terms, answers = resolve_words(parse_words(["wavy hair^2", "!MALE"]), VOCABULARY, UNDERSTANDING)
    assert [term.spelling for term in terms] == ["Wavy_Hair^2", "!Male"]
    assert [term.own for term in terms] == [1, 2]
    np.testing.assert_array_equal(terms[0].vector, VOCABULARY.vectors[1])
    assert {answer.basis for answer in answers} == {"label"}


def test_other_words_are_taken_for_labels():
    terms, answers = resolve_words(
        parse_words(["woman^2", "!sad", "without a beard"]), VOCABULARY, UNDERSTANDING
    )
    assert [term.spelling for term in terms] == ["!Male^2", "Smiling", "!Beard"]
    assert [answer.taken_for for answer in answers] == ["!Male", "!Smiling", "!Beard"]
    with pytest.raises(UnknownWordError, match=r"unknown word 'berd'.*did you mean Beard") as caught:
        terms_of("berd")
    assert caught.value.nearest == ("Beard",)


def test_words_that_contradict_each_other():
    with pytest.raises(QueryError, match=r"ask for Male and for its absence .*woman: taken for !Male"):
        terms_of("woman", "male")
    assert len(terms_of("male", "!male")) == 2  # labels as they are written


def test_a_word_of_several_labels(tmp_path):
    table = tmp_path / "meanings.toml"
    table.write_text('[asks]\n"Beard & !Smiling" = ["grim pirate"]\n')
    understanding = Understanding(NAMES, read_meanings(table), vectors=None)
    terms, _ = resolve_words(parse_words("grim pirate^3"), VOCABULARY, understanding)
    assert [term.spelling for term in terms] == ["Beard^3", "!Smiling^3"]
    with pytest.raises(QueryError, match="denies Beard & !Smiling, which is no set of words"):
        resolve_words(parse_words("!grim pirate"), VOCABULARY, understanding)


# -- contains ----------------------------------------------------------------------------


def test_contains_adds_up_log_probabilities(view):
    terms = terms_of("smiling", "!male^2", "beard")
    page = search_attributes(query_of(terms), chances_of(view, terms), count=300)
    smiling, male = (ratios(view, VOCABULARY.vectors[word]) for word in (0, 2))
    beard = ratios(view, terms[2].vector)
    value = (
        log_sigmoid(0.5 * smiling - 1.0)
        + 2 * log_sigmoid(-(0.2 * male + 2.0))
        + log_sigmoid(0.3 * beard + 0.7)
    )
    order = np.lexsort((view.ids, -value))
    np.testing.assert_allclose(-page.distances, value[order], rtol=1e-5, atol=1e-5)
    clear = np.diff(-value[order]) > 1e-3
    assert (page.ids == view.ids[order])[:-1][clear].all()
    for distance, parts in zip(page.distances, page.contributions, strict=True):
        assert [part.literal for part in parts] == ["Smiling", "!Male^2", "Beard"]
        assert sum(part.value for part in parts) == pytest.approx(-distance, rel=1e-12)
        assert all(0 <= part.probability <= 1 for part in parts)


# -- match -------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("farthest", [False, True])
@pytest.mark.parametrize("texts", [("smiling", "beard^3"), ("smiling", "!male^2", "!beard"), ("!male",)])
def test_match_is_the_divergence_and_what_negated_words_add(view, index, direction, farthest, texts):
    terms = terms_of(*texts)
    prior = match_prior(terms, VOCABULARY, 0.1)
    there = [term for term in terms if not term.negated]
    wanted = word_prior(
        [term.vector for term in there], 0.1, weights=[term.weight for term in there] or None, size=4
    )
    np.testing.assert_allclose(prior.covariance, wanted.covariance, rtol=1e-12)
    value = DIRECTIONS[direction](wanted, view.gaussians(np.arange(len(view))))
    for term in terms:
        if term.negated:
            value = value + term.weight * np.logaddexp(0, ratios(view, term.vector))
    chances = chances_of(view, terms)
    allowed = view.ids % 3 != 0
    rows = np.flatnonzero(allowed)
    order = rows[np.lexsort((view.ids[rows], -value[rows] if farthest else value[rows]))]
    page = match_words(
        index,
        terms,
        prior,
        chances,
        direction=direction,
        count=12,
        offset=3,
        allowed=allowed,
        farthest=farthest,
    )
    assert page.ids.tolist() == view.ids[order[3:15]].tolist()
    np.testing.assert_allclose(page.distances, value[order[3:15]], rtol=1e-6)
    assert (page.exact, page.first_rank, page.candidates, page.notes) == (True, 4, len(rows), ())
    for distance, parts in zip(page.distances, page.contributions, strict=True):
        assert sum(part.value for part in parts) == pytest.approx(-distance, rel=1e-9)
        divergences = [part for part in parts if part.probability is None]
        assert len(divergences) == (2 if direction == "jeffreys" else 1)
        for part, term in zip(parts[len(divergences) :], terms, strict=True):
            assert part.literal == term.spelling
            assert part.value <= 0 if term.negated else part.value == 0
    everything = match_words(index, terms, prior, chances, direction=direction, count=500)
    assert len(everything.ids) == len(view)
    assert "are all there are" in everything.notes[0]
    assert not len(match_words(index, terms, prior, chances, allowed=np.zeros(len(view), bool)).ids)


def test_probabilities_beside_a_match_are_those_of_contains(view, index):
    terms = terms_of("smiling", "!male")
    chances = chances_of(view, terms)
    page = match_words(index, terms, match_prior(terms, VOCABULARY, 0.5), chances, count=4)
    rows = view.rows(page.ids)
    p = 1 / (1 + np.exp(-(0.5 * ratios(view, VOCABULARY.vectors[0])[rows] - 1)))
    not_q = 1 / (1 + np.exp(0.2 * ratios(view, VOCABULARY.vectors[2])[rows] + 2))
    for place, parts in enumerate(page.contributions):
        assert [part.literal for part in parts] == ["KL(query‖image)", "Smiling", "!Male"]
        assert parts[1].probability == pytest.approx(p[place], rel=1e-3, abs=1e-12)
        assert parts[2].probability == pytest.approx(not_q[place], rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("shrinkage", [0, 1.01, -1, float("nan")])
def test_a_shrinkage_that_is_none(shrinkage):
    with pytest.raises(GaussianError, match="expected above 0 and up to 1"):
        match_prior(terms_of("smiling"), VOCABULARY, shrinkage)


# -- similar -----------------------------------------------------------------------------


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("farthest", [False, True])
def test_likeness_is_the_divergence_from_the_image_asked_about(view, index, direction, farthest):
    query = view.gaussians(np.array([10]))
    value = DIRECTIONS[direction](query, view.gaussians(np.arange(len(view))))
    order = np.lexsort((view.ids, -value if farthest else value))
    order = order[order != 10]
    asked = int(view.ids[10])
    page = similar_posteriors(
        index, query, direction=direction, exclude=[asked], count=5, offset=2, farthest=farthest
    )
    assert page.ids.tolist() == view.ids[order[2:7]].tolist()
    np.testing.assert_allclose(page.distances, value[order[2:7]], rtol=1e-9)
    assert page.candidates == len(view) - 1
    for distance, parts in zip(page.distances, page.contributions, strict=True):
        assert sum(part.value for part in parts) == pytest.approx(-distance, rel=1e-9)
    assert similar_posteriors(index, query, direction=direction, count=1).ids.tolist() == [asked]


def test_a_cut_off_in_nats(view, index):
    query = view.gaussians(np.array([10]))
    value = jeffreys(query, view.gaussians(np.arange(len(view))))
    limit = float(np.sort(value)[6])
    page = similar_posteriors(index, query, count=20, max_distance=limit)
    assert len(page.ids) == page.total == 7
    assert "of 228 pass the cut-off" in page.notes[0]
    with pytest.raises(QueryError, match="is not a number"):
        similar_posteriors(index, query, max_distance=float("nan"))


# -- fusion ------------------------------------------------------------------------------


def test_ranks_are_fused_by_their_reciprocals():
    ids = np.array([4, 9, 2, 7])
    page = fuse_ranks(
        ids, {"words": np.array([0.0, 1, 1, 3]), "attributes": np.array([9.0, 0, 5, 1])}, count=3
    )
    # words: 4, then 2 before 9 by id, 7; attributes: 9, 7, 2, 4
    scores = {4: 1 / 61 + 1 / 64, 2: 1 / 62 + 1 / 63, 9: 1 / 63 + 1 / 61, 7: 1 / 64 + 1 / 62}
    assert page.ids.tolist() == sorted(scores, key=lambda image: (-scores[image], image))[:3]
    np.testing.assert_allclose(-page.distances, sorted(scores.values(), reverse=True)[:3])
    for image, parts in zip(page.ids.tolist(), page.contributions, strict=True):
        assert [part.literal for part in parts] == ["words", "attributes"]
        assert sum(part.value for part in parts) == pytest.approx(scores[image])


def test_ranks_are_those_among_the_allowed():
    ids = np.arange(1, 5)
    allowed = np.array([False, True, True, False])
    page = fuse_ranks(ids, {"a": np.array([0.0, 2, 1, 0]), "b": np.array([0.0, 2, 1, 0])}, allowed=allowed)
    assert page.ids.tolist() == [3, 2]
    assert page.distances[0] == pytest.approx(-2 / 61)
    assert (page.candidates, page.total) == (2, 2)
    with pytest.raises(VectorError, match="another length"):
        fuse_ranks(ids, {"a": np.zeros(3)})


def test_values_of_a_query_are_in_the_views_rows(view):
    terms = terms_of("smiling")
    chances = chances_of(view, terms)
    values = query_values(query_of(terms), chances)
    np.testing.assert_allclose(values, log_sigmoid(chances.logits("Smiling")))


@pytest.mark.parametrize(
    "text",
    [
        "man not smiling",
        "without glasses or a beard",
        "woman with a hat and without a beard",
        "without a hat and glasses",
        "woman doesn't smile",
        "man without glasses, hat or beard",
        "bald man w/o glasses",
        "not old or bald",
    ],
)
def test_a_phrase_that_denies_is_one_word(text):
    ((word, negated),) = parse_words(text)
    assert (word.name, negated) == (text, False)
    assert len(parse_words([text, "red"])) == 2


def test_a_denial_of_the_query_itself_stays_one():
    ((word, negated),) = parse_words("not smiling")
    assert (word.name, negated) == ("smiling", True)
    assert [negated for _, negated in parse_words("not smiling and young")] == [True, False]
    with pytest.raises(QueryError, match="no set of words"):
        parse_words("hat or glasses")
