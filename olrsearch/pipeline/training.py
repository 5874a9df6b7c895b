"""Train an encoder on a store's labelled images and enter it as a space.

A run lives in `runs/<name>/`: which images it used and how (`run.json`, `ids.npy`,
`labels.npy`, `selection.npy`), decoded pixels while it lasts, checkpoints, the teacher.
The model itself goes to `models/<fingerprint>/` and holds no teacher.
"""

from __future__ import annotations

import datetime as dt
import logging
import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from olrsearch.core.errors import EmptyStoreError, TrainingError
from olrsearch.core.names import LabelNames
from olrsearch.core.progress import Track, silent
from olrsearch.datasets.selection import selection_split
from olrsearch.encoders.folder.model_files import layout_of, read_config
from olrsearch.encoders.trainer.config import TrainerConfig
from olrsearch.pipeline.inventory import find_encoder
from olrsearch.pipeline.pixels import cache_pixels
from olrsearch.store.training_runs import RECORD, read_run, run_of, unfinished_run, write_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from olrsearch.core.arrays import I8, I64, Bool
    from olrsearch.encoders.informed_prior.config import InformedPriorConfig
    from olrsearch.encoders.olr.config import OlrConfig
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot

logger = logging.getLogger(__name__)

_SELECTION_SHARE = 0.15  # of small training sets; large ones give `selection_size` images

C = TypeVar("C", bound=TrainerConfig)


class Trained(Protocol):
    """What every kind of training leaves behind."""

    @property
    def fingerprint(self) -> str:
        """Of the encoder."""
        ...

    @property
    def path(self) -> Path:
        """Its model folder."""
        ...

    @property
    def metrics(self) -> dict[str, float]:
        """Selection figures of the weights kept."""
        ...

    @property
    def seconds(self) -> dict[str, float]:
        """Wall time of each stage."""
        ...


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


class _Kind(Protocol[C]):
    """What training one kind of encoder adds to what is the same for all."""

    name: str
    """Of the kind, and what its runs' and spaces' names begin with."""
    own_options: str
    """The options of its command that a resumed run cannot be given."""

    def configure(
        self,
        snapshot: Snapshot,
        profile: str,
        settings: Mapping[str, str],
        labels: Sequence[str] | None,
    ) -> C:
        """The configuration of a new run, checked against whatever it builds on."""
        ...

    def read_config(self, values: Mapping[str, Any]) -> C:
        """A configuration as a run recorded it."""
        ...

    def taught(self) -> Path | None:
        """The run whose images a new run takes over; None where it chooses its own."""
        ...

    def fit(self, run: Path, pixels: Path, config: C, models: Path, *, progress: bool) -> Trained:
        """Train, from wherever the run stands, and write the model folder."""
        ...


class _Olr:
    """OLR: a teacher, then label embeddings.

    Args:
        backend: The store.
        snapshot: Of it.
        teacher: The run or space whose teacher is taken; None trains one.
    """

    name, own_options = "olr", "--set, --labels and --teacher"

    def __init__(self, backend: Backend, snapshot: Snapshot, teacher: str | None) -> None:
        self._taught = None if teacher is None else _run_with_teacher(backend, snapshot, teacher)

    def configure(
        self,
        snapshot: Snapshot,
        profile: str,
        settings: Mapping[str, str],
        labels: Sequence[str] | None,
    ) -> OlrConfig:
        """See `_Kind.configure`."""
        from olrsearch.encoders.olr.config import profile as profile_config

        taught = None if self._taught is None else self.read_config(read_run(self._taught)["config"])
        if taught is not None and labels is None:
            labels = taught.labels
        chosen = profile_config(profile, _labels(snapshot, labels)).with_overrides(settings)
        if taught is not None:  # before there is a run that could never be finished
            chosen.check_teacher(taught)
        return chosen

    def read_config(self, values: Mapping[str, Any]) -> OlrConfig:
        """See `_Kind.read_config`."""
        from olrsearch.encoders.olr.config import OlrConfig

        return OlrConfig.from_dict(values)

    def taught(self) -> Path | None:
        """See `_Kind.taught`."""
        return self._taught

    def fit(self, run: Path, pixels: Path, config: OlrConfig, models: Path, *, progress: bool) -> Trained:
        """See `_Kind.fit`."""
        from olrsearch.encoders.olr.training import has_run, train_olr

        labels, train_index, selection_index = _read_images(run)
        return train_olr(
            np.load(pixels, mmap_mode="r"),
            labels,
            train_index,
            selection_index,
            config,
            run,
            models,
            teacher_run=_teacher_of(run),
            resume=has_run(run),  # a run that was interrupted while decoding has not begun to train
            progress=progress,
        )


