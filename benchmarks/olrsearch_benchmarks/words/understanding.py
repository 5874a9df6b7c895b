"""Whether words are understood: two lists of words with what they ask for, in the forty labels of CelebA.

`fixed_words.csv` has 200 words and phrases that were written down before anything was measured.
`development_words.csv` has 187 others, with which thresholds were chosen and
weights fitted. Words are *held out* when the table of meanings is asked without any word of both lists and
without the ten strange ones: then they are understood by likeness, or by grammar, alone.

Kinds: `synonym` (asks for a label), `opposite` (for the absence of one), `negated` (a phrase that denies),
`unrelated` and `near` (to be refused; `near` are of people), `ambiguous` (several answers are right).
"""

from __future__ import annotations

import csv
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.errors import BenchmarkError, OptionalDependencyError, QueryError
from olrsearch.encoders.words.likeness import GloveVectors, SentenceVectors, Weights
from olrsearch.encoders.words.meanings import Asked, Meanings, read_meanings
from olrsearch.encoders.words.negation import plain
from olrsearch.encoders.words.sentences import find_sentences
from olrsearch.encoders.words.understanding import Understanding
from olrsearch.encoders.words.vectors import GLOVE, WordVectors
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.report import Report, Table
from olrsearch.search.kl.word_scores import log_mean_exp
from olrsearch_benchmarks.words.other_words import OTHER_WORDS, precision

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from olrsearch.core.arrays import F64
    from olrsearch.encoders.words.likeness import TextVectors
    from olrsearch.encoders.words.meanings import Meaning
    from olrsearch_benchmarks.words.posterior_data import PosteriorData

FIXED: Final = "fixed_words.csv"
DEVELOPMENT: Final = "development_words.csv"

REFUSE: Final = "refuse"
MEANT: Final = ("synonym", "opposite", "negated", "ambiguous")
"""Kinds of words that ask for something."""

_RIDGE: Final = 0.1


