"""P1: what the embeddings know of each label, beside the classifier they were taught by.

Source: paper 001, section 4.1 (a linear classifier on all label embeddings against the teacher).

Notation: L labels, G images of the gallery, R resamples.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from olrsearch.evaluation.bootstrap import RESAMPLES, Interval, cluster_weights, interval
from olrsearch.evaluation.data import find_label, image_major
from olrsearch.evaluation.metrics import label_average_precision, ratio, weighted_average_precision
from olrsearch.evaluation.probe import STRENGTHS, fit_probe
from olrsearch.evaluation.report import Report, Table, label_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from olrsearch.core.arrays import F32, F64, I8, I64, Bool, Floats
    from olrsearch.evaluation.data import BenchData

_log = logging.getLogger(__name__)

COMMAND = "olrsearch bench attributes"
GROUPS = ("Male", "Young")
_COLUMNS = ("accuracy", "balanced accuracy", "mAP")


@dataclass(frozen=True, slots=True)
class LabelScores:
    """One method on every label.

    Attributes:
        accuracy: Share of known entries on the right side of probability 0.5, over all labels;
            NaN for a method without probabilities.
        balanced_accuracy: Mean of true positive and true negative rate, averaged over labels.
        map: Average precision, averaged over labels that have a positive.
        label_accuracy: float64 [L].
        label_balanced_accuracy: float64 [L].
        label_ap: float64 [L]; NaN for a label without positives.
    """

    accuracy: float
    balanced_accuracy: float
    map: float
    label_accuracy: F64
    label_balanced_accuracy: F64
    label_ap: F64


@dataclass(frozen=True, slots=True)
class Support:
    """What the figures of a group stand on.

    Attributes:
        images: How many.
        positives: int64 [L], images that have the label.
        negatives: int64 [L], images that lack it.
    """

    images: int
    positives: I64
    negatives: I64


@dataclass(frozen=True, slots=True)
class Difference:
    """First method minus second, resampled by identity.

    Attributes:
        accuracy: Of the accuracy over entries, 1 = 100 points.
        balanced_accuracy: Of the mean over labels.
        map: Of the mean over labels.
    """

    accuracy: Interval
    balanced_accuracy: Interval
    map: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributesReport(Report):
    """P1.

    Attributes:
        label_names: L names, the order of every per-label list.
        prevalence: float64 [L], share of positives in the gallery.
        methods: `probe` (logistic regression on the whole embedding), `teacher`, `encoder`
            (calibrated readout of e^l alone), `norm` (‖e^l‖: ranking only), `majority`.
        groups: `Male`, `!Male`, … → method → the same on those images only.
        support: `all`, `Male`, `!Male`, … → images and how many of them have and lack each label.
        differences: `probe - teacher`, … → intervals.
        probe_strength: The C chosen on the selection images.
    """

    label_names: tuple[str, ...]
    prevalence: F64
    methods: dict[str, LabelScores]
    groups: dict[str, dict[str, LabelScores]]
    support: dict[str, Support]
    differences: dict[str, Difference]
    probe_strength: float

    def tables(self) -> tuple[Table, ...]:
        """Methods, differences, groups, labels."""
        methods = Table(
            "Methods",
            ("method", *_COLUMNS),
            tuple((name, *_heads(scores)) for name, scores in self.methods.items()),
        )
        differences = Table(
            "Paired differences, 95 % intervals by identity",
            ("pair", *_COLUMNS),
            tuple((name, d.accuracy, d.balanced_accuracy, d.map) for name, d in self.differences.items()),
        )
        groups = group_table("Groups apart", self.groups)
        names = [name for name in self.methods if name not in {"majority", "norm"}]
        figures = {"positives": self.prevalence}
        for name in names:
            figures[f"{name} acc."] = self.methods[name].label_accuracy
            figures[f"{name} AP"] = self.methods[name].label_ap
        figures["norm AP"] = self.methods["norm"].label_ap
        labels = label_table("Labels", "label", self.label_names, figures)
        return tuple(table for table in (methods, differences, groups, labels) if table.rows)


def run_attributes(
    data: BenchData, *, seed: int = 0, strengths: Sequence[float] = STRENGTHS, resamples: int = RESAMPLES
) -> AttributesReport:
    """Measure P1.

    Args:
        data: Gallery, truth and embeddings.
        seed: Of the bootstrap.
        strengths: C grid of the probe, from small to large.
        resamples: Bootstrap resamples.

    Raises:
        BenchmarkError: no training or selection images to fit the probe with.
    """
    truth = data.truth
    probe = fit_probe(data, strengths=strengths)
    rows = data.gallery
    scores: dict[str, Floats] = {"probe": expit(probe.decision(image_major(data.embeddings, rows))).T.copy()}
    if data.teacher_p is not None:
        scores["teacher"] = data.teacher_p[:, rows]
    scores["encoder"] = np.exp(data.log_p[:, rows])
    norms = np.stack([np.linalg.norm(block[rows], axis=1) for block in data.embeddings])
    majority = _majority(data)

    members = group_members(data.label_names, truth)
    groups = {group: _methods(scores, norms, majority, truth, member) for group, member in members.items()}
    reference = "teacher" if "teacher" in scores else "encoder"
    differences = {
        f"{name} - {reference}": _difference(
            value, scores[reference], truth, data.identity[rows], seed=seed, resamples=resamples
        )
        for name, value in scores.items()
        if name != reference
    }
    notes = [
        *data.caveats(),
        "One C for all labels, the one with the smallest log-loss on the selection images.",
    ]
    if probe.strength in {strengths[0], strengths[-1]} and len(strengths) > 1:
        notes.append(f"The chosen C = {probe.strength:g} is at the edge of the grid.")
    if "teacher" not in scores:
        notes.append("The teacher's probabilities are not there: nothing stands against it.")
    return AttributesReport(
        protocol="P1",
        title="attributes from embeddings",
        command=COMMAND,
        seed=seed,
        baseline="the teacher classifier, the majority vote" if "teacher" in scores else "the majority vote",
        data=data.summary(),
        notes=tuple(notes),
        label_names=data.label_names,
        prevalence=_share(truth > 0, truth != 0),
        methods=groups.pop("all"),
        groups=groups,
        support={group: support_of(truth[:, member]) for group, member in members.items()},
        differences=differences,
        probe_strength=probe.strength,
    )


def group_members(label_names: Sequence[str], truth: I8) -> dict[str, Bool]:
    """Members of `all`, of each group of `GROUPS` and of its complement, bool [G], where there are any.

    Args:
        label_names: L names.
        truth: int8 [L, G].
    """
    out: dict[str, Bool] = {"all": np.ones(truth.shape[1], np.bool_)}
    for name in GROUPS:
        row = find_label(label_names, name)
        if row is None:
            continue
        for sign, prefix in ((1, ""), (-1, "!")):
            member = truth[row] == sign
            if member.any():
                out[prefix + label_names[row]] = member
    return out


def group_table(title: str, groups: Mapping[str, Mapping[str, LabelScores]]) -> Table:
    """A table of group → method → figures."""
    rows = (
        (group, name, *_heads(scores))
        for group, methods in groups.items()
        for name, scores in methods.items()
    )
    return Table(title, ("group", "method", *_COLUMNS), tuple(rows))


def support_of(truth: I8) -> Support:
    """What figures of some images stand on.

    Args:
        truth: int8 [L, G].
    """
    return Support(truth.shape[1], (truth > 0).sum(axis=1), (truth < 0).sum(axis=1))


def _majority(data: BenchData) -> Bool:
    """What most training images say, bool [L]; the gallery's own majority where there are none."""
    rows = data.train if len(data.train) else data.gallery
    present: Bool = data.labels[rows].sum(axis=0, dtype=np.int64) > 0
    return present


