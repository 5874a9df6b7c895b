"""Train an encoder on a store's labelled images and enter it as a space.

A run lives in `runs/<name>/`, see `store.training_runs`. The model itself goes to `models/<fingerprint>/` and
holds no teacher.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.counted import counted
from olrsearch.core.errors import EmptyStoreError, TrainingError
from olrsearch.core.names import LabelNames
from olrsearch.core.progress import Track, silent
from olrsearch.encoders.folder.model_config import layout_of, read_config
from olrsearch.encoders.registry import config_class, trainer
from olrsearch.encoders.single_valued import single_valued
from olrsearch.maths.fit import LEAST_HELD_OUT, LEAST_TRAINING
from olrsearch.pipeline.degrees import Degrees
from olrsearch.pipeline.fitting import add_fit, shapes_of
from olrsearch.pipeline.known_encoders import find_encoder
from olrsearch.pipeline.new_run import new_run, run_with_teacher
from olrsearch.pipeline.run_pixels import PIXELS, decode_run
from olrsearch.store.files import MODELS, RUNS
from olrsearch.store.training_runs import read_run, run_array, teacher_of, unfinished_run, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from olrsearch.core.arrays import I8, Bool
    from olrsearch.encoders.trainer.config import TrainerConfig
    from olrsearch.encoders.trainer.run import Trained
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot

_FEW: Final = 500
"""Training on fewer images is warned of."""


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
        notes: What whoever trained must know.
    """

    space: str
    fingerprint: str
    run: Path
    images: int
    selection: int
    metrics: dict[str, float]
    seconds: dict[str, float]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready dict."""
        return {**dataclasses.asdict(self), "run": str(self.run)}

    def lines(self) -> list[str]:
        """For a person."""
        spent = ", ".join(f"{name} {value:.0f} s" for name, value in self.seconds.items())
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        return [
            f"trained {self.space} ({self.fingerprint[:12]}) on {counted(self.images, 'image')}: {spent}",
            f"on {counted(self.selection, 'selection image')}: {scores}",
            *self.notes,
        ]


def train(
    backend: Backend,
    kind: str,
    profile: str | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    labels: Sequence[str] | None = None,
    teacher: str | None = None,
    order: Sequence[str] | None = None,
    degree: str | None = None,
    resume: bool = False,
    progress: bool = True,
    track: Track = silent,
) -> TrainedSpace:
    """Train on the labelled images of the `train` partition (on all if there are no partitions).

    Whole identities are held back for validation, early stopping and calibration.

    Args:
        backend: The store, writable; its lock is held for the whole run.
        kind: A kind of `registry.trainable`.
        profile: A name of its configuration's `profiles`; the kind's default when None.
        settings: Values of single settings, as text.
        labels: Labels to learn; all of the store's when None.
        teacher: Take the teacher of this run (its folder's name) or space instead of training
            one, and its images: for another head or loss on top of it. Of kinds that have teachers.
        order: Of `atnl`: labels from the lowest to the highest step, with | between those of one step.
        degree: Of `atnl`: take the tenths of this label's probability, by the newest label embeddings, for
            the order; they become labels of the run.
        resume: Go on with the newest unfinished run, on the images it began with.
        progress: Progress bars of the trainer.
        track: Shows the progress of decoding.

    Raises:
        EmptyStoreError: no labelled images, or no label embeddings to take a degree from.
        TrainingError: no such kind, nothing to resume, unknown settings, a label no training image has a
            known value of, a teacher or trunk that is not there or does not fit, labels without order,
            or with too few examples, for a kind that needs them, training diverged.
        WordVectorsError: word vectors that cannot be read, or lack a label's words.
        UnknownEncoderError: no encoder has the name that training starts from.
    """
    of_kind = config_class(kind)
    if teacher is not None and not of_kind.teacher_shape:
        raise TrainingError(f"encoders of kind {kind} learn from no teacher: leave teacher out")
    if (order or degree) and not of_kind.takes_order:
        raise TrainingError(f"labels have no order for encoders of kind {kind}: leave order and degree out")
    if order and degree:
        raise TrainingError("order and degree are two orders: give one of them")
    own = "--set, --labels and --teacher" if of_kind.teacher_shape else "--set and --labels"
    own = "--set, --labels, --order and --degree" if of_kind.takes_order else own
    kept = TrainingError(f"a resumed run keeps its own settings: leave {own} out")
    if resume and teacher is not None:
        raise kept
    started = time.perf_counter()
    with backend.writer() as writer:
        snapshot = backend.snapshot()
        if resume:
            run = unfinished_run(backend.path, kind)
            if run is None:
                raise TrainingError(
                    f"there is no unfinished run in {backend.path}: start one without --resume"
                )
            if settings or labels is not None or order or degree:
                raise kept
        else:
            taught = None if teacher is None else run_with_teacher(backend.path, snapshot, teacher)
            degrees = None if degree is None else Degrees.measure(snapshot, degree)
            asked = dict(settings or {})
            if order:
                asked["order"] = ",".join(order)
            chosen = _configured(
                of_kind, profile or of_kind.default_profile, asked, labels, snapshot, taught or degrees
            )
            run = new_run(backend.path / RUNS, snapshot, chosen, taught, degrees)
        config = of_kind.from_dict(read_run(run)["config"])
        decode_run(snapshot, run, config, resume=resume, track=track)
        decoded = time.perf_counter()
        trained = _fit(snapshot, run, config, backend.path / MODELS, progress=progress)
        name = f"{kind}-{trained.fingerprint[:8]}"
        model = read_config(trained.path)
        selection: Bool = run_array(run, "selection")
        measured = time.perf_counter()
        shapes = shapes_of(snapshot, run_array(run, "ids")[~selection])
        has_fit = add_fit(trained.path, np.load(run / PIXELS, mmap_mode="r"), selection, shapes)
        trained.seconds["fit"] = time.perf_counter() - measured
        writer.spaces.add(
            fingerprint=trained.fingerprint,
            name=name,
            kind=kind,
            labels=config.labels,
            k=int(model["k"]),
            config=config.to_dict(),
            layout=layout_of(model),
        )
        record = read_run(run)
        write_run(run, {**record, "fingerprint": trained.fingerprint, "seconds": trained.seconds})
        (run / PIXELS).unlink()
    return TrainedSpace(
        space=name,
        fingerprint=trained.fingerprint,
        run=run,
        images=int((~selection).sum()),
        selection=int(selection.sum()),
        metrics=trained.metrics,
        seconds={"decoding": decoded - started, **trained.seconds},
        notes=tuple(
            _notes(
                run_array(run, "labels")[~selection],
                config.labels,
                has_fit=has_fit,
                others=[
                    space.name for space in snapshot.spaces() if space.fingerprint != trained.fingerprint
                ],
            )
        ),
    )


def _notes(labels: I8, names: Sequence[str], *, has_fit: bool, others: Sequence[str]) -> Iterator[str]:
    """What whoever trained must know.

    Args:
        labels: int8 [n, L], of the images trained on.
        names: Their L names.
        has_fit: Whether the encoder can tell how well images fit.
        others: The store's other spaces, oldest first.
    """
    if len(labels) < _FEW:
        stay = (
            f"; the store's other spaces stay, ask them with --space {' or '.join(others)}" if others else ""
        )
        yield (
            f"{counted(len(labels), 'image is', 'images are')} too few for figures that mean something: "
            f"fewer than {_FEW} teach little, and this encoder is the newest now{stay}"
        )
    single = single_valued(labels, names)
    if single:
        yield (
            f"nothing could be learnt about {', '.join(single)}: all known values are the same, so what the "
            "encoder says of them means nothing; import images with the other value too, and train again"
        )
    if not has_fit:
        yield (
            "too few images to say how well others fit: foreign images are not marked (this takes "
            f"{LEAST_TRAINING} images, and {LEAST_HELD_OUT} held back)"
        )


def _configured(
    of_kind: type[TrainerConfig],
    profile: str,
    settings: Mapping[str, str],
    labels: Sequence[str] | None,
    snapshot: Snapshot,
    built_on: Path | Degrees | None,
) -> TrainerConfig:
    """The configuration of a new run, checked against whatever it builds on.

    That is the run whose teacher it takes, or the degrees of a label, whose steps become its last labels.

    All that can be said is said here: before hours of decoding, and before there is a run that
    could never be finished.
    """
    before = None
    degrees = built_on if isinstance(built_on, Degrees) else None
    if isinstance(built_on, Path):
        record = read_run(built_on)
        if record["kind"] != of_kind.kind:
            raise TrainingError(
                f"{built_on.name} trained an encoder of kind {record['kind']}, which has no teacher for one "
                f"of kind {of_kind.kind}: name another run or space, or leave --teacher out"
            )
        before = of_kind.from_dict(record["config"])
    if before is not None and labels is None:
        labels = before.labels
    names = snapshot.label_names
    if not names and degrees is None:
        raise EmptyStoreError("the store holds no labels: import a labelled data set first")
    wanted = names if labels is None else [LabelNames(names).find(name) for name in labels]
    if degrees is not None:
        wanted = (*wanted, *degrees.names)
        settings = {
            **of_kind.of_degree,
            **settings,
            "order": ",".join(degrees.names),
            "degree": degrees.label,
        }
    chosen = of_kind.of_profile(profile, wanted).with_overrides(settings)
    if before is not None:
        chosen.check_teacher(before)
    if chosen.starts_from():
        find_encoder(chosen.starts_from(), snapshot)
    return chosen


def _fit(snapshot: Snapshot, run: Path, config: TrainerConfig, models: Path, *, progress: bool) -> Trained:
    """Train, from wherever the run stands, and write the model folder."""
    # Only now torch is loaded, so that a wrong setting is reported at once.
    from olrsearch.encoders.trainer.run import TrainingImages, has_run

    source = teacher_of(run)
    if config.starts_from():
        source = find_encoder(config.starts_from(), snapshot).path
    selection: Bool = run_array(run, "selection")
    return trainer(config.kind)(
        TrainingImages(
            pixels=np.load(run / PIXELS, mmap_mode="r"),
            labels=run_array(run, "labels"),
            train=np.flatnonzero(~selection),
            selection=np.flatnonzero(selection),
        ),
        config,
        run,
        models,
        source=source,
        resume=has_run(run, config.kind),  # a run interrupted while decoding has not begun to train
        progress=progress,
    )
