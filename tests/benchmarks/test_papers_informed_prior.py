"""P5 of informed priors: figures against a literal transcription, for every kind of labels."""

import itertools
import json
import math

import made_posteriors as made
import numpy as np
import pytest
from olrsearch_benchmarks.papers.informed_prior import run_informed_prior_paper
from olrsearch_benchmarks.papers.informed_prior_figures import pair_figures
from olrsearch_benchmarks.words.other_words import OTHER_WORDS, measure_other_words
from olrsearch_benchmarks.words.posterior_data import (
    GalleryDivergences,
    as_bench_data,
    calibrated,
    kind_of_labels,
    ratios_of,
)
from olrsearch_benchmarks.words.queries_in_words import (
    CONTAINS,
    IMAGE_TO_QUERY,
    JEFFREYS,
    QUERY_TO_IMAGE,
    SMALLEST,
    TEACHER,
    common_gallery,
)
from scipy.stats import multivariate_normal
from sklearn.metrics import average_precision_score

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.queries import run_queries
from olrsearch.evaluation.query_set import generate_queries
from olrsearch.maths.divergences import kl
from olrsearch.maths.gaussian import Gaussians, word_prior

KEYS = {"metric", "value", "target", "passed", "unit", "seed", "paper", "space", "labels", "shrinkage"}


def figures(report):
    return {row.metric: row for row in report.figures}


def gallery_of(data):
    return Gaussians.of_packed(data.mean[data.gallery], data.factor[data.gallery])


def literal_densities(data):
    """ln N(w; μ, Σ), [W, G], by scipy."""
    images = gallery_of(data)
    return np.array(
        [
            [
                multivariate_normal.logpdf(word, mean, covariance)
                for mean, covariance in zip(images.mean, images.covariance, strict=True)
            ]
            for word in data.vocabulary.vectors
        ]
    )


# -- classes and pairs -------------------------------------------------------------------


def test_what_labels_are_is_told_from_them():
    assert kind_of_labels(made.digit_labels(50, pairs=False).T) == "classes"
    pairs = made.digit_labels(50, pairs=True)
    assert kind_of_labels(pairs.T) == "pairs"
    assert kind_of_labels(np.where(np.arange(10) == 3, 0, pairs).T) == "many"  # something is unknown
    assert kind_of_labels(made.face_labels(50).T) == "many"
    lonely = made.digit_labels(50, pairs=False)
    lonely[4] = -1
    assert kind_of_labels(lonely.T) == "many"


@pytest.mark.parametrize("noise", [0.05, 0.5])
def test_classes_are_told_by_the_likeliest_word(noise):
    data = made.digits(300, pairs=False, noise=noise)
    report = run_informed_prior_paper(data)
    right = literal_densities(data).argmax(axis=0) == (data.truth > 0).argmax(axis=0)
    row = figures(report)["accuracy of the likeliest word"]
    assert row.value == right.mean()
    assert (row.target, row.paper, row.passed) == (0.99, 0.995, bool(right.mean() >= 0.99))
    own = (data.truth > 0).argmax(axis=0)
    worst = min(right[own == digit].mean() for digit in range(10))
    assert figures(report)["accuracy on the worst class"].value == pytest.approx(worst)
    assert report.labels == "classes"


@pytest.fixture(scope="module")
def pairs():
    return made.digits(1000, pairs=True, noise=0.15)


@pytest.fixture(scope="module")
def pair_report(pairs):
    return run_informed_prior_paper(pairs, seed=3)


