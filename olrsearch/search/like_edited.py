"""An edited embedding as a query: images like one, but with other labels.

What is compared are probabilities, which the readout gives of every embedding, edited or not. Two images are
alike as far as they are expected to share labels, rare labels counting more:

    J = Σ_l w_l q_l p_l / Σ_l w_l (q_l + p_l − q_l p_l),    w_l = −ln(mean probability of l)

with q of the edited embedding and p of an image. The labels that were edited are left out of it. They are
asked for by name instead, and the score is ln J + a Σ ln p(edited label as asked).

Notation: N images, L labels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.errors import QueryError
from olrsearch.maths.calibration import log_sigmoid
from olrsearch.search.index.view import without
from olrsearch.search.page import Page, ranked
from olrsearch.search.query.ast import quote_name, spell_weight
from olrsearch.search.query.edits import spell_edits
from olrsearch.search.results import ALIKE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from olrsearch.core.arrays import F64, Bool
    from olrsearch.search.index.scores import LabelScores
    from olrsearch.search.page import Share
    from olrsearch.search.query.edits import Edit

ASKED: Final = 0.2
"""a, the weight of an edited label's log-probability beside ln J; chosen on selection images."""

_LEAST: Final = 1e-3
"""Of J: an image that shares nothing is far, and no farther than numbers go."""


def search_edited(
    scores: LabelScores,
    chances: F64,
    edits: Sequence[Edit],
    *,
    by: Collection[int] | None = None,
    exclude: Collection[int] = (),
    count: int = 20,
    offset: int = 0,
    allowed: Bool | None = None,
) -> Page:
    """Rank all images by how alike they are to an edited embedding, and whether they show what was asked.

    Args:
        scores: The space's probabilities.
        chances: float64 [L], of the edited embedding.
        edits: What was asked; their strengths weigh it.
        by: Labels that likeness counts; all when None.
        exclude: Ids left out, such as that of the image edited.
        count: Length of the page; all there are when fewer.
        offset: How many hits to leave out before it.
        allowed: bool [N] in the view's rows, the images that count; all when None.

    Returns:
        Hits by falling score; the contributions, likeness and then the edited labels, add up to it.

    Raises:
        QueryError: no label is left to be alike by.
    """
    view = scores.view
    parts = shares(scores, chances, edits, by=by)
    total = np.sum([value for _, value, _ in parts], axis=0)
    return ranked(
        spell_edits(edits),
        view.ids,
        -total,
        lambda rows: [
            (name, value[rows], None if chance is None else chance[rows]) for name, value, chance in parts
        ],
        count=count,
        offset=offset,
        allowed=without(view, exclude, allowed),
    )


def shares(
    scores: LabelScores, chances: F64, edits: Sequence[Edit], *, by: Collection[int] | None = None
) -> list[Share]:
    """What the scores of all images are made of: likeness, then the edited labels; see `search_edited`.

    Raises:
        QueryError: no label is left to be alike by.
    """
    names = scores.label_names
    asked = {names.index(edit.label): edit for edit in edits}
    compared = [label for label in range(len(names)) if (by is None or label in by) and label not in asked]
    if not compared:
        raise QueryError("every label that counts is edited: nothing is left to be alike by")
    parts: list[Share] = [(ALIKE, np.log(np.maximum(_shared(scores, chances, compared), _LEAST)), None)]
    for label, edit in asked.items():
        logits = scores.logits(label)
        value = log_sigmoid(logits if edit.added else -logits)
        literal = ("" if edit.added else "!") + quote_name(edit.label) + spell_weight(edit.strength)
        parts.append((literal, ASKED * edit.strength * value, np.exp(value)))
    return parts


def _shared(scores: LabelScores, chances: F64, compared: Sequence[int]) -> F64:
    """J of all images, float64 [N]."""
    both, either = np.zeros(len(scores.view)), np.zeros(len(scores.view))
    for label in compared:
        chance = np.exp(scores.log_probability(label))
        weight = -np.log(max(float(chance.mean()), _LEAST)) if len(chance) else 0.0
        shared = weight * chances[label] * chance
        both += shared
        either += weight * (chances[label] + chance) - shared
    return np.divide(both, either, out=np.zeros(len(both)), where=either > 0)
