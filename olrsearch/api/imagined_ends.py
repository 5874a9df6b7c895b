"""What pictures are made of: words or an image, told apart by a rule, as a Gaussian of the latent space.

The rule: a name that is one of the encoder's own words, in any spelling, is that word. Any other name is an
image of the store, or a file, where there is one. What is left is read as words, as `words` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from olrsearch.api.images_asked import Pixels, one_image
from olrsearch.api.pictures import picture_of
from olrsearch.api.understanding import understanding, word_table
from olrsearch.core.errors import QueryError, QuerySyntaxError, UnknownImageError, UnknownWordError
from olrsearch.core.shown import shown
from olrsearch.evaluation.looks.imagined import AskedImage

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from olrsearch.api.images_asked import Asked
    from olrsearch.api.session import Session
    from olrsearch.maths.gaussian import Gaussians
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.search.word_terms import WordTerm
    from olrsearch.store.values import ImageRef

EndKind = Literal["either", "words", "image"]
ENDS: Final[tuple[EndKind, ...]] = get_args(EndKind)


@dataclass(frozen=True, slots=True, eq=False)
class End:
    """What pictures are made of.

    Attributes:
        name: As a heading.
        gaussian: A batch of one.
        image: The real image it comes from; None for words.
        notes: What a reader must know.
    """

    name: str
    gaussian: Gaussians
    image: AskedImage | None = None
    notes: tuple[str, ...] = ()


def find_end(
    session: Session,
    opened: OpenPosteriors,
    what: Asked | Sequence[str],
    taken_as: str,
    *,
    vectors: bool,
    meanings: str | Path | None,
) -> End:
    """Words or an image as a Gaussian.

    Args:
        session: Of the store.
        opened: The space.
        what: A word, several, or an image.
        taken_as: One of `ENDS`.
        vectors: Whether words that are none of the encoder's are taken by their own vectors.
        meanings: A table of meanings of the user's.

    Raises:
        QueryError: nothing is named, several images are, or a name is neither a word nor an image.
        UnknownImageError, UnknownWordError, WordVectorsError: as `words` and `describe`.
    """
    if taken_as not in ENDS:
        raise QueryError(f"taken as {shown(taken_as)}: expected one of {', '.join(ENDS)}")

    def words(texts: Sequence[str]) -> End:
        return _of_words(session, opened, texts, vectors=vectors, meanings=meanings)

    if isinstance(what, list | tuple) and len(what) != 1:
        return _several(session, opened, what, taken_as, words)
    named = one_image(what[0] if isinstance(what, list | tuple) else what)
    if not isinstance(named, str):
        if taken_as == "words":
            raise QueryError(f"{shown(named)} is no word: leave out that it is to be taken as words")
        return _of_image(session, opened, named)
    if taken_as == "image":
        return _of_image(session, opened, named)
    if taken_as == "words" or opened.vocabulary.position(named) is not None:
        return words([named])
    return _either(session, opened, named, words)


def _either(session: Session, opened: OpenPosteriors, named: str, words: Callable[[list[str]], End]) -> End:
    """An image where there is one of this name, else words."""
    try:
        return _of_image(session, opened, named)
    except UnknownImageError as nothing:
        try:
            return words([named])
        except (UnknownWordError, QuerySyntaxError) as error:
            near = error.nearest if isinstance(error, UnknownWordError) else ()
            hint = f"; did you mean {', '.join(near)}?" if near else ": see olrsearch label list"
            raise QueryError(
                f"{shown(named)} is no image of the store, no file, and no word that {opened.info.name} "
                f"knows{hint}"
            ) from nothing


def _several(
    session: Session,
    opened: OpenPosteriors,
    names: Sequence[Any],
    taken_as: str,
    words: Callable[[list[str]], End],
) -> End:
    """Several names, which are words that are all to show."""
    if taken_as == "image":
        raise QueryError(f"{len(names)} images: expected one")
    try:
        return words([one if isinstance(one, str) else "" for one in names])
    except (UnknownWordError, QuerySyntaxError) as error:
        _refuse_images(session, opened, names, error)
        raise


def _refuse_images(session: Session, opened: OpenPosteriors, names: Sequence[Any], error: Exception) -> None:
    """Say so where one of several names, which are taken for words, is an image."""
    for name in names:
        if isinstance(name, str) and opened.vocabulary.position(name) is not None:
            continue
        try:
            session.find(opened.snapshot, name)
        except UnknownImageError:
            continue
        raise QueryError(
            f"{shown(name)} is an image, and several names are words that are all to show: name one image, "
            "or words"
        ) from error


def _of_image(session: Session, opened: OpenPosteriors, named: ImageRef | Pixels) -> End:
    """An image of the store or outside it."""
    seen = session.gaussian(opened, named)
    name = str(named) if seen.image_id is None else opened.snapshot.images([seen.image_id])[0].key
    where = named if seen.image_id is None else seen.image_id
    return End(name, seen.gaussian, AskedImage(name, seen.image_id, picture_of(session, where)))


def _of_words(
    session: Session,
    opened: OpenPosteriors,
    texts: Sequence[str],
    *,
    vectors: bool,
    meanings: str | Path | None,
) -> End:
    """A set of words."""
    from olrsearch.search.query.ast import canonical
    from olrsearch.search.word_queries import word_notes
    from olrsearch.search.word_terms import parse_words, query_of, resolve_words

    terms, understood = resolve_words(
        parse_words(texts),
        opened.vocabulary,
        understanding(session, opened, meanings),
        table=word_table(opened) if vectors else None,
    )
    gaussian = _gaussian(opened, terms)
    return End(canonical(query_of(terms)), gaussian, notes=tuple(word_notes(terms, understood)))


def _gaussian(opened: OpenPosteriors, terms: Sequence[WordTerm]) -> Gaussians:
    """Of a set of words, some of which may be absent where the encoder learned a Gaussian of that."""
    from olrsearch.maths.gaussian_sets import joined, product
    from olrsearch.search.ranking_by_divergence import match_prior

    learned = opened.vocabulary.learned
    absent = [term for term in terms if term.negated]
    if not absent:
        return match_prior(terms, opened.vocabulary, opened.shrinkage)
    if learned is None or learned.absent is None or any(term.own is None for term in absent):
        said = ", ".join(term.spelling for term in absent)
        raise QueryError(
            f"pictures are made of words that are there, and {opened.info.name} has no Gaussian of images "
            f"without one; found {said}: leave it out"
        )
    parts = [
        learned.absent[int(term.own or 0)] if term.negated else term.gaussian
        for term in terms
        if term.negated or term.gaussian is not None
    ]
    return product(joined([part for part in parts if part is not None]), [term.weight for term in terms])
