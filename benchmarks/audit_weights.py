"""What evidence is worth where people made the errors: near-duplicates as second annotations (P4, N4).

CelebA holds photographs twice, annotated apart. The given label of one picture of a pair is a second opinion
on the other that no scorer had a part in. Each scorer alone, and all of them together, are fitted to predict
it, in ten folds of pairs; the weights of the fit over all pairs are what `evidence.weights` rounds.

    python benchmarks/audit_weights.py --store celeba-store

Notation: N images, L labels, P pairs, S scorers.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from scipy.special import expit, logit

from olrsearch.audit.evidence.combine import odds_beyond
from olrsearch.audit.runs.from_store import material_of_space
from olrsearch.audit.scorers.identity import Identity
from olrsearch.audit.scorers.registry import make_scorers
from olrsearch.audit.scorers.twins import find_twins
from olrsearch.core.progress import silent
from olrsearch.evaluation.metrics import average_precision, ranked
from olrsearch.maths.logistic import fit_logistic
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.backend import Backend
from olrsearch.store.vectors.layout import LABELS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.audit.scorers.material import Material
    from olrsearch.core.arrays import F64, I64, Bool

ASKED = ("probability", "neighbours", "likelihood", "other-labels", "contradictions")
RIDGE, FOLDS = 100.0, 10


@click.command()
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--space", help="Name or fingerprint; the newest of label embeddings.")
def main(store: Path, space: str | None) -> None:
    """How well entries are found that a second annotation contradicts, and by which weights."""
    with Backend.open(store, read_only=True) as backend:
        snapshot = backend.snapshot()
        whole = material_of_space(backend, OpenSpace(snapshot, snapshot.space(space, LABELS)))
        pairs = find_twins(snapshot, whole.ids)
        said = evidence(whole.found, pairs)
    given = whole.found.given
    ours, theirs = np.concatenate([pairs, pairs[:, ::-1]]).T
    known = (given[ours] != 0) & (given[theirs] != 0)
    wrong = given[ours] != given[theirs]
    pair = np.tile(np.arange(len(pairs)), 2)
    click.echo(
        f"{len(pairs)} pairs, {int(known.sum()) // 2:,} entries labelled twice, "
        f"{wrong[known].mean():.2%} of them differently"
    )
    click.echo(f"{'scorers':<60} {'AP':>6}  weights")
    columns = {name: said[name] for name in (*ASKED, "identity")}
    for names in (*((name,) for name in columns), ASKED[:3], tuple(columns)):
        table = design([columns[name] for name in names], given, ours)
        present = held_out(table, given[theirs] > 0, known, pair)
        score = np.where(given[ours] > 0, present, 1 - present)[known]
        order = ranked(-score[None])
        found = average_precision(np.take_along_axis(wrong[known][None], order, axis=1))[0]
        weights = fit(table, given[theirs] > 0, known)
        click.echo(f"{', '.join(names):<60} {found:6.3f}  {' '.join(f'{value:+.2f}' for value in weights)}")


def evidence(found: Material, pairs: I64) -> dict[str, F64]:
    """Log-odds of presence beyond the label's own, float64 [2 P, L] by scorer; 0 where nothing is said."""
    ours = np.concatenate([pairs[:, 0], pairs[:, 1]])
    frequency = (found.given > 0).sum(axis=0) / np.maximum(1, (found.given != 0).sum(axis=0))
    odds = logit(np.clip(frequency, 1e-4, 1 - 1e-4))
    out = {
        scorer.name: odds_beyond(scorer.evidence(found, track=silent).T[ours], odds)
        for scorer in make_scorers(ASKED)
    }
    # A twin is mostly of the same person: her other images must speak without the twin.
    halves = []
    for here, there in (pairs.T, pairs.T[::-1]):
        given = found.given.copy()
        given[there] = 0
        alone = Identity().evidence(replace(found, given=given), track=silent)
        halves.append(odds_beyond(alone.T[here], odds))
    out["identity"] = np.concatenate(halves)
    return out


def design(columns: Sequence[F64], given: F64, ours: I64) -> F64:
    """What weights multiply: evidence, given present, given absent, the label's log-odds; [2 P, L, S + 3]."""
    value = given[ours]
    frequency = (given > 0).sum(axis=0) / np.maximum(1, (given != 0).sum(axis=0))
    odds = np.broadcast_to(logit(np.clip(frequency, 1e-4, 1 - 1e-4)), value.shape)
    return np.stack([*columns, value > 0, value < 0, odds], axis=-1).astype(np.float64)


def fit(table: F64, present: Bool, used: Bool) -> F64:
    """Weights, float64 [S + 3]."""
    size = table.shape[-1]
    ridge = np.array([RIDGE] * (size - 3) + [1e-2] * 3)
    entries = (table[used], present[used].astype(np.float64), np.ones(int(used.sum())))
    return fit_logistic([entries], np.zeros(size), ridge, np.zeros(size))


def held_out(table: F64, present: Bool, known: Bool, pair: I64) -> F64:
    """Probabilities by weights of other pairs, float64 [2 P, L]."""
    fold = np.random.default_rng(0).permutation(pair.max() + 1) % FOLDS
    out = np.empty(present.shape)
    for number in range(FOLDS):
        here = fold[pair] == number
        out[here] = expit(table[here] @ fit(table, present, known & ~here[:, None]))
    return out


if __name__ == "__main__":
    main()
