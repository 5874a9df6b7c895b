"""Label scores of all images: what an attribute query is computed from.

Two arrays, log p and log(1 − p) for every label and image, answer any attribute query
exactly; only the labels a query names are read. Raw logits are derived from label
embeddings by the encoder's readout and may be kept as one file a segment.

Notation: N images (rows of a view), L labels. Values are natural logarithms, ≤ 0; larger
is better (a distance is minus a value).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from olrsearch.core.arrays import digest
from olrsearch.core.errors import IncompatibleEncoderError, QueryError, StoreCorruptError
from olrsearch.core.shown import shown
from olrsearch.maths.calibration import Calibration, log_sigmoid
from olrsearch.search.artefacts import keep_arrays, kept_arrays
from olrsearch.search.query.evaluate import literals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F32, F64, I8
    from olrsearch.maths.readout import Readout
    from olrsearch.search.index.view import EmbeddingPart, EmbeddingView

Evidence = Literal["predicted", "labels", "both"]
EVIDENCE: tuple[Evidence, ...] = get_args(Evidence)

LABEL_ERROR = 0.02
"""How often a stored label is taken to be wrong where it counts as evidence, a probability.

Error rates of crowd-sourced face attributes vary by label around a few in a hundred; what matters
is that it is neither 0 (one wrong label would veto an image for good) nor near ½.
"""

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, eq=False)
class LabelScores:
    """Log-probabilities of labels for all images of a view, by the evidence asked for.

    * `predicted`: the calibrated prediction, logit s.
    * `labels`: the stored label alone. A present label has probability 1 − ε, an absent one
      ε (`LABEL_ERROR`); where it is unknown, the label's base rate among the known ones.
    * `both`: the stored label as a noisy observation beside the prediction, by Bayes' rule:
      logit s ± log((1 − ε)/ε); where it is unknown, the prediction.

    Attributes:
        view: The images.
        readout: Raw logits from label embeddings.
        label_names: The L names.
        calibration: Raw logits → probabilities.
        evidence: What counts.
        stored: int8 [N, L] in the view's rows, −1/0/+1; needed unless `predicted`.
        kept: Raw logits float32 [L, n] of every part of the view, as `write_scores` keeps them; None where
            they are computed from embeddings, as they are of all parts where nothing is given.
    """

    view: EmbeddingView
    readout: Readout
    label_names: tuple[str, ...]
    calibration: Calibration
    evidence: Evidence = "predicted"
    stored: I8 | None = None
    kept: Sequence[F32 | None] = ()

    def __post_init__(self) -> None:
        if self.evidence not in EVIDENCE:
            raise QueryError(
                f"unknown evidence {shown(self.evidence)}: expected one of {', '.join(EVIDENCE)}"
            )
        count = len(self.label_names)
        shapes = {self.view.labels, self.readout.weight.shape[0], len(self.calibration.slope)}
        if shapes != {count}:
            raise IncompatibleEncoderError(
                f"{count} label names do not fit an encoder and calibration of {sorted(shapes)} labels"
            )
        if self.evidence != "predicted" and self.stored is None:
            raise QueryError(f"evidence {shown(self.evidence)} needs stored labels, and there are none")
        if self.stored is not None and self.stored.shape != (len(self.view), count):
            raise QueryError(
                f"stored labels {self.stored.shape} do not fit {len(self.view)} images × {count} labels"
            )

    def raw(self, label: int) -> F32:
        """Raw logits of one label, float32 [N]."""
        out = np.empty(len(self.view), np.float32)
        weight, bias = self.readout.weight[label], self.readout.bias[label]
        for number, (rows, block, alive) in enumerate(self.view.blocks(label)):
            kept = self.kept[number] if self.kept else None
            found = np.matmul(block, weight) + bias if kept is None else kept[label]
            out[rows] = found if alive is None else found[alive]
        return out

    def logits(self, label: int) -> F64:
        """Logits of a label's presence by the evidence asked for, float64 [N]."""
        prediction: F64 = np.zeros(0)
        if self.evidence != "labels":
            prediction = self.calibration.logits(self.raw(label)[None], [label])[0]
        if self.evidence == "predicted" or self.stored is None:
            return prediction
        observed = self.stored[:, label]
        if self.evidence == "both":
            return prediction + _shift(observed)
        return stored_logits(observed)

    def log_probability(self, label: int) -> F64:
        """Logarithm of the probability of a label, float64 [N], finite."""
        return log_sigmoid(self.logits(label))

    def literal_values(self) -> Callable[[str, bool], F64]:
        """The function `evaluate` asks: a label's log p by name, or log(1 − p); reads each label once."""
        positions = {name: position for position, name in enumerate(self.label_names)}
        return literals(lambda name: self.logits(positions[name]))


def stored_logits(observed: I8) -> F64:
    """Logits of a label's presence by its stored values alone, float64 [N].

    Args:
        observed: int8 [N], −1/0/+1.
    """
    present, absent = int((observed > 0).sum()), int((observed < 0).sum())
    base = np.log((present + 1.0) / (absent + 1.0))  # Laplace's rule: finite without any example
    found: F64 = np.where(observed == 0, base, _shift(observed))
    return found


def _shift(observed: I8) -> F64:
    """What a stored value says as a witness that errs: ± log((1 − ε)/ε), 0 where it is unknown."""
    found: F64 = observed * np.log((1.0 - LABEL_ERROR) / LABEL_ERROR)
    return found


def write_scores(path: Path, part: EmbeddingPart, readout: Readout, *, segment: str) -> None:
    """Keep the raw logits of a segment: `path` (.npy, float32 [L, n]) and a .json beside it.

    Args:
        path: Where to, replaced if it exists.
        part: The segment.
        readout: Of its encoder.
        segment: The segment's uuid, recorded.
    """
    arrays = {path.name: readout.logits(part.embeddings)}
    keep_arrays(path.with_suffix(".json"), arrays, _description(part, readout, segment))


def read_scores(path: Path, part: EmbeddingPart, readout: Readout, *, segment: str) -> F32 | None:
    """Raw logits kept by `write_scores`, memory-mapped, float32 [L, n].

    Returns:
        None where there are none, or they are of another segment, encoder or format: they
        are derived, and computing them again is always right.

    Raises:
        StoreCorruptError: the description fits, and the array is damaged.
    """
    forms = {path.name: (np.float32, part.embeddings.shape[:2])}
    description = _description(part, readout, segment)
    found = kept_arrays(path.with_suffix(".json"), forms, description, error=StoreCorruptError)
    return None if found is None else found[0]


def _description(part: EmbeddingPart, readout: Readout, segment: str) -> dict[str, object]:
    """What scores are of; equal descriptions mean equal scores."""
    return {
        "format_version": FORMAT_VERSION,
        "segment": segment,
        "labels": int(part.embeddings.shape[0]),
        "count": int(part.embeddings.shape[1]),
        "readout": digest(readout.weight, readout.bias),
        "ids": digest(part.ids),
    }
