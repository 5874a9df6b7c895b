"""Images like an image: by label embeddings, in all labels or some, or by whole posteriors. All exact.

Notation: L labels, k numbers a label.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Unpack

import numpy as np

from olrsearch.api.answers import SimilarPage, built_index, ranking
from olrsearch.api.session import allowed
from olrsearch.core.errors import QueryError
from olrsearch.core.names import LabelNames
from olrsearch.search.page import check_page
from olrsearch.search.similar import compose, prototype
from olrsearch.search.similar import similar as search_similar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from olrsearch.api.session import HasSession, Session
    from olrsearch.core.arrays import F32
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.results import Ranking
    from olrsearch.search.similar import By
    from olrsearch.store.values import ImageRef

BY_POSTERIOR: Final = "posterior"
"""What `similar` takes as `by` to compare posteriors; a label of this name is meant by a list of it."""


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
        if image is None or with_ or tuple(prototypes):
            raise QueryError(
                "by posterior, one image is compared with all as a whole: name an image, and leave out "
                "single labels (with, prototype)"
            )
        return _similar_by_posterior(store.session, image, direction=direction, farthest=farthest, **page)
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


def _similar_by_posterior(
    session: Session,
    image: ImageRef,
    *,
    direction: Divergence | None,
    farthest: bool,
    **page: Unpack[SimilarPage],
) -> Ranking:
    from olrsearch.search.divergences import similar_posteriors
    from olrsearch.search.kl.query import SPELT

    check_page(page["k"], page["offset"])
    opened = session.posteriors(page["space"])
    source, query = session.gaussian(opened, image)
    chosen = direction or "jeffreys"
    found = similar_posteriors(
        opened.index,
        query,
        direction=chosen,
        exclude=() if page["include_self"] or source is None else (source,),
        count=page["k"],
        offset=page["offset"],
        max_distance=page["max_distance"],
        allowed=allowed(opened, page["where"]),
        farthest=farthest,
        built=built_index(opened, page["recipe"]),
    )
    how = "unlike" if farthest else "like"
    return ranking(opened, found, query=f"{how} {image} by {SPELT[chosen]} of posteriors")
