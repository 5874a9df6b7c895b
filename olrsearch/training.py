"""Train an encoder on a store's labelled images and enter it as a space.

A run lives in `runs/<name>/`: which images it used and how (`run.json`, `ids.npy`,
`labels.npy`, `selection.npy`), decoded pixels while it lasts, checkpoints, the teacher.
The model itself goes to `models/<fingerprint>/` and holds no teacher.
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch.datasets.selection import selection_split
from olrsearch.errors import EmptyStoreError, TrainingError
from olrsearch.pixels import cache_pixels
from olrsearch.progress import Track, silent
from olrsearch.query.names import LabelNames
from olrsearch.store.files import replace_durably

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from olrsearch.arrays import I8, I64, Bool
    from olrsearch.encoders.olr.config import OlrConfig
    from olrsearch.store.backend import Backend
    from olrsearch.store.catalog import Snapshot

logger = logging.getLogger(__name__)

_RECORD = "run.json"
_SELECTION_SHARE = 0.15  # of small training sets; large ones give `selection_size` images


@dataclass(frozen=True, slots=True)
class TrainedSpace:
    """What a training run left behind.

    Attributes:
        space: Name of the new space.
        fingerprint: Of its encoder.
        run: Folder of the run.
        images: Images trained on.
        selection: Images held back for validation and calibration.
        metrics: The figures on the selection images that chose the weights.
        seconds: Wall time of each part.
    """

    space: str
    fingerprint: str
    run: Path
    images: int
    selection: int
    metrics: dict[str, float]
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {
            "space": self.space,
            "fingerprint": self.fingerprint,
            "run": str(self.run),
            "images": self.images,
            "selection": self.selection,
            "metrics": self.metrics,
            "seconds": self.seconds,
        }

    def lines(self) -> list[str]:
        """For a person."""
        spent = ", ".join(f"{name} {value:.0f} s" for name, value in self.seconds.items())
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return [
            f"trained {self.space} ({self.fingerprint[:12]}) on {self.images:,} images: {spent}",
            f"on {self.selection:,} selection images: {scores}",
        ]


def train_olr(
    backend: Backend,
    profile: str = "cpu",
    *,
    settings: Mapping[str, str] | None = None,
    labels: Sequence[str] | None = None,
    teacher: str | None = None,
    resume: bool = False,
    progress: bool = True,
    track: Track = silent,
) -> TrainedSpace:
    """Train OLR on the labelled images of the `train` partition (on all if there are no partitions).

    Whole identities are held back for validation, early stopping and calibration.

    Args:
        backend: The store, writable; its lock is held for the whole run.
        profile: `cpu`, `demo`, `gpu` or `tiny`.
        settings: Values of single settings, as text.
        labels: Labels to learn; all of the store's when None.
        teacher: Take the teacher of this run (its folder's name) or space instead of training
            one, and its images: for another head or loss on top of it.
        resume: Go on with the newest unfinished run, on the images it began with.
        progress: Progress bars of the trainer.
        track: Shows the progress of decoding.

    Raises:
        EmptyStoreError: no labelled images.
        TrainingError: nothing to resume, unknown settings, a label no training image has a known
            value of, a teacher that is not there or does not fit, training diverged.
    """
    started = time.perf_counter()
    with backend.writer() as writer:
        snapshot = backend.snapshot()
        if resume:
            unfinished = unfinished_run(backend.path / "runs")
            if unfinished is None:
                raise TrainingError(
                    f"there is no unfinished run in {backend.path}: start one without --resume"
                )
            run = unfinished
        else:
            taught = None if teacher is None else _run_with_teacher(backend, snapshot, teacher)
            if taught is not None and labels is None:
                labels = _read_config(taught).labels
            chosen = _config(snapshot, profile, settings or {}, labels)
            if taught is not None:  # before there is a run that could never be finished
                chosen.check_teacher(_read_config(taught))
            run = _new_run(backend.path / "runs", snapshot, chosen, taught)
        config = _read_config(run)
        if resume and (settings or labels is not None or teacher is not None):
            raise TrainingError(
                "a resumed run keeps its own settings: leave --set, --labels and --teacher out"
            )
        ids: I64 = np.load(run / "ids.npy")
        pixels_path = run / "pixels.npy"
        if not pixels_path.exists():
            rows = snapshot.images(ids.tolist())
            kept, failures = cache_pixels(rows, config.image_size, config.crop, pixels_path, track=track)
            if failures:
                pixels_path.unlink()
                if not resume:
                    shutil.rmtree(run)  # nothing to resume: its list of images is no good
                first = failures[0]
                raise TrainingError(
                    f"{len(failures)} of {len(ids)} images cannot be read, the first: {first.reason}; "
                    "restore them, relocate the data set, or delete them from the store"
                )
            if not np.array_equal(kept, ids):
                raise TrainingError("images were decoded in another order than asked for")
        decoded = time.perf_counter()
        # Only now, so that a wrong setting is reported at once and not after torch has been loaded.
        from olrsearch.encoders.olr.training import has_run
        from olrsearch.encoders.olr.training import train_olr as fit

        selection = np.load(run / "selection.npy")
        trained = fit(
            np.load(pixels_path, mmap_mode="r"),
            np.load(run / "labels.npy"),
            np.flatnonzero(~selection),
            np.flatnonzero(selection),
            config,
            run,
            backend.path / "models",
            teacher_run=_teacher_of(run),
            resume=has_run(run),  # a run that was interrupted while decoding has not begun to train
            progress=progress,
        )
        name = f"olr-{trained.fingerprint[:8]}"
        writer.add_space(
            fingerprint=trained.fingerprint,
            name=name,
            kind="olr",
            labels=config.labels,
            k=config.k,
            config=config.to_dict(),
        )
        record = _read_record(run)
        _write_record(run, {**record, "fingerprint": trained.fingerprint, "seconds": trained.seconds})
        pixels_path.unlink()
    return TrainedSpace(
        space=name,
        fingerprint=trained.fingerprint,
        run=run,
        images=int((~selection).sum()),
        selection=int(selection.sum()),
        metrics=trained.metrics,
        seconds={"decoding": decoded - started, **trained.seconds},
    )


def _run_with_teacher(backend: Backend, snapshot: Snapshot, name: str) -> Path:
    """The run that a name means: its folder's, or a space that it made."""
    runs = backend.path / "runs"
    if name not in {"", ".", ".."} and (runs / name / _RECORD).is_file():
        return runs / name
    run = run_of(runs, snapshot.space(name).fingerprint)
    if run is None:
        raise TrainingError(
            f"{name} was not trained in this store, so its teacher is not here: leave --teacher out"
        )
    return run


def _teacher_of(run: Path) -> Path | None:
    """The run that a run takes its teacher from."""
    name = _read_record(run).get("teacher")
    return None if name is None else run.parent / str(name)


def read_run(run: Path) -> dict[str, Any]:
    """What a run recorded: `config`, `teacher`, …; once it is finished `fingerprint` and `seconds`."""
    return _read_record(run)


def run_of(runs: Path, fingerprint: str) -> Path | None:
    """The run that made an encoder; None for one that came from elsewhere."""
    for file in sorted(runs.glob(f"*/{_RECORD}")):
        if _read_record(file.parent).get("fingerprint") == fingerprint:
            return file.parent
    return None


def _config(
    snapshot: Snapshot, profile: str, settings: Mapping[str, str], labels: Sequence[str] | None
) -> OlrConfig:
    from olrsearch.encoders.olr.config import profile as profile_config
    from olrsearch.encoders.olr.config import with_overrides

    names = snapshot.label_names
    if not names:
        raise EmptyStoreError("the store holds no labels: import a labelled data set first")
    chosen = names if labels is None else tuple(LabelNames(names).find(name) for name in labels)
    return with_overrides(profile_config(profile, chosen), settings)


def _new_run(runs: Path, snapshot: Snapshot, config: OlrConfig, taught: Path | None) -> Path:
    """A run's folder with the images it uses: those of the run it takes its teacher from, if any."""
    ids, stored, selection = (
        _choose_images(snapshot, config)
        if taught is None
        else (np.load(taught / f"{name}.npy") for name in ("ids", "labels", "selection"))
    )
    run = runs / dt.datetime.now(dt.UTC).strftime("olr-%Y%m%d-%H%M%S-%f")
    run.mkdir(parents=True)
    np.save(run / "ids.npy", ids)
    np.save(run / "labels.npy", stored)
    np.save(run / "selection.npy", selection)
    record = {
        "kind": "olr",
        "generation": snapshot.generation,
        "label_revision": snapshot.label_revision,
        "config": config.to_dict(),
        "teacher": None if taught is None else taught.name,
    }
    _write_record(run, record)
    logger.info("run %s: %d training images, %d held back", run.name, (~selection).sum(), selection.sum())
    return run


def _choose_images(snapshot: Snapshot, config: OlrConfig) -> tuple[I64, I8, Bool]:
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


def unfinished_run(runs: Path) -> Path | None:
    """The newest run that has made no encoder yet."""
    for file in sorted(runs.glob(f"olr-*/{_RECORD}"), reverse=True):
        if "fingerprint" not in _read_record(file.parent):
            return file.parent
    return None


def _read_config(run: Path) -> OlrConfig:
    from olrsearch.encoders.olr.config import OlrConfig

    return OlrConfig.from_dict(_read_record(run)["config"])


def _read_record(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / _RECORD).read_text(encoding="utf-8"))
    return found


def _write_record(run: Path, record: Mapping[str, Any]) -> None:
    """In one step: every later command reads the records of all runs."""
    replace_durably(run / _RECORD, json.dumps(record, indent=1).encode())
