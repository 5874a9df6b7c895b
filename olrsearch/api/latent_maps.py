"""From a space of posteriors to its map in two dimensions.

Notation: n images on the map, W words on it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.session import allowed
from olrsearch.core.counted import counted
from olrsearch.core.errors import QueryError
from olrsearch.core.names import LabelNames
from olrsearch.evaluation.looks.latent_map import draw_map
from olrsearch.search.spaces.about import known_labels, stored_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.evaluation.looks.latent_map import LatentMap
    from olrsearch.search.spaces.posteriors import OpenPosteriors


def latent_map(
    opened: OpenPosteriors, *, by: str, count: int, labels: Sequence[str] | None, where: str | None, seed: int
) -> LatentMap:
    """See `Looks.map`."""
    from olrsearch.maths.gaussian_sets import joined

    if count < 1:
        raise QueryError(f"count says how many images are drawn, expected 1 or more, found {count}")
    known = opened.vocabulary.names
    asked = known if labels is None else labels
    positions = list(dict.fromkeys(LabelNames(known).position(name) for name in asked))
    rows = np.arange(len(opened.view))
    chosen = allowed(opened, where)
    if chosen is not None:
        rows = rows[chosen]
    drawn = np.random.default_rng([seed, 0x3A9]).permutation(rows)[:count]
    drawn.sort()
    words = [known[position] for position in positions]
    found = draw_map(
        opened.view.means(drawn).astype(np.float64),
        stored_labels(opened.snapshot, opened.view.ids[drawn], words),
        opened.view.ids[drawn],
        joined([opened.vocabulary.prior_of([position], opened.shrinkage) for position in positions]),
        words,
        by=by,
        seed=seed,
    )
    notes = list(found.notes)
    if len(drawn) < len(rows):
        notes.append(f"{len(drawn):,} of {counted(len(rows), 'image')} are drawn, at random")
    if not known_labels(opened.snapshot, opened.info):
        notes.append("the store has no stored label of these, so that all images are grey")
    return replace(found, notes=tuple(notes))
