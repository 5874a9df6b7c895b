"""P5 of paper 003: tables 1 to 3, beside the paper's figures and what is to be reached.

Source: paper 003, section 4, tables 1 and 2; section 5, table 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.evaluation.bootstrap import Interval, paired_difference
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.report import Report, Table, jsonable
from olrsearch_benchmarks.papers.pse.measures import Figures, mean_right, measure
from olrsearch_benchmarks.papers.pse.models import model_config, trained_network

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from olrsearch_benchmarks.papers.pse.digits import Digits
    from olrsearch_benchmarks.papers.pse.judges import Judge

PAPER: Final[dict[tuple[str, str, int, str], tuple[float, float | None, float | None]]] = {
    ("mnist", "cvae", 10, "one-hot"): (79.8, None, 97.6),
    ("mnist", "jmvae", 10, "one-hot"): (87.7, 95.4, 92.2),
    ("mnist", "trelbo", 10, "one-hot"): (83.1, 90.3, 61.1),
    ("mnist", "pse", 10, "one-hot"): (82.8, 96.0, 93.9),
    ("mnist", "pse-star", 10, "one-hot"): (82.3, 96.3, 94.9),
    ("mnist", "pse-star", 20, "one-hot"): (75.0, 97.1, 95.6),
    ("fashion", "cvae", 10, "one-hot"): (219.7, None, 81.3),
    ("fashion", "jmvae", 10, "one-hot"): (225.4, 80.3, 71.2),
    ("fashion", "trelbo", 10, "one-hot"): (220.3, 73.0, 47.5),
    ("fashion", "pse", 10, "one-hot"): (219.1, 81.2, 75.9),
    ("fashion", "pse-star", 10, "one-hot"): (219.6, 81.3, 76.1),
    ("fashion", "pse-star", 20, "one-hot"): (219.0, 81.6, 76.2),
    ("fashion", "pse", 10, "glove"): (218.7, 81.4, None),
    ("fashion", "pse-star", 10, "glove"): (218.8, 81.9, None),
}
"""Reconstruction error, annotation and generation accuracy in per cent; word vectors are word2vec's there."""

_NATS, _POINTS = 2.0, 1.0
"""How far from the paper's figures still counts as reached."""

ONE_HOT, GLOVE = "one-hot", "glove"


@dataclass(frozen=True, slots=True)
class Row:
    """One model, over seeds.

    Attributes:
        model: Its kind.
        size: d.
        words: `one-hot` or `glove`.
        seeds: Of its trainings.
        at_sample: Reconstruction error at a draw, nats an image, one a seed.
        at_mean: The same at the mean.
        annotation: Share of right labels, one a seed; empty for a model that cannot tell.
        generation: Share of generated images that the judge reads as their label, one a seed.
        repeats_sd: Its standard deviation between repeats, of the first seed.
        fitted_annotation: Annotation by Gaussians with full covariances, fitted to the training images.
        fitted_generation: Generation from them.
    """

    model: str
    size: int
    words: str
    seeds: tuple[int, ...]
    at_sample: tuple[float, ...]
    at_mean: tuple[float, ...]
    annotation: tuple[float, ...]
    generation: tuple[float, ...]
    repeats_sd: float
    fitted_annotation: tuple[float, ...]
    fitted_generation: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PseReport(Report):
    """P5 of PSE.

    Attributes:
        dataset: `mnist` or `fashion`.
        literal: Whether models are trained for the paper's 2,000 steps.
        settings: Of the trainings, where they differ from the profile.
        judge: Accuracy of the judge on training and on validation images.
        rows: The models.
        figures: Every figure with its target and the paper's.
        words: Annotation with word vectors less that with one-hot inputs of the same length, by model.
    """

    dataset: str
    literal: bool
    settings: dict[str, str]
    judge: tuple[float, float]
    rows: tuple[Row, ...]
    figures: tuple[Measured, ...]
    words: dict[str, Interval]

    def lines(self) -> list[dict[str, Any]]:
        """One JSON-ready dict a figure: `metric`, `value`, `target`, `passed`, `unit`, `seed`, `paper`."""
        return [{**jsonable(row), "dataset": self.dataset, "literal": self.literal} for row in self.figures]

    def tables(self) -> tuple[Table, ...]:
        """The paper's table, then every figure beside its target."""
        found = Table(
            f"{self.dataset}: mean over seeds, ± standard deviation between them",
            (
                "model",
                "seeds",
                "nats at a sample",
                "at the mean",
                "annotation %",
                "generation %",
                "paper",
                "fitted: annotation %",
                "generation %",
            ),
            tuple(
                (
                    f"{row.model} {row.size}D {row.words}",
                    len(row.seeds),
                    _spread(row.at_sample, 1),
                    _spread(row.at_mean, 1),
                    _spread(row.annotation, 100),
                    _spread(row.generation, 100),
                    _paper(PAPER.get((self.dataset, row.model, row.size, row.words))),
                    _spread(row.fitted_annotation, 100),
                    _spread(row.fitted_generation, 100),
                )
                for row in self.rows
            ),
            note=f"The judge reads {100 * self.judge[0]:.2f} % of the training images right, and "
            f"{100 * self.judge[1]:.2f} % of the validation images.",
        )
        targets = Table(
            "Figures",
            ("metric", "found", "target", "reached", "paper"),
            tuple((row.metric, row.value, row.target, row.passed, row.paper) for row in self.figures),
        )
        words = Table(
            "Annotation: word vectors − one-hot inputs of the same length, 95 % interval by image",
            ("model", "interval"),
            tuple(self.words.items()),
        )
        return tuple(table for table in (found, targets, words) if table.rows)


