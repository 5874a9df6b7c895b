"""Queries over label embeddings: attributes, similar images, predicted labels. All answers are exact.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, Unpack

import numpy as np

from olrsearch.api.session import allowed, several
from olrsearch.core.errors import QueryError
from olrsearch.core.names import LabelNames
from olrsearch.search.attributes import search_attributes
from olrsearch.search.page import check_page
from olrsearch.search.query import parse
from olrsearch.search.results import Description, Hit, LabelEstimate, Ranking
from olrsearch.search.similar import compose, prototype
from olrsearch.search.similar import similar as search_similar
from olrsearch.search.spaces.labels import stored_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from olrsearch.api.session import HasSession, Session
    from olrsearch.core.arrays import F32
    from olrsearch.search.index.scores import Evidence
    from olrsearch.search.kl.exact import Divergence
    from olrsearch.search.page import Page
    from olrsearch.search.similar import By
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.store.values import ImageRef


class SimilarPage(TypedDict):
    """Which hits a question about similar images answers with; see `similar`."""

    k: int
    offset: int
    max_distance: float | None
    where: str | None
    include_self: bool
    recipe: str | None
    space: str | None


BY_POSTERIOR: Final = "posterior"
"""What `similar` takes as `by` to compare posteriors; a label of this name is meant by a list of it."""


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
        query: `smiling & eyeglasses & !male`, `bald | wavy hair`, `smiling^2, hat`.
        k: Hits a page.
        offset: Skip this many hits.
        min_probability: Leave out hits whose score is below this probability.
        where: Only images this selects, e.g. `partition = 'test'`.
        evidence: `predicted`, `labels` or `both`.
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
    page = search_attributes(
        node,
        opened.scores(evidence),
        count=k,
        offset=offset,
        min_score=None if min_probability is None else _log(min_probability),
        allowed=allowed(opened, where),
    )
    return ranking(opened, page, opened.score_notes(evidence))


def similar(
    store: HasSession,
    image: ImageRef | None = None,
    *,
    by: By = None,
    with_: Mapping[str, ImageRef | F32 | Sequence[float]] | None = None,
    prototypes: Iterable[str] = (),
    k: int = 20,
    offset: int = 0,
    max_distance: float | None = None,
    where: str | None = None,
    include_self: bool = False,
    recipe: str | None = None,
    direction: Divergence | None = None,
    farthest: bool = False,
    space: str | None = None,
) -> Ranking:
    """Find images like an image, overall or in some respects, exactly.

    Args:
        image: What to be like. None where `with_` or `prototypes` say it all.
        by: The label or labels that count, or weights of labels; all when None. `posterior` compares
            posteriors instead, the image asked about being the query.
        with_: Take single labels from elsewhere: an image, or a vector float32 [k].
        prototypes: The label or labels whose vector is the mean embedding of the images that have them.
        k: Hits a page.
        offset: Skip this many hits.
        max_distance: Leave out hits farther than this; of posteriors, nats.
        where: Only images this selects.
        include_self: Keep the images asked about in the answer.
        recipe: Propose candidates with the indexes that `indexes.build` made by this recipe, at
            its measured recall; the exact scan when None, and wherever these do not apply
            (filters, cut-offs, several labels). Of posteriors as in `words`.
        direction: Of the divergence between posteriors; `jeffreys` when None, which is symmetric.
        farthest: The largest divergences instead.
        space: Of label embeddings, or of posteriors.

    Returns:
        Hits by rising distance; the contributions of the labels add up to the score.

    Raises:
        QueryError: options of label embeddings and of posteriors together.
    """
    page: SimilarPage = {
        "k": k,
        "offset": offset,
        "max_distance": max_distance,
        "where": where,
        "include_self": include_self,
        "recipe": recipe,
        "space": space,
    }
    if by == BY_POSTERIOR:
        from olrsearch.api.words import similar_by_posterior

        if image is None or with_ or tuple(prototypes):
            raise QueryError(
                "by posterior, one image is compared with all as a whole: name an image, and leave out "
                "single labels (with, prototype)"
            )
        return similar_by_posterior(store.session, image, direction=direction, farthest=farthest, **page)
    if direction is not None or farthest:
        raise QueryError(
            "a direction and the farthest are of divergences: compare by posterior (--by posterior)"
        )
    return _similar_by_labels(store.session, image, by=by, with_=with_ or {}, prototypes=prototypes, **page)


def _similar_by_labels(
    session: Session,
    image: ImageRef | None,
    *,
    by: By,
    with_: Mapping[str, ImageRef | F32 | Sequence[float]],
    prototypes: Iterable[str],
    **page: Unpack[SimilarPage],
) -> Ranking:
    check_page(page["k"], page["offset"])
    opened = session.space(page["space"])
    like = None if image is None else session.source(opened, image)
    sources: dict[str, int | F32] = {
        label: session.source(opened, value)
        if isinstance(value, int | np.integer | str | Path)
        else np.asarray(value, np.float32)
        for label, value in with_.items()
    }
    prototypes = (prototypes,) if isinstance(prototypes, str) else tuple(prototypes)
    for label in prototypes:
        if label in sources:
            raise QueryError(f"{label} is given an image and a prototype: one of the two")
        position = LabelNames(opened.info.labels).position(label)
        sources[label] = prototype(opened.view, opened.stored_labels(), position)
    targets = compose(opened.view, opened.info.labels, like=like, by=by, with_=sources)
    asked = {source for source in (like, *sources.values()) if isinstance(source, int)}
    recipe, limit = page["recipe"], page["max_distance"]
    found = search_similar(
        opened.indexes,
        opened.info.labels,
        targets,
        built=None if recipe is None else opened.built(recipe),
        exclude=() if page["include_self"] else asked,
        count=page["k"],
        offset=page["offset"],
        min_score=None if limit is None else -limit,
        allowed=allowed(opened, page["where"]),
    )
    return ranking(opened, found, query=_spell_similar(image, by, with_, prototypes, found.query))


def describe(
    store: HasSession, images: ImageRef | Iterable[ImageRef], *, space: str | None = None
) -> list[Description]:
    """Predict the labels of images in the store or of image files, most probable first."""
    session = store.session
    opened = session.space(space)
    return [_describe(session, opened, image) for image in several(images)]


def _describe(session: Session, opened: OpenSpace, image: ImageRef) -> Description:
    source = session.source(opened, image)
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
    return Description(name, image_id, tuple(estimates))


def ranking(
    opened: OpenSpace | OpenPosteriors, page: Page, notes: Iterable[str] = (), *, query: str | None = None
) -> Ranking:
    """A page of answers with the keys of its images, as it is returned."""
    rows = opened.snapshot.images(page.ids.tolist())
    hits = tuple(
        Hit(
            rank=page.first_rank + place,
            image_id=row.id,
            key=row.key,
            uri=row.uri,
            distance=float(page.distances[place]),
            score=-float(page.distances[place]),
            contributions=page.contributions[place],
        )
        for place, row in enumerate(rows)
    )
    return Ranking(
        query=page.query if query is None else query,
        hits=hits,
        candidates=page.candidates,
        total=page.total,
        generation=opened.snapshot.generation,
        exact=page.exact,
        notes=(*page.notes, *notes, *opened.coverage_notes()),
    )


def _spell_similar(
    image: ImageRef | None,
    by: By,
    with_: Mapping[str, ImageRef | F32 | Sequence[float]],
    prototypes: Sequence[str],
    labels: str,
) -> str:
    """What a similarity query asked, as a heading: whose look, in which labels, with what from where."""
    parts = []
    if image is not None:
        parts.append(f"like {image}" + (f" in {labels}" if by is not None and not with_ else ""))
    parts += [
        f"{label} of {source if isinstance(source, int | np.integer | str | Path) else 'a vector'}"
        for label, source in with_.items()
    ]
    parts += [f"typical {label}" for label in prototypes]
    return ", ".join(parts)


def _log(probability: float) -> float:
    if not 0 <= probability <= 1:
        raise QueryError(f"a probability lies between 0 and 1, found {probability}")
    return math.log(probability) if probability > 0 else -math.inf
