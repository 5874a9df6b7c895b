"""What is fitted to or built from a space: calibration, metric, scores, index recipes."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import (
    CalibrationError,
    EmptyStoreError,
    IndexBuildError,
    ModelFileError,
    StoreCorruptError,
    StoreVersionError,
)
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.folder.card import read_card
from olrsearch.encoders.folder.defaults import read_defaults
from olrsearch.encoders.folder.sharing import whole_model
from olrsearch.maths.calibration import Calibration, fit_calibration
from olrsearch.maths.metric import Metric, choose_metric, metric_name
from olrsearch.pipeline.indexing_words import (
    build_word_index,
    check_kl_indexes,
    check_word_scores,
    estimate_device,
    estimate_word_index,
)
from olrsearch.pipeline.inventory import default_encoder, find_encoder
from olrsearch.pipeline.runs import run_of
from olrsearch.search.index.recipe import KL_PREFIX
from olrsearch.search.index.scores import read_scores, write_scores
from olrsearch.search.spaces.labels import SCORES, OpenSpace, known_labels, scores_path, stored_labels
from olrsearch.search.spaces.posteriors import OpenPosteriors
from olrsearch.store.files import MODELS
from olrsearch.store.vectors.layout import LABELS, POSTERIOR
from olrsearch.store.vectors.segments import open_segment

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, F64, I64, Bool
    from olrsearch.search.index.recipe import Recipe
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

_METRIC_IMAGES = 2000
_MIN_IMAGES = 20


@dataclass(frozen=True, slots=True)
class CalibrationReport:
    """What `calibrate` fitted.

    Attributes:
        space: Name of the space.
        calibration: The calibration now stored.
        metric: The metric now stored, with the trials of all that were compared; None for posteriors,
            which are compared by divergences.
        outdated: Recipes whose indexes were built with the metric before.
    """

    space: str
    calibration: Calibration
    metric: Metric | None
    outdated: tuple[str, ...] = ()

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
        lines.extend(
            f"{name} was built with the metric before: run olrsearch index build --recipe {name}"
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
        opened = OpenSpace(snapshot, info) if info.layout == LABELS else OpenPosteriors(snapshot, info)
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
        metric = None
        if isinstance(opened, OpenSpace):
            sample, few = opened.view.gather_all(rows), slice(0, _METRIC_IMAGES)
            raw: F32 | F64 = opened.readout.logits(sample)
            metric = choose_metric(sample[:, few], labels[few])
        else:
            raw = opened.scores.own_of(rows)
        calibration = fit_calibration(
            raw,
            labels,
            info.labels,
            label_revision=snapshot.label_revision,
            split=split,
        )
        writer.set_calibration(
            info.id, calibration.to_dict(), label_revision=snapshot.label_revision, split=split
        )
        if metric is not None:
            writer.set_metric(info.id, metric.to_dict())
    outdated = () if metric is None else _outdated(info, metric)
    return CalibrationReport(info.name, calibration, metric, outdated)


def space_of(snapshot: Snapshot, ref: str | None) -> SpaceInfo:
    """The space that is calibrated, or whose indexes are built or shown.

    Args:
        snapshot: The generation.
        ref: Name or fingerprint; when None the newest of label embeddings, and in a store without any
            the newest of posteriors.

    Raises:
        EmptyStoreError: nothing is encoded.
        UnknownSpaceError: no space has this name or fingerprint, or several have.
    """
    if ref is not None:
        return snapshot.space(ref)
    held = {info.layout for info in snapshot.spaces()}
    return snapshot.space(layout=LABELS if LABELS in held else None)


def _outdated(info: SpaceInfo, metric: Metric) -> tuple[str, ...]:
    """The recipes whose indexes were built with another metric."""
    from olrsearch.search.index.built import metric_digest

    now = metric_digest(metric)
    return tuple(
        name for name, built in sorted(info.indexes.items()) if built["files"] and built["metric"] != now
    )


def check_artefacts(info: SpaceInfo) -> None:
    """Whether what was derived for a space can be read by this program, and is what it should be.

    Raises:
        IndexBuildError: kept label scores are not those of their segment.
        OlrsearchError: its calibration or its metric is damaged.
    """
    if info.calibration is not None:
        Calibration.from_dict(info.calibration)
    if info.metric is not None:
        Metric.from_dict(info.metric)
    if info.layout == LABELS:
        _check_scores(info)
    else:
        _check_posterior_model(info)
        check_word_scores(info)
        check_kl_indexes(info)


def _check_scores(info: SpaceInfo) -> None:
    """Kept scores answer every attribute query, and no checksum stands over them: they are computed again."""
    try:
        readout = model_files.read_readout(info.model_path)
        segments = [open_segment(segment) for segment in info.segments]
    except (ModelFileError, StoreCorruptError, StoreVersionError):
        return  # which is reported as what it is
    for segment in segments:
        path = scores_path(segment.info, info)
        kept = read_scores(path, segment, readout, segment=segment.info.uuid)
        # Another processor may round otherwise.
        if kept is not None and not np.allclose(kept, readout.logits(segment.embeddings), 1e-4, 1e-4):
            raise IndexBuildError(f"{path} does not hold its segment's scores: run olrsearch index build")


def _check_posterior_model(info: SpaceInfo) -> None:
    """Posteriors are of as many dimensions as the words' vectors, or no word could be compared with them."""
    try:
        config = model_config.read_config(info.model_path)
    except ModelFileError:
        return  # which is reported as what it is
    if model_config.layout_of(config) != info.layout or config["k"] != info.k:
        raise StoreCorruptError(
            f"{info.model_path} is no encoder of posteriors of {info.k} dimensions: copy the model again"
        )