@dataclass(frozen=True, slots=True)
class ListedWord:
    """A word of a list.

    Attributes:
        text: The word or phrase.
        kind: See the module.
        right: The answers that are right; `()` to refuse.
    """

    text: str
    kind: str
    right: tuple[frozenset[Asked], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What was made of a word.

    Attributes:
        word: The word.
        given: What it was taken for; `()` where it was refused.
        basis: By what; `refused`.
        sureness: How surely, where it was not certain.
    """

    word: ListedWord
    given: Meaning
    basis: str
    sureness: float | None

    @property
    def right(self) -> bool:
        """Whether the answer is one of the right ones."""
        return frozenset(self.given) in self.word.right

    @property
    def opposite(self) -> bool:
        """Whether the answer asks for the opposite of a right one."""
        wanted = {asked.opposite for meaning in self.word.right for asked in meaning}
        return not self.right and any(asked in wanted for asked in self.given)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnderstandingReport(Report):
    """Words understood.

    Attributes:
        rows: The figures.
        ways: Way → kind → share of right answers.
        answers: Way → what was made of every word of the fixed list.
        strange: The ten strange words: what each was taken for, and P@20, in the order of `tables`.
    """

    rows: tuple[Measured, ...]
    ways: dict[str, dict[str, float]]
    answers: dict[str, tuple[dict[str, Any], ...]]
    strange: tuple[dict[str, Any], ...] = ()

    def tables(self) -> tuple[Table, ...]:
        """The figures, the shares by kind, and every wrong answer."""
        kinds = sorted({kind for shares in self.ways.values() for kind in shares})
        wrong = [
            (way, one["word"], one["kind"], one["right"], one["given"], one["basis"])
            for way, answers in self.answers.items()
            for one in answers
            if not one["is_right"] and not way.startswith("held out")
        ]
        return (
            Table(
                "Figures",
                ("metric", "value", "target", "reached"),
                tuple((row.metric, row.value, row.target, row.passed) for row in self.rows),
            ),
            Table(
                "Right answers by kind",
                ("way", *kinds),
                tuple((way, *(shares.get(kind) for kind in kinds)) for way, shares in self.ways.items()),
            ),
            Table(
                "P@20 of the ten strange words",
                ("word", "means", "way", "taken for", "P@20", "of the label itself"),
                tuple(tuple(row.values()) for row in self.strange),
            ),
            Table("Wrong answers", ("way", "word", "kind", "right", "given", "by"), tuple(wrong)),
        )


def read_list(name: str) -> tuple[ListedWord, ...]:
    """A list of words: `FIXED` or `DEVELOPMENT`."""
    with (Path(__file__).with_name(name)).open(encoding="utf-8", newline="") as file:
        return tuple(
            ListedWord(row["text"], row["kind"], tuple(map(_meaning, row["right"].split("|"))))
            for row in csv.DictReader(file)
        )


def held_out(meanings: Meanings) -> Meanings:
    """A table without any word of the lists, and without the ten strange words."""
    listed = {plain(word.text) for name in (FIXED, DEVELOPMENT) for word in read_list(name)}
    listed |= {plain(word) for word, _ in OTHER_WORDS}
    entries = [
        (meaning, tuple(word for word in words if plain(word) not in listed))
        for meaning, words in meanings.entries
    ]
    nothing = tuple(word for word in meanings.nothing if plain(word) not in listed)
    return replace(meanings, entries=tuple(item for item in entries if item[1]), nothing=nothing)


def ask(understanding: Understanding, words: Iterable[ListedWord]) -> tuple[Answer, ...]:
    """What is made of words."""
    answers = []
    for word in words:
        try:
            found = understanding.of(word.text)
        except QueryError:
            answers.append(Answer(word, (), "refused", None))
        else:
            answers.append(Answer(word, found.meaning, found.basis, found.sureness))
    return tuple(answers)


def ways(names: Sequence[str]) -> dict[str, Understanding]:
    """Every way to understand that can be measured here: with and without each encoder, held out or not."""
    table = read_meanings()
    vectors: dict[str, TextVectors | None] = {"table alone": None}
    with suppress(OptionalDependencyError):
        vectors["GloVe"] = GloveVectors(WordVectors.open(GLOVE))
    if find_sentences() is not None:
        vectors["sentence encoder"] = SentenceVectors()
    found = {name: Understanding(names, table, vectors=one) for name, one in vectors.items()}
    without = held_out(table)
    return found | {
        f"held out, {name}": Understanding(names, without, vectors=one)
        for name, one in vectors.items()
        if one
    }


def measure_understanding(
    names: Sequence[str], *, seed: int = 0
) -> tuple[tuple[Measured, ...], dict[str, tuple[Answer, ...]]]:
    """The figures of the fixed list for every way, and the answers.

    Args:
        names: The labels, in which the lists speak.
        seed: Goes into the figures; nothing here is drawn.
    """
    answers = {way: ask(understanding, read_list(FIXED)) for way, understanding in ways(names).items()}
    return tuple(row for way, given in answers.items() for row in _figures(way, given, seed)), answers


def _figures(way: str, answers: Sequence[Answer], seed: int) -> list[Measured]:
    target = way == "sentence encoder"

    def share(what: Sequence[bool]) -> float:
        return float(np.mean(what)) if what else float("nan")

    of = {kind: [one for one in answers if one.word.kind == kind] for kind in (*MEANT, "unrelated", "near")}
    asking = [one for kind in MEANT for one in of[kind]]
    sure = [one for one in answers if one.sureness is not None]
    rows = [
        Measured.of(
            f"{way}: right of synonyms",
            share([one.right for one in of["synonym"]]),
            0.8 if target else None,
            seed=seed,
        ),
        Measured.of(f"{way}: right of opposites", share([one.right for one in of["opposite"]]), seed=seed),
        Measured.of(
            f"{way}: right of negated phrases", share([one.right for one in of["negated"]]), seed=seed
        ),
        Measured.of(
            f"{way}: not the opposite, of words that ask for something",
            1 - share([one.opposite for one in asking]),
            None if way.startswith("held out") else 0.99,
            seed=seed,
        ),
        Measured.of(
            f"{way}: unrelated words refused",
            share([one.right for one in of["unrelated"]]),
            None if way.startswith("held out") else 0.9,
            seed=seed,
        ),
        Measured.of(
            f"{way}: words of people that are no label refused",
            share([one.right for one in of["near"]]),
            seed=seed,
        ),
    ]
    if sure:
        said = float(np.mean([one.sureness for one in sure]))
        rows.append(Measured.of(f"{way}: sureness that was said, mean of {len(sure)}", said, seed=seed))
        rows.append(Measured.of(f"{way}: right of these", share([one.right for one in sure]), seed=seed))
    return rows


def run_words(data: PosteriorData, *, seed: int = 0) -> UnderstandingReport:
    """Words understood, on the fixed list and on a store's posteriors.

    Args:
        data: Posteriors whose images have the labels of CelebA.
        seed: Goes into the figures; nothing here is drawn.

    Raises:
        BenchmarkError: labels of the list are none of the encoder's words.
    """
    names = data.vocabulary.names
    wanted = {asked.label for word in read_list(FIXED) for meaning in word.right for asked in meaning}
    if missing := sorted(wanted - set(names)):
        raise BenchmarkError(
            f"the words are listed with labels of CelebA, and {data.space} does not know "
            f"{', '.join(missing[:3])} ({len(missing)} in all): measure an encoder of faces"
        )
    rows, answers = measure_understanding(names, seed=seed)
    strange = strange_words(data)
    for way in dict.fromkeys(row["way"] for row in strange):
        value = float(np.mean([row["p20"] for row in strange if row["way"] == way]))
        target = 0.85 if way == "sentence encoder" else None
        rows = (*rows, Measured.of(f"{way}: P@20 of ten strange words", value, target, seed=seed))
    itself = {row["word"]: row["label"] for row in strange}
    if itself:
        rows = (
            *rows,
            Measured.of("P@20 of the labels they mean", float(np.mean([*itself.values()])), seed=seed),
        )
    return UnderstandingReport(
        protocol="P5",
        title="words understood",
        command="olrsearch bench words",
        seed=seed,
        baseline="the table of meanings alone; the label itself",
        data={"name": data.name, "images": data.images, "gallery": len(data.gallery)},
        notes=(
            "Table and lists have one author: held out, no listed word stands in the table.",
            f"Weights of sureness: {_weights()}.",
        ),
        rows=rows,
        ways={way: by_kind(given) for way, given in answers.items()},
        answers={way: as_rows(given) for way, given in answers.items()},
        strange=strange,
    )


def _weights() -> str:
    return "; ".join(f"{one.name} {tuple(one.weights)}" for one in (SentenceVectors, GloveVectors))


def strange_words(data: PosteriorData) -> tuple[dict[str, Any], ...]:
    """P@20 of the ten strange words by the labels they are taken for, ranked by ratio; 0 where refused."""
    densities = data.densities(data.gallery, data.vocabulary.vectors)
    ratios, truth = densities - log_mean_exp(densities), data.truth
    rows = []
    for way, understanding in ways(data.vocabulary.names).items():
        for word, label in OTHER_WORDS:
            place = data.names.index(label)
            given = ask(understanding, [ListedWord(word, "strange", ())])[0].given
            signed = [ratios[data.names.index(one.label)] * (-1 if one.negated else 1) for one in given]
            rows.append(
                {
                    "word": word,
                    "means": label,
                    "way": way,
                    "taken_for": _spelt(given),
                    "p20": precision(np.sum(signed, axis=0), truth[place]) if signed else 0.0,
                    "label": precision(ratios[place], truth[place]),
                }
            )
    return tuple(rows)


def by_kind(answers: Sequence[Answer]) -> dict[str, float]:
    """Share of right answers by kind."""
    kinds = dict.fromkeys(one.word.kind for one in answers)
    return {kind: float(np.mean([one.right for one in answers if one.word.kind == kind])) for kind in kinds}


def as_rows(answers: Sequence[Answer]) -> tuple[dict[str, Any], ...]:
    """The answers, JSON-ready."""
    return tuple(
        {
            "word": one.word.text,
            "kind": one.word.kind,
            "right": " or ".join(map(_spelt, one.word.right)),
            "given": _spelt(one.given),
            "is_right": one.right,
            "is_opposite": one.opposite,
            "basis": one.basis,
            "sureness": one.sureness,
        }
        for one in answers
    )


def fit_weights(names: Sequence[str], vectors: TextVectors) -> Weights:
    """What turns likeness into sureness: a logistic function, fitted to the held-out development words.

    What the package has was made by this. Denied phrases do not count, for grammar does half of their work;
    neither do words that are nearest to words of no meaning, which are refused anyway.

    Args:
        names: The labels.
        vectors: Makes vectors of texts.
    """
    from scipy.optimize import minimize

    references = Understanding(names, held_out(read_meanings()), vectors=vectors).references
    points, right = [], []
    for word in read_list(DEVELOPMENT):
        likely = references.likely(word.text) if references is not None and word.kind != "negated" else ()
        if likely and likely[0].meaning:
            points.append([likely[0].similarity, *likely[0].ahead, 1.0])
            right.append(float(frozenset(likely[0].meaning) in word.right))
    x, y = np.array(points), np.array(right)

    def loss(weights: F64) -> float:
        off = np.logaddexp(0, -(2 * y - 1) * (x @ weights)).sum()
        return float(off + _RIDGE * (weights[:-1] ** 2).sum() / 2)

    # More likeness, and more of it ahead of other meanings, never makes less sure.
    bounds = [(0, None)] * 3 + [(None, None)]
    found = minimize(loss, np.zeros(x.shape[1]), bounds=bounds).x
    return Weights(*(round(float(weight), 4) for weight in found))


def _meaning(text: str) -> frozenset[Asked]:
    if text.strip() == REFUSE:
        return frozenset()
    parts = [part.strip() for part in text.split("&")]
    return frozenset(Asked(part.lstrip("!"), part.startswith("!")) for part in parts)


def _spelt(meaning: Iterable[Asked]) -> str:
    return " & ".join(sorted(("!" if one.negated else "") + one.label for one in meaning)) or REFUSE
