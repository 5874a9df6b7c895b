"""Which meaning a word or phrase is nearest to, by vectors, and how surely it is the right one.

The words of a table of meanings are references. A phrase is as near to a meaning as to the two nearest of its
references on the mean, by cosine about the mean of all references. Words of no meaning are references too: a
phrase that is nearest to these means nothing here.

How surely is a logistic function of three numbers: that similarity, how far ahead of the next meaning it is,
and how far ahead of the opposite one. It was fitted to words that stand in no table, and `olrsearch bench
words` shows how often what is said holds.

Notation: R references, D numbers a text.
"""

from __future__ import annotations

import hashlib
import math
import re
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from olrsearch.core.arrays import read_npy
from olrsearch.core.files import write_whole
from olrsearch.encoders.words.negation import plain
from olrsearch.encoders.words.sentences import NAME, SHA256, SentenceEncoder
from olrsearch.encoders.words.tables import cache_folder
from olrsearch.encoders.words.vectors import GLOVE, WordVectors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F64
    from olrsearch.encoders.words.meanings import Meaning

LEAST: Final = 0.6
"""The sureness below which a word is refused."""

LEAST_SIMILAR: Final = 0.42
"""The similarity below which a word alone is refused, however sure: foreign words are like anything."""

MOST_AHEAD: Final = 0.3
"""Being farther ahead than this adds nothing."""

_NEAREST: Final = 2
_TOO_NEAR: Final = 0.85
"""A word of no meaning that is so near to a reference of a label is left out: labels may be anything."""

_STOP: Final = frozenset(("a", "an", "the", "of", "in", "on", "with", "and", "to", "s", "'s"))


class Weights(NamedTuple):
    """What turns likeness into a log-odds of being right.

    Attributes:
        similarity: Of the cosine.
        ahead: Of how far the next meaning is behind.
        opposite: Of how far the opposite meaning is behind.
        constant: Added.
    """

    similarity: float
    ahead: float
    opposite: float
    constant: float


class Likely(NamedTuple):
    """A meaning that a phrase may have.

    Attributes:
        meaning: `()` where it asks for nothing that labels say.
        similarity: Mean cosine to the two nearest references, −1 to 1.
        ahead: How far ahead of the next meaning, and of the opposite one; `MOST_AHEAD` at most.
        sureness: Estimated probability that it is right, 0 to 1; of the first meaning alone.
    """

    meaning: Meaning
    similarity: float
    ahead: tuple[float, float]
    sureness: float


class TextVectors(Protocol):
    """What makes vectors of texts."""

    name: str
    weights: Weights
    source: str

    def encode(self, texts: Sequence[str]) -> F64:
        """Float64 [n, D], of any length; zeros of a text that it cannot read."""


class SentenceVectors:
    """Vectors by the sentence encoder, which is opened when it is first needed."""

    name = "sentence encoder"
    source = f"{NAME} {SHA256}"
    weights = Weights(2.6211, 7.0519, 0.0, -0.9682)

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._opened: SentenceEncoder | None = None

    def encode(self, texts: Sequence[str]) -> F64:
        """Float64 [n, 384].

        Raises:
            OptionalDependencyError: the encoder is not installed.
            WordVectorsError: it is damaged, or another one.
        """
        if self._opened is None:
            self._opened = SentenceEncoder(self._folder)
            if len(texts) > 1:  # references, which are kept: once is enough
                self._opened.check()
        return self._opened.encode([text.strip().lower() for text in texts]).astype(np.float64)


class GloveVectors:
    """Vectors by the words of a phrase: their mean, each of length 1."""

    name = "GloVe"
    source = GLOVE
    weights = Weights(4.8448, 6.6824, 2.2485, -4.377)

    def __init__(self, table: WordVectors) -> None:
        self._table = table

    def encode(self, texts: Sequence[str]) -> F64:
        """Float64 [n, D]."""
        return np.stack([self._mean(text) for text in texts])

    def _mean(self, text: str) -> F64:
        words = [word for word in re.findall(r"[\w']+", plain(text)) if word not in _STOP]
        known = [self._table.vector(word).astype(np.float64) for word in words if word in self._table]
        if not known:
            return np.zeros(self._table.size)
        out: F64 = _unit(np.stack(known)).mean(axis=0)
        return out


