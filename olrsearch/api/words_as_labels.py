"""What to ask labels for in place of a word that no label is called by."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING

from olrsearch.core.errors import WordVectorsError
from olrsearch.encoders.words.meanings import FILE, read_meanings
from olrsearch.search.query.ast import quote_name
from olrsearch.search.query.edits import spell_edits
from olrsearch.store.vectors.layout import POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.api.session import Session
    from olrsearch.encoders.words.meanings import Asked
    from olrsearch.search.query.edits import Edit


def meant(session: Session, word: str, labels: Sequence[str], *, alone: bool) -> str:
    """What a word means by the table of meanings, and how to ask so; empty where the table does not say.

    Args:
        session: Of the store, whose folder may hold a table of its own.
        word: As it stands in a query.
        labels: What a query may name.
        alone: Whether it is the whole query.
    """
    meaning = _meaning(session, word, labels)
    if not meaning:
        return ""
    query = " & ".join(("!" if asked.negated else "") + quote_name(asked.label) for asked in meaning)
    if not alone:
        plain = len(meaning) == 1 and not meaning[0].negated
        return f"as a word it means {query}: write {query if plain else f'({query})'} in its place"
    words = any(space.layout == POSTERIOR for space in session.living().spaces())
    also = f", or olrsearch words {shlex.quote(word)}" if words else ""
    return f"as a word it means {query}: olrsearch search {shlex.quote(query)}{also}"


def meant_edit(session: Session, edit: Edit, labels: Sequence[str]) -> str:
    """The same of a word in an edit: `+woman` is `-Male`; empty where the table does not say.

    Args:
        session: As for `meant`.
        edit: What was written.
        labels: What can be edited.
    """
    meaning = _meaning(session, edit.label, labels)
    if not meaning or (len(meaning) > 1 and not edit.added):  # nobody knows which of several is to go
        return ""
    edits = [replace(edit, label=asked.label, added=edit.added != asked.negated) for asked in meaning]
    return f"as a word it means something else: write {spell_edits(edits)} in its place"


def _meaning(session: Session, word: str, labels: Sequence[str]) -> tuple[Asked, ...]:
    """What a word asks for by the table of meanings; nothing where the table does not say."""
    own = session.path / FILE
    try:
        return tuple(read_meanings(own if own.is_file() else None).of_labels(labels).find(word) or ())
    except WordVectorsError:  # whoever asks with words hears of it
        return ()
