"""Where a linear probe on the embeddings and the teacher decide differently, and whom the stored label backs.

The paper finds among these images many whose stored label is wrong: the teacher obeys it, the
embedding refuses it.

Source: paper 001, section 4.1, figure 3.

Notation: L labels, G images of the gallery.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from olrsearch.core.errors import BenchmarkError
from olrsearch.evaluation.data import image_major
from olrsearch.evaluation.probe import STRENGTHS, fit_probe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import I8, Bool, Floats
    from olrsearch.core.label_values import LabelValue
    from olrsearch.evaluation.data import BenchData


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One image and label.

    Attributes:
        image_id: The image's stable id.
        key: The key its data set gave it.
        label: The label's name.
        stored: −1 absent, 0 unknown, +1 present.
        probe: The probe's probability that it is present.
        teacher: The teacher's.
        gap: |probe − teacher|.
    """

    image_id: int
    key: str
    label: str
    stored: LabelValue
    probe: float
    teacher: float
    gap: float


@dataclass(frozen=True, slots=True)
class DisagreementCount:
    """How often the two decide differently, of one label or of several together.

    Attributes:
        label: Its name; `all` for several together.
        entries: Images times labels that were looked at.
        disagreements: Where one says present (probability ≥ 0.5) and the other absent.
        with_probe: Of these, where the stored label sides with the probe.
        with_teacher: Where it sides with the teacher: the embedding refused the label.
        unknown: Where no label is stored.
    """

    label: str
    entries: int
    disagreements: int
    with_probe: int
    with_teacher: int
    unknown: int


@dataclass(frozen=True, slots=True)
class Disagreements:
    """Section 4.1 of the paper: what the embeddings did not take over from the teacher.

    Attributes:
        images: Images of the gallery: those of val and test.
        probe_strength: The probe's C, chosen on the selection images.
        total: Counts over the labels looked at.
        labels: Counts a label, most disagreements first.
        shown: The entries farthest apart, farthest first.
        notes: What a reader must know.
    """

    images: int
    probe_strength: float
    total: DisagreementCount
    labels: tuple[DisagreementCount, ...]
    shown: tuple[Disagreement, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Verdicts:
    """What probe and teacher say of the gallery.

    Attributes:
        probe: float [L, G], probabilities of a logistic regression on the whole standardised embedding.
        teacher: float [L, G], the teacher's probabilities.
        probe_strength: The probe's C.
    """

    probe: Floats
    teacher: Floats
    probe_strength: float

    @property
    def differ(self) -> Bool:
        """Where one says present and the other absent, bool [L, G]."""
        out: Bool = (self.probe >= 0.5) != (self.teacher >= 0.5)
        return out


def judge_gallery(data: BenchData, *, strengths: Sequence[float] = STRENGTHS) -> Verdicts:
    """Fit P1's probe and let it and the teacher judge the gallery.

    Args:
        data: Gallery, truth, embeddings and the teacher's probabilities.
        strengths: C grid of the probe, from small to large.

    Raises:
        BenchmarkError: the teacher is gone, or there are no training or selection images.

    Source: paper 001, section 4.1.
    """
    if data.teacher_p is None:
        raise BenchmarkError(
            "the teacher's probabilities are not there: its run is gone or some images cannot be read; "
            "train again, or bring the images back"
        )
    probe = fit_probe(data, strengths=strengths)
    decisions = probe.decision(image_major(data.embeddings, data.gallery))
    return Verdicts(np.ascontiguousarray(expit(decisions).T), data.teacher_p[:, data.gallery], probe.strength)


def find_disagreements(
    data: BenchData,
    verdicts: Verdicts,
    *,
    label: int | None = None,
    count: int | None = None,
    notes: tuple[str, ...] = (),
) -> Disagreements:
    """List and count where probe and teacher decide differently.

    Args:
        data: What `verdicts` is about.
        verdicts: What `judge_gallery` returned.
        label: Position of the only label looked at; all when None.
        count: Entries listed at most; all when None.
        notes: Handed through.
    """
    wanted = np.arange(len(data.label_names)) if label is None else np.array([label])
    truth, differ = data.truth[wanted], verdicts.differ[wanted]
    probe, teacher = verdicts.probe[wanted], verdicts.teacher[wanted]
    counts = [
        _count(data.label_names[position], truth[row], differ[row], probe[row])
        for row, position in enumerate(wanted.tolist())
    ]
    gap = np.abs(probe - teacher)
    rows, images = np.nonzero(differ)
    # Farthest first; ties by image, then by label: rows of the gallery rise with the image's id.
    order = np.lexsort((rows, images, -gap[rows, images]))[:count]
    return Disagreements(
        images=len(data.gallery),
        probe_strength=verdicts.probe_strength,
        total=_count("all" if label is None else data.label_names[label], truth, differ, probe),
        labels=tuple(sorted(counts, key=lambda item: (-item.disagreements, item.label))),
        shown=tuple(
            Disagreement(
                image_id=int(data.image_ids[data.gallery[image]]),
                key=data.keys[data.gallery[image]],
                label=data.label_names[wanted[row]],
                stored=int(truth[row, image]),
                probe=float(probe[row, image]),
                teacher=float(teacher[row, image]),
                gap=float(gap[row, image]),
            )
            for row, image in zip(rows[order].tolist(), images[order].tolist(), strict=True)
        ),
        notes=notes,
    )


def _count(label: str, truth: I8, differ: Bool, probe: Floats) -> DisagreementCount:
    known = differ & (truth != 0)
    with_probe = int((known & ((probe >= 0.5) == (truth > 0))).sum())
    disagreements = int(differ.sum())
    return DisagreementCount(
        label=label,
        entries=differ.size,
        disagreements=disagreements,
        with_probe=with_probe,
        with_teacher=int(known.sum()) - with_probe,
        unknown=disagreements - int(known.sum()),
    )
