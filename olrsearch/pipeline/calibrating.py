"""What is fitted to stored labels: the calibration of a space's probabilities, and its metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import CalibrationError, IndexBuildError
from olrsearch.encoders.folder.card import CELEBA_TERMS, read_card
from olrsearch.maths.calibration import fit_calibration
from olrsearch.maths.metric import metric_name
from olrsearch.pipeline.publishing.provenance import is_celeba
from olrsearch.search.spaces.about import known_labels, stored_labels
from olrsearch.search.spaces.registry import open_space, space_of
from olrsearch.store.training_runs import selection_ids

if TYPE_CHECKING:
    from olrsearch.core.arrays import I64
    from olrsearch.maths.calibration import Calibration
    from olrsearch.maths.metric import Metric
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

_MIN_IMAGES = 20


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What `calibrate` fitted.

    Attributes:
        space: Name of the space.
        calibration: The calibration now stored.
        metric: The metric now stored, with the trials of all that were compared; None for posteriors,
            which are compared by divergences.
        outdated: Recipes whose indexes were built with the metric before, or are damaged.
        learnt: How many of the images the encoder was probably trained on: on these it is too sure.
    """

    space: str
    calibration: Calibration
    metric: Metric | None
    outdated: tuple[str, ...] = ()
    learnt: int = 0

    def lines(self) -> list[str]:
        """For a person."""
        fitted_on = f"{self.calibration.count:,} images ({self.calibration.split})"
        revision = self.calibration.label_revision
        lines = [f"{self.space}: probabilities calibrated on {fitted_on}, label revision {revision}"]
        if self.metric is not None:
            chosen = metric_name(self.metric.kind, self.metric.form)
            trials = self.metric.trials
            judged = f" (exemplar AP {trials[0].exemplar_ap:.3f}, best of {len(trials)})" if trials else ""
            lines.append(f"{self.space}: label indexes compare by {chosen}{judged}")
        if self.calibration.uncalibrated:
            names = ", ".join(self.calibration.uncalibrated)
            lines.append(f"too few examples to calibrate, raw predictions used: {names}")
        if self.learnt:
            lines.append(
                f"{self.learnt:,} of these images are of the part of CelebA that {self.space} was trained "
                "on, and it is surer of them than of others: probabilities come out too extreme; fit on "
                "images it has not seen, as in olrsearch calibrate --where \"partition = 'val'\""
            )
        lines.extend(
            f"{name} was not built with this metric: run olrsearch index build --recipe {name}"
            for name in self.outdated
        )
        return lines


def calibrate(backend: Backend, ref: str | None = None, *, ids: I64 | None = None) -> CalibrationReport:
    """Fit probabilities to stored labels and choose the label indexes' metric.

    In a space of posteriors the probabilities are those of its own words, fitted to the ratios of
    densities, and there is no metric to choose.

    By default on the images that training held back: the encoder has not learnt them, so
    its predictions there are as sure as they are on new images. For an encoder that was
    trained elsewhere, on all labelled images outside the `test` partition.

    Args:
        backend: The store, writable.
        ref: Name or fingerprint of the space; see `space_of` when None.
        ids: Fit on these images instead.

    Raises:
        CalibrationError: no stored label that the encoder knows, or fewer than 20 labelled images to
            fit on.
        EmptyStoreError: nothing is encoded.
    """
    with backend.writer() as writer:
        snapshot = backend.snapshot()
        info = space_of(snapshot, ref)
        opened = open_space(snapshot, info)
        if not known_labels(snapshot, info):
            kept = "those that came with the encoder stay" if info.calibration else "scores stay raw"
            raise CalibrationError(
                f"the store has no stored label that {info.name} knows, so there is nothing to fit "
                f"probabilities to ({kept}): import a data set with labels such as {info.labels[0]}"
            )
        chosen, split = (
            (ids, "chosen images") if ids is not None else _calibration_images(backend, snapshot, info)
        )
        rows = opened.view.find(chosen)
        rows = np.sort(rows[rows >= 0])
        labels = stored_labels(snapshot, opened.view.ids[rows], info.labels)
        labelled = (labels != 0).any(axis=1)
        rows, labels = rows[labelled], labels[labelled]
        if len(rows) < _MIN_IMAGES:
            raise CalibrationError(
                f"{len(rows)} of {len(chosen)} images ({split}) have an embedding and a label, "
                f"expected {_MIN_IMAGES} or more: choose others with --where, or import labels"
            )
        used = opened.view.ids[rows]
        metric = opened.choose_metric(rows, labels)
        calibration = fit_calibration(
            opened.raw_scores(rows),
            labels,
            info.labels,
            label_revision=snapshot.label_revision,
            split=split,
        )
        writer.spaces.set_calibration(
            info.id, calibration.to_dict(), label_revision=snapshot.label_revision, split=split
        )
        if metric is not None:
            writer.spaces.set_metric(info.id, metric.to_dict())
    outdated = () if metric is None else _outdated(info, metric)
    learnt = 0 if selection_ids(backend.path, info) is not None else _learnt(snapshot, info, used)
    return CalibrationReport(info.name, calibration, metric, outdated, learnt)


def _learnt(snapshot: Snapshot, info: SpaceInfo, ids: I64) -> int:
    """How many of some images an encoder from elsewhere has been trained on, as far as that can be known.

    CelebA's train partition is the same everywhere, so an encoder whose card says that it was trained on
    CelebA has learnt from it. Other data are unknown here.
    """
    card = read_card(info.model_path)
    if card is None or card["terms"]["subject"] != CELEBA_TERMS.subject:
        return 0
    names = {item.name for item in snapshot.datasets() if is_celeba([item], snapshot.label_names)}
    columns = snapshot.columns(ids, ("dataset", "partition"))
    return int((np.isin(columns["dataset"], sorted(names)) & (columns["partition"] == "train")).sum())


def _outdated(info: SpaceInfo, metric: Metric) -> tuple[str, ...]:
    """The recipes whose indexes were built with another metric, or are damaged: they must be built again."""
    from olrsearch.search.index.built import IndexDescription, metric_digest

    now, found = metric_digest(metric), []
    for name, registered in sorted(info.indexes.items()):
        try:
            built = IndexDescription.from_dict(registered)
        except IndexBuildError:
            found.append(name)
        else:
            if built.files and built.metric != now:
                found.append(name)
    return tuple(found)


def _calibration_images(backend: Backend, snapshot: Snapshot, info: SpaceInfo) -> tuple[I64, str]:
    ids = selection_ids(backend.path, info)
    if ids is not None:
        return ids, "selection"
    living = snapshot.image_ids()
    partition = snapshot.columns(living, ("partition",))["partition"]
    return living[partition != "test"], "labelled images outside test"
