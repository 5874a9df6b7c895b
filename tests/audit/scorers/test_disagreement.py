"""Where a model that learnt the labels and one that did not say different things."""

from dataclasses import replace

import numpy as np
import pytest
from made_materials import made_material

from olrsearch.audit.scorers.disagreement import Disagreement
from olrsearch.audit.scorers.protocol import scores
from olrsearch.core.progress import silent
from olrsearch.evaluation.metrics import roc_auc


class Fixed:
    name = "probability"

    def __init__(self, probability):
        self.probability = probability

    def evidence(self, material, *, track):
        del material, track
        return self.probability


def test_half_is_agreement_and_the_ends_are_contradiction():
    material, _ = made_material(40)
    teacher = np.full((6, 40), 0.5, np.float32)
    probe = teacher.copy()
    teacher[0, :4], probe[0, :4] = [1, 0, 0.8, np.nan], [0, 1, 0.8, 0.5]
    probe[1] = np.nan
    before = probe.copy()
    evidence = Disagreement(Fixed(probe)).evidence(replace(material, teacher=teacher), track=silent)
    assert evidence.dtype == np.float32
    assert evidence[0, :3] == pytest.approx([0, 1, 0.5])
    assert np.isnan(evidence[0, 3])
    assert np.isnan(evidence[1]).all()
    assert np.array_equal(probe, before, equal_nan=True)


def test_labels_that_were_learnt_by_heart_come_first():
    material, truth = made_material(seed=3)
    rng = np.random.default_rng(0)
    probe = (1 / (1 + np.exp(-(1.5 * truth + rng.normal(size=truth.shape)))).T).astype(np.float32)
    score = scores(Disagreement(Fixed(probe)).evidence(material, track=silent), material.given)
    known = np.isfinite(score)
    wrong = (material.given != truth).T[known]
    assert roc_auc(-score[known][wrong], -score[known][~wrong]) > 0.85


def test_without_a_teacher_nothing_is_asked():
    material, _ = made_material(40)
    evidence = Disagreement(None).evidence(replace(material, teacher=None), track=silent)
    assert evidence.shape == (6, 40)
    assert np.isnan(evidence).all()


def test_both_are_quoted():
    material, _ = made_material(40)
    teacher = np.full((6, 40), 0.96, np.float32)
    scorer = Disagreement(None)
    said = scorer.explain(replace(material, teacher=teacher), 3, 0, 0.5 + (0.08 - 0.96) / 2)
    assert said.text == "the teacher, which learnt the label, says 96%, the embeddings' probe 8%"
    gone = "the teacher of these embeddings is not here"
    assert scorer.explain(replace(material, teacher=None), 3, 0, 0.4).text == gone
    assert scorer.explain(replace(material, teacher=teacher), 3, 0, None).text == gone
