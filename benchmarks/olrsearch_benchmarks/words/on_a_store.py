"""From a store to what the protocols measure of posteriors: figures of P5, speed of P7.

Notation: N images, W own words, d dimensions, T = d(d+1)/2 numbers of a packed factor, m queries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError, OptionalDependencyError, WordVectorsError
from olrsearch.encoders.words.label_words import read_label_words
from olrsearch.evaluation.data import rows_of
from olrsearch.search.kl.recall import LARGEST_SET, WordSets, sample_word_queries
from olrsearch.search.spaces.about import known_labels, stored_labels
from olrsearch.store.training_runs import selection_ids
from olrsearch_benchmarks.speed.kl_device import device_scans
from olrsearch_benchmarks.speed.kl_recipes import SCANS, run_kl_recipes
from olrsearch_benchmarks.speed.large_galleries import PosteriorArrays
from olrsearch_benchmarks.speed.speed_kl import run_kl_speed
from olrsearch_benchmarks.speed.speed_words import KlSpeedReport, project_posteriors
from olrsearch_benchmarks.words.posterior_data import PosteriorData

if TYPE_CHECKING:
    from olrsearch.core.arrays import I64
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.store.backend import Backend

MEASURED_SIZES: Final = (32, 50)
"""Dimensions that speed is measured at, beside those of the space."""

_QUERIES: Final = 10
_SHRINKAGE: Final = 0.1
"""λ of sets of words where the encoder learned Gaussians, and has none: of speed it decides nothing."""
_WORDS: Final = 20
"""Below so many there are too few sets of two to hold some out from those that recipes are fitted to."""


def posterior_data(backend: Backend, opened: OpenPosteriors, *, name: str | None = None) -> PosteriorData:
    """Posteriors, labels and words of the gallery and of the selection images of a space.

    Args:
        backend: The store.
        opened: The space.
        name: What reports call the data; the data sets' names when None.

    Raises:
        BenchmarkError: no label that the encoder knows is stored, or there is no gallery.
        WordVectorsError: the encoder's table of label words is not where it was.
    """
    snapshot, info, vocabulary = opened.snapshot, opened.info, opened.vocabulary
    if not known_labels(snapshot, info):
        raise BenchmarkError(
            f"the store has no stored label that {info.name} knows, so there is nothing to measure against: "
            "import a data set with labels and with val or test images"
        )
    held_back = selection_ids(backend.path, info)
    ids = opened.view.ids
    selected = np.zeros(len(ids), np.bool_) if held_back is None else np.isin(ids, held_back)
    partition = snapshot.columns(ids, ("partition",))["partition"]
    train, selection, gallery = rows_of(partition, selected)
    kept = np.sort(np.concatenate([selection, gallery]))
    notes, table = [], None
    try:
        table = vocabulary.open_table()
    except (WordVectorsError, OptionalDependencyError) as error:
        notes.append(f"The table of word vectors is not here: {error}.")
    written = info.config.get("label_words")
    return PosteriorData(
        name=name or ", ".join(item.name for item in snapshot.datasets()),
        space=info.name,
        vocabulary=vocabulary,
        shrinkage=opened.shrinkage,
        image_ids=ids[kept],
        keys=[str(key) for key in snapshot.columns(ids[kept], ("key",))["key"]],
        labels=stored_labels(snapshot, ids[kept], info.labels),
        mean=opened.view.means(kept),
        factor=opened.view.factors(kept),
        selection=np.searchsorted(kept, selection),
        gallery=np.searchsorted(kept, gallery),
        images=len(ids),
        train=len(train),
        calibration=None if info.calibration is None else opened.calibration,
        table=table,
        label_words={} if table is None else read_label_words(written or None),
        notes=tuple(notes),
    )


def kl_speed_report(
    opened: OpenPosteriors,
    *,
    images: int = 100_000,
    recipe_images: int | None = 1_000_000,
    recipes: dict[str, Any] | None = None,
    turns: int = 15,
    seed: int = 0,
) -> KlSpeedReport:
    """P7 by divergence: exact search, and the recipes for large galleries, on a space's own posteriors.

    Both are measured at the dimension of the space and, where that is larger, at those of `MEASURED_SIZES`.
    Recipes for a GPU are measured where torch sees one; where it sees none, a note says that they were not.

    Args:
        opened: The space.
        images: To which its posteriors are resampled for exact search.
        recipe_images: The same for the recipes; None leaves them out.
        recipes: Further arguments of `run_kl_recipes`.
        turns: Pairs of timed calls.
        seed: Of everything drawn.

    Raises:
        BenchmarkError: fewer posteriors or words than the recipes need, or nothing to measure.
        EmptyStoreError: every image is deleted.
    """
    view, vocabulary = opened.view, opened.vocabulary
    if recipe_images is not None and len(vocabulary) < _WORDS:
        raise BenchmarkError(
            f"{opened.info.name} has {len(vocabulary)} words, and recipes are measured with sets of words "
            f"that they were not fitted to, out of {_WORDS} or more: leave them out (--no-recipes)"
        )
    given, missing = dict(recipes or {}), None
    if recipe_images is not None and "scans" not in given:
        more, missing = device_scans()
        given["scans"] = (*SCANS, *more)
    rows: I64 = np.arange(len(view))
    mean, factor = view.means(rows), view.factors(rows)
    shrinkage = opened.shrinkage or _SHRINKAGE
    sizes = sorted({view.size, *(size for size in MEASURED_SIZES if size < view.size)})
    lines: list[dict[str, Any]] = []
    for size in sizes:
        some = project_posteriors(mean, factor, vocabulary.vectors, size)
        rng = np.random.default_rng([seed, size])
        largest = min(LARGEST_SET, len(vocabulary))
        sets = WordSets.of_points(some.vectors, shrinkage)
        asked = sample_word_queries(sets, _QUERIES, rng, sizes=tuple(range(1, largest + 1)))
        found = run_kl_speed(some.mean, some.factor, asked.gaussians, images=images, turns=turns, seed=seed)
        lines += found.to_dicts()
        if recipe_images is not None:
            measured = run_kl_recipes(
                PosteriorArrays(some.mean, some.factor),
                some.vectors,
                shrinkage=shrinkage,
                count=recipe_images,
                turns=turns,
                seed=seed,
                **given,
            )
            lines += [{**line, "dimensions": size} for line in measured.to_dicts()]
    return KlSpeedReport(
        protocol="P7",
        title="search by divergence, as ratios in one run",
        command="olrsearch bench speed kl",
        seed=seed,
        baseline="torch.distributions, a bare matrix–vector product, and the exact scan for recipes",
        data={
            "name": ", ".join(item.name for item in opened.snapshot.datasets()),
            "images": len(view),
            "labels": len(vocabulary),
            "dimensions": view.size,
        },
        notes=(*_size_notes(view.size, sizes), *(() if missing is None else (missing,))),
        space=opened.info.name,
        rows=tuple(lines),
    )


def _size_notes(size: int, measured: list[int]) -> tuple[str, ...]:
    notes = []
    if len(measured) > 1:
        fewer = ", ".join(str(one) for one in measured if one != size)
        notes.append(
            f"Of {size} dimensions, {fewer}: marginals along the leading principal directions of the means."
        )
    if left := [str(one) for one in MEASURED_SIZES if one > size]:
        notes.append(f"Not measured at {', '.join(left)} dimensions: the space has {size}.")
    return tuple(notes)
