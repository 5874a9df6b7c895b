"""Understanding words for an encoder of a store, with the table of meanings that applies."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from olrsearch.core.errors import WordVectorsError
from olrsearch.encoders.words.meanings import FILE, read_meanings
from olrsearch.encoders.words.understanding import Understanding

if TYPE_CHECKING:
    from olrsearch.api.session import Session
    from olrsearch.encoders.words.vectors import WordVectors
    from olrsearch.search.spaces.posteriors import OpenPosteriors


def understanding(session: Session, opened: OpenPosteriors, meanings: str | Path | None) -> Understanding:
    """What understands words for the encoder of a space.

    Args:
        session: Of the store.
        opened: The space.
        meanings: A table of the user's; None takes `meanings.toml` in the store's folder, if there is one.

    Raises:
        WordVectorsError: the table is not there, or not of the form; the line is named.
    """
    path = session.path / FILE if meanings is None else Path(meanings).expanduser()
    if meanings is None and not path.is_file():
        return _made(opened.vocabulary.names, opened.vocabulary.phrases, None, 0)
    try:
        stamp = path.stat().st_mtime_ns
    except (OSError, ValueError) as error:
        raise WordVectorsError(
            f"no table of meanings at {path} ({getattr(error, 'strerror', None) or error}): check the path"
        ) from None
    return _made(opened.vocabulary.names, opened.vocabulary.phrases, path, stamp)


def word_table(opened: OpenPosteriors) -> WordVectors:
    """The table of word vectors that an encoder takes words by which it was not trained on.

    Raises:
        WordVectorsError: the encoder learned no map from word vectors, or its table is not here.
        OptionalDependencyError: the package of the table is not installed.
    """
    learned = opened.vocabulary.learned
    table = None if learned is None or learned.map is None else opened.vocabulary.open_table()
    if table is None:
        raise WordVectorsError(
            f"{opened.info.name} was not trained on word vectors, so that no other word has a place in it: "
            "leave --vectors out, and words are taken for labels"
        )
    return table


@lru_cache(maxsize=8)
def _made(
    names: tuple[str, ...], phrases: tuple[str, ...], path: Path | None, stamp: int
) -> Understanding:  # the stamp is of the file: another one is another table
    del stamp
    return Understanding(names, read_meanings(path), phrases=phrases)