class _InformedPrior:
    """Posteriors drawn to the priors of words.

    Args:
        snapshot: Of the store.
    """

    name, own_options = "informed-prior", "--set and --labels"

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def configure(
        self,
        snapshot: Snapshot,
        profile: str,
        settings: Mapping[str, str],
        labels: Sequence[str] | None,
    ) -> InformedPriorConfig:
        """See `_Kind.configure`."""
        from olrsearch.encoders.informed_prior.config import profile as profile_config

        chosen = profile_config(profile, _labels(snapshot, labels)).with_overrides(settings)
        if chosen.start_from:  # a name that nobody has is said before hours of decoding
            find_encoder(chosen.start_from, snapshot)
        return chosen

    def read_config(self, values: Mapping[str, Any]) -> InformedPriorConfig:
        """See `_Kind.read_config`."""
        from olrsearch.encoders.informed_prior.config import InformedPriorConfig

        return InformedPriorConfig.from_dict(values)

    def taught(self) -> Path | None:
        """See `_Kind.taught`."""
        return None

    def fit(
        self, run: Path, pixels: Path, config: InformedPriorConfig, models: Path, *, progress: bool
    ) -> Trained:
        """See `_Kind.fit`."""
        from olrsearch.encoders.informed_prior.training import has_run, train_informed_prior

        labels, train_index, selection_index = _read_images(run)
        start = find_encoder(config.start_from, self._snapshot).path if config.start_from else None
        return train_informed_prior(
            np.load(pixels, mmap_mode="r"),
            labels,
            train_index,
            selection_index,
            config,
            run,
            models,
            trunk_from=start,
            resume=has_run(run),
            progress=progress,
        )


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
        profile: `cpu`, `faces`, `demo`, `gpu` or `tiny`.
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
    if resume and teacher is not None:
        raise TrainingError(f"a resumed run keeps its own settings: leave {_Olr.own_options} out")
    return _train(
        backend,
        lambda snapshot: _Olr(backend, snapshot, teacher),
        profile,
        settings=settings,
        labels=labels,
        resume=resume,
        progress=progress,
        track=track,
    )


def train_informed_prior(
    backend: Backend,
    profile: str = "faces",
    *,
    settings: Mapping[str, str] | None = None,
    labels: Sequence[str] | None = None,
    resume: bool = False,
    progress: bool = True,
    track: Track = silent,
) -> TrainedSpace:
    """Train an informed-prior encoder on the images that `train_olr` would train on.

    Args:
        backend: The store, writable; its lock is held for the whole run.
        profile: `faces`, `digits`, `pairs`, `demo` or `tiny`.
        settings: Values of single settings, as text.
        labels: Labels to learn; all of the store's when None.
        resume: Go on with the newest unfinished run, on the images it began with.
        progress: Progress bars of the trainer.
        track: Shows the progress of decoding.

    Raises:
        EmptyStoreError: no labelled images.
        TrainingError: nothing to resume, unknown settings, a label no training image has a known
            value of, a trunk that does not fit, training diverged.
        WordVectorsError: word vectors that cannot be read, or lack a label's words.
        UnknownEncoderError: no encoder has the name that training starts from.
    """
    return _train(
        backend,
        _InformedPrior,
        profile,
        settings=settings,
        labels=labels,
        resume=resume,
        progress=progress,
        track=track,
    )


