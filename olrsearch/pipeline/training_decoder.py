"""Train a decoder on the label embeddings of a store's space, and put it beside the space's model.

A run lives in `runs/<name>/`, see `store.training_runs`; its `fingerprint` is the decoder's own, and `space`
names the encoder. Nothing of the space changes: neither embeddings nor fingerprint.

Notation: N images, L labels, k numbers a label.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from olrsearch.core.counted import counted
from olrsearch.core.errors import EmptyStoreError, IncompatibleEncoderError, ModelFileError, TrainingError
from olrsearch.core.progress import Track, silent
from olrsearch.datasets.selection import selection_split
from olrsearch.encoders.folder.model_config import read_config
from olrsearch.encoders.olr.decoder_config import DecoderConfig
from olrsearch.encoders.olr.decoder_file import write_decoder
from olrsearch.pipeline.run_pixels import PIXELS, decode_run
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.store.files import RUNS
from olrsearch.store.training_runs import (
    ARRAYS,
    keep_arrays,
    read_run,
    run_array,
    selection_ids,
    unfinished_run,
    write_run,
)
from olrsearch.store.vectors.layout import LABELS, POSTERIOR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from olrsearch.core.arrays import F32, I64, Bool
    from olrsearch.encoders.olr.decoder_training import TrainedDecoder
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

KIND: Final = DecoderConfig.kind
_SELECTION_SHARE: Final = 0.15  # of small training sets; large ones give `selection_size` images
_FEW: Final = 500
"""Training on fewer images is warned of."""
_OF_THE_ENCODER: Final = ("labels", "k")


@dataclass(frozen=True, slots=True)
class DecoderReport:
    """What training a decoder left behind.

    Attributes:
        space: Name of the space whose embeddings it decodes.
        fingerprint: Of that space's encoder.
        run: Folder of the run.
        size: (H, W) of the pictures it makes.
        images: Images trained on.
        selection: Images held back, which chose the weights.
        metrics: `ssim`, `psnr` in dB and `mse` on these.
        seconds: Wall time of each part.
        notes: What whoever trained must know.
    """

    space: str
    fingerprint: str
    run: Path
    size: tuple[int, int]
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
        height, width = self.size
        return [
            f"trained a decoder of {self.space} on {counted(self.images, 'image')}: {spent}",
            f"it makes pictures of {height} × {width} pixels: olrsearch look reconstruct IMAGE",
            f"on {counted(self.selection, 'selection image')}: {scores}",
            *self.notes,
        ]


def train_decoder(
    backend: Backend,
    space: str | None = None,
    profile: str | None = None,
    *,
    settings: Mapping[str, str] | None = None,
    resume: bool = False,
    progress: bool = True,
    track: Track = silent,
) -> DecoderReport:
    """Train a decoder of a space's label embeddings; one that is there is replaced.

    It learns from the images of the `train` partition that have an embedding (from all if there are no
    partitions). Images that the encoder's own training held back choose its weights; for an encoder from
    elsewhere whole identities are held back, chosen as that training would.

    Args:
        backend: The store, writable; its lock is held for the whole run.
        space: Name or fingerprint; the newest of label embeddings when None.
        profile: A name of `DecoderConfig.profiles`; `cpu` when None.
        settings: Values of single settings, as text.
        resume: Go on with the newest unfinished run, on the images it began with.
        progress: Progress bars of the trainer.
        track: Shows the progress of decoding images.

    Raises:
        EmptyStoreError: nothing is encoded.
        IncompatibleEncoderError: the space holds posteriors.
        ModelFileError: the space's model is damaged or gone.
        TrainingError: nothing to resume, unknown settings, too few images, images that cannot be read, or
            training diverged.
    """
    started = time.perf_counter()
    with backend.writer():
        snapshot = backend.snapshot()
        run = _resumed(backend.path, space, settings) if resume else None
        if run is None:
            info = _space(snapshot, space)
            run = _new_run(backend.path, snapshot, info, _configured(info, profile, settings or {}))
        record = read_run(run)
        info = _space(snapshot, str(record["space"]))
        config = DecoderConfig.from_dict(record["config"])
        ids: I64 = run_array(run, "ids")
        selection: Bool = run_array(run, "selection")
        embeddings = _embeddings(snapshot, info, ids)
        decode_run(snapshot, run, config, resume=resume, track=track)
        decoded = time.perf_counter()
        trained = _fit(run, config, embeddings, selection, progress=progress)
        write_decoder(info.model_path, trained.file)
        seconds = {"training": trained.seconds}
        write_run(run, {**record, "fingerprint": trained.file.fingerprint, "seconds": seconds})
        (run / PIXELS).unlink()
    learnt = int((~selection).sum())
    notes: tuple[str, ...] = ()
    if learnt < _FEW:
        few = counted(learnt, "image is", "images are")
        notes = (f"{few} too few for pictures that mean something: fewer than {_FEW} teach little",)
    return DecoderReport(
        space=info.name,
        fingerprint=info.fingerprint,
        run=run,
        size=config.image_size,
        images=learnt,
        selection=int(selection.sum()),
        metrics=trained.metrics,
        seconds={"reading images": decoded - started, **seconds},
        notes=notes,
    )


def _resumed(store: Path, space: str | None, settings: Mapping[str, str] | None) -> Path:
    """The newest run that has made no decoder yet."""
    run = unfinished_run(store, KIND)
    if run is None:
        raise TrainingError(f"there is no unfinished run of a decoder in {store}: start one without --resume")
    if settings or space is not None:
        raise TrainingError("a resumed run keeps its own settings: leave --space and --set out")
    return run


def _space(snapshot: Snapshot, ref: str | None) -> SpaceInfo:
    """A space of label embeddings whose model is here."""
    named = None if ref is None else snapshot.space(ref)
    if named is not None and named.layout == POSTERIOR:
        raise IncompatibleEncoderError(
            f"{named.name} holds posteriors, whose encoders learn to decode themselves (decoder=true): "
            "name a space of label embeddings with --space"
        )
    info = snapshot.space(ref, LABELS)
    if not info.model_path.is_dir():
        raise ModelFileError(
            f"{info.model_path} is missing, and a decoder lies beside its encoder: encode with that encoder "
            "again"
        )
    read_config(info.model_path)
    return info


def _configured(info: SpaceInfo, profile: str | None, settings: Mapping[str, str]) -> DecoderConfig:
    """The configuration of a new run, refused before anything is made."""
    for key in _OF_THE_ENCODER:
        if key in settings:
            raise TrainingError(f"{key} is the encoder's and cannot be set: leave --set {key} out")
    chosen = DecoderConfig.of_profile(profile or DecoderConfig.default_profile, info.labels)
    return dataclasses.replace(chosen.with_overrides(settings), k=info.k)


def _new_run(store: Path, snapshot: Snapshot, info: SpaceInfo, config: DecoderConfig) -> Path:
    """A run's folder with the images it uses and those it holds back."""
    ids, selection = _choose_images(store, snapshot, info, config)
    run = store / RUNS / dt.datetime.now(dt.UTC).strftime(f"{KIND}-%Y%m%d-%H%M%S-%f")
    run.mkdir(parents=True)
    sums = keep_arrays(run, {"ids": ids, "selection": selection})
    write_run(
        run,
        {
            "kind": KIND,
            "space": info.fingerprint,
            "generation": snapshot.generation,
            "config": config.to_dict(),
            ARRAYS: sums,
        },
    )
    return run


