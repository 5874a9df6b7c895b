"""Queries over posteriors: sets of words, likeness by divergence, descriptions in words; all exact.

Notation: N images, W own words, d dimensions of the latent space.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.answers import built_index, ranking
from olrsearch.api.arguments import checked
from olrsearch.api.images_asked import several_images
from olrsearch.api.session import allowed
from olrsearch.search.attributes import query_values, search_attributes
from olrsearch.search.page import check_page
from olrsearch.search.query.ast import Literal, canonical, resolve_names
from olrsearch.search.query.parser import parse
from olrsearch.search.results import Description, WordEstimate
from olrsearch.search.spaces.about import stored_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from olrsearch.api.images_asked import Asked, Pixels
    from olrsearch.api.session import HasSession, Session
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.results import Ranking
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.search.word_queries import Attributes, AttributesMode
    from olrsearch.search.word_terms import Mode, WordTerm
    from olrsearch.store.values import ImageRef


@checked
def words(
    store: HasSession,
    words: str | Sequence[str],
    k: int = 20,
    *,
    offset: int = 0,
    mode: Mode = "contains",
    direction: Divergence | None = None,
    shrinkage: float | None = None,
    farthest: bool = False,
    recipe: str | None = None,
    attributes: str | None = None,
    attributes_mode: AttributesMode = "filter",
    vectors: str | Path | None = None,
    where: str | None = None,
    space: str | None = None,
) -> Ranking:
    """Find images by a set of words, exactly.

    Args:
        words: Words or phrases: `beard`, `!male` for its absence, `blonde hair^2` to weigh it.
        k: Hits a page.
        offset: Skip this many hits.
        mode: `contains` adds up the log-probabilities of the words; `match` compares the prior of
            the set with the whole posterior.
        direction: Of the divergence, for `match`; `query-to-image` when None, the paper's.
        shrinkage: λ of the prior, for `match`; the encoder's when None.
        farthest: The largest divergences instead, for `match`.
        recipe: For `match`: propose images with the index that `indexes.build` made by this recipe. The
            answer says whether it is proven exact, else the measured recall. The exact search when None
            or `exact`, and, with a note, wherever the index does not apply: another direction,
            the farthest, negated words, another λ than the encoder's, fused ranks, a filter that leaves
            few images.
        attributes: An attribute query, answered by the newest space of label embeddings.
        attributes_mode: `filter` keeps the images whose attributes have a probability of ½ or more;
            `rank` fuses the ranks by words and by attributes.
        vectors: The encoder's table of word vectors where it is not to be found: `glove` or a file.
        where: Only images this selects, e.g. `partition = 'test'`.
        space: Of posteriors.

    Returns:
        Hits by rising distance: −log-probability, or nats of divergence and of what negated words
        add; see `search.word_queries` for the contributions.

    Raises:
        UnknownWordError: neither the encoder nor its table has a word.
        QueryError, QuerySyntaxError: no set of words, or options of the other mode.
        GaussianError: λ outside (0, 1].
        WordVectorsError: another table than the encoder's.
        IndexBuildError: the recipe has built nothing here, or it is damaged.
        EmptyStoreError: nothing is imported, or there are no posteriors.
        IncompatibleEncoderError: the space holds label embeddings.
    """
    from olrsearch.search.ranking_by_divergence import match_prior, match_words, not_used
    from olrsearch.search.word_queries import (
        LIKELY,
        WordQuery,
        check_modes,
        fused,
        open_table,
        spelt,
        term_notes,
    )
    from olrsearch.search.word_terms import WordProbabilities, parse_words, query_of, resolve_words

    session = store.session
    check_page(k, offset)
    check_modes(mode, direction, shrinkage, attributes_mode, farthest=farthest, recipe=recipe)
    written = parse_words(words)
    opened = session.posteriors(space)
    terms = resolve_words(written, opened.vocabulary, open_table(opened.vocabulary, vectors))
    query = WordQuery(
        terms,
        WordProbabilities(opened.scores, terms, opened.calibration),
        mode,
        direction or "query-to-image",
        match_prior(terms, opened.vocabulary, opened.shrinkage if shrinkage is None else shrinkage),
        farthest,
    )
    notes = [*opened.score_notes(), *term_notes(query)]
    built = built_index(opened, recipe)
    if built is not None and shrinkage not in {None, opened.shrinkage}:
        notes.append(not_used(built, f"its recall was measured with the shrinkage {opened.shrinkage:g}"))
        built = None
    chosen, heading = allowed(opened, where), spelt(query)
    if attributes is not None:
        held = _attribute_values(session, opened, attributes)
        notes += held.notes
        chosen = held.held if chosen is None else chosen & held.held
        if attributes_mode == "rank":
            if built is not None:
                notes.append(not_used(built, "fusing ranks all images"))
            page = fused(opened, query, held, count=k, offset=offset, allowed=chosen)
            return ranking(opened, page, notes, query=f"{heading}; {held.spelling}", where=where)
        chosen &= held.values >= LIKELY
        heading += f"; only {held.spelling}"
    if mode == "contains":
        page = search_attributes(query_of(terms), query.chances, count=k, offset=offset, allowed=chosen)
    else:
        page = match_words(
            opened.index,
            terms,
            query.prior,
            query.chances,
            direction=query.direction,
            count=k,
            offset=offset,
            allowed=chosen,
            farthest=farthest,
            built=built,
        )
    return ranking(opened, page, notes, query=heading, where=where)


@checked
def describe_words(
    store: HasSession,
    images: Asked | Iterable[Asked],
    *,
    others: Iterable[str] = (),
    vectors: str | Path | None = None,
    space: str | None = None,
) -> list[Description[WordEstimate]]:
    """Which of the encoder's words are likeliest of images of the store or of image files.

    Args:
        images: Ids, keys or files of the images to describe, or their pixels, as of `describe`.
        others: Words of the encoder's table that are to be judged too.
        vectors: See `words`.
        space: Of posteriors.

    Raises:
        UnknownImageError: an image is neither in the store nor a file.
        UnknownWordError, QueryError, WordVectorsError: as `words`.
    """
    from olrsearch.search.word_queries import open_table
    from olrsearch.search.word_terms import WordTerm, resolve_words

    session = store.session
    opened = session.posteriors(space)
    vocabulary, table = opened.vocabulary, open_table(opened.vocabulary, vectors)
    terms = [
        WordTerm(name, vector, own=number)
        for number, (name, vector) in enumerate(zip(vocabulary.names, vocabulary.vectors, strict=True))
    ]
    asked = resolve_words([(Literal(text), False) for text in dict.fromkeys(others)], vocabulary, table)
    terms += [term for term in asked if term.own is None]
    return [_describe(session, opened, image, terms) for image in several_images(images)]


def _describe(
    session: Session, opened: OpenPosteriors, image: ImageRef | Pixels, terms: Sequence[WordTerm]
) -> Description[WordEstimate]:
    from olrsearch.maths.calibration import log_sigmoid
    from olrsearch.search.kl.word_scores import log_mean_exp
    from olrsearch.search.word_terms import slope_and_offset

    source, gaussian = session.gaussian(opened, image)
    densities = gaussian.log_likelihood(np.stack([term.vector for term in terms]))[0]
    ratios = densities - log_mean_exp(densities[: len(opened.vocabulary)][:, None])[0]
    names, known = opened.vocabulary.names, opened.snapshot.label_names
    stored = (
        None if source is None else stored_labels(opened.snapshot, np.asarray([source], np.int64), names)[0]
    )
    estimates = []
    for term, ratio in zip(terms, ratios.tolist(), strict=True):
        slope, offset = slope_and_offset(opened.calibration, term.own)
        chance = float(np.exp(log_sigmoid(np.asarray(ratio * slope + offset))))
        kept = None
        if stored is not None and term.own is not None and term.name in known:
            kept = int(stored[term.own])
        estimates.append(WordEstimate(term.name, chance, ratio, kept, term.own is not None))
    estimates.sort(key=lambda item: (-item.probability, item.word))
    name = str(image) if source is None else opened.snapshot.images([source])[0].key
    return Description(name, source, tuple(estimates))


def _attribute_values(session: Session, opened: OpenPosteriors, attributes: str) -> Attributes:
    """What the newest space of label embeddings says of an attribute query."""
    from olrsearch.search.word_queries import Attributes

    node = parse(attributes)
    labelled = session.space(None)
    scores = labelled.scores()
    node = resolve_names(node, scores.label_names)
    rows = labelled.view.find(opened.view.ids)
    held = rows >= 0
    values = np.full(len(rows), -np.inf)
    values[held] = query_values(node, scores)[rows[held]]
    notes = [f"attributes, by {labelled.info.name}: {note}" for note in labelled.score_notes()]
    missing = int((~held).sum())
    if missing:
        notes.append(
            f"{missing:,} images have a posterior and no label embedding in {labelled.info.name}, and "
            "are left out: run olrsearch encode"
        )
    return Attributes(canonical(node), values, held, tuple(notes))
