"""Words outside the vocabulary: ten that people may type for labels of faces, and what they find.

Baselines: the label whose words are nearest in the table of word vectors, by cosine, and then that label's
own ranking; and asking for the label that is meant.

Notation: G images of the gallery, D numbers a word in the table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from olrsearch.core.names import normalise_name
from olrsearch.encoders.words.label_words import label_vectors, words_of
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, paired_difference
from olrsearch.evaluation.data import find_label
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.metrics import precision_at, ranked
from olrsearch.maths.gaussian import word_prior
from olrsearch.search.kl.word_scores import log_mean_exp
from olrsearch_benchmarks.words.posterior_data import GalleryDivergences

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64, I8
    from olrsearch.encoders.words.vectors import WordVectors
    from olrsearch_benchmarks.words.posterior_data import PosteriorData

OTHER_WORDS: Final = (
    ("spectacles", "Eyeglasses"),
    ("grin", "Smiling"),
    ("hairless", "Bald"),
    ("blonde", "Blond_Hair"),
    ("moustache", "Mustache"),
    ("cap", "Wearing_Hat"),
    ("obese", "Chubby"),
    ("curly", "Wavy_Hair"),
    ("mascara", "Heavy_Makeup"),
    ("elderly", "Gray_Hair"),
)
"""Words, and the label of CelebA that each means."""

CUT: Final = 20


@dataclass(frozen=True, slots=True)
class OtherWord:
    """P@20 of one word against the label that it means.

    Attributes:
        word: As it is typed.
        label: The label it means.
        relevant: Images of the gallery that have the label.
        match: By KL(query‖image).
        ratio: By the ratio of densities.
        nearest: The label whose words are nearest in the table.
        nearest_match: That label's own ranking by KL(query‖image).
        nearest_ratio: That label's own ranking by ratio.
        label_match: What the label that is meant gives by KL(query‖image).
        label_ratio: What it gives by ratio.
    """

    word: str
    label: str
    relevant: int
    match: float
    ratio: float
    nearest: str
    nearest_match: float
    nearest_ratio: float
    label_match: float
    label_ratio: float


@dataclass(frozen=True, slots=True)
class OtherWords:
    """What words outside the vocabulary find.

    Attributes:
        rows: Means over words.
        words: One entry a word.
        differences: P@20 of ours less a baseline's → its interval, resampled by word.
        notes: Words that could not be asked, and why.
    """

    rows: tuple[Measured, ...]
    words: tuple[OtherWord, ...]
    differences: dict[str, Interval]
    notes: tuple[str, ...]


def measure_other_words(
    data: PosteriorData,
    densities: F64,
    *,
    words: tuple[tuple[str, str], ...] = OTHER_WORDS,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> OtherWords:
    """Ask for words that the encoder never learnt.

    A word that is one of the encoder's labels, or stands for one in the table of label words, is left out,
    as is one whose label these data do not have.

    Args:
        data: Posteriors; its `table` is where the words are looked up.
        densities: float64 [W, G], ln N(w; μ, Σ) of the own words.
        words: Words and the labels they mean.
        seed: Of the bootstrap.
        resamples: Bootstrap resamples.

    Raises:
        WordVectorsError: the table lacks a word that stands for a label.
    """
    table = data.table
    if table is None or data.vocabulary.lift is None:
        source = data.vocabulary.source
        why = "the encoder's words come from no table" if source is None else f"{source} is not here"
        return OtherWords((), (), {}, (f"No words outside the vocabulary: {why}.",))
    asked, notes = _askable(data, table, words)
    if not asked:
        return OtherWords((), (), {}, notes)
    plain = label_vectors(data.names, data.label_words, table)
    divergences = GalleryDivergences(data)
    found = tuple(_ask(data, divergences, densities, plain, word, label) for word, label in asked)
    columns = {
        name: np.array([getattr(one, name) for one in found])
        for name in ("match", "ratio", "nearest_match", "nearest_ratio", "label_match", "label_ratio")
    }
    said = {
        "match": "by match",
        "ratio": "by ratio",
        "nearest_match": "nearest label in the table, by match",
        "nearest_ratio": "nearest label in the table, by ratio",
        "label_match": "the label itself, by match",
        "label_ratio": "the label itself, by ratio",
    }
    return OtherWords(
        rows=tuple(
            Measured.of(f"P@20 of {len(found)} words outside the vocabulary, {text}", value.mean(), seed=seed)
            for text, value in ((said[name], columns[name]) for name in columns)
        ),
        words=found,
        differences={
            f"{way} − {said[f'{other}_{way}']}": paired_difference(
                columns[way], columns[f"{other}_{way}"], seed=seed, resamples=resamples
            )
            for way in ("match", "ratio")
            for other in ("nearest", "label")
        },
        notes=notes,
    )


def _askable(
    data: PosteriorData, table: WordVectors, words: tuple[tuple[str, str], ...]
) -> tuple[list[tuple[str, int]], tuple[str, ...]]:
    """The words that can be asked, each with its label's position, and why others cannot."""
    taken = {normalise_name(name): name for name in (*data.vocabulary.phrases, *data.names)}
    for name in data.names:
        taken |= {normalise_name(word): name for word, _ in words_of(name, data.label_words)}
    truth, asked, left = data.truth, [], []
    for word, label in words:
        position = find_label(data.names, label)
        if position is None:
            left.append(f"{word} (no label {label})")
        elif normalise_name(word) in taken:
            left.append(f"{word} (stands for {taken[normalise_name(word)]})")
        elif word not in table:
            left.append(f"{word} (not in {table.source})")
        elif not (truth[position] > 0).any():
            left.append(f"{word} (no image has {label})")
        else:
            asked.append((word, position))
    return asked, (f"Words not asked: {', '.join(left)}.",) if left else ()


def _ask(
    data: PosteriorData,
    divergences: GalleryDivergences,
    densities: F64,
    plain: F64,
    word: str,
    label: int,
) -> OtherWord:
    """One word, its baselines; `plain` holds the labels' vectors in the table, float64 [W, D]."""
    table = cast("WordVectors", data.table)
    vector = data.vocabulary.resolve(word, table)
    background = log_mean_exp(densities)
    typed = table.vector(word).astype(np.float64)
    lengths = np.linalg.norm(plain, axis=1) * np.linalg.norm(typed)
    near = int(np.argmax(plain @ typed / np.maximum(lengths, np.finfo(np.float64).tiny)))
    truth = data.truth[label]

    def match(point: F64) -> float:
        prior = word_prior(point[None], 1.0 if data.shrinkage is None else data.shrinkage)
        return precision(-divergences.of(prior, "query-to-image")[0], truth)

    own = data.vocabulary.vectors
    return OtherWord(
        word=word,
        label=data.names[label],
        relevant=int((truth > 0).sum()),
        match=match(vector),
        ratio=precision(data.densities(data.gallery, vector[None])[0] - background, truth),
        nearest=data.names[near],
        nearest_match=match(own[near]),
        nearest_ratio=precision(densities[near] - background, truth),
        label_match=match(own[label]),
        label_ratio=precision(densities[label] - background, truth),
    )


def precision(scores: F64, truth: I8) -> float:
    """P@20; images whose label is unknown are not ranked."""
    order = ranked(np.where(truth == 0, -np.inf, scores)[None])
    return float(precision_at(truth[order] > 0, CUT)[0])