@pytest.mark.slow
def test_pairs_are_told_by_the_two_likeliest_words(pairs, pair_report):
    densities, truth = literal_densities(pairs), pairs.truth > 0
    matched, top, double = [], [], []
    for image in range(truth.shape[1]):
        order = sorted(range(10), key=lambda word: -densities[word, image])
        present = set(np.flatnonzero(truth[:, image]))
        double.append(len(present) == 1)
        matched.append(set(order[:2]) == present)
        top.append(order[0] in present)
    matched, top, double = map(np.array, (matched, top, double))
    rows = figures(pair_report)
    assert 0.02 < double.mean() < 0.25
    assert rows["two likeliest words are the two present"].value == matched[~double].mean()
    assert rows["likeliest word is the one present, doubles"].value == top[double].mean()
    assert rows["both together"].value == np.where(double, top, matched).mean()
    told = rows["two likeliest words are the two present"]
    assert (told.target, told.paper, told.passed) == (0.955, 0.955, told.value >= 0.955)


def test_pairs_are_retrieved_by_divergence(pairs, pair_report):
    images, truth = gallery_of(pairs), pairs.truth > 0
    double = truth.sum(axis=0) == 1
    found = {(one.first, one.second): one for one in pair_report.pairs}
    assert len(found) == 45
    exact, far = [], []
    for first, second in itertools.combinations(range(10), 2):
        prior = word_prior(pairs.vocabulary.vectors[[first, second]], pairs.shrinkage)
        distances = kl(prior, images)
        order = np.argsort(distances, kind="stable")
        held = truth[first] & truth[second]
        one = found[made.DIGITS[first], made.DIGITS[second]]
        assert one.images == held.sum()
        assert one.exact == held[order[:20]].mean()
        assert one.farthest_doubles == double[order[::-1][:20]].mean()
        assert one.nearest_nats == pytest.approx(distances.min())
        exact.append(one.exact)
        far.append(one.farthest_doubles)
    rows = figures(pair_report)
    mean = rows["first 20 of a pair of words hold exactly it, mean of 45 pairs"]
    worst = rows["first 20 of a pair of words hold exactly it, worst pair"]
    assert (mean.value, worst.value) == (pytest.approx(np.mean(exact)), min(exact))
    assert (mean.target, worst.target) == (0.98, 0.9)
    assert rows["farthest 20 of a pair of words are doubles"].value == pytest.approx(np.mean(far))


def test_images_are_compared_with_images(pairs, pair_report):
    images, truth = gallery_of(pairs), pairs.truth > 0
    same, far = [], []
    for row in range(len(images)):  # all of them: there are no more than are drawn
        distances = kl(images[row], images)
        order = np.argsort(distances, kind="stable")
        far.append((truth[:, order[::-1][:20]].sum(axis=0) == 1).mean())
        near = [other for other in order if other != row][:20]
        same.append((truth[:, near] == truth[:, [row]]).all(axis=0).mean())
    rows = figures(pair_report)
    name = f"mean of {len(images)} images"
    assert rows[f"first 20 of an image hold the same labels, {name}"].value == pytest.approx(np.mean(same))
    assert rows[f"farthest 20 of an image are doubles, {name}"].value == pytest.approx(np.mean(far))


def test_divergences_are_those_of_the_formula(pairs):
    images, divergences = gallery_of(pairs), GalleryDivergences(pairs)
    query = images[5]
    np.testing.assert_allclose(
        divergences.of(query, "query-to-image")[0], kl(query, images), rtol=1e-8, atol=1e-8
    )
    np.testing.assert_allclose(
        divergences.of(query, "image-to-query")[0], kl(images, query), rtol=1e-8, atol=1e-8
    )


def test_figures_show_what_is_retrieved(pairs):
    shown = pair_figures(pairs)
    first = shown.images[0]
    assert (first.name, len(first.ids)) == ("retrieved-4-5", 20)
    distances = kl(word_prior(pairs.vocabulary.vectors[[4, 5]], pairs.shrinkage), gallery_of(pairs))
    order = np.argsort(distances, kind="stable")[:20]
    np.testing.assert_array_equal(first.ids, pairs.image_ids[pairs.gallery[order]])
    assert first.captions == tuple(f"{value:.1f}" for value in distances[order])
    assert [one.name for one in shown.images] == ["retrieved-4-5", "retrieved-5-6", "nearest", "farthest"]
    assert shown.images[2].captions[0] == "0.0"  # an image is like itself
    assert float(shown.images[3].captions[0]) > float(shown.images[3].captions[-1])
    assert shown.samples.shape == (20, 10)
    assert shown.sampled == "Digit_1 and Digit_3"
    assert [one.count("and") for one in shown.posteriors.captions] == [1, 1, 1, 0]
    with pytest.raises(BenchmarkError, match="a gallery of classes: name a space of pairs"):
        pair_figures(made.digits(100, pairs=False))


