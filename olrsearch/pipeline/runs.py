"""Training runs of a store: the images they use, what they recorded, which of them is unfinished.

A run lives in `runs/<name>/`: which images it used and how (`run.json`, `ids.npy`,
`labels.npy`, `selection.npy`), decoded pixels while it lasts, checkpoints, the teacher.

Notation: N images, L labels.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.core.errors import EmptyStoreError, TrainingError
from olrsearch.datasets.selection import selection_split
from olrsearch.store.files import replace_durably

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import I8, I64, Bool
    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.store.read.snapshot import Snapshot

logger = logging.getLogger(__name__)

_RECORD = "run.json"
_SELECTION_SHARE = 0.15  # of small training sets; large ones give `selection_size` images


def read_run(run: Path) -> dict[str, Any]:
    """What a run recorded: `kind`, `config`, …; once it is finished `fingerprint` and `seconds`."""
    found: dict[str, Any] = json.loads((run / _RECORD).read_text(encoding="utf-8"))
    return found


def write_record(run: Path, record: Mapping[str, Any]) -> None:
    """In one step: every later command reads the records of all runs."""
    replace_durably(run / _RECORD, json.dumps(record, indent=1).encode())


def run_of(runs: Path, fingerprint: str) -> Path | None:
    """The run that made an encoder; None for one that came from elsewhere."""
    for file in sorted(runs.glob(f"*/{_RECORD}")):
        if read_run(file.parent).get("fingerprint") == fingerprint:
            return file.parent
    return None


def unfinished_run(runs: Path, kind: str) -> Path | None:
    """The newest run of a kind that has made no encoder yet."""
    for file in sorted(runs.glob(f"{kind}-*/{_RECORD}"), reverse=True):
        if "fingerprint" not in read_run(file.parent):
            return file.parent
    return None


def run_with_teacher(runs: Path, snapshot: Snapshot, name: str) -> Path:
    """The run that a name means: its folder's, or a space that it made.

    Raises:
        TrainingError: the space was trained elsewhere.
    """
    if name not in {"", ".", ".."} and (runs / name / _RECORD).is_file():
        return runs / name
    run = run_of(runs, snapshot.space(name).fingerprint)
    if run is None:
        raise TrainingError(
            f"{name} was not trained in this store, so its teacher is not here: leave --teacher out"
        )
    return run


def teacher_of(run: Path) -> Path | None:
    """The run that a run takes its teacher from."""
    name = read_run(run).get("teacher")
    return None if name is None else run.parent / str(name)


def new_run(runs: Path, snapshot: Snapshot, config: TrainerConfig, taught: Path | None) -> Path:
    """A run's folder with the images it uses: those of the run it takes its teacher from, if any."""
    ids, stored, selection = (
        _choose_images(snapshot, config)
        if taught is None
        else (np.load(taught / f"{name}.npy") for name in ("ids", "labels", "selection"))
    )
    run = runs / dt.datetime.now(dt.UTC).strftime(f"{config.kind}-%Y%m%d-%H%M%S-%f")
    run.mkdir(parents=True)
    np.save(run / "ids.npy", ids)
    np.save(run / "labels.npy", stored)
    np.save(run / "selection.npy", selection)
    record = {
        "kind": config.kind,
        "generation": snapshot.generation,
        "label_revision": snapshot.label_revision,
        "config": config.to_dict(),
        "teacher": None if taught is None else taught.name,
    }
    write_record(run, record)
    logger.info("run %s: %d training images, %d held back", run.name, (~selection).sum(), selection.sum())
    return run


def _choose_images(snapshot: Snapshot, config: TrainerConfig) -> tuple[I64, I8, Bool]:
    """Labelled training images, their labels [N, L], and which of them are held back."""
    ids = snapshot.image_ids()
    stored = snapshot.labels(ids, config.labels)
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
    return ids, stored, selection