def _calibration_images(backend: Backend, snapshot: Snapshot, info: SpaceInfo) -> tuple[I64, str]:
    ids = selection_ids(backend.path, info.fingerprint)
    if ids is not None:
        return ids, "selection"
    living = snapshot.image_ids()
    partition = snapshot.columns(living, ("partition",))["partition"]
    return living[partition != "test"], "labelled images outside test"


def selection_ids(store: Path, fingerprint: str) -> I64 | None:
    """Ids of the images that training held back, int64; None for an encoder from elsewhere.

    A rounded model was trained in the run of the model it was rounded from.
    """
    run = run_behind(store, fingerprint)
    if run is None:
        return None
    ids: I64 = np.load(run / "ids.npy")
    held_back: Bool = np.load(run / "selection.npy")
    chosen: I64 = ids[held_back]
    return chosen


def run_behind(store: Path, fingerprint: str) -> Path | None:
    """The run that an encoder, or the one it was rounded from, was trained in; None where there is none."""
    run = run_of(store / "runs", fingerprint)
    if run is not None:
        return run
    try:
        origin = model_config.read_config(store / MODELS / fingerprint).get(model_files.ROUNDED_FROM)
    except ModelFileError:  # which is reported where the model is needed
        return None
    return None if origin is None else run_of(store / "runs", str(origin))


def encoder_space(backend: Backend, encoder: str | Path | None) -> SpaceInfo:
    """The space of an encoder, added to the store where it has none yet.

    Args:
        backend: The store.
        encoder: See `inventory.find_encoder`; `inventory.default_encoder` when None: the newest space,
            whatever it holds of an image.

    Raises:
        EmptyStoreError: none is named, the store has none, and none is shipped.
        UnknownEncoderError: nothing has this name or fingerprint, or several have.
        ModelFileError: its files are damaged.
    """
    snapshot = backend.snapshot()
    if encoder is None and snapshot.spaces():
        return snapshot.space()
    entry = default_encoder(snapshot) if encoder is None else find_encoder(encoder, snapshot)
    if entry is None:
        raise EmptyStoreError(
            "the store has no encoder yet, and none is shipped with this olrsearch: run olrsearch train, "
            "or name a model folder with --encoder"
        )
    if entry.source != "store":
        name = entry.name if entry.source == "shipped" else None
        add_model(backend, entry.path, name=name)
        snapshot = backend.snapshot()
    return snapshot.space(entry.fingerprint)


def add_model(backend: Backend, path: Path, *, name: str | None = None) -> str:
    """Copy a model folder into the store as a space of its own; returns its fingerprint.

    The space has the layout of the encoder. The copy is whole, also of a model that shares tensors with
    another one. One that the store has already is left alone, and replaced where it is damaged. The
    calibration and the metric that the folder brings are taken where the space has none.

    Args:
        backend: The store, writable.
        path: The model folder.
        name: What the space's name begins with; the encoder's kind when None.

    Raises:
        ModelFileError: it is damaged.
    """
    fingerprint = check_model(path)  # before anything is copied
    config, defaults = model_config.read_config(path), read_defaults(path)
    layout = model_config.layout_of(config)
    with backend.writer() as writer:
        copy, damaged = backend.path / MODELS / fingerprint, _is_damaged(backend.path / MODELS / fingerprint)
        if damaged or not copy.exists():
            with tempfile.TemporaryDirectory() as scratch:
                whole = whole_model(path, Path(scratch) / fingerprint)
                writer.add_model(fingerprint, whole, replace=damaged)
        number = writer.add_space(
            fingerprint=fingerprint,
            name=f"{config['kind'] if name is None else name}-{fingerprint[:8]}",
            kind=config["kind"],
            labels=tuple(config["labels"]),
            k=int(config["k"]),
            config=config,
            layout=layout,
        )
        if defaults is not None:
            info = backend.snapshot().space(fingerprint)
            if info.calibration is None:
                calibration = defaults.calibration
                writer.set_calibration(
                    number, calibration.to_dict(), label_revision=None, split=calibration.split
                )
            if info.metric is None and defaults.metric is not None:
                writer.set_metric(number, defaults.metric.to_dict())
    return fingerprint