def _methods(
    scores: dict[str, Floats], norms: F32, majority: Bool, truth: I8, member: Bool
) -> dict[str, LabelScores]:
    part = truth[:, member]
    out = {
        name: label_scores(value[:, member], value[:, member] >= 0.5, part) for name, value in scores.items()
    }
    out["norm"] = label_scores(norms[:, member], None, part)
    # A constant ranks nothing: its average precision is the share of positives.
    constant = np.repeat(majority[:, None], part.shape[1], axis=1)
    prevalence = _share(part > 0, part != 0)
    out["majority"] = label_scores(
        None, constant, part, label_ap=np.where(prevalence > 0, prevalence, np.nan)
    )
    return out


def label_scores(
    scores: Floats | None, predicted: Bool | None, truth: I8, *, label_ap: F64 | None = None
) -> LabelScores:
    """Figures of one method on every label.

    Args:
        scores: float [L, G], larger where a label is likelier; None for a method that does not rank.
        predicted: bool [L, G], whether it says present; None for a method that only ranks.
        truth: int8 [L, G]; −1, 0 unknown, +1.
        label_ap: float64 [L]; average precision of the scores when None.
    """
    known = truth != 0
    nothing = np.full(len(truth), np.nan)
    if label_ap is None:
        label_ap = nothing if scores is None else label_average_precision(scores, truth)
    if predicted is None:
        return LabelScores(float("nan"), float("nan"), _mean(label_ap), nothing, nothing, label_ap)
    right = (predicted == (truth > 0)) & known
    balanced = (_share(right & (truth > 0), truth > 0) + _share(right & (truth < 0), truth < 0)) / 2
    return LabelScores(
        accuracy=float(right.sum() / max(1, known.sum())),
        balanced_accuracy=_mean(balanced),
        map=_mean(label_ap),
        label_accuracy=_share(right, known),
        label_balanced_accuracy=balanced,
        label_ap=label_ap,
    )