# -- many labels -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faces():
    return made.faces()


@pytest.fixture(scope="module")
def beside(faces):
    """Label embeddings of the same images: worse probabilities, and a better teacher."""
    everything = faces.replace(gallery=np.arange(len(faces.image_ids)), selection=np.empty(0, np.int64))
    rng = np.random.default_rng(5)
    ratios = ratios_of(everything.densities(everything.gallery))
    data = as_bench_data(everything, ratios + 3 * rng.normal(size=ratios.shape), calibrated(faces)[0])
    teacher = 1 / (1 + np.exp(-4.0 * everything.labels.T + rng.normal(size=ratios.shape)))
    return data.replace(teacher_p=teacher)


@pytest.fixture(scope="module")
def report(faces, beside):
    return run_informed_prior_paper(faces, labels=beside, resamples=100)


@pytest.mark.slow
def test_describing_is_judged_by_average_precision(faces, report):
    densities, truth = literal_densities(faces), faces.truth > 0
    ratios = densities - np.log(np.exp(densities).mean(axis=0))
    for scores, name in ((ratios, "by ratio"), (densities, "by ln N")):
        expected = np.mean([average_precision_score(truth[row], scores[row]) for row in range(5)])
        assert figures(report)[f"mAP of describing, {name}"].value == pytest.approx(expected)
    row = figures(report)["mAP of describing, by ratio"]
    assert (row.target, row.passed) == (0.73, row.value >= 0.73)


@pytest.mark.slow
def test_queries_in_words_are_those_of_p2(faces, beside, report):
    """Attribute search and teacher are measured by P2 itself; ours by a transcription."""
    found = report.queries.scores
    gallery = beside.replace(gallery=np.searchsorted(beside.image_ids, faces.image_ids[faces.gallery]))
    asked = generate_queries(gallery)
    reference = run_queries(gallery, queries=asked, svm_strengths=(), resamples=10)
    for kind, methods in found.items():
        for ours, theirs in (("attribute search", "ours"), ("teacher", "teacher")):
            assert methods[ours] == pytest.approx(reference.scores[kind][theirs])
    densities, truth, images = literal_densities(faces), faces.truth > 0, gallery_of(faces)
    ratios = densities - np.log(np.exp(densities).mean(axis=0))
    calibration = calibrated(faces)[0]
    logits = ratios * calibration.slope[:, None] + calibration.offset[:, None]
    expected = {name: {} for name in (CONTAINS, SMALLEST, QUERY_TO_IMAGE, IMAGE_TO_QUERY, JEFFREYS)}
    for query in asked.queries:
        signs = [(faces.names.index(name), sign) for name, sign in query.literals]
        relevant = np.all([truth[word] == (sign > 0) for word, sign in signs], axis=0)
        scores = {
            CONTAINS: sum(-np.log1p(np.exp(-sign * logits[word])) for word, sign in signs),
            SMALLEST: np.min([sign * ratios[word] for word, sign in signs], axis=0),
        }
        if all(sign > 0 for _, sign in signs):
            prior = word_prior(faces.vocabulary.vectors[[word for word, _ in signs]], faces.shrinkage)
            one, other = kl(prior, images), kl(images, prior)
            scores |= {QUERY_TO_IMAGE: -one, IMAGE_TO_QUERY: -other, JEFFREYS: -one - other}
        for name, values in scores.items():
            order = np.argsort(-values, kind="stable")
            pair = (average_precision_score(relevant, values), relevant[order[:20]].mean())
            expected[name].setdefault(query.kind, []).append(pair)
    assert {"A", "A & B", "A & !B"} <= set(found)
    for name, kinds in expected.items():
        for kind, pairs in kinds.items():
            ap, p20 = np.mean(pairs, axis=0)
            assert found[kind][name]["ap"] == pytest.approx(ap)
            assert found[kind][name]["p20"] == pytest.approx(p20)
    assert JEFFREYS not in found["A & !B"]


