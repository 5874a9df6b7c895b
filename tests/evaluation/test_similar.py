from __future__ import annotations

import json
import math

import numpy as np
import pytest

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.similar import run_similar, similarity_spaces, weighted_jaccard
from olrsearch.evaluation.spaces import LabelSpace
from olrsearch.maths.metric import fit_metric


@pytest.fixture(scope="module")
def report(data):
    return run_similar(data, query_images=80, resamples=60)


@pytest.mark.parametrize("kind", ["ip", "l2", "cosine"])
@pytest.mark.parametrize("form", ["plain", "centred", "standardised"])
def test_spaces_rank_as_the_metric_does(data, kind, form):
    metric = fit_metric(data.embeddings[:, data.selection], kind, form=form)
    rows = data.gallery[:40]
    space = LabelSpace.of_metric(metric, data.embeddings, rows)
    each = np.stack(
        [
            metric.distances(data.embeddings[label, rows[7]], data.embeddings[label][rows], label)
            / metric.scale[label]
            for label in range(len(data.embeddings))
        ]
    )
    shift = (1 / metric.scale) if kind == "cosine" else np.zeros(len(each))
    assert np.allclose(space.from_label(2, 7) + shift[2], each[2], atol=1e-3)
    assert np.allclose(space.block(np.array([7]))[0] + shift.sum(), each.sum(axis=0), atol=5e-3)
    pairs = space.pairs(2, np.array([7, 7]), np.array([3, 5]))
    assert np.allclose(pairs, space.from_label(2, 7)[[3, 5]], atol=1e-3)


def test_everything_at_once_ignores_the_label(data):
    space = LabelSpace("l2", data.embeddings[:, :20], by_label=False)
    expected = np.square(data.embeddings[:, [3]] - data.embeddings[:, :20]).sum(axis=(0, 2))
    assert np.allclose(space.from_label(1, 3), expected, atol=1e-3)
    assert np.allclose(space.pairs(4, np.array([3]), np.array([9])), expected[9], atol=1e-3)


def test_weighted_jaccard_by_hand():
    truth = np.array([[1, 1, -1, -1], [1, -1, -1, 0], [-1, 1, -1, 1]], np.int8)
    idf = np.array([1.0, 2.0, 4.0])
    found = weighted_jaccard(truth, idf, np.array([0, 2, 3]))
    assert found[0].tolist() == pytest.approx([1, 1 / 7, 0, 0])
    assert found[1, 2] == 1  # two images without any label
    assert found[2].tolist() == pytest.approx([0, 4 / 5, 0, 1])


def test_ndcg_of_one_query_by_hand(data):
    report = run_similar(data, query_images=10**9, resamples=10)
    images = len(data.gallery)
    assert report.query_images == images
    count = (data.labels[data.train] > 0).sum(axis=0)
    gains = weighted_jaccard(data.truth, np.log(len(data.train) / count), np.arange(images)).astype(float)
    values = []
    vectors = np.exp(data.log_p[:, data.gallery]).T.astype(np.float32)
    discount = 1 / np.log2(np.arange(2, 22))
    for row in range(images):
        others = np.delete(np.arange(images), row)
        order = others[np.argsort(np.square(vectors[others] - vectors[row]).sum(axis=1), kind="stable")[:20]]
        best = np.sort(gains[row, others])[::-1][:20]
        values.append((gains[row, order] @ discount) / (best @ discount))
    assert report.ndcg20["probabilities"] == pytest.approx(np.mean(values), abs=2e-3)


def test_methods_stand_in_the_order_they_should(report):
    assert list(report.ndcg20) == ["ours", "whole", "probabilities", "surrogate", "random"]
    for name in ("ours", "probabilities", "surrogate"):
        assert report.ndcg20[name] > report.ndcg20["random"] + 0.1
        assert report.triplets[name] > 0.6
    assert report.triplets["random"] == 0.5
    difference = report.ndcg20_differences["ours - random"]
    assert difference.low > 0
    assert difference.estimate == pytest.approx(report.ndcg20["ours"] - report.ndcg20["random"])


def test_exemplars_stand_against_asking_by_name(report):
    assert report.exemplar_queries > 0
    assert report.exemplars["attributes"]["ap"] > report.exemplars["random"]["ap"] + 0.2
    assert report.exemplars["ours"]["ap"] > report.exemplars["random"]["ap"] + 0.1
    assert set(report.exemplar_differences) == {
        "ours - whole",
        "ours - probabilities",
        "ours - surrogate",
        "ours - attributes",
        "ours - random",
    }


def test_identity_is_told_by_what_holds_it(data):
    rows = data.gallery
    persons = data.identity[rows]
    told = data.embeddings.copy()
    told[0] = 0
    told[0, :, 0] = 100 * data.identity
    found = run_similar(
        data.replace(embeddings=told),
        metric=fit_metric(told, "l2", form="plain"),
        query_images=5,
        resamples=5,
    )
    assert found.identity["whole"].auc > 0.99
    assert found.identity["whole"].recall_at_1 > 0.99
    assert found.identity_pairs == sum(
        int(persons[a] == persons[b]) for a in range(len(rows)) for b in range(a)
    )
    blind = data.replace(identity=np.full_like(data.identity, -1))
    nobody = run_similar(blind, query_images=5, resamples=5)
    assert nobody.identity_pairs == 0
    assert math.isnan(nobody.identity["ours"].auc)


def test_a_large_gallery_is_sampled_by_whole_identities(data, monkeypatch):
    monkeypatch.setattr("olrsearch.evaluation.similar.MOST_FOR_IDENTITY", 60)
    found = run_similar(data, query_images=5, resamples=5)
    assert 0 < found.identity_pairs < 60 * 59 / 2


def test_a_label_without_positives_and_no_queries(data):
    labels = data.labels.copy()
    labels[:, 1:] = -1
    labels[:, 0] = np.where(np.arange(len(labels)) % 5 == 0, 1, -1)
    found = run_similar(data.replace(labels=labels), query_images=20, resamples=5)
    assert math.isnan(found.label_triplets["ours"][3])
    assert math.isfinite(found.triplets["ours"])
    assert found.exemplars == {}
    assert found.exemplar_queries == 0
    json.dumps(found.to_dict(), allow_nan=False)
    assert "No eligible two-label query" in found.to_markdown()


def test_too_little_is_named(data):
    with pytest.raises(BenchmarkError, match="gallery of 2 images"):
        run_similar(data.replace(gallery=data.gallery[:2]))
    with pytest.raises(BenchmarkError, match="0 selection images"):
        run_similar(data.replace(selection=np.array([], np.int64)))


def test_the_report_is_seeded_and_reads_as_text(data, report):
    assert run_similar(data, query_images=80, resamples=60).to_dict() == report.to_dict()
    assert "Attributes describe a look, not a person." in report.to_markdown()
    assert set(similarity_spaces(data, fit_metric(data.embeddings, "ip", form="plain"))) == {
        "ours",
        "whole",
        "probabilities",
        "surrogate",
    }
