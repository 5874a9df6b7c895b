"""An encoder's words, their vectors in its latent space, and how other words get there.

Notation: W words of an encoder, D numbers a word in a table of word vectors, d dimensions of the
latent space, m words of a query.

Source: paper 004, section 2, "A Semantic Prior": words as one-hot vectors, or with the vectors
of a word embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import (
    EncoderError,
    GaussianError,
    ModelFileError,
    UnknownLabelError,
    UnknownWordError,
    WordVectorsError,
)
from olrsearch.core.names import LabelNames, nearest_names, normalise_name
from olrsearch.encoders.words.label_words import label_vectors, own_words, read_label_words, words_of
from olrsearch.encoders.words.learned import PRESENT, LearnedWords
from olrsearch.encoders.words.lift import TRANSFORMS, Lift, Transform, among, fit_lift, rounded
from olrsearch.encoders.words.text_vectors import text_vector
from olrsearch.encoders.words.vectors import GLOVE, WordVectors
from olrsearch.maths.gaussian import word_prior
from olrsearch.maths.gaussian_sets import product

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from olrsearch.core.arrays import F32, F64
    from olrsearch.encoders.words.label_words import WeightedWords
    from olrsearch.maths.gaussian import Gaussians

ONE_HOT: Final = "one-hot"
"""The transform of a vocabulary without a table."""

LEARNED: Final = "learned"
"""The transform of a vocabulary whose Gaussians training made; see `words.learned`."""

VECTORS: Final = "words.vectors"
MEAN: Final = "words.mean"
MATRIX: Final = "words.matrix"
"""Names of the tensors in a model file."""


@dataclass(frozen=True, slots=True, eq=False)
class Vocabulary:
    """The words an encoder was trained to name; immutable.

    Make one with `one_hot`, `of_table`, `of_learned` or `from_model`.

    Attributes:
        names: The W words, as data sets call their labels.
        vectors: float64 [W, d]; numbers of float32, as a model file keeps them. The means of learned
            words, where there are any.
        phrases: For each name what people call it, in words of the table.
        transform: `one-hot` or `learned`, or how vectors of the table became these; see `fit_lift`.
        lift: How other words of the table get here; None where there is none.
        source: The table's name, and `digest` its sha256; None where there is none.
        learned: The words' Gaussians, where the encoder learned them; None where words are points.
    """

    names: tuple[str, ...]
    vectors: F64
    phrases: tuple[str, ...]
    transform: str = ONE_HOT
    lift: Lift | None = None
    source: str | None = None
    digest: str | None = None
    learned: LearnedWords | None = None
    _found: LabelNames = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_found", LabelNames(self.names))

    @classmethod
    def one_hot(cls, names: Sequence[str]) -> Vocabulary:
        """Words that have nothing in common: d = W, and vector i is 1 at i and 0 elsewhere.

        Raises:
            WordVectorsError: no names, or one twice.
        """
        _check_names(names)
        return cls(tuple(names), np.eye(len(names)), tuple(" ".join(own_words(name)) for name in names))

    @classmethod
    def of_table(
        cls,
        names: Sequence[str],
        words: WordVectors,
        *,
        table: Mapping[str, WeightedWords] | None = None,
        kind: Transform = "whiten",
        size: int | None = None,
    ) -> Vocabulary:
        """Words whose vectors come from a table.

        Args:
            names: The W words, as data sets call their labels.
            words: The table.
            table: Which words of it stand for a name; None takes the package's, `read_label_words()`.
            kind: How vectors of the table become points of the latent space; see `fit_lift`.
            size: d; None takes D.

        Raises:
            WordVectorsError: no names or one twice, a word the table lacks, two names with the same
                vector, or what `fit_lift` refuses.
        """
        _check_names(names)
        entries = read_label_words() if table is None else table
        plain = label_vectors(names, entries, words)
        lift = fit_lift(plain, kind, size).rounded()
        return cls(
            tuple(names),
            rounded(lift.apply(plain)),
            tuple(" ".join(word for word, _ in words_of(name, entries)) for name in names),
            transform=kind,
            lift=lift,
            source=words.source,
            digest=words.digest,
        )

    @classmethod
    def of_learned(
        cls,
        names: Sequence[str],
        learned: LearnedWords,
        *,
        words: WordVectors | None = None,
        table: Mapping[str, WeightedWords] | None = None,
    ) -> Vocabulary:
        """Words whose Gaussians an encoder learned.

        Args:
            names: The W words, as data sets call their labels.
            learned: What it learned of them.
            words: The table their inputs come from; None where they come from none.
            table: As `of_table` takes it.

        Raises:
            WordVectorsError: no names or one twice, or another number of Gaussians.
        """
        _check_names(names)
        if len(learned) != len(names):
            raise WordVectorsError(
                f"{len(learned)} learned Gaussians for {len(names)} words: expected one a word"
            )
        entries = read_label_words() if table is None else table
        kept = learned.rounded()
        phrases = [
            own_words(name) if words is None else [word for word, _ in words_of(name, entries)]
            for name in names
        ]
        return cls(
            tuple(names),
            kept.present.mean,
            tuple(" ".join(phrase) for phrase in phrases),
            transform=LEARNED,
            source=None if words is None else words.source,
            digest=None if words is None else words.digest,
            learned=kept,
        )

    @classmethod
    def from_model(
        cls, config_words: Mapping[str, Any], names: Sequence[str], tensors: Mapping[str, NDArray[Any]]
    ) -> Vocabulary:
        """The vocabulary that `to_config` and `to_tensors` wrote, number for number.

        Args:
            config_words: What `config.json` has under `words`.
            names: The W words: its `labels`.
            tensors: The tensors whose names begin with `words.`; others are not looked at.

        Raises:
            ModelFileError: a key or a tensor is missing, or they do not fit each other.
        """
        missing = [key for key in ("source", "digest", "transform", "phrases") if key not in config_words]
        transform = config_words.get("transform")
        wanted = [VECTORS] if transform in {ONE_HOT, LEARNED} else [VECTORS, MEAN, MATRIX]
        needed = [*wanted, PRESENT] if transform == LEARNED else wanted
        missing += [name for name in needed if name not in tensors]
        if missing or transform not in {ONE_HOT, LEARNED, *TRANSFORMS}:
            lacks = f"lacks {', '.join(missing)}" if missing else f"has the unknown transform {transform!r}"
            raise ModelFileError(f"the words of the model {lacks}: copy the model again")
        arrays = [np.asarray(tensors[name], np.float64) for name in wanted]
        vectors, phrases = arrays[0], tuple(config_words["phrases"])
        lift = Lift(arrays[1], arrays[2]) if len(arrays) > 1 else None
        fits = vectors.ndim == 2 and len(vectors) == len(names) == len(phrases)
        if lift is not None:
            fits = fits and lift.matrix.shape == (*lift.mean.shape, vectors.shape[-1])
        if not fits or not all(np.isfinite(array).all() for array in arrays):
            shapes = ", ".join(f"{name} {array.shape}" for name, array in zip(wanted, arrays, strict=True))
            raise ModelFileError(
                f"the words of the model do not fit its {len(names)} labels and {len(phrases)} phrases "
                f"({shapes}), or are not finite: copy the model again"
            )
        return cls(
            tuple(names),
            vectors,
            phrases,
            transform=str(transform),
            lift=lift,
            source=config_words["source"],
            digest=config_words["digest"],
            learned=LearnedWords.from_tensors(vectors, tensors) if transform == LEARNED else None,
        )

    def to_tensors(self) -> dict[str, F32]:
        """Tensors of a model file, float32: `words.vectors`; with a lift `words.mean` and `words.matrix`.

        With learned words also those of `LearnedWords.to_tensors`.
        """
        out = {VECTORS: self.vectors.astype(np.float32)}
        if self.lift is not None:
            out |= {MEAN: self.lift.mean.astype(np.float32), MATRIX: self.lift.matrix.astype(np.float32)}
        return out if self.learned is None else out | self.learned.to_tensors()

    def to_config(self) -> dict[str, Any]:
        """What `config.json` has under `words`: `source`, `digest`, `transform` and `phrases`."""
        return {
            "source": self.source,
            "digest": self.digest,
            "transform": self.transform,
            "phrases": list(self.phrases),
        }

    def __len__(self) -> int:
        """Words, W."""
        return len(self.names)

    @property
    def scored(self) -> F64 | LearnedWords:
        """What images are held against: the Gaussians that were learned, else the vectors."""
        return self.vectors if self.learned is None else self.learned

    @property
    def size(self) -> int:
        """Dimensions of the latent space, d."""
        return int(self.vectors.shape[1])

    def open_table(
        self, source: str | Path | None = None, *, cache: Path | None = None
    ) -> WordVectors | None:
        """Open the table the vectors came from; None where they came from none.

        A model file names its table and has its digest, but no path of the machine it was trained on.

        Args:
            source: The table's path. None takes the installed package, or a file that was opened on
                this machine before and is in the cache.
            cache: The cache folder; see `WordVectors.open`.

        Raises:
            WordVectorsError: it is not to be found, cannot be read, or is another table than the
                encoder's.
            OptionalDependencyError: the package is not installed.
        """
        if self.source is None or self.digest is None:
            return None
        if source is None and self.source != GLOVE:
            found = WordVectors.of_digest(self.digest, cache=cache)
            if found is None:
                raise WordVectorsError(
                    f"the encoder's words come from {self.source} (sha256 {self.digest[:12]}…), which was "
                    "not read on this machine before: give its path"
                )
            return found
        table = WordVectors.open(self.source if source is None else source, cache=cache)
        self._check_table(table)
        return table

    def resolve(self, text: str, table: WordVectors | None = None) -> F64:
        """The point of a word or a short phrase, float64 [d].

        The encoder's own words go first: by name in any spelling, then by phrase. What is none of
        them is looked up in the table: as a whole, or else word by word, and then the mean of the
        words is taken, as for labels. Under `whiten` it then lies among the encoder's own words, a
        mean weighted by how near they are in the table; otherwise where the lift puts it.

        Args:
            text: What somebody wrote.
            table: The encoder's table, from `open_table`; None knows the encoder's own words alone.

        Raises:
            UnknownWordError: neither the encoder nor the table has it; carries the nearest names.
            QueryError: a spelling that several of the encoder's names have.
            WordVectorsError: another table than the encoder's.
        """
        position = self.position(text)
        if position is not None:
            own: F64 = self.vectors[position].copy()
            return own
        if self.lift is None or table is None:
            raise UnknownWordError(text, nearest_names(text, self.names))
        vector = self._table_vector(text, table)
        return (
            among(vector, self.vectors, self.lift)
            if self.transform == "whiten"
            else self.lift.apply(vector[None])[0]
        )

    def gaussian(self, text: str, table: WordVectors | None = None) -> Gaussians:
        """Where images lie that show a word or a short phrase, a batch of one; for learned words.

        The encoder's own words have the Gaussian it learned. Others go through its label encoder by the mean
        of their vectors in the table, and the encoder need never have heard of them.

        Args:
            text: What somebody wrote.
            table: The encoder's table, from `open_table`; None knows the encoder's own words alone.

        Raises:
            UnknownWordError, QueryError, WordVectorsError: as `resolve`.
            EncoderError: the encoder has learned no Gaussians.

        Source: paper 003, labels as word vectors.
        """
        if self.learned is None:
            raise EncoderError("this encoder learned no Gaussians of words: train one with train pse-star")
        position = self.position(text)
        if position is not None:
            return self.learned.present[position]
        if self.learned.map is None or table is None:
            raise UnknownWordError(text, nearest_names(text, self.names))
        return self.learned.map.of_vectors(self._table_vector(text, table)[None])

    def _table_vector(self, text: str, table: WordVectors) -> F64:
        """The mean of a text's vectors in the encoder's table, float64 [D]."""
        self._check_table(table)
        return text_vector(text, table, self.names)

    def position(self, text: str) -> int | None:
        """Which of the encoder's own words this is, by name or phrase; None for none of them.

        Raises:
            QueryError: a spelling that several names have.
        """
        try:
            return self._found.position(text)
        except UnknownLabelError:
            wanted = normalise_name(text)
            phrases = [normalise_name(phrase) for phrase in self.phrases]
            return phrases.index(wanted) if wanted in phrases else None

    def prior_of(self, positions: Sequence[int], shrinkage: float | None) -> Gaussians:
        """The Gaussian of a set of the encoder's own words, a batch of one.

        Args:
            positions: Of the words; there may be none.
            shrinkage: As of `prior`, which says what is raised; not used where Gaussians were learned.
        """
        if self.learned is not None and positions:
            return product(self.learned.present[np.array(positions, np.int64)])
        return self.prior([(self.vectors[position], 1.0) for position in positions], shrinkage)

    def prior(self, words: Sequence[tuple[F64, float]], shrinkage: float | None) -> Gaussians:
        """The Gaussian that some words define, a batch of one; see `gaussian.word_prior`.

        Args:
            words: A vector [d] and a weight above 0 for each of the m words; m may be 0.
            shrinkage: λ, above 0 and up to 1; None counts as 1, for no words.

        Raises:
            GaussianError: λ or a weight outside its range, or vectors of another dimension.
        """
        vectors = [np.asarray(vector, np.float64) for vector, _ in words]
        weights = [weight for _, weight in words]
        if bad := [vector.shape for vector in vectors if vector.shape != (self.size,)]:
            raise GaussianError(f"a word vector of shape {bad[0]} for an encoder of {self.size} dimensions")
        share = 1.0 if shrinkage is None else shrinkage
        return word_prior(vectors, share, weights=weights or None, size=self.size)

    def _check_table(self, table: WordVectors) -> None:
        """Refuse another table than the encoder's."""
        if table.digest != self.digest:
            mine = f"{self.source} (sha256 {str(self.digest)[:12]}…)"
            raise WordVectorsError(
                f"{table.source} ({len(table)} words × {table.size}, sha256 {table.digest[:12]}…) is another "
                f"table than the encoder's, {mine}: open the one it was trained with"
            )


def _check_names(names: Sequence[str]) -> None:
    if not names:
        raise WordVectorsError("a vocabulary of no words: expected one label or more")
    if len(set(names)) != len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise WordVectorsError(f"the word {twice!r} comes twice in a vocabulary: expected each once")
