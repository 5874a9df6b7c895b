from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from olrsearch.audit.evidence.pooled_score import pooled_score
from olrsearch.evaluation.metrics import roc_auc


def made(seed=0, count=4000, share=0.3):
    rng = np.random.default_rng([seed, 3])
    present = rng.random(count) < share
    odds = logit(share) + np.where(present, 1.5, -1.5)
    views = [expit(odds + noise * rng.normal(size=count)).astype(np.float32) for noise in (1.5, 2.5)]
    return present, views, rng.random(count) < 0.5


def test_two_scorers_together_tell_more_than_either():
    present, views, half = made()
    both = pooled_score(views, present, half)
    alone = [roc_auc(view[present], view[~present]) for view in views]
    assert roc_auc(both[present], both[~present]) > max(alone) + 0.01


def test_scores_are_log_odds_of_what_is_given():
    present, views, half = made(count=20_000)
    said = expit(pooled_score(views, present, half))
    for low, high in ((0.0, 0.1), (0.3, 0.5), (0.8, 1.0)):
        chosen = (said >= low) & (said < high)
        assert abs(said[chosen].mean() - present[chosen].mean()) < 0.03


def test_an_entrys_own_value_is_not_in_its_score():
    present, views, half = made(count=300)
    before = pooled_score(views, present, half)
    row = int(np.flatnonzero(half)[0])
    changed = present.copy()
    changed[row] = ~changed[row]
    after = pooled_score(views, changed, half)
    # Only the label's frequency, which is common to all, and the other half's weights can move.
    base = logit((changed.sum() + 0.5) / 301) - logit((present.sum() + 0.5) / 301)
    assert abs(after[row] - before[row]) < 2 * abs(base)
    assert np.abs(after[~half] - before[~half]).max() > 0


def test_what_says_nothing_moves_nothing():
    present, views, half = made()
    silent = [np.full(len(present), np.nan, np.float32), *views]
    np.testing.assert_allclose(
        pooled_score(silent, present, half), pooled_score(views, present, half), atol=0.1
    )
    quiet = pooled_score(silent[:1], present, half)
    np.testing.assert_allclose(expit(quiet), present.mean(), atol=0.02)


def test_certain_evidence_and_few_examples_stay_finite():
    present = np.arange(400) < 5
    sure = np.where(present, 1.0, 0.0).astype(np.float32)
    score = pooled_score([sure, np.full(400, 0.01, np.float32)], present, np.arange(400) % 2 == 0)
    assert np.isfinite(score).all()
    assert score[present].min() > score[~present].max()
