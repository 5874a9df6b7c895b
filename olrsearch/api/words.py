"""Queries over posteriors: sets of words, likeness by divergence, descriptions in words; all exact.

Notation: N images, W own words, d dimensions of the latent space.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.answers import built_index, ranking
from olrsearch.api.arguments import checked
from olrsearch.api.images_asked import several_images
from olrsearch.api.session import allowed
from olrsearch.api.understanding import understanding, word_table
from olrsearch.core.counted import counted
from olrsearch.search.attributes import query_values, search_attributes
from olrsearch.search.page import check_page
from olrsearch.search.query.ast import canonical, resolve_names
from olrsearch.search.query.parser import parse
from olrsearch.search.results import Description, WordEstimate
from olrsearch.search.spaces.about import stored_labels
from olrsearch.search.spaces.fits import image_notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from olrsearch.api.images_asked import Asked, Pixels
    from olrsearch.api.session import HasSession, Session
    from olrsearch.encoders.words.understanding import Understood
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.page import Page
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
    vectors: bool = False,
    meanings: str | Path | None = None,
    where: str | None = None,
    space: str | None = None,
) -> Ranking:
    """Find images by a set of words, exactly.

    Args:
        words: Words or phrases: `beard`, `!male` for its absence, `blonde hair^2` to weigh it. A word that is
            no label is taken for one, or for the absence of one; `Ranking.understood` says for which.
        k: Hits a page.
        offset: Skip this many hits.
        mode: `contains` adds up the log-probabilities of the words; `match` compares the prior of
            the set with the whole posterior; `likelihood` asks how dense that prior is at an image's mean.
            Where the encoder learned Gaussians of its words, the prior is their product.
        direction: Of the divergence, for `match`; `query-to-image` when None, the paper's.
        shrinkage: λ of the prior, for `match` and `likelihood`; the encoder's when None. Learned Gaussians
            have none.
        farthest: The largest divergences instead, for `match`.
        recipe: For `match`: propose images with the index that `indexes.build` made by this recipe. The
            answer says whether it is proven exact, else the measured recall. The exact search when None
            or `exact`, and, with a note, wherever the index does not apply: another direction,
            the farthest, negated words, another λ than the encoder's, fused ranks, a filter that leaves
            few images.
        attributes: An attribute query, answered by the newest space of label embeddings.
        attributes_mode: `filter` keeps the images whose attributes have a probability of ½ or more;
            `rank` fuses the ranks by words and by attributes.
        vectors: Take a word that is no label by its own vector, through the map that the encoder learned, and
            not for a label: for encoders trained on word vectors.
        meanings: A table of meanings, whose words go before those of the package (docs/words.md); None takes
            `meanings.toml` in the store's folder, if there is one.
        where: Only images this selects, e.g. `partition = 'test'`.
        space: Of posteriors.

    Returns:
        Hits by rising distance: −log-probability, or nats of divergence and of what negated words
        add; see `search.word_queries` for the contributions.

    Raises:
        UnknownWordError: a word is not understood surely enough.
        QueryError, QuerySyntaxError: no set of words, or options of the other mode.
        GaussianError: λ outside (0, 1].
        WordVectorsError: the table of meanings is not there, or not of the form; or words are to be taken by
            their vectors, and the encoder has no map or its table is not here.
        IndexBuildError: the recipe has built nothing here, or it is damaged.
        EmptyStoreError: nothing is imported, or there are no posteriors.
        IncompatibleEncoderError: the space holds label embeddings.
    """
    from olrsearch.search.ranking_by_divergence import match_prior, match_words, not_used
    from olrsearch.search.ranking_by_likelihood import likely_words
    from olrsearch.search.word_queries import (
        LIKELY,
        WordQuery,
        check_modes,
        fused,
        spelt,
        term_notes,
    )
    from olrsearch.search.word_terms import WordProbabilities, parse_words, query_of, resolve_words

    session = store.session
    check_page(k, offset)
    check_modes(mode, direction, shrinkage, attributes_mode, farthest=farthest, recipe=recipe)
    written = parse_words(words)
    opened = session.posteriors(space)
    terms, understood = resolve_words(
        written,
        opened.vocabulary,
        understanding(session, opened, meanings),
        table=word_table(opened) if vectors else None,
    )
    query = WordQuery(
        terms,
        understood,
        WordProbabilities(opened.scores, terms, opened.calibration),
        mode,
        direction or "query-to-image",
        match_prior(terms, opened.vocabulary, opened.shrinkage_or(shrinkage)),
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
            heading += f"; {held.spelling}"
            return ranking(opened, page, notes, query=heading, where=where, understood=understood)
        chosen &= held.values >= LIKELY
        heading += f"; only {held.spelling}"
    if mode == "contains":
        page = search_attributes(query_of(terms), query.chances, count=k, offset=offset, allowed=chosen)
    elif mode == "likelihood":
        page = likely_words(
            opened.view, terms, query.prior, query.chances, count=k, offset=offset, allowed=chosen
        )
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
    page, raw = _without_raw(page, opened, terms)
    if mode == "contains":
        notes += raw
    return ranking(opened, page, notes, query=heading, where=where, understood=understood, farthest=farthest)


@checked
def describe_words(
    store: HasSession,
    images: Asked | Iterable[Asked],
    *,
    others: Iterable[str] = (),
    meanings: str | Path | None = None,
    space: str | None = None,
) -> list[Description[WordEstimate]]:
    """Which of the encoder's words are likeliest of images of the store or of image files.

    Args:
        images: Ids, keys or files of the images to describe, or their pixels, as of `describe`.
        others: Words that are to be judged too, each taken for a label; see `WordEstimate.understood`.
        meanings: See `words`.
        space: Of posteriors.

    Raises:
        UnknownImageError: an image is neither in the store nor a file.
        UnknownWordError, QueryError, WordVectorsError: as `words`.
    """
    session = store.session
    opened = session.posteriors(space)
    asked: list[Understood] = []
    if others := tuple(dict.fromkeys(others)):
        understands = understanding(session, opened, meanings)
        asked = [found for found in map(understands.of, others) if found.basis != "label"]
    return [_describe(session, opened, image, asked) for image in several_images(images)]


def _describe(
    session: Session, opened: OpenPosteriors, image: ImageRef | Pixels, asked: Sequence[Understood]
) -> Description[WordEstimate]:
    from olrsearch.maths.calibration import log_sigmoid
    from olrsearch.search.kl.word_scores import ratios_of_images

    source, gaussian, fit, size = session.gaussian(opened, image)
    ratios = ratios_of_images(gaussian, opened.vocabulary.scored)[:, 0]
    names, calibration, known = opened.vocabulary.names, opened.calibration, opened.snapshot.label_names
    logits = ratios * calibration.slope + calibration.offset
    stored = (
        None if source is None else stored_labels(opened.snapshot, np.asarray([source], np.int64), names)[0]
    )

    def estimate(
        own: int, *, negated: bool = False, found: Understood | None = None
    ) -> tuple[float, WordEstimate]:
        chance = float(np.exp(log_sigmoid(np.asarray(-logits[own] if negated else logits[own]))))
        return chance, WordEstimate(
            word=names[own] if found is None else found.text,
            probability=chance if _is_calibrated(opened, names[own]) else None,
            ratio=float(ratios[own]),
            stored=None if stored is None or names[own] not in known else int(stored[own]),
            own=found is None,
            understood=found,
        )

    estimates = [estimate(own) for own in range(len(names))]
    estimates += [
        estimate(names.index(label), negated=negated, found=found)
        for found in asked
        for label, negated in found.meaning
    ]
    estimates.sort(key=lambda item: (-item[0], item[1].word))
    name = str(image) if source is None else opened.snapshot.images([source])[0].key
    notes = image_notes(opened.info, fit, size)
    return Description(name, source, tuple(item for _, item in estimates), fit, notes)


def _is_calibrated(opened: OpenPosteriors, word: str) -> bool:
    """Whether a ratio of a word becomes a probability; otherwise it is no more than an order."""
    own = word in opened.vocabulary.names
    return own and opened.info.calibration is not None and word not in opened.calibration.uncalibrated


def _without_raw(page: Page, opened: OpenPosteriors, terms: Sequence[WordTerm]) -> tuple[Page, list[str]]:
    """A page that shows no probability of a word that is not calibrated, and a note where others have one."""
    raw = {term.spelling for term in terms if not _is_calibrated(opened, term.name)}
    if not raw:
        return page, []
    notes = []
    if any(term.spelling not in raw for term in terms):
        notes.append(
            f"{', '.join(sorted(raw))}: not calibrated, so that no probability is shown (–); it counts in "
            "the score all the same"
        )
    contributions = tuple(
        tuple(replace(part, probability=None) if part.literal in raw else part for part in parts)
        for parts in page.contributions
    )
    return replace(page, contributions=contributions), notes


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
            f"{counted(missing, 'image has', 'images have')} a posterior and no label embedding in "
            f"{labelled.info.name}: left out; run olrsearch encode"
        )
    return Attributes(canonical(node), values, held, tuple(notes))
