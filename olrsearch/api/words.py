"""What can be asked of an open store's posteriors: words, likeness by divergence, descriptions in words.

Nothing here changes a store, and nothing imports torch unless it is asked about an image file that is not
in the store, or to decode. Notation: N images, W own words, d dimensions of the latent space.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from olrsearch.api.session import Reader
from olrsearch.core.errors import QueryError
from olrsearch.search.page import check_page
from olrsearch.search.results import WordDescription, WordEstimate
from olrsearch.search.spaces.about import stored_labels
from olrsearch.search.word_queries import (
    LIKELY,
    SPELT,
    Attributes,
    AttributesMode,
    WordQuery,
    check_modes,
    fused,
    open_table,
    spelt,
    term_notes,
)
from olrsearch.store.vectors.layout import POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import ArrayLike

    from olrsearch.core.arrays import F32, U8
    from olrsearch.core.progress import Track
    from olrsearch.encoders.protocol import PosteriorEncoder
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.kl.built import BuiltKl
    from olrsearch.search.kl.query import Divergence
    from olrsearch.search.results import Ranking
    from olrsearch.search.similar import By
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.search.word_terms import Mode, WordTerm
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import ImageRef, SpaceInfo

BY_POSTERIOR: Final = "posterior"
"""What `similar` takes as `by` to compare posteriors; a label of this name is meant by a list of it."""


class WordReader(Reader):
    """An open store whose posteriors can be asked too, beside all that a reader asks."""

    def __init__(self, backend: Backend, *args: Track) -> None:
        super().__init__(backend, *args)
        self._posteriors: dict[tuple[int, str], OpenPosteriors] = {}

    def words(
        self,
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
            recipe: For `match`: propose images with the index that `build_index` made by this recipe. The
                answer says whether it is proven exact, else the measured recall. The exact search when None
                or `exact`, and, with a note, wherever the index does not apply: another direction,
                the farthest, negated words, another λ than the encoder's, fused ranks, a filter that leaves
                few images.
            attributes: An attribute query, answered by the newest space of label embeddings.
            attributes_mode: `filter` keeps the images whose attributes have a probability of ½ or more;
                `rank` fuses the ranks by words and by attributes.
            vectors: The encoder's table of word vectors where it is not to be found: `glove` or a file.
            where: Only images this selects, e.g. `partition = 'test'`.
            space: Name or fingerprint; the newest of posteriors when None.

        Returns:
            Hits by rising distance: −log-probability, or nats of divergence and of what negated words
            add; see `search.words` for the contributions.

        Raises:
            UnknownWordError: neither the encoder nor its table has a word.
            QueryError, QuerySyntaxError: no set of words, or options of the other mode.
            GaussianError: λ outside (0, 1].
            WordVectorsError: another table than the encoder's.
            IndexBuildError: the recipe has built nothing here, or it is damaged.
            EmptyStoreError: nothing is imported, or there are no posteriors.
            IncompatibleEncoderError: the space holds label embeddings.
        """
        from olrsearch.search.attributes import search_attributes
        from olrsearch.search.divergences import match_prior, match_words, not_used
        from olrsearch.search.word_terms import WordProbabilities, parse_words, query_of
        from olrsearch.search.word_terms import resolve_words as resolve

        check_page(k, offset)
        check_modes(mode, direction, shrinkage, attributes_mode, farthest=farthest, recipe=recipe)
        written = parse_words(words)
        opened = self._posterior_space(space)
        terms = resolve(written, opened.vocabulary, open_table(opened.vocabulary, vectors))
        query = WordQuery(
            terms,
            WordProbabilities(opened.scores, terms, opened.calibration),
            mode,
            direction or "query-to-image",
            match_prior(terms, opened.vocabulary, opened.shrinkage if shrinkage is None else shrinkage),
            farthest,
        )
        notes = [*opened.score_notes(), *term_notes(query)]
        built = _built(opened, recipe)
        if built is not None and shrinkage not in {None, opened.shrinkage}:
            notes.append(not_used(built, f"its recall was measured with the shrinkage {opened.shrinkage:g}"))
            built = None
        allowed = self._allowed(opened, where)
        if attributes is not None:
            asked = self._attribute_values(opened, attributes)
            notes += asked.notes
            allowed = asked.held if allowed is None else allowed & asked.held
            if attributes_mode == "rank":
                if built is not None:
                    notes.append(not_used(built, "fusing ranks all images"))
                page = fused(opened, query, asked, count=k, offset=offset, allowed=allowed)
                return self._ranking(opened, page, tuple(notes), query=f"{spelt(query)}; {asked.spelling}")
            allowed &= asked.values >= LIKELY
        if mode == "contains":
            page = search_attributes(query_of(terms), query.chances, count=k, offset=offset, allowed=allowed)
        else:
            page = match_words(
                opened.index,
                terms,
                query.prior,
                query.chances,
                direction=query.direction,
                count=k,
                offset=offset,
                allowed=allowed,
                farthest=farthest,
                built=built,
            )
        heading = spelt(query) if attributes is None else f"{spelt(query)}; only {asked.spelling}"
        return self._ranking(opened, page, tuple(notes), query=heading)

    def similar(
        self,
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
        """Find images like an image: by labels as `Reader.similar` does, or by posteriors, exactly.

        Args:
            image: What to be like.
            by: `posterior` compares posteriors; else see `Reader.similar`.
            with_: Of labels only.
            prototypes: Of labels only.
            k: Hits a page.
            offset: Skip this many hits.
            max_distance: Leave out hits farther than this: of posteriors, nats.
            where: Only images this selects.
            include_self: Keep the image asked about in the answer.
            recipe: See `Reader.similar`; of posteriors as in `words`, and it is built for one direction,
                which `jeffreys` is not.
            direction: Of the divergence between posteriors, the image asked about being the query;
                `jeffreys` when None, which is symmetric.
            farthest: The largest divergences instead.
            space: Name or fingerprint; the newest of its layout when None.

        Returns:
            Hits by rising distance.

        Raises:
            QueryError: options of the one with the other.
        """
        if by != BY_POSTERIOR:
            if direction is not None or farthest:
                raise QueryError(
                    "a direction and the farthest are of divergences: compare by posterior (--by posterior)"
                )
            return super().similar(
                image,
                by=by,
                with_=with_,
                prototypes=prototypes,
                k=k,
                offset=offset,
                max_distance=max_distance,
                where=where,
                include_self=include_self,
                recipe=recipe,
                space=space,
            )
        if image is None or with_ or tuple(prototypes):
            raise QueryError(
                "by posterior, one image is compared with all as a whole: name an image, and leave out "
                "single labels (with, prototype)"
            )
        from olrsearch.search.divergences import similar_posteriors

        check_page(k, offset)
        opened = self._posterior_space(space)
        source, query = self._gaussian(opened, image)
        chosen = direction or "jeffreys"
        page = similar_posteriors(
            opened.index,
            query,
            direction=chosen,
            exclude=() if include_self or source is None else (source,),
            count=k,
            offset=offset,
            max_distance=max_distance,
            allowed=self._allowed(opened, where),
            farthest=farthest,
            built=_built(opened, recipe),
        )
        how = "unlike" if farthest else "like"
        return self._ranking(opened, page, query=f"{how} {image} by {SPELT[chosen]} of posteriors")

    def describe_words(
        self,
        images: ImageRef | Iterable[ImageRef],
        *,
        others: Iterable[str] = (),
        vectors: str | Path | None = None,
        space: str | None = None,
    ) -> list[WordDescription]:
        """Which of the encoder's words are likeliest of images of the store or of image files.

        Args:
            images: Which.
            others: Words of the encoder's table that are to be judged too.
            vectors: See `words`.
            space: Name or fingerprint; the newest of posteriors when None.

        Raises:
            UnknownImageError: an image is neither in the store nor a file.
            UnknownWordError, QueryError, WordVectorsError: as `words`.
        """
        from olrsearch.search.query import Literal as Word
        from olrsearch.search.word_terms import WordTerm, resolve_words

        opened = self._posterior_space(space)
        vocabulary, table = opened.vocabulary, open_table(opened.vocabulary, vectors)
        terms = [
            WordTerm(name, vector, own=number)
            for number, (name, vector) in enumerate(zip(vocabulary.names, vocabulary.vectors, strict=True))
        ]
        asked = resolve_words([Word(text) for text in dict.fromkeys(others)], vocabulary, table)
        terms += [term for term in asked if term.own is None]
        wanted = [images] if isinstance(images, int | np.integer | str | Path) else list(images)
        return [self._describe_words(opened, image, terms) for image in wanted]

    def posterior(self, image: ImageRef, *, space: str | None = None) -> Gaussians:
        """One image's posterior, a batch of one; a file outside the store is encoded."""
        return self._gaussian(self._posterior_space(space), image)[1]

    def decode(self, points: ArrayLike, *, space: str | None = None) -> U8:
        """Expected images at points of the latent space.

        Args:
            points: float [m, d].
            space: Name or fingerprint; the newest of posteriors when None.

        Returns:
            uint8 [m, H, W, 3], RGB.

        Raises:
            EncoderError: the encoder has no decoder, or points of another dimension.
        """
        info = self._posterior_space(space).info
        return self._posterior_encoder(info).decode(np.asarray(points, np.float32))

    def _describe_words(
        self, opened: OpenPosteriors, image: ImageRef, terms: Sequence[WordTerm]
    ) -> WordDescription:
        from olrsearch.maths.calibration import log_sigmoid
        from olrsearch.search.kl.word_scores import log_mean_exp
        from olrsearch.search.word_terms import slope_and_offset

        source, gaussian = self._gaussian(opened, image)
        densities = gaussian.log_likelihood(np.stack([term.vector for term in terms]))[0]
        ratios = densities - log_mean_exp(densities[: len(opened.vocabulary)][:, None])[0]
        names, known = opened.vocabulary.names, opened.snapshot.label_names
        stored = (
            None
            if source is None
            else stored_labels(opened.snapshot, np.asarray([source], np.int64), names)[0]
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
        return WordDescription(name, source, tuple(estimates))

    def _posterior_space(self, ref: str | None) -> OpenPosteriors:
        from olrsearch.search.spaces.posteriors import OpenPosteriors

        return self._opened(ref, POSTERIOR, self._posteriors, OpenPosteriors)

    def _posterior_encoder(self, info: SpaceInfo) -> PosteriorEncoder:
        """The encoder of a space that holds posteriors."""
        return cast("PosteriorEncoder", self._encoder(info))

    def _gaussian(self, opened: OpenPosteriors, image: ImageRef) -> tuple[int | None, Gaussians]:
        """An image's id, None of a file outside the store, and its posterior."""
        from olrsearch.maths.gaussian import Gaussians

        found = self._find(opened.snapshot, image)
        if isinstance(found, int):
            return found, opened.view.gaussians(opened.view.rows([found]))
        from olrsearch.datasets.files import load_array

        encoder = self._posterior_encoder(opened.info)
        pixels = load_array(found.parent, found.name, encoder.input_size, encoder.crop)
        made = encoder.encode(pixels[None])
        return None, Gaussians.of_packed(made.mean, made.factor)

    def _attribute_values(self, opened: OpenPosteriors, attributes: str) -> Attributes:
        """What the newest space of label embeddings says of an attribute query."""
        from olrsearch.search.attributes import query_values
        from olrsearch.search.query import canonical, parse, resolve_names

        node = parse(attributes)
        labelled = self._space(None)
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


def _built(opened: OpenPosteriors, recipe: str | None) -> BuiltKl | None:
    """The index of a recipe; None for the exact search."""
    return None if recipe in {None, "exact"} else opened.built(str(recipe))