def _choose_images(
    store: Path, snapshot: Snapshot, info: SpaceInfo, config: DecoderConfig
) -> tuple[I64, Bool]:
    """Training images that have an embedding, and which of them are held back."""
    ids = np.sort(OpenSpace(snapshot, info).view.ids)
    columns = snapshot.columns(ids, ("partition", "identity", "key", "dataset"))
    training = columns["partition"] == "train"
    if not training.any():
        training[:] = True
    ids = ids[training]
    if not len(ids):
        raise EmptyStoreError(f"no image of {info.name} is left to learn from: run olrsearch encode")
    held = selection_ids(store, info)
    selection = np.isin(ids, () if held is None else held)
    if not selection.any():
        identities = [None if value < 0 else int(value) for value in columns["identity"][training].tolist()]
        keys = [
            f"{dataset}/{key}"
            for dataset, key in zip(columns["dataset"][training], columns["key"][training], strict=True)
        ]
        size = min(config.selection_size, max(1, int(len(ids) * _SELECTION_SHARE)))
        selection = selection_split(identities, keys, size=size, seed=config.seed)
    if (~selection).sum() < 2:
        raise TrainingError(
            f"{counted(len(ids), 'training image')} with an embedding are too few: {int((~selection).sum())} "
            f"left to train on beside {int(selection.sum())} to choose by; import more images and run "
            "olrsearch encode"
        )
    return ids, selection


def _embeddings(snapshot: Snapshot, info: SpaceInfo, ids: I64) -> F32:
    """Embeddings of a run's images, float32 [N, L · k]."""
    view = OpenSpace(snapshot, info).view
    rows = view.find(ids)
    if (rows < 0).any():
        gone = int((rows < 0).sum())
        raise TrainingError(
            f"{counted(gone, 'image')} of the unfinished run have been deleted since, and a decoder learns "
            "from no deleted image: start a new run without --resume"
        )
    found = view.gather_all(rows)
    return np.ascontiguousarray(found.transpose(1, 0, 2)).reshape(len(ids), -1)


def _fit(
    run: Path, config: DecoderConfig, embeddings: F32, selection: Bool, *, progress: bool
) -> TrainedDecoder:
    # Only now torch is loaded, so that a wrong setting is reported at once.
    from olrsearch.encoders.olr.decoder_training import DecoderImages, train_decoder_network
    from olrsearch.encoders.trainer.run import has_run

    return train_decoder_network(
        DecoderImages(
            np.load(run / PIXELS, mmap_mode="r"),
            embeddings,
            np.flatnonzero(~selection),
            np.flatnonzero(selection),
        ),
        config,
        run,
        resume=has_run(run, KIND),  # a run interrupted while reading images has not begun to train
        progress=progress,
    )
