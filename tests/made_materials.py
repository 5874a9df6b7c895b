"""Made-up materials of audits: labels that follow from how images look, with errors, and everything else."""

import dataclasses

import numpy as np

from olrsearch.audit.scorers.material import Material, identity_folds

NAMES = ("Common", "Contrary", "Personal", "Fleeting", "Never", "Rare")
COMMON, CONTRARY, PERSONAL, FLEETING, NEVER, RARE = range(6)


def frozen(array):
    """The array, from now on read-only."""
    array.flags.writeable = False
    return array


class MadeViews:
    """How images look to models of every fold: what they show, and noise of the fold's own."""

    def __init__(self, shown, folds, seed=0, size=4):
        rng = np.random.default_rng([seed, 7])
        count, labels = shown.shape
        ways = rng.normal(size=(labels, size))
        noise = rng.normal(size=(folds, labels, count, size)) * 0.7
        vectors = shown.T[None, :, :, None] * ways[None, :, None, :] + noise
        self.vectors = frozen(np.maximum(vectors, 0).astype(np.float32))
        mixed = shown @ rng.normal(size=(labels, 10)) + rng.normal(size=(count, 10)) * 0.5
        self.looks = frozen(mixed.astype(np.float32))

    def features(self, fold, rows):
        del fold
        return self.looks[rows]

    def embeddings(self, fold, label):
        return self.vectors[fold, label]


def made_material(count=320, folds=4, seed=0, wrong=0.06, unknown=0.04):
    """A material, whose arrays are read-only, and the truth, int8 [N, L].

    `Common` and `Contrary` exclude each other, `Personal` belongs to persons, `Never` has one class and
    `Rare` five positives.
    """
    rng = np.random.default_rng(seed)
    identity = rng.integers(0, count // 4, count)
    identity[rng.random(count) < 0.1] = -1
    truth = np.full((count, 6), -1, np.int8)
    truth[rng.random(count) < 0.45, COMMON] = 1
    truth[(truth[:, COMMON] < 0) & (rng.random(count) < 0.8), CONTRARY] = 1
    truth[rng.random(count // 4)[identity] < 0.4, PERSONAL] = 1
    truth[rng.random(count) < 0.5, FLEETING] = 1
    truth[rng.choice(count, 5, replace=False), RARE] = 1
    first = rng.choice(count // 2, count * 3 // 40, replace=False)
    twins = np.stack([np.sort(first), np.sort(first) + count // 2], axis=1)
    truth[twins[:, 1], :NEVER] = truth[twins[:, 0], :NEVER]
    given = truth.copy()
    # Few errors among labels that exclude each other, or no rule would be found.
    given[:, :NEVER][rng.random((count, NEVER)) < np.array([wrong / 4, wrong / 4, wrong, wrong])] *= -1
    given[:, :NEVER][rng.random((count, NEVER)) < unknown] = 0
    given[::50, NEVER] = 0
    return (
        Material(
            NAMES,
            frozen(given),
            frozen(identity_folds(identity, folds=folds, seed=seed)),
            frozen(identity),
            MadeViews(truth.astype(np.float64), folds, seed),
            twins=frozen(twins),
            seed=seed,
        ),
        truth,
    )


def with_value(material, row, label, value):
    """The material with one other given value."""
    given = material.given.copy()
    given[row, label] = value
    return dataclasses.replace(material, given=frozen(given))
