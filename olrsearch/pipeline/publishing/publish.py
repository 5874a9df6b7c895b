"""Write a trained encoder as a folder that others can use: model, defaults, model card.

Notation: L labels, k numbers a label; of an encoder of posteriors W words, d dimensions.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np

from olrsearch._version import __version__
from olrsearch.core.errors import BenchmarkError, CalibrationError, EncoderError, ModelFileError
from olrsearch.core.files import TEMPORARY, put_folder
from olrsearch.encoders.folder.card import OWN_TERMS, ModelCard, Rounding, WordSource, read_card, write_card
from olrsearch.encoders.folder.defaults import Defaults, write_defaults
from olrsearch.encoders.folder.fit_file import copy_fit
from olrsearch.encoders.folder.model_config import CONFIG_NAME, read_config
from olrsearch.encoders.folder.model_files import WEIGHTS_NAME, read_tensors, save_model
from olrsearch.encoders.folder.sharing import share_tensors
from olrsearch.encoders.folder.shipped import check_name
from olrsearch.encoders.olr.decoder_file import copy_decoder, has_decoder
from olrsearch.encoders.registry import load
from olrsearch.evaluation.attributes import run_attributes
from olrsearch.maths.metric import metric_name
from olrsearch.pipeline.measuring import bench_data, describing_report
from olrsearch.pipeline.publishing import card_figures
from olrsearch.pipeline.publishing.provenance import data_of, terms_of, training_of
from olrsearch.pipeline.reading_pixels import read_pixels
from olrsearch.search.kl.view import PlainPosteriors
from olrsearch.search.kl.word_scores import compute_ratios
from olrsearch.search.spaces.about import calibration_is_stale
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.search.spaces.posteriors import OpenPosteriors
from olrsearch.search.spaces.registry import open_space, space_of
from olrsearch.store.training_runs import ROUNDED_FROM, run_behind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, F64, I64, U8
    from olrsearch.encoders.folder.card import Training
    from olrsearch.encoders.protocol import LabelEncoder, PosteriorEncoder
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo

_Opened: TypeAlias = OpenSpace | OpenPosteriors

_COMPARED = 256
"""Images on which a rounded model is compared with the one it was made of."""

_MOST = 0.05
"""Difference of a probability beyond which rounding has changed the model."""


def publish(
    backend: Backend,
    space: str | None,
    out: Path,
    *,
    name: str,
    half: bool = False,
    reports: Sequence[Path] = (),
    hardware: str | None = None,
    replace: bool = False,
    share: str | Path | None = None,
    decoder: bool = False,
) -> Path:
    """Write the encoder of a space as the folder `out/name`, whole or not at all.

    It holds the model, the space's calibration and metric as defaults for other stores (an encoder of
    posteriors has no metric), and the model card. Nothing of the images is in it.

    Args:
        backend: The store.
        space: Name or fingerprint; when None the newest of label embeddings, and in a store without any
            the newest of posteriors.
        out: The folder that holds published encoders; created when absent.
        name: What the encoder is to be called.
        half: Store matrices and convolution kernels as float16. The result is an encoder of its
            own, with another fingerprint; how far its probabilities move is measured and said.
        reports: JSON reports of P1 (`olrsearch bench attributes --out`) and P2 (`… queries`). P1 is
            measured here when it is not among them.
        hardware: What it was trained on, in words; this machine's CPU cores when None.
        replace: Write over a folder of this name.
        share: Another encoder in `out`, its name or its folder: tensors that it has too, bit for bit, are
            left to it, and the two folders are used side by side; see `folder.sharing`.
        decoder: Take the space's decoder along. It is left out otherwise: with it, whoever has embeddings
            can make pictures of the images behind them.

    Returns:
        The folder.

    Raises:
        ModelFileError: the name cannot be one, the folder exists, the model is damaged or was published by
            somebody else, or the encoder to share with is not in `out` or has nothing in common with it.
        CalibrationError: the space has no calibration, or labels have changed since it was fitted.
        BenchmarkError: a report is not of P1 or P2 or not of these labels, or P1 cannot be measured.
        EncoderError: rounding changes probabilities by more than .05, or no image can be read to
            find out.
    """
    check_name(name)
    target = out / name
    if target.exists() and not replace:
        raise ModelFileError(f"{target} exists: give --replace to write over it, or another --name")
    other = None if share is None else _neighbour(share, target)
    snapshot = backend.snapshot()
    info = space_of(snapshot, space)
    opened = cast("_Opened", open_space(snapshot, info))
    defaults, fitted_on = _defaults(opened)
    metric = defaults.metric
    run = run_behind(backend.path, info)
    if run is None and read_card(info.model_path) is not None:
        raise ModelFileError(
            f"{info.name} was published by whoever trained it, and its card is theirs: "
            f"copy {info.model_path} instead"
        )
    data = () if run is None else data_of(run, snapshot)
    training = None
    if run is not None:
        training = training_of(run, snapshot, hardware=hardware or f"{os.cpu_count()} CPU cores")
    if decoder and not has_decoder(info.model_path):
        raise ModelFileError(
            f"{info.name} has no decoder to take along: run olrsearch train decoder --space {info.name}, or "
            "leave --decoder out"
        )
    given = card_figures.read_reports(reports, info)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=out) as staging:
        folder = _write_model(Path(staging), opened, half=half)
        if decoder:
            copy_decoder(info.model_path, folder)
        rounding = _compare(folder, opened) if half else None
        p1 = given["P1"] if "P1" in given else _measure(backend, opened)
        card = ModelCard(
            name=name,
            version=__version__,
            data=tuple(item.name for item in data),
            terms=OWN_TERMS if run is None else terms_of(data, snapshot.label_names),
            training=_finished(training, info, name, half=half, share=other),
            rounding=rounding,
            calibration=fitted_on,
            metric=None if metric is None else metric_name(metric.kind, metric.form),
            measured=card_figures.measured(p1),
            queries=card_figures.queries(given["P2"]) if "P2" in given else (),
            words=_words(opened) if isinstance(opened, OpenPosteriors) else None,
            shared=None if other is None else other.name,
        )
        write_defaults(folder, defaults)
        write_card(folder, card)
        if other is not None:
            share_tensors(folder, other)
        put_folder(folder, target, replace=replace)
    return target


def _neighbour(share: str | Path, target: Path) -> Path:
    """The folder of another encoder beside the one that is to be written."""
    out = target.parent
    other = out / share if isinstance(share, str) and "/" not in share else Path(share)
    if (other / CONFIG_NAME).is_file() and other.resolve().parent == out.resolve():
        if other.resolve() == target.resolve():
            raise ModelFileError(f"{target} cannot share tensors with itself: name another folder in {out}")
        return other.resolve()
    raise ModelFileError(
        f"{share} is no encoder in {out}: copy its folder there first, because an encoder that shares "
        "tensors with it needs it at its side"
    )


def _defaults(opened: _Opened) -> tuple[Defaults, str]:
    """Calibration and metric for other stores, and what they were fitted on, in words."""
    info = opened.info
    metric = opened.metric if isinstance(opened, OpenSpace) else None
    if info.calibration is None or (metric is not None and info.metric is None):
        what = "calibration" if metric is None else "calibration or metric"
        raise CalibrationError(
            f"{info.name} has no {what} that others could use: run olrsearch calibrate first"
        )
    if calibration_is_stale(info, opened.snapshot):
        raise CalibrationError(
            f"stored labels changed since {info.name} was calibrated: run olrsearch calibrate again"
        )
    calibration = opened.calibration
    if calibration.label_revision is None:  # it came with the encoder, and goes on with it
        return Defaults(calibration, metric), calibration.split
    names = ", ".join(item.name for item in opened.snapshot.datasets())
    what = "selection images" if calibration.split == "selection" else calibration.split
    fitted_on = f"{calibration.count:,} {what} of {names}"
    shared = dataclasses.replace(
        calibration, label_revision=None, split=f"{fitted_on}, shipped with the encoder"
    )
    return Defaults(shared, metric), fitted_on


def _words(opened: OpenPosteriors) -> WordSource:
    vocabulary = opened.vocabulary
    return WordSource(
        source=vocabulary.source,
        digest=vocabulary.digest,
        transform=vocabulary.transform,
        shrinkage=opened.shrinkage,
    )


def _write_model(root: Path, opened: _Opened, *, half: bool) -> Path:
    source = opened.info.model_path
    config, tensors = read_config(source), read_tensors(source)
    if half:
        if any(entry["dtype"] == "float16" for entry in config["tensors"].values()):
            raise ModelFileError(f"{opened.info.name} is in half precision already: leave --half out")
        folder = save_model(root, {**config, ROUNDED_FROM: config["fingerprint"]}, tensors, half=True)
        copy_fit(source, folder)  # rounding moves what a network sees by less than images differ
        return folder
    folder = root / str(config["fingerprint"])
    folder.mkdir()
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        shutil.copyfile(source / name, folder / name)
    copy_fit(source, folder)
    return folder


def _compare(folder: Path, opened: _Opened) -> Rounding:
    """How far the rounded model's calibrated probabilities are from those of what is stored."""
    config = read_config(folder)
    rows = np.unique(np.linspace(0, len(opened.view) - 1, min(_COMPARED, len(opened.view))).astype(np.int64))
    images = opened.snapshot.images(opened.view.ids[rows].tolist())
    found, pixels, _ = read_pixels(images, tuple(config["input_size"]), config["crop"])
    if not found:
        raise EncoderError(
            f"no image of {opened.info.name} can be read to compare the rounded model with: "
            "relocate the data set (olrsearch store relocate), or publish without --half"
        )
    everything = range(len(opened.info.labels))
    ids = np.asarray(found, np.int64)
    raw: tuple[F32 | F64, F32] = (
        _raw_labels(folder, opened, ids, pixels)
        if isinstance(opened, OpenSpace)
        else _raw_words(folder, opened, ids, pixels)
    )
    before, after = (opened.calibration.probability(logits, everything) for logits in raw)
    apart = np.abs(before - after)
    if not apart.max() <= _MOST:
        raise EncoderError(
            f"half precision changes a probability by {apart.max():.3f}, at most {_MOST} was expected: "
            "publish without --half"
        )
    return Rounding(images=len(found), mean=float(apart.mean()), largest=float(apart.max()))