def run_pse_paper(
    digits: Digits,
    judge: Judge,
    folder: Path,
    *,
    models: Sequence[str] = ("pse-star",),
    sizes: Sequence[int] = (10,),
    words: Sequence[str] = (ONE_HOT,),
    seeds: Sequence[int] = (0,),
    literal: bool = False,
    settings: Mapping[str, str] | None = None,
    samples: int = 10_000,
    repeats: int = 10,
    progress: bool = False,
    done: Callable[[str], None] = lambda _said: None,
    command: str = "olrsearch bench papers pse",
) -> PseReport:
    """Train models, or take finished ones, and measure them on the official test images.

    Args:
        digits: The data set.
        judge: Reads generated images.
        folder: Where trainings are kept.
        models: Names of `models.MODELS`.
        sizes: d, each.
        words: 'one-hot' and 'glove'.
        seeds: Of trainings.
        literal: See `models.model_config`.
        settings: See `models.model_config`.
        samples: Images generated for each label,
        repeats: and how often.
        progress: Show a progress bar for each training.
        done: Told a line when a model is measured.
        command: What the report says to run.
    """
    rows: list[Row] = []
    kept: dict[tuple[str, int, str], list[Figures]] = {}
    for model in models:
        for size in sizes:
            for kind in words:
                found: list[Figures] = []
                for seed in seeds:
                    config = model_config(digits, model, size, kind, seed, literal=literal, settings=settings)
                    network = trained_network(digits, config, folder, progress=progress)
                    figures = measure(
                        network,
                        digits,
                        judge,
                        conditional=model == "cvae",
                        samples=samples,
                        repeats=repeats,
                        seed=seed,
                    )
                    found.append(figures)
                    done(f"{digits.name} {model} {size}D {kind} seed {seed}: {figures}")
                kept[model, size, kind] = found
                rows.append(_row(model, size, kind, seeds, found))
    return PseReport(
        protocol="P5",
        title=f"PSE and other models on {digits.name}",
        command=command,
        seed=seeds[0],
        baseline="the paper's tables 1 to 3",
        data={
            "name": digits.name,
            "images": len(digits.images) + len(digits.test_images),
            "train": len(digits.training().train),
            "selection": len(digits.training().selection),
            "gallery": len(digits.test_images),
        },
        notes=_notes(digits.name, judge, literal=literal, samples=samples, repeats=repeats),
        dataset=digits.name,
        literal=literal,
        settings=dict(settings or {}),
        judge=(judge.training, judge.validation),
        rows=tuple(rows),
        figures=tuple(one for row in rows for one in _figures(digits.name, row, judged=not literal)),
        words=_word_gains(kept, seed=seeds[0]),
    )


