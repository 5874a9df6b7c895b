from __future__ import annotations

import json
import math

import numpy as np
import pytest

from olrsearch.core.errors import BenchmarkError, QuerySyntaxError, UnknownLabelError
from olrsearch.evaluation.metrics import average_precision
from olrsearch.evaluation.queries import (
    conjunction_scores,
    judge,
    measure,
    merge_recall,
    minimum_scores,
    run_queries,
)
from olrsearch.evaluation.query_set import (
    CLASSES,
    MAX_SHARE,
    MIN_RELEVANT,
    AttributeQuery,
    QuerySet,
    generate_queries,
    read_queries,
    write_queries,
)


@pytest.fixture(scope="module")
def queries(data):
    return generate_queries(data)


@pytest.fixture(scope="module")
def report(data, queries):
    return run_queries(data, queries=queries, resamples=60)


def satisfied(data, query):
    rows = {name: row for row, name in enumerate(data.label_names)}
    return np.all([data.truth[rows[name]] == sign for name, sign in query.literals], axis=0)


def test_every_query_is_eligible_and_none_twice(data, queries):
    assert {query.kind for query in queries.queries} <= set(CLASSES)
    for query in queries.queries:
        count = satisfied(data, query).sum()
        assert MIN_RELEVANT <= count <= MAX_SHARE * len(data.gallery)
        assert (
            query.kind
            == {
                (1, 0): "A",
                (0, 1): "!A",
                (2, 0): "A & B",
                (3, 0): "A & B & C",
                (1, 1): "A & !B",
                (2, 1): "A & B & !C",
            }[sum(sign > 0 for _, sign in query.literals), sum(sign < 0 for _, sign in query.literals)]
        )
    assert len({frozenset(query.literals) for query in queries.queries}) == len(queries)


def test_no_eligible_query_is_forgotten_where_few_are(data, queries):
    present = data.truth > 0
    for a in range(len(present)):
        for b in range(len(present)):
            if a == b:
                continue
            names = data.label_names[a], data.label_names[b]
            for kind, count, literals in (
                ("A & B", (present[a] & present[b]).sum(), {(names[0], 1), (names[1], 1)}),
                ("A & !B", (present[a] & ~present[b]).sum(), {(names[0], 1), (names[1], -1)}),
            ):
                listed = any(
                    query.kind == kind and set(query.literals) == literals for query in queries.queries
                )
                assert listed == (MIN_RELEVANT <= count <= MAX_SHARE * present.shape[1])


def test_the_draw_depends_on_labels_and_seed_alone(data, queries, monkeypatch):
    other = data.replace(embeddings=data.embeddings + 1, log_p=data.log_p - 1, identity=data.identity * 0)
    assert generate_queries(other).queries == queries.queries
    monkeypatch.setattr(
        "olrsearch.evaluation.query_set.WANTED", {"A & B": 3, "A & B & C": 3, "A & !B": 3, "A & B & !C": 3}
    )
    few = generate_queries(data, seed=1)
    assert generate_queries(data, seed=1) == few
    assert generate_queries(data, seed=2).queries != few.queries
    assert [query.kind for query in few.queries].count("A & B") == 3


def test_a_query_file_comes_back_as_it_was(queries, tmp_path):
    path = tmp_path / "deep" / "queries.tsv"
    write_queries(path, queries)
    assert read_queries(path) == queries
    text = path.read_text()
    assert "seed 0" in text
    assert "Male & !Young" in text or "!Male" in text
    odd = QuerySet((AttributeQuery("A & !B", (("or & so", 1), ("5_o'clock", -1))),), "by hand")
    write_queries(path, odd)
    assert read_queries(path) == odd


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("nothing\n", BenchmarkError),
        ("number\tclass\tquery\n1\tA\n", BenchmarkError),
        ("number\tclass\tquery\n1\tZ\tMale\n", BenchmarkError),
        ("number\tclass\tquery\n1\tA\tMale | Young\n", BenchmarkError),
        ("number\tclass\tquery\n1\tA\tMale^2\n", BenchmarkError),
        ("number\tclass\tquery\n1\tA\tMale &\n", QuerySyntaxError),
    ],
)
def test_what_is_no_query_file_is_named(tmp_path, body, error):
    path = tmp_path / "q.tsv"
    path.write_text(body)
    with pytest.raises(error):
        read_queries(path)
    with pytest.raises(BenchmarkError, match="no query file at"):
        read_queries(tmp_path / "absent.tsv")


