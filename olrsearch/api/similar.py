"""Images like an image: by label embeddings, in all labels or some, or by whole posteriors. All exact.

Notation: L labels, k numbers a label.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.api.answers import built_index, ranking
from olrsearch.api.session import allowed
from olrsearch.core.errors import QueryError
from olrsearch.core.names import LabelNames
from olrsearch.search.page import check_page
from olrsearch.search.similar import compose, prototype
from olrsearch.search.similar import similar as search_similar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from typing import TypeAlias

    from olrsearch.api.session import HasSession, Session
    from olrsearch.core.arrays import F32
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.results import Ranking
    from olrsearch.search.similar import By
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.values import ImageRef

    Elsewhere: TypeAlias = ImageRef | F32 | Sequence[float]
    """What a single label is taken from: an image, or a vector float32 [k]."""

BY_POSTERIOR: Final = "posterior"
"""What `similar` takes as `by` to compare posteriors; a label of this name is meant by a list of it."""


def similar(
    store: HasSession,
    image: ImageRef | None = None,
    *,
    by: By = None,
    with_: Mapping[str, Elsewhere] | None = None,
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
    session = store.session
    if by == BY_POSTERIOR:
        if image is None or with_ or tuple(prototypes):
            raise QueryError(
                "by posterior, one image is compared with all as a whole: name an image, and leave out "
                "single labels (with, prototype)"
            )
        from olrsearch.search.kl.query import SPELT
        from olrsearch.search.ranking_by_divergence import similar_posteriors

        check_page(k, offset)
        whole = session.posteriors(space)
        source, query = session.gaussian(whole, image)
        chosen = direction or "jeffreys"
        page = similar_posteriors(
            whole.index,
            query,
            direction=chosen,
            exclude=() if include_self or source is None else (source,),
            count=k,
            offset=offset,
            max_distance=max_distance,
            allowed=allowed(whole, where),
            farthest=farthest,
            built=built_index(whole, recipe),
        )
        how = "unlike" if farthest else "like"
        return ranking(whole, page, query=f"{how} {image} by {SPELT[chosen]} of posteriors", where=where)
    if direction is not None or farthest:
        raise QueryError(
            "a direction and the farthest are of divergences: compare by posterior (--by posterior)"
        )
    check_page(k, offset)
    opened = session.space(space)
    like = None if image is None else session.source(opened, image)
    with_, prototypes = with_ or {}, (prototypes,) if isinstance(prototypes, str) else tuple(prototypes)
    sources = _sources(session, opened, with_, prototypes)
    asked = {source for source in (like, *sources.values()) if isinstance(source, int)}
    page = search_similar(
        opened.indexes,
        opened.info.labels,
        compose(opened.view, opened.info.labels, like=like, by=by, with_=sources),
        built=None if recipe is None else opened.built(recipe),
        exclude=() if include_self else asked,
        count=k,
        offset=offset,
        min_score=None if max_distance is None else -max_distance,
        allowed=allowed(opened, where),
    )
    return ranking(opened, page, query=_spell_similar(image, by, with_, prototypes, page.query), where=where)


def _sources(
    session: Session, opened: OpenSpace, with_: Mapping[str, Elsewhere], prototypes: Sequence[str]
) -> dict[str, int | F32]:
    """What single labels are taken from: an image of the store by id, or a vector float32 [k] or [L, k]."""
    sources = {
        label: session.source(opened, value)
        if isinstance(value, int | np.integer | str | Path)
        else np.asarray(value, np.float32)
        for label, value in with_.items()
    }
    for label in prototypes:
        if label in sources:
            raise QueryError(f"{label} is given an image and a prototype: one of the two")
        position = LabelNames(opened.info.labels).position(label)
        sources[label] = prototype(opened.view, opened.stored_labels(), position)
    return sources


def _spell_similar(
    image: ImageRef | None,
    by: By,
    with_: Mapping[str, Elsewhere],
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
