"""P4 on a store: its labels get errors, and the embeddings of one of its spaces are audited.

Notation: N images, L labels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from olrsearch.audit.benchmark.cases import NOISES, AuditCase
from olrsearch.audit.benchmark.pictures import HeadViews, picture_features
from olrsearch.audit.benchmark.protocol import SEEDS, run_audit_bench
from olrsearch.audit.runs.from_store import material_of_space
from olrsearch.audit.scorers.registry import make_scorers
from olrsearch.audit.scorers.twins import find_twins
from olrsearch.core.errors import BenchmarkError
from olrsearch.core.progress import Track, silent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.audit.benchmark.report import AuditBenchReport
    from olrsearch.core.arrays import F32, I64
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.backend import Backend


def audit_case(
    backend: Backend, opened: OpenSpace, *, hard: OpenSpace | None = None, track: Track = silent
) -> AuditCase:
    """The images of a space with their stored labels; the space's embeddings are how they look.

    The embeddings stay as they are when labels get errors, so an encoder that learnt from these very labels
    knows what was there before; the notes say so.

    Args:
        backend: The store.
        opened: The space.
        hard: The space of another encoder, whose probabilities say which entries are hard (N3).
        track: Shows progress.

    Raises:
        AuditError: no label is known of these images, or they show fewer people than there are folds.
        BenchmarkError: the other space is this one, or lacks an image or label.
    """
    if hard is not None and hard.info.fingerprint == opened.info.fingerprint:
        raise BenchmarkError(f"{hard.info.name} is what is audited: name the space of another encoder for N3")
    whole = material_of_space(backend, opened)
    found = replace(whole.found, twins=find_twins(opened.snapshot, whole.ids, track=track))
    return AuditCase(
        name=", ".join(item.name for item in opened.snapshot.datasets()),
        found=found,
        source=f"embeddings of {opened.info.name}, encoder {opened.info.fingerprint[:12]}",
        hardness=None if hard is None else _hardness(hard, whole.ids, found.names),
        notes=whole.notes,
    )


def picture_case(
    backend: Backend, opened: OpenSpace, *, cache: Path | None = None, track: Track = silent
) -> AuditCase:
    """The images of a space with their stored labels; how they look is said by a trunk that met no label.

    Heads are trained for every fold, noise and seed on the labels as they then are. The space itself only
    says which entries are hard (N3), if its encoder knows all the labels.

    Args:
        backend: The store.
        opened: The space.
        cache: Where the trunk's features are kept.
        track: Shows progress.

    Raises:
        AuditError: as `audit_case`, or an image cannot be read.
        TrainingError: the package that holds the trunk's weights is not installed.
    """
    whole = material_of_space(backend, opened)
    found = replace(whole.found, twins=find_twins(opened.snapshot, whole.ids, track=track))
    features = picture_features(opened.snapshot, whole.ids, cache=cache, track=track)
    space = opened.info.name
    unknown = [name for name in found.names if name not in opened.info.labels]
    return AuditCase(
        name=", ".join(item.name for item in opened.snapshot.datasets()),
        found=found,
        source=(
            f"EfficientNet-Lite0 of ImageNet, frozen, {features.shape[1]} components, heads for every fold"
        ),
        views=lambda given, seed: HeadViews(features, given, found.fold, seed=seed),
        hardness=None if unknown else _hardness(opened, whole.ids, found.names),
        notes=(
            f"N3 would take what is hard from {space}, which does not know {', '.join(unknown)}."
            if unknown
            else f"N3 takes what is hard from {space}, whose trunk was trained further and on its own.",
            *opened.coverage_notes(),
        ),
    )


def audit_report(
    backend: Backend,
    opened: OpenSpace,
    *,
    views: Literal["pictures", "space"] = "pictures",
    hard: OpenSpace | None = None,
    scorers: Sequence[str] | None = None,
    noises: Sequence[str] = tuple(NOISES),
    seeds: Sequence[int] = SEEDS,
    cache: Path | None = None,
    track: Track = silent,
) -> AuditBenchReport:
    """Measure P4 on a space of a store.

    Args:
        backend: The store.
        opened: The space.
        views: `pictures`: a frozen trunk that met no label, and heads for every fold; `space`: the embeddings
            of the space, whose encoder may know the labels.
        hard: The space of another encoder, for N3 in the embeddings of a space.
        scorers: Names; all when None.
        noises: Keys of `NOISES`.
        seeds: Of the noise.
        cache: Where evidence is kept, so that an interrupted run goes on.
        track: Shows progress.

    Raises:
        AuditError: as `audit_case`, or an unknown scorer.
        BenchmarkError: as `audit_case` and `run_audit_bench`.
    """
    asked = make_scorers(scorers)
    if views == "space":
        case = audit_case(backend, opened, hard=hard, track=track)
    elif hard is not None:
        raise BenchmarkError("pictures take what is hard from the space itself: give no other one")
    else:
        case = picture_case(backend, opened, cache=cache, track=track)
    return run_audit_bench(case, asked, noises=noises, seeds=seeds, cache=cache, track=track)


def _hardness(hard: OpenSpace, ids: I64, names: Sequence[str]) -> F32:
    """Calibrated probabilities of a space, float32 [L, N]."""
    info = hard.info
    unknown = [name for name in names if name not in info.labels]
    missing = int((~np.isin(ids, hard.view.ids)).sum())
    if unknown or missing:
        raise BenchmarkError(
            f"{info.name} lacks {missing:,} of the images and the labels {', '.join(unknown) or 'none'}: "
            "encode all images with it, or name another space for N3"
        )
    rows, columns = hard.view.rows(ids), [info.labels.index(name) for name in names]
    raw = hard.readout.logits(hard.view.gather_all(rows))[columns]
    return hard.calibration.probability(raw, columns).astype(np.float32)