def test_unknown_labels_and_impossible_galleries_are_named(data):
    unknown = QuerySet((AttributeQuery("A", (("Smilling", 1),)),), "by hand")
    with pytest.raises(UnknownLabelError, match="Smiling"):
        run_queries(data, queries=unknown)
    with pytest.raises(BenchmarkError, match="no query has 30"):
        generate_queries(data.replace(gallery=data.gallery[:20]))
    nobody = data.replace(labels=np.full_like(data.labels, -1))
    with pytest.raises(BenchmarkError, match="no query has a relevant image"):
        run_queries(nobody, queries=QuerySet((AttributeQuery("A", (("Male", 1),)),), "by hand"))


def test_judging_by_hand():
    truth = np.array([[1, 1, -1, 0], [-1, 1, -1, 1]], np.int8)
    relevant, judged, gains = judge(np.array([[1, -1], [0, 1]], np.int8), truth)
    assert relevant.tolist() == [[True, False, False, False], [False, True, False, True]]
    assert judged.tolist() == [[True, True, True, False], [True, True, True, True]]
    assert gains[0, :3].tolist() == [1.0, 0.5, 0.5]


def test_scores_are_the_sums_and_minima_they_claim(data):
    signs = np.array([[1, 0, -1, 0, 0, 1], [0, -1, 0, 0, 0, 0]], np.int8)
    found = conjunction_scores(signs, data.log_p, data.log_not_p)
    assert np.allclose(found[0], data.log_p[0] + data.log_not_p[2] + data.log_p[5])
    probability = np.exp(data.log_p)
    least = np.minimum(np.minimum(probability[0], 1 - probability[2]), probability[5])
    assert np.allclose(minimum_scores(signs, probability)[0], least)
    assert np.allclose(minimum_scores(signs, probability)[1], 1 - probability[1])


def test_measures_leave_out_what_is_not_judged():
    scores = np.array([[5.0, 4.0, 3.0, 2.0]])
    relevant = np.array([[False, True, False, True]])
    judged = np.array([[False, True, True, True]])
    found = measure(scores, relevant, judged, relevant.astype(np.float32))
    expected = average_precision(np.array([[True, False, True]]))
    assert found["ap"][0] == pytest.approx(expected[0])
    assert found["p10"][0] == 0.2
    assert found["r_precision"][0] == 0.5


def test_what_merging_loses_by_hand():
    # Image 2 is second best on both labels, so best of all; lists of one never see it.
    log_p = np.log(np.array([[0.9, 0.01, 0.8, 0.1], [0.01, 0.9, 0.8, 0.1]]))
    log_not_p = np.log1p(-np.exp(log_p))
    signs = np.array([[1, 1]], np.int8)
    every, some = merge_recall(signs, log_p, log_not_p, depth=1, cut=1)
    assert (every[0], some[0]) == (0, 0)
    every, some = merge_recall(signs, log_p, log_not_p, depth=2, cut=1)
    # Taking a missing score for its list's last flatters images 0 and 1, .9 × .8 > .8 × .8.
    assert (every[0], some[0]) == (1, 0)
    every, some = merge_recall(signs, log_p, log_not_p, depth=99, cut=3)
    assert (every[0], some[0]) == (1, 1)


def test_methods_stand_in_the_order_they_should(report):
    overall = report.scores["all"]
    assert set(overall) == {"ours", "teacher", "teacher min", "svm", "random"}
    assert overall["ours"]["ap"] > overall["random"]["ap"] + 0.3
    assert overall["svm"]["ap"] > overall["random"]["ap"] + 0.3
    # The teacher's scores are ours with noise on top.
    assert report.against_teacher["all"].ap.estimate > -0.01
    assert report.against_teacher["all"].within_margin
    gap = overall["ours"]["ap"] - overall["teacher"]["ap"]
    assert report.against_teacher["all"].ap.estimate == pytest.approx(gap)
    assert sum(report.counts.values()) == 2 * report.counts["all"] == 2 * len(report.per_query)


def test_a_teacher_far_better_is_not_within_the_margin(data, queries):
    truth = np.where(data.labels.T > 0, 0.99, 0.01)
    report = run_queries(data.replace(teacher_p=truth), queries=queries, svm_strengths=(), resamples=30)
    assert not report.against_teacher["all"].within_margin
    assert report.svm_strength is None
    assert "svm" not in report.scores["all"]


def test_without_a_teacher_nothing_is_compared(data, queries):
    report = run_queries(data.replace(teacher_p=None), queries=queries, svm_strengths=(), resamples=30)
    assert report.against_teacher == {}
    assert "Ours − teacher" not in report.to_markdown()


def test_the_report_is_json_and_text(report, data):
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert found["results"]["query_source"].startswith("made up, gallery of")
    assert found["results"]["per_query"][0]["relevant"] >= MIN_RELEVANT
    text = report.to_markdown()
    assert "Recall@10 of the exact answer" in text
    assert "within 0.01 AP" in text
    assert all(math.isfinite(value) for value in report.merge_recall["all"].values())
    assert run_queries(data, resamples=60).to_dict() == report.to_dict()
