"""Images like an image: by label embeddings, in all labels or some, or by whole posteriors. All exact.

Notation: L labels, k numbers a label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.api.answers import built_index, ranking
from olrsearch.api.arguments import checked
from olrsearch.api.images_asked import one_image
from olrsearch.api.session import allowed
from olrsearch.core.errors import QueryError
from olrsearch.core.names import LabelNames
from olrsearch.core.shown import shown
from olrsearch.search.page import check_page
from olrsearch.search.similar import compose, prototype
from olrsearch.search.similar import similar as search_similar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import TypeAlias

    from olrsearch.api.images_asked import Asked, Pixels
    from olrsearch.api.session import HasSession, Session
    from olrsearch.core.arrays import F32
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.results import Ranking
    from olrsearch.search.similar import By
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.values import ImageRef

    Elsewhere: TypeAlias = Asked | F32 | Sequence[float]
    """What a single label is taken from: an image, or a vector float32 [k]."""

BY_POSTERIOR: Final = "posterior"
"""What `similar` takes as `by` to compare posteriors; a label of this name is meant by a list of it."""


@checked
def similar(
    store: HasSession,
    image: Asked | None = None,
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
        image: What to be like: an id, a key, a file, an image of Pillow's or its pixels, uint8 [height,
            width, 3]. None where `with_` or `prototypes` say it all.
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
    like_image = None if image is None else one_image(image)
    if by == BY_POSTERIOR:
        if like_image is None or with_ or tuple(prototypes):
            raise QueryError(
                "by posterior, one image is compared with all as a whole: name an image, and leave out "
                "single labels (with, prototype)"
            )
        from olrsearch.search.kl.query import SPELT
        from olrsearch.search.ranking_by_divergence import similar_posteriors

        check_page(k, offset)
        whole = session.posteriors(space)
        source, query, *_ = session.gaussian(whole, like_image)
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
        asked_for = f"{how} {like_image} by {SPELT[chosen]} of posteriors"
        return ranking(whole, page, query=asked_for, where=where, farthest=farthest)
    if direction is not None or farthest:
        raise QueryError(
            "a direction and the farthest are of divergences: compare by posterior (--by posterior)"
        )
    check_page(k, offset)
    opened = session.space(space)
    like = None if like_image is None else session.source(opened, like_image)
    with_, prototypes = with_ or {}, (prototypes,) if isinstance(prototypes, str) else tuple(prototypes)
    elsewhere = {label: _elsewhere(label, value) for label, value in with_.items()}
    sources = _sources(session, opened, elsewhere, prototypes)
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
    heading = _spell_similar(like_image, by, elsewhere, prototypes, page.query)
    return ranking(opened, page, query=heading, where=where)


def _sources(
    session: Session,
    opened: OpenSpace,
    with_: Mapping[str, ImageRef | Pixels | F32],
    prototypes: Sequence[str],
) -> dict[str, int | F32]:
    """What single labels are taken from: an image of the store by id, or a vector float32 [k] or [L, k]."""
    sources = {
        label: value if isinstance(value, np.ndarray) else session.source(opened, value)
        for label, value in with_.items()
    }
    for label in prototypes:
        if label in sources:
            raise QueryError(f"{label} is given an image and a prototype: one of the two")
        position = LabelNames(opened.info.labels).position(label)
        sources[label] = prototype(opened.view, opened.stored_labels(), position)
    return sources


def _elsewhere(label: str, value: Elsewhere) -> ImageRef | Pixels | F32:
    """An image as the session looks for it, or a vector, or whole embedding, float32."""
    is_list = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    if not is_list and not (isinstance(value, np.ndarray) and value.dtype.kind == "f"):
        return one_image(value)
    try:
        return np.asarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise QueryError(
            f"{label} is taken from an image or a vector of numbers, found {shown(value)}"
        ) from error


def _spell_similar(
    image: ImageRef | Pixels | None,
    by: By,
    with_: Mapping[str, ImageRef | Pixels | F32],
    prototypes: Sequence[str],
    labels: str,
) -> str:
    """What a similarity query asked, as a heading: whose look, in which labels, with what from where."""
    parts = []
    if image is not None:
        parts.append(f"like {image}" + (f" in {labels}" if by is not None and not with_ else ""))
    parts += [
        f"{label} of {'a vector' if isinstance(source, np.ndarray) else source}"
        for label, source in with_.items()
    ]
    parts += [f"typical {label}" for label in prototypes]
    return ", ".join(parts)
