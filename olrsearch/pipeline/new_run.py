"""A new training run: the images it uses, and those it holds back. `store.training_runs` reads it again.

Notation: N images, L labels.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import EmptyStoreError, TrainingError
from olrsearch.datasets.selection import selection_split
from olrsearch.store.files import RUNS
from olrsearch.store.training_runs import ARRAYS, RECORD, keep_arrays, run_array, run_of, write_run

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import I8, I64, Bool
    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.pipeline.degrees import Degrees
    from olrsearch.store.read.snapshot import Snapshot

logger = logging.getLogger(__name__)

_SELECTION_SHARE = 0.15  # of small training sets; large ones give `selection_size` images


def run_with_teacher(store: Path, snapshot: Snapshot, name: str) -> Path:
    """The run that a name means: its folder's, or a space that it made.

    Raises:
        TrainingError: the space was trained elsewhere.
    """
    if name not in {"", ".", ".."} and (store / RUNS / name / RECORD).is_file():
        return store / RUNS / name
    run = run_of(store, snapshot.space(name).fingerprint)
    if run is None:
        raise TrainingError(
            f"{name} was not trained in this store, so its teacher is not here: leave --teacher out"
        )
    return run


def new_run(
    runs: Path,
    snapshot: Snapshot,
    config: TrainerConfig,
    taught: Path | None,
    degrees: Degrees | None = None,
) -> Path:
    """A run's folder with the images it uses: those of the run it takes its teacher from, if any.

    Args:
        runs: The folder of runs.
        snapshot: The generation.
        config: What is trained.
        taught: The run whose teacher is taken.
        degrees: Labels of the configuration that are not the store's, the last ones.
    """
    ids, stored, selection = (
        _choose_images(snapshot, config, degrees)
        if taught is None
        else (run_array(taught, name) for name in ("ids", "labels", "selection"))
    )
    run = runs / dt.datetime.now(dt.UTC).strftime(f"{config.kind}-%Y%m%d-%H%M%S-%f")
    run.mkdir(parents=True)
    sums = keep_arrays(run, {"ids": ids, "labels": stored, "selection": selection})
    record = {
        "kind": config.kind,
        "generation": snapshot.generation,
        "label_revision": snapshot.label_revision,
        "config": config.to_dict(),
        "teacher": None if taught is None else taught.name,
        ARRAYS: sums,
    }
    write_run(run, record)
    logger.info("run %s: %d training images, %d held back", run.name, (~selection).sum(), selection.sum())
    return run


def _choose_images(
    snapshot: Snapshot, config: TrainerConfig, degrees: Degrees | None
) -> tuple[I64, I8, Bool]:
    """Labelled training images, their labels [N, L], and which of them are held back."""
    ids = snapshot.image_ids()
    own = config.labels if degrees is None else config.labels[: -len(degrees.names)]
    stored = snapshot.labels(ids, own)
    if degrees is not None:
        stored = np.concatenate([stored, degrees.labels(ids)], axis=1)
    columns = snapshot.columns(ids, ("partition", "identity", "key", "dataset"))
    use = (stored != 0).any(axis=1)
    if not use.any():
        raise EmptyStoreError("no image of the store has a label: import a labelled data set first")
    training = columns["partition"] == "train"
    if training.any():
        use &= training
    ids, stored = ids[use], stored[use]
    identities = [None if value < 0 else int(value) for value in columns["identity"][use].tolist()]
    keys = [
        f"{dataset}/{key}" for dataset, key in zip(columns["dataset"][use], columns["key"][use], strict=True)
    ]
    size = min(config.selection_size, max(1, int(len(ids) * _SELECTION_SHARE)))
    selection = selection_split(identities, keys, size=size, seed=config.seed)
    if selection.all():
        raise TrainingError(
            f"{len(ids)} labelled training images are too few: none is left to train on "
            f"beside {int(selection.sum())} for validation"
        )
    nothing = [
        name
        for name, known in zip(config.labels, (stored[~selection] != 0).any(axis=0), strict=True)
        if not known
    ]
    if nothing:  # said before hours of decoding, and before there is a run that could never be finished
        raise TrainingError(
            f"no training image has a known value of {', '.join(nothing)}: "
            "name the labels to learn with --labels"
        )
    config.check_labels(stored[~selection])
    return ids, stored, selection
