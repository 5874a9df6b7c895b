"""P5, OLR's decoder: pictures made of embeddings beside the images, and what they tell of who is in them.

Source: paper 000, section 4.4.

Notation: n training images, G images of the gallery, L labels, k numbers a label, D = L · k, H × W pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.encoders.olr.ssim import compare
from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, cluster_weights, interval
from olrsearch.evaluation.measured import Measured
from olrsearch.evaluation.report import Report, Table
from olrsearch.maths.pictures import PictureBasis, fit_ridge, principal_pictures, ridge_pictures
from olrsearch_benchmarks.papers.decoder_identity import Disclosed, disclosed

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64, U8
    from olrsearch_benchmarks.papers.decoder_identity import Judge

OVER_RIDGE: Final = 0.03
OVER_MEAN: Final = 0.12
"""By so much the decoder's SSIM is to lie above the two baselines'."""

_STRENGTH_VALUES: Final = 2048
"""Values of a picture that the ridge's strength is chosen by."""

_NOTES: Final = (
    "Pictures are made, not found: the decoder never saw the gallery, and neither did the baselines.",
    "SSIM: Gaussian windows of 11 × 11 pixels, σ 1.5, each colour channel by itself (paper 000, equation 1).",
    "The ceiling is the image itself in as many principal components as an embedding has numbers.",
    "The paper gives no figures, but reconstructions of 176 × 176 pixels by eye (figure 6).",
)