def test_words_stand_against_the_teacher(report):
    scores = report.queries.scores
    for kind in ("A", "A & B"):
        row = figures(report)[f"P@20 of {kind}, {CONTAINS} − teacher"]
        assert row.value == pytest.approx(scores[kind][CONTAINS]["p20"] - scores[kind][TEACHER]["p20"])
        assert (row.target, row.unit, row.passed) == (-0.04, "difference", row.value >= -0.04)
    intervals = {(one.ours, one.baseline, one.kind): one for one in report.queries.differences}
    one = intervals[CONTAINS, "attribute search", "all"]
    assert one.ap.low <= one.ap.estimate <= one.ap.high
    assert one.ap.excludes_zero  # which had noise of three nats
    assert one.queries == report.queries.counts["all"]
    assert (JEFFREYS, TEACHER, "A & B") in intervals
    assert not any(kind == "all" for ours, _, kind in intervals if ours.startswith("match"))


def test_without_label_embeddings_words_stand_alone(faces, beside):
    alone = run_informed_prior_paper(faces, resamples=20)
    assert not alone.queries.differences
    assert figures(alone)[f"P@20 of A, {CONTAINS} − teacher"].passed is None
    assert any("no label embeddings" in note for note in alone.notes)
    fewer = beside.replace(teacher_p=None, label_names=("Other", "x", "bald", "y", "z"))
    some = run_informed_prior_paper(faces, labels=fewer, resamples=20)
    assert any("teacher" in note and "gone" in note for note in some.notes)
    answered = {one.kind: one.queries for one in some.queries.differences if one.ours == CONTAINS}
    assert answered["A"] == 1  # the other labels it does not know


def test_only_images_with_both_embeddings_are_compared(faces, beside):
    last = faces.image_ids[-1]
    keep = np.flatnonzero(beside.image_ids != last)
    fewer = beside.replace(
        image_ids=beside.image_ids[keep],
        keys=[beside.keys[row] for row in keep],
        labels=beside.labels[keep],
        partition=beside.partition[keep],
        identity=beside.identity[keep],
        embeddings=beside.embeddings[:, keep],
        log_p=beside.log_p[:, keep],
        log_not_p=beside.log_not_p[:, keep],
        teacher_p=beside.teacher_p[:, keep],
        gallery=np.arange(len(keep)),
    )
    found = run_informed_prior_paper(faces, labels=fewer, resamples=20)
    assert found.data["gallery"] == len(faces.gallery) - 1
    assert any("left out of the gallery: 1." in note for note in found.notes)
    with pytest.raises(BenchmarkError, match="no image of the gallery has a label embedding"):
        common_gallery(faces.replace(gallery=np.array([len(keep)])), fewer)


def test_without_selection_images_the_stored_calibration_is_taken(faces):
    stored = calibrated(faces)[0]
    none = faces.replace(selection=np.empty(0, np.int64))
    assert calibrated(none.replace(calibration=stored))[0] is stored
    assert "stored calibration" in calibrated(none.replace(calibration=stored))[1][0]
    assert "not calibrated" in calibrated(none)[1][0]


# -- words outside the vocabulary --------------------------------------------------------