class References:
    """The words of a table with their vectors.

    Args:
        words: The R words and what each asks for, `()` for nothing.
        vectors: Makes vectors of texts.
        cache: The cache folder; see `tables.cache_folder`.
    """

    def __init__(
        self, words: Sequence[tuple[str, Meaning]], vectors: TextVectors, *, cache: Path | None = None
    ) -> None:
        self.vectors = vectors
        made = _unit(_kept([word for word, _ in words], vectors, cache))
        meanings = [meaning for _, meaning in words]
        is_label = np.array([bool(meaning) for meaning in meanings], np.bool_)
        near = (made @ made[is_label].T).max(axis=1) if is_label.any() else np.zeros(len(made))
        kept = np.flatnonzero(is_label | (near < _TOO_NEAR))
        self._mean = made[kept].mean(axis=0)
        self._points = _unit(made[kept] - self._mean)
        rows: dict[Meaning, list[int]] = {}
        for place, row in enumerate(kept.tolist()):
            rows.setdefault(meanings[row], []).append(place)
        self._rows = {meaning: np.array(places) for meaning, places in rows.items()}

    def likely(self, text: str, count: int = 4) -> tuple[Likely, ...]:
        """The nearest meanings, best first; none of a text that the vectors cannot read."""
        vector = self.vectors.encode([text])[0]
        if not vector.any():
            return ()
        cosines = self._points @ _unit(_unit(vector) - self._mean)
        near = {
            meaning: float(np.sort(cosines[rows])[-_NEAREST:].mean()) for meaning, rows in self._rows.items()
        }
        order = sorted(near, key=near.__getitem__, reverse=True)
        return tuple(self._judged(order, place, near) for place in range(min(count, len(order))))

    def _judged(self, order: Sequence[Meaning], place: int, near: dict[Meaning, float]) -> Likely:
        meaning = order[place]
        following = near[order[place + 1]] if place + 1 < len(order) else -1.0
        opposite = near.get((meaning[0].opposite,), -1.0) if len(meaning) == 1 else -1.0
        ahead = (min(near[meaning] - following, MOST_AHEAD), min(near[meaning] - opposite, MOST_AHEAD))
        weights = self.vectors.weights
        logit = (
            weights.similarity * near[meaning]
            + weights.ahead * ahead[0]
            + weights.opposite * ahead[1]
            + weights.constant
        )
        return Likely(meaning, near[meaning], ahead, 1 / (1 + math.exp(-logit)))


def _unit(vectors: F64) -> F64:
    out: F64 = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return out


def _kept(texts: Sequence[str], vectors: TextVectors, cache: Path | None) -> F64:
    """The vectors of the references: from the cache, or made and put there, float64 [R, D].

    The file's name says what it is of, so one that is there is the right one. A damaged one is made again.
    """
    root = cache_folder(cache)
    named = hashlib.sha256("\0".join((vectors.source, *texts)).encode()).hexdigest()
    path = None if root is None else root.parent / "meanings" / f"{named}.npy"
    if path is not None:
        try:
            found = read_npy(path)
            if found.ndim == 2 and len(found) == len(texts) and np.isfinite(found).all():
                return np.asarray(found, np.float64)
        except (OSError, EOFError, ValueError):
            pass
    made = vectors.encode(texts).astype(np.float32)
    if path is not None:
        _keep(path, made)
    return made.astype(np.float64)


def _keep(path: Path, made: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> None:
    """Write vectors of references; left undone where the folder cannot be written to."""
    import io

    held = io.BytesIO()
    np.save(held, made, allow_pickle=False)
    try:
        write_whole(path, held.getvalue(), durable=False)
    except OSError:
        return
