"""Queries over label embeddings: attributes, similar images, predicted labels. All answers are exact.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.answers import ranking
from olrsearch.api.arguments import checked
from olrsearch.api.images_asked import several_images
from olrsearch.api.session import allowed
from olrsearch.core.errors import QueryError, UnknownLabelError
from olrsearch.search.attributes import search_attributes
from olrsearch.search.page import check_page
from olrsearch.search.query.ast import Literal
from olrsearch.search.query.parser import parse
from olrsearch.search.results import Description, LabelEstimate, Ranking
from olrsearch.search.spaces.about import stored_labels
from olrsearch.search.spaces.fits import image_notes
from olrsearch.search.stored_evidence import StoredEvidence, is_stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from olrsearch.api.images_asked import Asked, Pixels
    from olrsearch.api.session import HasSession, Session
    from olrsearch.search.attributes import LiteralScores
    from olrsearch.search.index.scores import Evidence
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.values import ImageRef


@checked
def search(
    store: HasSession,
    query: str,
    k: int = 20,
    *,
    offset: int = 0,
    min_probability: float | None = None,
    where: str | None = None,
    evidence: Evidence = "predicted",
    space: str | None = None,
) -> Ranking:
    """Find images by attributes, exactly.

    Args:
        query: `smiling & eyeglasses & !male`, `bald | wavy hair`, `smiling^2, young`.
        k: Hits a page.
        offset: Skip this many hits.
        min_probability: Leave out hits whose score is below this probability.
        where: Only images this selects, e.g. `partition = 'test'`.
        evidence: `predicted`, `labels` or `both`. By stored labels a query may also name labels that the
            encoder does not know; their stored values alone count.
        space: Of label embeddings.

    Returns:
        Hits by falling log-probability; the contributions of a conjunction add up to it.

    Raises:
        QuerySyntaxError, UnknownLabelError: the query is at fault.
        EmptyStoreError: nothing is imported or encoded.
    """
    session = store.session
    check_page(k, offset)
    node = parse(query)
    opened = session.space(space)
    scores, notes = opened.scores(evidence), opened.score_notes(evidence)
    by: LiteralScores = scores
    if evidence != "predicted":
        by = stored = StoredEvidence(scores, opened.snapshot)
        notes = (*notes, *stored.notes(node))
    try:
        page = search_attributes(
            node,
            by,
            count=k,
            offset=offset,
            min_score=None if min_probability is None else _log(min_probability),
            allowed=allowed(opened, where),
        )
    except UnknownLabelError as error:
        if evidence == "predicted" and is_stored(error.name, opened.snapshot):
            why = f"it is stored, and {opened.info.name} does not know it: add --evidence labels, or both"
            raise UnknownLabelError(error.name, error.nearest, why) from error
        # Loaded here: the tables of words are for those who ask with words.
        from olrsearch.api.words_as_labels import meant

        if instead := meant(session, error.name, by.label_names, alone=isinstance(node, Literal)):
            raise UnknownLabelError(error.name, error.nearest, instead=instead) from error
        raise
    return ranking(opened, page, notes, where=where)


@checked
def describe(
    store: HasSession, images: Asked | Iterable[Asked], *, space: str | None = None
) -> list[Description[LabelEstimate]]:
    """Predict the labels of images in the store, of image files or of pixels, most probable first.

    Args:
        images: An id, a key or a file; an image of Pillow's; an array uint8 [height, width, 3]; or several.
        space: Of label embeddings.
    """
    session = store.session
    opened = session.space(space)
    return [_describe(session, opened, image) for image in several_images(images)]


def _describe(session: Session, opened: OpenSpace, image: ImageRef | Pixels) -> Description[LabelEstimate]:
    source, fit, size = session.seen(opened, image)
    labels = opened.info.labels
    if isinstance(source, int):
        embedding = opened.view.embedding(source)
        stored = stored_labels(opened.snapshot, np.asarray([source], np.int64), labels)[0]
        name, image_id = opened.snapshot.images([source])[0].key, source
    else:
        embedding, stored, name, image_id = source, None, str(image), None
    raw = opened.readout.logits(embedding[:, None, :])
    chance = opened.calibration.probability(raw, range(len(labels)))[:, 0]
    norms = np.linalg.norm(embedding.astype(np.float64), axis=1)
    known = opened.snapshot.label_names
    estimates = [
        LabelEstimate(
            label=label,
            probability=float(chance[row]),
            norm=float(norms[row]),
            stored=int(stored[row]) if stored is not None and label in known else None,
        )
        for row, label in enumerate(labels)
    ]
    estimates.sort(key=lambda item: (-item.probability, item.label))
    notes = image_notes(opened.info, fit, size)
    return Description(name, image_id, tuple(estimates), fit, notes)


def _log(probability: float) -> float:
    if not 0 <= probability <= 1:
        raise QueryError(f"a probability lies between 0 and 1, found {probability}")
    return math.log(probability) if probability > 0 else -math.inf
