"""The vector that a table of word vectors has for what somebody wrote.

Notation: D numbers a word in the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import UnknownWordError
from olrsearch.core.names import nearest_names
from olrsearch.encoders.words.label_words import own_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F64
    from olrsearch.encoders.words.vectors import WordVectors


def text_vector(text: str, table: WordVectors, names: Sequence[str]) -> F64:
    """A text's vector, float64 [D]: of the whole, or else the mean of its words' vectors.

    Args:
        text: A word or a short phrase.
        table: The table.
        names: Of the encoder's own words, for the message.

    Raises:
        UnknownWordError: the table lacks a word; carries the nearest names.
    """
    words = next((form for form in _forms(text) if all(word in table for word in form)), None)
    if words is None:
        unknown = next((word for word in own_words(text) if word not in table), text)
        near = dict.fromkeys((*nearest_names(text, names, 2), *table.spellings(unknown)))
        raise UnknownWordError(unknown, tuple(near)[:4])
    found: F64 = table.vectors(words).astype(np.float64).mean(axis=0)
    return found


def _forms(text: str) -> list[tuple[str, ...]]:
    """How a text may be written in a table: as a word or one joined by `_` or `-`, or as several."""
    whole = " ".join(text.split())
    parts = tuple(whole.replace("_", " ").split())
    forms = [(whole,), ("_".join(parts),), ("-".join(parts),), parts, own_words(text)]
    smaller = tuple(own_words(text.replace("-", " ")))
    return [form for form in (*forms, smaller) if form and all(form)]
