"""Which Gaussian stands for a set of words whose Gaussians were learned: product, mixture, or a map's.

Queries are those of P2 without negation, drawn from the gallery (val and test). Where an encoder learned no
Gaussians, they are fitted here to the means of its training images, and so is a linear map from sets of
labels. Printed: AP and P@20 over queries of one word, of two and of three, of each way, by KL(words‖image)
and by likelihood, beside `contains`; and the paired difference of AP from the product's by likelihood, with
its 95 % interval.

    python benchmarks/learned_sets.py --store celeba --space faces-words --seed 0

Notation: N images, W words, d dimensions, Q queries, G images of the gallery.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
import numpy as np
from olrsearch_benchmarks.words.on_a_store import posterior_data
from olrsearch_benchmarks.words.posterior_data import GalleryDivergences, as_bench_data, calibrated

from olrsearch import Store
from olrsearch.encoders.words.learned import LabelMap, LearnedWords, fit_learned_words
from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.evaluation.bootstrap import paired_difference
from olrsearch.evaluation.queries import judge, measure
from olrsearch.evaluation.query_set import generate_queries
from olrsearch.evaluation.report import Table
from olrsearch.maths.gaussian import SIGMA0
from olrsearch.maths.gaussian_sets import joined, mixture, product
from olrsearch.search.spaces.about import stored_labels

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I8
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.posteriors import OpenPosteriors

KINDS: Final = ("A", "A & B", "A & B & C")
_RIDGE: Final = 1.0


@click.command()
@click.option("--store", type=click.Path(path_type=Path), required=True)
@click.option("--space", help="Of posteriors; the newest.")
@click.option("--seed", type=int, default=0)
def main(store: Path, space: str | None, seed: int) -> None:
    """Measure every way on the queries of P2 without negation."""
    with Store.open(store, read_only=True) as opened_store:
        session = opened_store.session
        opened = session.posteriors(space)
        data = posterior_data(session.backend, opened)
        learned = opened.vocabulary.learned or _fitted(opened)
        if learned.map is None:
            learned = LearnedWords(learned.present, learned.absent, _fitted_map(opened))
    data = data.replace(vocabulary=Vocabulary.of_learned(data.names, learned))
    ratios = data.ratios(data.gallery, data.densities(data.gallery))
    calibration, notes = calibrated(data)
    words = as_bench_data(data, ratios, calibration)
    asked = generate_queries(words, seed=seed)
    signs = asked.signs(data.names)
    kinds = np.array([query.kind for query in asked.queries])
    points = data.mean[data.gallery].astype(np.float64)
    divergences = GalleryDivergences(data)
    rows = []
    for kind in KINDS:
        mine = signs[kinds == kind]
        if not len(mine):
            continue
        relevant, judged, gains = judge(mine, data.truth)
        scores = {"contains": (mine > 0).astype(np.float64) @ words.log_p}
        for way in ("product", "mixture", "map"):
            priors = joined([_prior(learned, sign, way) for sign in mine])
            scores[f"{way}, likelihood"] = priors.log_likelihood(points)
            scores[f"{way}, KL(words‖image)"] = -divergences.of(priors, "query-to-image")
        measured = {name: measure(one, relevant, judged, gains) for name, one in scores.items()}
        against = measured["product, likelihood"]["ap"]
        for name, found in measured.items():
            apart = paired_difference(found["ap"], against, seed=seed)
            rows.append(
                (kind, len(mine), name, float(found["ap"].mean()), float(found["p20"].mean()), str(apart))
            )
    gallery = f"gallery {len(points):,}, seed {seed}"
    table = Table(
        f"sets of words by learned Gaussians, {data.name}, {data.space}, {gallery}",
        ("kind", "queries", "way", "AP", "P@20", "AP less the product's by likelihood"),
        tuple(rows),
    )
    click.echo(table.to_markdown())
    for note in notes:
        click.echo(note)


def _training(opened: OpenPosteriors) -> tuple[F64, I8]:
    """Means and labels of the images that are neither val nor test."""
    ids = opened.view.ids
    partition = opened.snapshot.columns(ids, ("partition",))["partition"]
    rows = np.flatnonzero(~np.isin(partition, ("val", "test")))
    labels = stored_labels(opened.snapshot, ids[rows], opened.vocabulary.names)
    return opened.view.means(rows).astype(np.float64), labels


def _fitted(opened: OpenPosteriors) -> LearnedWords:
    points, labels = _training(opened)
    return fit_learned_words(points, labels, opened.vocabulary.names, absent=True)


def _fitted_map(opened: OpenPosteriors) -> LabelMap:
    """Means, and logarithms of squared residuals, regressed on the labels as a set, with an intercept."""
    points, labels = _training(opened)
    inputs = np.hstack([labels > 0, np.ones((len(labels), 1))]).astype(np.float64)
    gram = inputs.T @ inputs + _RIDGE * np.eye(inputs.shape[1])
    means = np.linalg.solve(gram, inputs.T @ points)
    residuals = np.log(np.square(points - inputs @ means) + SIGMA0**2)
    spreads = np.linalg.solve(gram, inputs.T @ residuals)
    # The logarithm of a mean is more than the mean of logarithms, of squared normals by 1.27.
    spreads[-1] += 1.27
    weight = np.hstack([means, spreads]).T
    words = labels.shape[1]
    return LabelMap(weight[:, :words], weight[:, words], np.eye(words), -8.0, 4.0)


def _prior(learned: LearnedWords, signs: I8, way: str) -> Gaussians:
    chosen = np.flatnonzero(signs > 0)
    if way == "product":
        return product(learned.present[chosen])
    if way == "mixture":
        return mixture(learned.present[chosen])
    if learned.map is None:
        raise ValueError("no map")
    return learned.map.gaussians(learned.map.inputs[chosen].sum(axis=0, keepdims=True))


if __name__ == "__main__":
    main()
