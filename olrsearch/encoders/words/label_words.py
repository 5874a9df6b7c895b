"""Which words stand for a label: the table `labels.toml` beside this file, a user's own, and its name.

Notation: W labels, D numbers a word.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np

from olrsearch.core.errors import UnknownWordError, WordVectorsError
from olrsearch.core.names import normalise_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F64
    from olrsearch.encoders.words.vectors import WordVectors

WeightedWords: TypeAlias = tuple[tuple[str, float], ...]
"""Words and a weight above 0 for each."""

LabelWords: TypeAlias = dict[str, WeightedWords]
"""Words by label name; see `read_label_words`."""

_SHIPPED: Final = Path(__file__).resolve().parent / "labels.toml"
_SECTION: Final = "labels"
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_BETWEEN = re.compile(r"[\s_]+")


def read_label_words(path: Path | str | None = None) -> LabelWords:
    """The table of label words that comes with the package, under a table of the user's.

    Args:
        path: A TOML file of the same form, whose entries go before those of the package: a section
            `[labels]` with `Smiling = ["smile", "smiling"]` or `Blond_Hair = { blond = 2, hair = 1 }`.

    Returns:
        Words and weights by label name, as the files spell it.

    Raises:
        WordVectorsError: the file is not there, or not of this form.
    """
    table = _read(_SHIPPED)
    if path is not None:
        own = _read(Path(path))
        named = {normalise_name(label) for label in own}
        table = {label: words for label, words in table.items() if normalise_name(label) not in named} | own
    return table


def words_of(label: str, table: Mapping[str, WeightedWords]) -> WeightedWords:
    """The words that stand for a label.

    Args:
        label: Its name, in any spelling.
        table: Words by label name. A label that it lacks stands for the words of its own name, which
            is split at `_`, spaces and inner capitals and written small.
    """
    if label in table:
        return table[label]
    wanted = normalise_name(label)
    for name, words in table.items():
        if normalise_name(name) == wanted:
            return words
    return tuple((word, 1.0) for word in own_words(label))


def own_words(text: str) -> tuple[str, ...]:
    """The words of a name, written small: `Wavy_Hair` and `WavyHair` are `wavy` and `hair`."""
    return tuple(word for word in _BETWEEN.split(_CAMEL.sub(" ", text).lower()) if word)


def label_vectors(labels: Sequence[str], table: Mapping[str, WeightedWords], vectors: WordVectors) -> F64:
    """One vector a label: the weighted mean of its words' vectors.

    Args:
        labels: The W label names.
        table: Words by label name; see `words_of`.
        vectors: The table of word vectors.

    Returns:
        float64 [W, D].

    Raises:
        WordVectorsError: a word that the vectors lack, or two labels with the same vector: the labels
            that need an entry in the table are named.
    """
    out = np.empty((len(labels), vectors.size))
    seen: dict[bytes, str] = {}
    for row, label in enumerate(labels):
        words = words_of(label, table)
        try:
            found = vectors.vectors([word for word, _ in words]).astype(np.float64)
        except UnknownWordError as error:
            hint = f", which has {', '.join(error.nearest)}" if error.nearest else ""
            raise WordVectorsError(
                f"the label {label!r} has the word {error.name!r}, unknown to {vectors.source}{hint}: give "
                "this label an entry in a table of label words"
            ) from None
        if not words:
            raise WordVectorsError(
                f"the label {label!r} has no words: give it an entry in a table of label words"
            )
        share = np.array([weight for _, weight in words])
        out[row] = share @ found / share.sum()
        twin = seen.setdefault(out[row].tobytes(), label)
        if twin != label:
            raise WordVectorsError(
                f"the labels {twin!r} and {label!r} stand for the same words, and nothing could tell them "
                "apart: give one of them an entry of its own in a table of label words"
            )
    return out


def _read(path: Path) -> LabelWords:
    """A table of label words from a file."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise WordVectorsError(f"no table of label words at {path}: check the path") from None
    except (OSError, ValueError) as error:
        raise WordVectorsError(
            f"the table of label words {path} cannot be read ({error}): expected TOML in UTF-8"
        ) from None
    labels = content.get(_SECTION)
    if not isinstance(labels, dict) or len(content) > 1:
        raise WordVectorsError(
            f"the table of label words {path} has the sections {sorted(content)}: expected [{_SECTION}] alone"
        )
    return {label: _entry(label, words, path) for label, words in labels.items()}


def _entry(label: str, words: object, path: Path) -> WeightedWords:
    """One label's words and weights."""
    pairs = [(word, 1.0) for word in words] if isinstance(words, list) else words
    pairs = list(pairs.items()) if isinstance(pairs, dict) else pairs
    if (
        not isinstance(pairs, list)
        or not pairs
        or not all(_is_weighted(word, weight) for word, weight in pairs)
    ):
        raise WordVectorsError(
            f'{path}: the label {label!r} has {words!r}; expected words, ["smile", "smiling"], or words with '
            "weights above 0, { blond = 2, hair = 1 }"
        )
    return tuple((word, float(weight)) for word, weight in pairs)


def _is_weighted(word: object, weight: object) -> bool:
    number = isinstance(weight, int | float) and not isinstance(weight, bool) and 0 < weight < float("inf")
    return isinstance(word, str) and bool(word.strip()) and number