def _raw_labels(folder: Path, opened: OpenSpace, ids: I64, pixels: U8) -> tuple[F32, F32]:
    """Raw logits [L, n] of some images: of the stored embeddings, and by the rounded model."""
    encoder = cast("LabelEncoder", load(folder))
    kept = opened.view.gather_all(opened.view.find(ids))
    return opened.readout.logits(kept), encoder.readout.logits(encoder.encode(pixels))


def _raw_words(folder: Path, opened: OpenPosteriors, ids: I64, pixels: U8) -> tuple[F64, F32]:
    """Raw ratios [W, n] of some images: of the stored posteriors, and by the rounded model."""
    encoder = cast("PosteriorEncoder", load(folder))
    made = PlainPosteriors(ids, *encoder.encode(pixels))
    kept = opened.scores.own_of(opened.view.find(ids))
    return kept, compute_ratios(made, encoder.vocabulary.scored).own


def _finished(
    training: Training | None, info: SpaceInfo, name: str, *, half: bool, share: Path | None
) -> Training | None:
    """With the commands that publish at the end, and before that those that rounded the weights."""
    if training is None:
        return None
    rounded_from = read_config(info.model_path).get(ROUNDED_FROM)
    rounding: tuple[str, ...] = ()
    if rounded_from is not None:
        rounding = (
            f"olrsearch encoders publish {info.kind}-{rounded_from[:8]} HALF_DIR --name {name} --half",
            f"olrsearch encode --encoder HALF_DIR/{name}",
            f"olrsearch calibrate --space {info.name}",
        )
    options = f"{' --half' if half else ''}{f' --share {share.name}' if share is not None else ''}"
    last = f"olrsearch encoders publish {info.name} OUT_DIR --name {name}{options}"
    return dataclasses.replace(training, commands=(*training.commands, *rounding, last))


def _measure(backend: Backend, opened: _Opened) -> dict[str, Any]:
    try:
        if isinstance(opened, OpenPosteriors):
            return describing_report(backend, opened).to_dict()
        return run_attributes(bench_data(backend, opened)).to_dict()
    except BenchmarkError as error:
        raise BenchmarkError(
            f"{error}; or measure it elsewhere with olrsearch bench attributes --out and give the file "
            "with --report"
        ) from None
