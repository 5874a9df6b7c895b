"""Damaging stores at random: every fault is named, or harmless."""

from __future__ import annotations

import numpy as np
import pytest
from olrsearch_benchmarks.corruption.faults import damage, files_by_kind
from olrsearch_benchmarks.corruption.questions import questions, same
from olrsearch_benchmarks.corruption.run import HARMLESS, OUTCOMES, run_corruption

from olrsearch import Store
from olrsearch.core.progress import silent


@pytest.fixture
def whole(gallery, tmp_path):
    """A store with label scores, an index and decisions."""
    path = gallery.copy(tmp_path / "store")
    with Store.open(path) as store:
        store.indexes.build("exact")
        store.labels.set([3], store.labels.known()[0], "unknown", who="eve")
    return path


@pytest.mark.slow
def test_every_fault_is_named_or_harmless(whole, gallery, tmp_path):
    (tmp_path / "work").mkdir()
    report = run_corruption(whole, gallery.store, tmp_path / "work", faults=20, seed=4, track=silent)
    assert report.passed, report.bad()
    assert len(report.outcomes) == 20
    found = {outcome.found for outcome in report.outcomes}
    assert len(found - {HARMLESS}) >= 2
    assert found <= set(OUTCOMES)
    lines = list(report.lines())
    assert lines[-1].startswith("20 faults, seed 4, ")
    assert report.to_dict()["passed"] is True


@pytest.mark.slow
def test_a_wrong_answer_is_noticed(whole, gallery, tmp_path, monkeypatch):
    """Without checks there are wrong answers: the harness looks where it should."""
    monkeypatch.setenv("OLRSEARCH_CHECKS", "off")
    (tmp_path / "work").mkdir()
    report = run_corruption(whole, gallery.store, tmp_path / "work", faults=30, seed=2, track=silent)
    assert not report.passed


def test_faults_are_the_same_for_the_same_seed(whole, gallery):
    assert {"store.json", "metadata", "segment", "model", "scores"} <= set(files_by_kind(whole))
    kept = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    made = []
    for _ in range(2):
        made.append(damage(whole, {"older": gallery.store, "other": gallery.store}, np.random.default_rng(3)))
        for path, data in kept.items():
            path.write_bytes(data)
    assert made[0] == made[1]


def test_answers_are_the_same_but_for_rounding(whole):
    with Store.open(whole, read_only=True) as store:
        for ask in questions(store).values():
            assert same(ask(store), ask(store))
    assert same({"a": [1.0, float("nan")]}, {"a": (1.000001, float("nan"))})
    assert not same({"a": 1.0}, {"a": 1.1})
    assert not same({"a": 1.0}, {"b": 1.0})
    assert not same(np.zeros(3), np.zeros(4))
    assert not same(np.array(["a"]), np.array(["b"]))
    assert not same("a", 1)
