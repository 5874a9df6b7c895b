"""Label scores of all images, and the exact value of an attribute query.

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
from olrsearch.maths.calibration import Calibration, log_sigmoid
from olrsearch.search.artefacts import keep_arrays, kept_arrays
from olrsearch.search.query.ast import And, Node, Not, conjuncts
from olrsearch.search.query.ast import Literal as LabelLiteral

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


def log1m_exp(value: F64) -> F64:
    """log(1 − exp(x)) for x ≤ 0, float64; −inf at 0.

    Source: Mächler 2012, "Accurately computing log(1 − exp(−|a|))".
    """
    with np.errstate(divide="ignore"):
        near_zero = value > -np.log(2.0)
        out: F64 = np.where(
            near_zero, np.log(-np.expm1(np.where(near_zero, value, -1.0))), np.log1p(-np.exp(value))
        )
    return out


def log_either(values: Sequence[F64]) -> F64:
    """log(1 − Π(1 − exp v_i)): at least one of independent events; float64, ≤ 0.

    Precise at both ends: sums of tiny probabilities do not vanish (no −inf for finite
    values), and near certainty images keep their order.
    """
    total = values[0]
    missing = log1m_exp(values[0])
    for value in values[1:]:
        # a + b(1 − a), in logarithms: no difference of nearly equal numbers
        total = np.minimum(np.logaddexp(total, value + log1m_exp(total)), 0.0)  # rounding may leave 1e-17
        missing = missing + log1m_exp(value)
    sure = missing < -np.log(2.0)
    out: F64 = np.where(sure, log1m_exp(np.where(sure, missing, -1.0)), np.minimum(total, 0.0))
    return out


def literals(logits: Callable[[str], F64]) -> Callable[[str, bool], F64]:
    """The function `evaluate` asks: log p by name, or log(1 − p), of logits that are read once each."""
    known: dict[str, F64] = {}

    def literal_value(name: str, negate: bool) -> F64:
        if name not in known:
            known[name] = logits(name)
        return log_sigmoid(-known[name] if negate else known[name])

    return literal_value


def evaluate(node: Node, literal_value: Callable[[str, bool], F64]) -> tuple[F64, list[tuple[Node, F64]]]:
    """The value of a query for some images, and its parts.

    A literal's value is its weight times log p, or log(1 − p) if negated; a conjunction is
    the sum of its terms, a disjunction follows by De Morgan, and a weight multiplies.

    Args:
        node: The query, names resolved.
        literal_value: log-probabilities [n] of a label's presence, or of its absence where the
            second argument is true.

    Returns:
        Values float64 [n], and each term of the topmost conjunction (in negation normal
        form) with its values: these add up to the first, in this order, exactly.
    """
    terms = [(term, _value(term, literal_value)) for term in conjuncts(node)]
    total = terms[0][1].copy()
    for _, value in terms[1:]:
        total += value
    return total, terms


def _value(node: Node, literal_value: Callable[[str, bool], F64]) -> F64:
    """Value of a node in negation normal form."""
    if isinstance(node, LabelLiteral):
        return node.weight * literal_value(node.name, False)
    if isinstance(node, Not):
        if not isinstance(node.child, LabelLiteral):
            raise QueryError("a negation stands over a group: bring the query to negation normal form first")
        return node.child.weight * literal_value(node.child.name, True)
    parts = [_value(child, literal_value) for child in node.children]
    value = np.sum(parts, axis=0) if isinstance(node, And) else log_either(parts)
    out: F64 = node.weight * value
    return out


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
            raise QueryError(f"unknown evidence {self.evidence!r}, expected one of {', '.join(EVIDENCE)}")
        count = len(self.label_names)
        shapes = {self.view.labels, self.readout.weight.shape[0], len(self.calibration.slope)}
        if shapes != {count}:
            raise IncompatibleEncoderError(
                f"{count} label names do not fit an encoder and calibration of {sorted(shapes)} labels"
            )
        if self.evidence != "predicted" and self.stored is None:
            raise QueryError(f"evidence {self.evidence!r} needs stored labels, and there are none")
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
        shift: F64 = observed * np.log((1.0 - LABEL_ERROR) / LABEL_ERROR)
        if self.evidence == "both":
            return prediction + shift
        present, absent = int((observed > 0).sum()), int((observed < 0).sum())
        base = np.log((present + 1.0) / (absent + 1.0))  # Laplace's rule: finite without any example
        found: F64 = np.where(observed == 0, base, shift)
        return found

    def log_probability(self, label: int) -> F64:
        """Logarithm of the probability of a label, float64 [N], finite."""
        return log_sigmoid(self.logits(label))

    def literal_values(self) -> Callable[[str, bool], F64]:
        """The function `evaluate` asks: a label's log p by name, or log(1 − p); reads each label once."""
        positions = {name: position for position, name in enumerate(self.label_names)}
        return literals(lambda name: self.logits(positions[name]))


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