def _row(model: str, size: int, words: str, seeds: Sequence[int], found: list[Figures]) -> Row:
    return Row(
        model,
        size,
        words,
        tuple(seeds),
        tuple(one.at_sample for one in found),
        tuple(one.at_mean for one in found),
        tuple(one.learned.annotation for one in found if one.learned.right is not None),
        tuple(one.learned.generation for one in found),
        float(np.std(found[0].learned.generated)),
        tuple(one.fitted.annotation for one in found if one.fitted is not None),
        tuple(one.fitted.generation for one in found if one.fitted is not None),
    )


def _figures(dataset: str, row: Row, *, judged: bool) -> list[Measured]:
    """A model's figures beside the paper's; where they are judged, with what is to be reached."""
    paper = PAPER.get((dataset, row.model, row.size, row.words), (None, None, None))
    name = f"{row.model} {row.size}D {row.words}"
    nats = float(np.mean(row.at_sample))
    target = paper[0] + _NATS if judged and paper[0] is not None else None
    passed = None if target is None else nats <= target
    found = [Measured(f"{name}, error at a sample", nats, target, passed, "nats", row.seeds[0], paper[0])]
    shares = (
        (row.annotation, paper[1], "annotation"),
        (row.generation, paper[2], "generation"),
        (row.fitted_annotation, paper[1], "annotation by fitted Gaussians"),
        (row.fitted_generation, paper[2], "generation from fitted Gaussians"),
    )
    for values, reported, what in shares:
        if values:
            least = (reported - _POINTS) / 100 if judged and reported is not None else None
            reference = None if reported is None else reported / 100
            found.append(
                Measured.of(
                    f"{name}, {what}", float(np.mean(values)), least, seed=row.seeds[0], paper=reference
                )
            )
    return found


def _word_gains(kept: Mapping[tuple[str, int, str], list[Figures]], *, seed: int) -> dict[str, Interval]:
    """Annotation with word vectors less that with one-hot inputs, paired by image, means over seeds."""
    found = {}
    for (model, size, words), runs in kept.items():
        other = kept.get((model, size, ONE_HOT))
        if words == GLOVE and other is not None and runs[0].learned.right is not None:
            gain = paired_difference(mean_right(runs), mean_right(other), seed=seed)
            found[f"{model} {size}D"] = gain
    return found


def _notes(name: str, judge: Judge, *, literal: bool, samples: int, repeats: int) -> tuple[str, ...]:
    trained = (
        "Trained for the paper's 2,000 steps of 100 images at one rate, inputs of length 1."
        if literal
        else "Trained by the profile digits; weights are chosen by the bound on validation images."
    )
    return (
        trained,
        f"The judge of {name} is {judge.title}.",
        f"Generation: {samples:,} samples a label, {repeats} times.",
        "The reconstruction error is the binary cross-entropy, summed over an image's pixels.",
        "That of JMVAE, TrELBO and SCAN is of the image encoder, that of CVAE of one that is told the label.",
        "Fitted: labels' Gaussians of full covariance, of training images' means; the paper's are diagonal.",
        "Word vectors are GloVe's of 50 dimensions, the paper's word2vec's of 300.",
    )


def _spread(values: tuple[float, ...], scale: float) -> str | None:
    if not values:
        return None
    found = scale * np.array(values)
    return f"{found.mean():.2f} ± {found.std():.2f}" if len(found) > 1 else f"{found.mean():.2f}"


def _paper(reported: tuple[float | None, ...] | None) -> str | None:
    if reported is None:
        return None
    return " / ".join("–" if value is None else f"{value:g}" for value in reported)
