"""Write a trained encoder as a folder that others can use: model, defaults, model card.

Notation: L labels, k numbers a label.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import uuid
from typing import TYPE_CHECKING, Any

import numpy as np

from olrsearch import _version
from olrsearch.bench.attributes import run_attributes
from olrsearch.defaults import Defaults, write_defaults
from olrsearch.encoders.card import (
    OWN_TERMS,
    GroupFigures,
    LabelFigures,
    Measured,
    ModelCard,
    QueryFigures,
    Rounding,
    read_card,
    write_card,
)
from olrsearch.encoders.model_files import (
    CONFIG_NAME,
    ROUNDED_FROM,
    WEIGHTS_NAME,
    read_config,
    read_tensors,
    save_model,
)
from olrsearch.encoders.registry import load
from olrsearch.encoders.shipped import check_name
from olrsearch.errors import BenchmarkError, CalibrationError, EncoderError, ModelFileError
from olrsearch.fitting import run_behind
from olrsearch.index.metric import metric_name
from olrsearch.measuring import bench_data
from olrsearch.pixels import read_pixels
from olrsearch.provenance import data_of, terms_of, training_of
from olrsearch.spaces import OpenSpace, calibration_is_stale

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from olrsearch.encoders.card import Training
    from olrsearch.store.backend import Backend
    from olrsearch.store.values import SpaceInfo

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
) -> Path:
    """Write the encoder of a space as the folder `out/name`, whole or not at all.

    It holds the model, the space's calibration and metric as defaults for other stores, and the
    model card. Nothing of the images is in it.

    Args:
        backend: The store.
        space: Name or fingerprint; the newest when None.
        out: The folder that holds published encoders; created when absent.
        name: What the encoder is to be called.
        half: Store matrices and convolution kernels as float16. The result is an encoder of its
            own, with another fingerprint; how far its probabilities move is measured and said.
        reports: JSON reports of P1 (`olrsearch bench attributes --out`) and P2 (`… queries`). P1 is
            measured here when it is not among them.
        hardware: What it was trained on, in words; this machine's CPU cores when None.
        replace: Write over a folder of this name.

    Returns:
        The folder.

    Raises:
        ModelFileError: the name cannot be one, the folder exists, or the model is damaged or was
            published by somebody else.
        CalibrationError: the space has no calibration, or labels have changed since it was fitted.
        BenchmarkError: a report is not of P1 or P2 or not of these labels, or P1 cannot be measured.
        EncoderError: rounding changes probabilities by more than .05, or no image can be read to
            find out.
    """
    check_name(name)
    target = out / name
    if target.exists() and not replace:
        raise ModelFileError(f"{target} exists: give --replace to write over it, or another --name")
    snapshot = backend.snapshot()
    opened = OpenSpace(snapshot, snapshot.space(space))
    defaults, fitted_on = _defaults(opened)
    run = run_behind(backend.path, opened.info.fingerprint)
    if run is None and read_card(opened.info.model_path) is not None:
        raise ModelFileError(
            f"{opened.info.name} was published by whoever trained it, and its card is theirs: "
            f"copy {opened.info.model_path} instead"
        )
    data = () if run is None else data_of(run, snapshot)
    training = None
    if run is not None:
        training = training_of(run, snapshot, hardware=hardware or f"{os.cpu_count()} CPU cores")
    given = _read_reports(reports, opened)
    out.mkdir(parents=True, exist_ok=True)
    staging = out / f".{uuid.uuid4().hex}.partial"
    staging.mkdir()
    try:
        folder = _write_model(staging, opened, half=half)
        rounding = _compare(folder, opened) if half else None
        p1 = given["P1"] if "P1" in given else _measure(backend, opened)
        card = ModelCard(
            name=name,
            version=_version.__version__,
            data=tuple(item.name for item in data),
            terms=OWN_TERMS if run is None else terms_of(data, snapshot.label_names),
            training=_finished(training, opened.info, name, half=half),
            rounding=rounding,
            calibration=fitted_on,
            metric=metric_name(defaults.metric.kind, defaults.metric.form),
            measured=_measured(p1),
            queries=_queries(given["P2"]) if "P2" in given else (),
        )
        write_defaults(folder, defaults)
        write_card(folder, card)
        if target.exists():
            target.rename(staging / "before")
        folder.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return target


def _defaults(opened: OpenSpace) -> tuple[Defaults, str]:
    """Calibration and metric for other stores, and what they were fitted on, in words."""
    info = opened.info
    if info.calibration is None or info.metric is None:
        raise CalibrationError(
            f"{info.name} has no calibration or metric that others could use: run olrsearch calibrate first"
        )
    if calibration_is_stale(info, opened.snapshot):
        raise CalibrationError(
            f"stored labels changed since {info.name} was calibrated: run olrsearch calibrate again"
        )
    calibration = opened.calibration
    if calibration.label_revision is None:  # it came with the encoder, and goes on with it
        return Defaults(calibration, opened.metric), calibration.split
    names = ", ".join(item.name for item in opened.snapshot.datasets())
    what = "selection images" if calibration.split == "selection" else calibration.split
    fitted_on = f"{calibration.count:,} {what} of {names}"
    shared = dataclasses.replace(
        calibration, label_revision=None, split=f"{fitted_on}, shipped with the encoder"
    )
    return Defaults(shared, opened.metric), fitted_on


def _write_model(root: Path, opened: OpenSpace, *, half: bool) -> Path:
    source = opened.info.model_path
    config, tensors = read_config(source), read_tensors(source)
    if half:
        if any(entry["dtype"] == "float16" for entry in config["tensors"].values()):
            raise ModelFileError(f"{opened.info.name} is in half precision already: leave --half out")
        return save_model(root, {**config, ROUNDED_FROM: config["fingerprint"]}, tensors, half=True)
    folder = root / str(config["fingerprint"])
    folder.mkdir()
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        shutil.copyfile(source / name, folder / name)
    return folder


def _compare(folder: Path, opened: OpenSpace) -> Rounding:
    """How far the rounded model's calibrated probabilities are from the stored embeddings'."""
    encoder = load(folder)
    rows = np.unique(np.linspace(0, len(opened.view) - 1, min(_COMPARED, len(opened.view))).astype(np.int64))
    images = opened.snapshot.images(opened.view.ids[rows].tolist())
    ids, pixels, _ = read_pixels(images, encoder.input_size, encoder.crop)
    if not ids:
        raise EncoderError(
            f"no image of {opened.info.name} can be read to compare the rounded model with: "
            "relocate the data set (olrsearch store relocate), or publish without --half"
        )
    everything = range(len(opened.info.labels))
    kept = opened.view.gather_all(opened.view.find(np.asarray(ids, np.int64)))
    before, after = (
        opened.calibration.probability(readout.logits(embeddings), everything)
        for readout, embeddings in ((opened.readout, kept), (encoder.readout, encoder.encode(pixels)))
    )
    apart = np.abs(before - after)
    if not apart.max() <= _MOST:
        raise EncoderError(
            f"half precision changes a probability by {apart.max():.3f}, at most {_MOST} was expected: "
            "publish without --half"
        )
    return Rounding(images=len(ids), mean=float(apart.mean()), largest=float(apart.max()))


def _finished(training: Training | None, info: SpaceInfo, name: str, *, half: bool) -> Training | None:
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
    last = f"olrsearch encoders publish {info.name} OUT_DIR --name {name}{' --half' if half else ''}"
    return dataclasses.replace(training, commands=(*training.commands, *rounding, last))


# -- figures -----------------------------------------------------------------------------


def _measure(backend: Backend, opened: OpenSpace) -> dict[str, Any]:
    try:
        return run_attributes(bench_data(backend, opened)).to_dict()
    except BenchmarkError as error:
        raise BenchmarkError(
            f"{error}; or measure it elsewhere with olrsearch bench attributes --out and give the file "
            "with --report"
        ) from None


def _read_reports(paths: Iterable[Path], opened: OpenSpace) -> dict[str, dict[str, Any]]:
    """Reports by protocol, of this space's shape."""
    found: dict[str, dict[str, Any]] = {}
    shape = len(opened.info.labels), opened.info.k
    for path in paths:
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
            protocol, data = report["protocol"], report["data"]
            of = data["labels"], data["dimensions"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BenchmarkError(
                f"{path} is no report ({error!r}): give the .json of olrsearch bench attributes --out"
            ) from None
        if protocol not in {"P1", "P2"} or protocol in found:
            again = "another" if protocol in found else "a"
            raise BenchmarkError(
                f"{path} is {again} report of {protocol}: a card takes one of P1 and one of P2"
            )
        names = list(opened.info.labels)
        if of != shape or report["results"].get("label_names", names) != names:
            raise BenchmarkError(
                f"{path} is of {of[0]} labels × {of[1]} numbers, or of labels by other names; "
                f"{opened.info.name} has {shape[0]} × {shape[1]}: measure it with olrsearch bench"
            )
        if protocol == "P1" and "support" not in report["results"]:
            raise BenchmarkError(
                f"{path} does not say how many images stand behind each figure: an older olrsearch wrote it, "
                "run olrsearch bench attributes --out again"
            )
        found[protocol] = report
    return found


def _measured(report: Mapping[str, Any]) -> Measured:
    results = report["results"]
    methods = {"all": results["methods"], **results["groups"]}
    return Measured(
        data=str(report["data"]["name"]),
        command=str(report["command"]),
        seed=int(report["seed"]),
        groups=tuple(
            _group(group, results["label_names"], found["encoder"], results["support"][group])
            for group, found in methods.items()
        ),
    )


def _group(
    group: str, names: Sequence[str], scores: Mapping[str, Any], support: Mapping[str, Any]
) -> GroupFigures:
    return GroupFigures(
        group=group,
        images=int(support["images"]),
        map=scores["map"],
        accuracy=scores["accuracy"],
        balanced_accuracy=scores["balanced_accuracy"],
        labels=tuple(
            LabelFigures(
                label=name,
                positives=int(support["positives"][row]),
                negatives=int(support["negatives"][row]),
                ap=scores["label_ap"][row],
                accuracy=scores["label_accuracy"][row],
                balanced_accuracy=scores["label_balanced_accuracy"][row],
            )
            for row, name in enumerate(names)
        ),
    )


def _queries(report: Mapping[str, Any]) -> tuple[QueryFigures, ...]:
    results = report["results"]
    return tuple(
        QueryFigures(kind, int(results["counts"][kind]), methods["ours"]["ap"], methods["ours"]["p20"])
        for kind, methods in results["scores"].items()
    )