def _difference(
    ours: Floats, theirs: Floats, truth: I8, identity: I64, *, seed: int, resamples: int
) -> Difference:
    estimates, resampled = [], []
    for scores in (ours, theirs):
        estimates.append(_heads(label_scores(scores, scores >= 0.5, truth)))
        blocks = [
            _weighted(scores, truth, weights)
            for weights in cluster_weights(identity, seed=seed, resamples=resamples)
        ]
        resampled.append(np.concatenate(blocks, axis=1))
    estimate = np.subtract(estimates[0], estimates[1]).tolist()
    return Difference(*map(interval, resampled[0] - resampled[1], estimate))


def _weighted(scores: Floats, truth: I8, weights: F32) -> F64:
    """Accuracy, balanced accuracy and mAP under each re-weighting, float64 [3, R]."""
    right = (scores >= 0.5) == (truth > 0)
    counts = [
        mask.astype(np.float32) @ weights
        for mask in (right & (truth > 0), truth > 0, right & (truth < 0), truth < 0)
    ]
    positive_rate, negative_rate = ratio(counts[0], counts[1]), ratio(counts[2], counts[3])
    precision = np.stack(
        [weighted_average_precision(row, known, weights) for row, known in zip(scores, truth, strict=True)]
    )
    return np.stack(
        [
            ratio(
                counts[0].sum(axis=0) + counts[2].sum(axis=0), counts[1].sum(axis=0) + counts[3].sum(axis=0)
            ),
            nan_mean((positive_rate + negative_rate) / 2),
            nan_mean(precision),
        ]
    )


def nan_mean(values: F64) -> F64:
    """Mean over the first axis of what is not NaN; NaN where nothing is."""
    usable = np.isfinite(values)
    return ratio(np.where(usable, values, 0.0).sum(axis=0), usable.sum(axis=0))


def _share(part: Bool, whole: Bool) -> F64:
    return ratio(part.sum(axis=1), whole.sum(axis=1))


def _mean(values: F64) -> float:
    return float(nan_mean(values))


def _heads(scores: LabelScores) -> tuple[float, float, float]:
    return scores.accuracy, scores.balanced_accuracy, scores.map