@pytest.mark.slow
def test_strange_words_are_asked_beside_their_baselines(faces):
    densities = literal_densities(faces)
    found = measure_other_words(faces, densities, resamples=50)
    words = {one.word: one for one in found.words}
    assert list(words) == ["spectacles", "grin", "hairless", "cap"]
    assert "blonde (no label Blond_Hair)" in found.notes[0]
    images, truth = gallery_of(faces), faces.truth > 0
    background = np.log(np.exp(densities).mean(axis=0))

    def precision(scores, label):
        return truth[label][np.argsort(-scores, kind="stable")[:20]].mean()

    for word, label_name in OTHER_WORDS:
        if word not in words:
            continue
        label, one = faces.names.index(label_name), words[word]
        vector = faces.vocabulary.lift.apply(faces.table.vector(word)[None])[0]
        density = [
            multivariate_normal.logpdf(vector, images.mean[row], images.covariance[row]) for row in range(600)
        ]
        assert one.ratio == precision(np.array(density) - background, label)
        assert one.match == precision(-kl(word_prior(vector[None], faces.shrinkage), images), label)
        assert one.label_ratio == precision(densities[label] - background, label)
        near = faces.names.index(one.nearest)
        assert one.nearest_ratio == precision(densities[near] - background, label)
    assert words["cap"].nearest == "Bald"
    assert words["spectacles"].nearest == "Eyeglasses"
    rows = {row.metric: row.value for row in found.rows}
    mean = np.mean([one.ratio for one in found.words])
    assert rows["P@20 of 4 words outside the vocabulary, by ratio"] == pytest.approx(mean)
    gain = found.differences["ratio − nearest label in the table, by ratio"]
    assert gain.estimate == pytest.approx(mean - np.mean([one.nearest_ratio for one in found.words]))


def test_words_of_labels_are_no_strangers(faces):
    known = faces.replace(label_words={**made.LABEL_WORDS, "Bald": (("bald", 1.0), ("hairless", 1.0))})
    found = measure_other_words(known, known.densities(known.gallery), resamples=10)
    assert "hairless (stands for Bald)" in found.notes[0]
    assert "hairless" not in {one.word for one in found.words}
    alone = made.faces(words=False)
    nothing = measure_other_words(alone, alone.densities(alone.gallery))
    assert (nothing.words, nothing.rows) == ((), ())
    assert "come from no table" in nothing.notes[0]


# -- the report --------------------------------------------------------------------------


def test_lines_and_text_say_the_same(pair_report, report):
    for found in (pair_report, report):
        lines = json.loads(json.dumps(found.lines(), allow_nan=False))
        assert all(set(line) == KEYS for line in lines)
        assert all(line["value"] is None or math.isfinite(line["value"]) for line in lines)
        assert len({line["metric"] for line in lines}) == len(lines)
        assert json.dumps(found.to_dict(), allow_nan=False)
        text = found.to_markdown()
        assert text.startswith("### P5: informed priors")
        assert all(f"| {line['metric']} " in text for line in lines)
        for line in text.splitlines():  # a | in a cell would begin another one
            assert not line.startswith("| ") or len(line.split(" | ")) == line.count("|") - 1
    assert {line["seed"] for line in pair_report.lines()} == {3}


def test_nothing_given_is_changed(pairs):
    before = (pairs.mean.copy(), pairs.factor.copy(), pairs.labels.copy())
    run_informed_prior_paper(pairs)
    for array, kept in zip((pairs.mean, pairs.factor, pairs.labels), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gallery": np.empty(0, np.int64)}, "the gallery is empty"),
        ({"gallery": np.array([3, 1])}, "not increasing"),
        ({"gallery": np.array([1, 2])}, "serves as selection and as gallery"),
        ({"labels": np.zeros((1000, 3), np.int8)}, "expected one entry an image"),
        ({"keys": ["a"]}, "'keys': 1"),
    ],
)
def test_data_that_do_not_fit_are_refused(pairs, changes, message):
    with pytest.raises(BenchmarkError, match=message):
        pairs.replace(**changes)