def _is_damaged(model: Path) -> bool:
    try:
        check_model(model)
    except ModelFileError:
        return model.exists()
    return False


def check_model(path: Path) -> str:
    """The fingerprint of a model folder, after every file of it has been compared with its checksum.

    Raises:
        ModelFileError: it is damaged.
    """
    fingerprint: str = model_config.read_config(path)["fingerprint"]
    model_files.read_tensors(path)
    read_defaults(path)
    read_card(path)
    return fingerprint


def build_index(backend: Backend, recipe_name: str, ref: str | None) -> list[str]:
    """Build the label scores of every segment, and what a recipe adds to the exact scan.

    Of a space of posteriors, build the KL features of both directions and the word scores, or the index of
    a KL recipe.

    Args:
        backend: The store, writable.
        recipe_name: A recipe of the program, or the path of a `.toml` file.
        ref: Name or fingerprint of the space; see `space_of` when None, and for a KL recipe the newest of
            posteriors.

    Returns:
        What was built, a line each.

    Raises:
        IndexBuildError: there is no such recipe, it has the name of what is built without one, or it is
            for another layout than the space has.
        RecallError: the recipe does not reach the recall it promises on this space.
    """
    from olrsearch.search.index.build import build_recipe

    with backend.writer() as writer:
        snapshot = backend.snapshot()
        info = _recipe_space(snapshot, recipe_name, ref)
        if info.layout != LABELS:
            return build_word_index(writer, OpenPosteriors(snapshot, info), recipe_name)
        recipe = _recipe(recipe_name)
        opened = OpenSpace(snapshot, info)
        if not len(opened.view):
            raise EmptyStoreError(f"every image of {info.name} is deleted: there is nothing to index")
        for segment in opened.segments:
            write_scores(opened.scores_path(segment), segment, opened.readout, segment=segment.info.uuid)
        lines = [f"{info.name}: label scores of {len(opened.view):,} images"]
        built = build_recipe(opened.view, opened.metric, recipe, info.index_path / recipe.name)
        for what, files in (
            ("label indexes", [file for file in built.files if file.label is not None]),
            ("whole index", [file for file in built.files if file.label is None]),
        ):
            if files:
                size = sum(file.bytes for file in files) / 1e6
                at_10, at_100 = (
                    min(file.recall.at_10 for file in files),
                    min(file.recall.at_100 for file in files),
                )
                lines.append(
                    f"{info.name}: {len(files)} {what}, {size:.1f} MB, "
                    f"recall@10 ≥ {at_10:.3f}, recall@100 ≥ {at_100:.3f}"
                )
        writer.add_index(info.id, recipe.name, built.to_dict())
    return lines


def estimate_index(backend: Backend, recipe_name: str, ref: str | None) -> int:
    """Bytes that a recipe's indexes take in memory and on disk for a space, roughly."""
    from olrsearch.search.index.recipe import estimate_memory

    info = _recipe_space(backend.snapshot(), recipe_name, ref)
    if info.layout != LABELS:
        return estimate_word_index(info, recipe_name)
    return estimate_memory(_recipe(recipe_name), info.count, len(info.labels), info.k)


def estimate_index_device(backend: Backend, recipe_name: str, ref: str | None) -> int:
    """Bytes that a recipe's indexes take on a device for a space, roughly; 0 without one."""
    info = _recipe_space(backend.snapshot(), recipe_name, ref)
    return 0 if info.layout == LABELS else estimate_device(info, recipe_name)


def _recipe_space(snapshot: Snapshot, recipe: str, ref: str | None) -> SpaceInfo:
    """The space a recipe is built for.

    Raises:
        IndexBuildError: a KL recipe for a space of label embeddings.
    """
    for_kl = Path(recipe).name.startswith(KL_PREFIX)
    info = snapshot.space(layout=POSTERIOR) if for_kl and ref is None else space_of(snapshot, ref)
    if for_kl and info.layout == LABELS:
        raise IndexBuildError(
            f"the recipe {recipe!r} is for posteriors, and {info.name} holds label embeddings: name a space "
            "of posteriors, or another recipe"
        )
    return info


def _recipe(name: str) -> Recipe:
    from olrsearch.search.index.recipe import load_recipe

    recipe = load_recipe(Path(name) if name.endswith(".toml") else name)
    if recipe.name == SCORES:  # building it would replace what it is named after
        raise IndexBuildError(
            f"a recipe cannot be called {SCORES!r}, which the label scores are: rename {name}"
        )
    return recipe
