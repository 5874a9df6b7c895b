"""P1 of words: how well an encoder of posteriors says which of its own words an image has.

The figures are those of `attributes`, of one method: the calibrated probability of each word, from the
ratio of its density under the image's posterior to that of the words on the average.

Source: paper 004, section 3 (images are described by the words of the highest density); figures and
    groups are those of P1.

Notation: W words, G images of the gallery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.attributes import (
    COMMAND,
    LabelScores,
    Support,
    group_members,
    group_table,
    label_scores,
    support_of,
)
from olrsearch.evaluation.metrics import ratio
from olrsearch.evaluation.report import Report, Table, label_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F64, I8, Bool

ENCODER, MAJORITY = "encoder", "majority"
"""Names of the two methods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribingReport(Report):
    """P1 of words, with the keys of `AttributesReport` that a space of posteriors has figures for.

    Attributes:
        label_names: W names, the order of every list of words.
        prevalence: float64 [W], share of positives in the gallery.
        methods: `encoder` (calibrated probability of each word), `majority` (never a word that most
            images lack, always one that most have).
        groups: `Male`, `!Male`, … → method → the same on those images only.
        support: `all`, `Male`, `!Male`, … → images and how many of them have and lack each word.
    """

    label_names: tuple[str, ...]
    prevalence: F64
    methods: dict[str, LabelScores]
    groups: dict[str, dict[str, LabelScores]]
    support: dict[str, Support]

    def tables(self) -> tuple[Table, ...]:
        """Methods, groups, words."""
        methods = group_table("Methods", {"all": self.methods, **self.groups})
        scores = self.methods[ENCODER]
        figures = {
            "positives": self.prevalence,
            "acc.": scores.label_accuracy,
            "balanced acc.": scores.label_balanced_accuracy,
            "AP": scores.label_ap,
        }
        return methods, label_table("Words", "word", self.label_names, figures)


def run_describing(
    logits: F64,
    truth: I8,
    label_names: Sequence[str],
    *,
    data: Mapping[str, Any],
    fitted_on: str = "selection",
    seed: int = 0,
) -> DescribingReport:
    """Measure P1 of words.

    Args:
        logits: float64 [W, G], calibrated; a word is said to be there from 0, probability ½, on.
        truth: int8 [W, G]; −1 absent, 0 unknown, +1 present.
        label_names: The W words, as the data call their labels.
        data: What a report says of its data, see `BenchData.summary`.
        fitted_on: What probabilities were calibrated on, in words; `selection` is what P1 asks for.
        seed: Recorded; nothing here is random.

    Raises:
        BenchmarkError: shapes that do not fit each other, no image, or a logit that is not finite.
    """
    if logits.shape != truth.shape or len(label_names) != len(truth):
        raise BenchmarkError(
            f"logits {logits.shape}, truth {truth.shape} and {len(label_names)} names: expected one entry a "
            "word and image of each"
        )
    if not truth.shape[1]:
        raise BenchmarkError("the gallery is empty; import images of the val or test partition")
    if not np.isfinite(logits).all():
        raise BenchmarkError("logits of words hold NaN or infinities: encode again")
    members = group_members(label_names, truth)
    known = (truth != 0).sum(axis=1)
    present = (truth > 0).sum(axis=1)
    often = present * 2 > known
    notes = []
    if fitted_on not in {"", "selection"}:
        notes.append(
            f"Probabilities were fitted on {fitted_on}, not on the selection images: where images of the "
            "gallery, or ones the encoder learnt, are among them, the figures may flatter."
        )
    if not fitted_on:
        notes.append("Probabilities are not calibrated: accuracy is at the ratio 1, ranking is the same.")
    groups = {group: _methods(logits, often, truth, member) for group, member in members.items()}
    return DescribingReport(
        protocol="P1",
        title="what the posterior says of each word",
        command=COMMAND,
        seed=seed,
        baseline="the majority vote",
        data=dict(data),
        notes=tuple(notes),
        label_names=tuple(label_names),
        prevalence=ratio(present, known),
        methods=groups.pop("all"),
        groups=groups,
        support={group: support_of(truth[:, member]) for group, member in members.items()},
    )


def _methods(logits: F64, often: Bool, truth: I8, member: Bool) -> dict[str, LabelScores]:
    part = truth[:, member]
    constant = np.repeat(often[:, None], part.shape[1], axis=1)
    # All ties: the order of the images alone would decide its average precision.
    nothing = np.full(len(part), np.nan)
    return {
        ENCODER: label_scores(logits[:, member], logits[:, member] >= 0, part),
        MAJORITY: label_scores(None, constant, part, label_ap=nothing),
    }