class Decoder(Protocol):
    """What makes pictures of embeddings."""

    def decode(self, embeddings: F32) -> U8:
        """float32 [m, L, k] → uint8 [m, H, W, 3]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class DecoderCase:
    """Images with their embeddings, and what each serves for.

    Attributes:
        name: Whose figures these are.
        pixels: uint8 [N, H, W, 3], as large as the decoder's pictures; may be memory-mapped.
        embeddings: float32 [N, L, k].
        identity: int64 [N], −1 unknown.
        train: int64, rows that baselines are fitted on.
        selection: int64, rows that their settings are chosen on.
        gallery: int64, rows that are measured.

    Raises:
        BenchmarkError: one of the parts is empty.
    """

    name: str
    pixels: U8
    embeddings: F32
    identity: I64
    train: I64
    selection: I64
    gallery: I64

    def __post_init__(self) -> None:
        for name in ("train", "selection", "gallery"):
            if len(getattr(self, name)) < 2:
                raise BenchmarkError(
                    f"{len(getattr(self, name))} images to use as {name}, expected 2 or more: import images "
                    "of the train and of the val or test partition"
                )

    def numbers(self, rows: I64) -> F32:
        """Whole embeddings of some images, float32 [n, D]."""
        return self.embeddings[rows].reshape(len(rows), -1)

    def summary(self) -> dict[str, object]:
        """What a report says of its data."""
        parts = {name: len(getattr(self, name)) for name in ("train", "selection", "gallery")}
        return {"name": self.name, "images": len(self.pixels), **parts}


@dataclass(frozen=True, slots=True, eq=False)
class PictureFigures:
    """How alike one method's pictures are to the images.

    Attributes:
        method: `decoder`, `ridge`, `mean image` or `ceiling`.
        ssim: Mean over the gallery.
        psnr: Mean, dB.
        mse: Mean, on the scale 0 to 1.
    """

    method: str
    ssim: float
    psnr: float
    mse: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderPaperReport(Report):
    """P5 of OLR's decoder.

    Attributes:
        size: (H, W) of the pictures.
        figures: What is to be reached.
        pictures: Each method's likeness to the images.
        differences: SSIM of the decoder less that of each baseline, resampled by identity.
        identity: What pictures tell of who is in them; empty without a judge.
    """

    size: tuple[int, int]
    figures: tuple[Measured, ...]
    pictures: tuple[PictureFigures, ...]
    differences: dict[str, Interval]
    identity: tuple[Disclosed, ...]

    def tables(self) -> tuple[Table, ...]:
        """Targets, likeness, differences, identity."""
        height, width = self.size
        return tuple(
            table
            for table in (
                Table(
                    "What it must reach",
                    ("metric", "found", "target", "passed"),
                    tuple((row.metric, row.value, row.target, row.passed) for row in self.figures),
                ),
                Table(
                    f"Pictures of {height} × {width} pixels",
                    ("method", "SSIM", "PSNR", "MSE"),
                    tuple((row.method, row.ssim, row.psnr, row.mse) for row in self.pictures),
                ),
                Table("SSIM, differences", ("methods", "difference"), tuple(self.differences.items())),
                Table(
                    "What they tell of who is in them, to a network that saw neither faces nor the decoder",
                    ("pictures", "AUC", "recall@1", "own image first"),
                    tuple((row.pictures, row.auc, row.recall_at_1, row.own_first) for row in self.identity),
                    note="AUC and recall@1 as in P3: two pictures of one person against two of different "
                    "persons. The last column: among all images of the gallery the nearest is the very image "
                    "that a picture was made of.",
                ),
            )
            if table.rows
        )

    def lines(self) -> list[dict[str, object]]:
        """One object a figure."""
        return [
            {
                "metric": row.metric,
                "value": row.value,
                "target": row.target,
                "passed": row.passed,
                "seed": row.seed,
            }
            for row in self.figures
        ]


def run_decoder_paper(
    case: DecoderCase,
    decoder: Decoder,
    *,
    judge: Judge | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    command: str = "olrsearch bench papers decoder",
) -> DecoderPaperReport:
    """Measure a decoder against baselines, on images that none of them saw.

    Args:
        case: Images and embeddings.
        decoder: Makes pictures.
        judge: Looks at pictures for who is in them; without one this is left out.
        seed: Of random starts and resamples.
        resamples: Bootstrap resamples.
        command: What the report says to run.
    """
    originals = np.asarray(case.pixels[case.gallery])
    made = {"decoder": decoder.decode(case.embeddings[case.gallery]), **baselines(case, seed=seed)}
    likeness = {name: compare(pictures, originals) for name, pictures in made.items()}
    alike = {name: found[0] for name, found in likeness.items()}
    persons = case.identity[case.gallery]
    differences = {
        f"decoder − {name}": clustered_difference(
            alike["decoder"], alike[name], persons, seed=seed, resamples=resamples
        )
        for name in ("ridge", "mean image")
    }
    told: tuple[Disclosed, ...] = ()
    notes = list(_NOTES)
    if judge is None:
        notes.append("The network that judges identity is not installed: disclosure is not measured.")
    else:
        shown = {name: made[name] for name in ("decoder", "ridge")}
        told = disclosed(judge, originals, shown, persons, seed=seed)
    targets = {"ridge": OVER_RIDGE, "mean image": OVER_MEAN}
    return DecoderPaperReport(
        protocol="P5",
        title="pictures made of label embeddings",
        command=command,
        seed=seed,
        baseline="ridge regression from embeddings to pixels, and the mean image",
        data=case.summary(),
        notes=tuple(notes),
        size=(originals.shape[1], originals.shape[2]),
        figures=tuple(
            Measured.of(
                f"SSIM, decoder − {name}",
                differences[f"decoder − {name}"].estimate,
                target,
                unit="difference",
                seed=seed,
            )
            for name, target in targets.items()
        ),
        pictures=tuple(
            PictureFigures(name, *(float(part.mean()) for part in found)) for name, found in likeness.items()
        ),
        differences=differences,
        identity=told,
    )


def baselines(case: DecoderCase, *, seed: int = 0) -> dict[str, U8]:
    """Pictures of the gallery by ridge regression to all pixels, the mean image, and the ceiling."""
    size = case.pixels.shape[1:]
    numbers = int(np.prod(case.embeddings.shape[1:]))
    basis = principal_pictures(case.pixels, case.train, numbers, seed=seed)
    rng = np.random.default_rng([seed, 0xDEC0])
    values = int(np.prod(size))
    some = np.sort(rng.choice(values, min(values, _STRENGTH_VALUES), replace=False))
    known, held, asked = (case.numbers(rows) for rows in (case.train, case.selection, case.gallery))
    strength = fit_ridge(
        known, _values(case, case.train, some), held, _values(case, case.selection, some)
    ).strength
    ridge = ridge_pictures(known, case.pixels, case.train, strength)
    originals = np.asarray(case.pixels[case.gallery])
    return {
        "ridge": _rounded(ridge(asked), size),
        "mean image": np.repeat(_rounded(basis.mean[None], size), len(asked), axis=0),
        "ceiling": _rounded(_kept(basis, originals), size),
    }


def clustered_difference(
    ours: F64, theirs: F64, persons: I64, *, seed: int, resamples: int = RESAMPLES
) -> Interval:
    """Interval of the mean difference, images of one person drawn together."""
    apart = ours - theirs
    means = [
        (apart @ weights) / weights.sum(axis=0)
        for weights in cluster_weights(persons, seed=seed, resamples=resamples)
    ]
    return interval(np.concatenate(means), float(apart.mean()))


def _kept(basis: PictureBasis, originals: U8) -> F32:
    return basis.pictures(basis.coordinates(originals))


def _values(case: DecoderCase, rows: I64, some: I64) -> F32:
    """Some values of pictures, float32 [n, values], 0 to 1."""
    found = np.asarray(case.pixels[rows]).reshape(len(rows), -1)[:, some]
    return found.astype(np.float32) / np.float32(255)


def _rounded(pictures: F32, size: tuple[int, ...]) -> U8:
    return (np.clip(pictures, 0, 1) * 255).round().astype(np.uint8).reshape(-1, *size)
