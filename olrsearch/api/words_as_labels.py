"""What to ask labels for in place of a word that no label is called by."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from olrsearch.core.errors import WordVectorsError
from olrsearch.encoders.words.meanings import FILE, read_meanings
from olrsearch.search.query.ast import quote_name
from olrsearch.store.vectors.layout import POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.api.session import Session


def meant(session: Session, word: str, labels: Sequence[str], *, alone: bool) -> str:
    """What a word means by the table of meanings, and how to ask so; empty where the table does not say.

    Args:
        session: Of the store, whose folder may hold a table of its own.
        word: As it stands in a query.
        labels: What a query may name.
        alone: Whether it is the whole query.
    """
    own = session.path / FILE
    try:
        meaning = read_meanings(own if own.is_file() else None).of_labels(labels).find(word)
    except WordVectorsError:  # whoever asks with words hears of it
        return ""
    if not meaning:
        return ""
    query = " & ".join(("!" if asked.negated else "") + quote_name(asked.label) for asked in meaning)
    if not alone:
        plain = len(meaning) == 1 and not meaning[0].negated
        return f"as a word it means {query}: write {query if plain else f'({query})'} in its place"
    words = any(space.layout == POSTERIOR for space in session.living().spaces())
    also = f", or olrsearch words {shlex.quote(word)}" if words else ""
    return f"as a word it means {query}: olrsearch search {shlex.quote(query)}{also}"