def _train(
    backend: Backend,
    make_kind: Callable[[Snapshot], _Kind[C]],
    profile: str,
    *,
    settings: Mapping[str, str] | None,
    labels: Sequence[str] | None,
    resume: bool,
    progress: bool,
    track: Track,
) -> TrainedSpace:
    """One run, from its images to its space."""
    started = time.perf_counter()
    with backend.writer() as writer:
        snapshot = backend.snapshot()
        kind = make_kind(snapshot)
        if resume:
            unfinished = unfinished_run(backend.path, kind.name)
            if unfinished is None:
                raise TrainingError(
                    f"there is no unfinished run in {backend.path}: start one without --resume"
                )
            if settings or labels is not None:
                raise TrainingError(f"a resumed run keeps its own settings: leave {kind.own_options} out")
            run = unfinished
        else:
            chosen = kind.configure(snapshot, profile, settings or {}, labels)
            run = _new_run(backend.path / "runs", snapshot, kind.name, chosen, kind.taught())
        config = kind.read_config(read_run(run)["config"])
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
        # Only now torch is loaded, so that a wrong setting is reported at once.
        trained = kind.fit(run, pixels_path, config, backend.path / "models", progress=progress)
        name = f"{kind.name}-{trained.fingerprint[:8]}"
        model = read_config(trained.path)
        writer.spaces.add(
            fingerprint=trained.fingerprint,
            name=name,
            kind=kind.name,
            labels=config.labels,
            k=int(model["k"]),
            config=config.to_dict(),
            layout=layout_of(model),
        )
        record = read_run(run)
        write_run(run, {**record, "fingerprint": trained.fingerprint, "seconds": trained.seconds})
        pixels_path.unlink()
    selection: Bool = np.load(run / "selection.npy")
    return TrainedSpace(
        space=name,
        fingerprint=trained.fingerprint,
        run=run,
        images=int((~selection).sum()),
        selection=int(selection.sum()),
        metrics=trained.metrics,
        seconds={"decoding": decoded - started, **trained.seconds},
    )


def _read_images(run: Path) -> tuple[I8, I64, I64]:
    """A run's labels [N, L], and the rows to train and to select on."""
    selection: Bool = np.load(run / "selection.npy")
    return np.load(run / "labels.npy"), np.flatnonzero(~selection), np.flatnonzero(selection)


def _labels(snapshot: Snapshot, labels: Sequence[str] | None) -> tuple[str, ...]:
    """The labels to learn, in their own spelling."""
    names = snapshot.label_names
    if not names:
        raise EmptyStoreError("the store holds no labels: import a labelled data set first")
    return names if labels is None else tuple(LabelNames(names).find(name) for name in labels)


def _run_with_teacher(backend: Backend, snapshot: Snapshot, name: str) -> Path:
    """The run that a name means: its folder's, or a space that it made."""
    runs = backend.path / "runs"
    if name not in {"", ".", ".."} and (runs / name / RECORD).is_file():
        return runs / name
    run = run_of(backend.path, snapshot.space(name).fingerprint)
    if run is None:
        raise TrainingError(
            f"{name} was not trained in this store, so its teacher is not here: leave --teacher out"
        )
    return run


def _teacher_of(run: Path) -> Path | None:
    """The run that a run takes its teacher from."""
    name = read_run(run).get("teacher")
    return None if name is None else run.parent / str(name)


def _new_run(runs: Path, snapshot: Snapshot, kind: str, config: TrainerConfig, taught: Path | None) -> Path:
    """A run's folder with the images it uses: those of the run it takes its teacher from, if any."""
    ids, stored, selection = (
        _choose_images(snapshot, config)
        if taught is None
        else (np.load(taught / f"{name}.npy") for name in ("ids", "labels", "selection"))
    )
    run = runs / dt.datetime.now(dt.UTC).strftime(f"{kind}-%Y%m%d-%H%M%S-%f")
    run.mkdir(parents=True)
    np.save(run / "ids.npy", ids)
    np.save(run / "labels.npy", stored)
    np.save(run / "selection.npy", selection)
    record = {
        "kind": kind,
        "generation": snapshot.generation,
        "label_revision": snapshot.label_revision,
        "config": config.to_dict(),
        "teacher": None if taught is None else taught.name,
    }
    write_run(run, record)
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
