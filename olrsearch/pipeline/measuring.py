"""From a store to the arrays that the protocols measure."""

from __future__ import annotations

import logging
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import BenchmarkError
from olrsearch.core.files import TEMPORARY, whole_file
from olrsearch.evaluation.data import BenchData, rows_of
from olrsearch.evaluation.describing import run_describing
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch.search.spaces.about import known_labels, stored_labels
from olrsearch.store.training_runs import run_of, selection_ids

if TYPE_CHECKING:
    from olrsearch.core.arrays import F32, I64
    from olrsearch.evaluation.describing import DescribingReport
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.search.spaces.posteriors import OpenPosteriors
    from olrsearch.store.backend import Backend
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo

_log = logging.getLogger(__name__)


def bench_data(backend: Backend, opened: OpenSpace, *, name: str | None = None) -> BenchData:
    """Embeddings, scores, labels and the teacher's probabilities of all images of a space.

    The teacher is asked once, its answers are kept in its run (not by a store opened
    read-only), and it is not loaded again: everything measured about embeddings is measured
    without it.

    Args:
        backend: The store.
        opened: The space.
        name: What reports call the data; the data sets' names and counts when None.

    Raises:
        BenchmarkError: no label that the encoder knows is stored, or there is no gallery.
    """
    snapshot, info = opened.snapshot, opened.info
    _check_labels(snapshot, info)
    order = np.argsort(opened.view.ids, kind="stable")
    ids = opened.view.ids[order]
    columns = snapshot.columns(ids, ("partition", "identity", "key"))
    embeddings = opened.view.gather_all(order)
    raw = opened.readout.logits(embeddings)
    everything = range(len(info.labels))
    held_back = selection_ids(backend.path, info)
    partition = columns["partition"]
    selected = np.zeros(len(ids), np.bool_) if held_back is None else np.isin(ids, held_back)
    train, selection, gallery = rows_of(partition, selected)
    names = ", ".join(item.name for item in snapshot.datasets())
    return BenchData(
        name=name or names,
        label_names=info.labels,
        image_ids=ids,
        keys=[str(key) for key in columns["key"]],
        labels=stored_labels(snapshot, ids, info.labels),
        partition=partition,
        identity=columns["identity"],
        embeddings=embeddings,
        log_p=opened.calibration.log_probability(raw, everything),
        log_not_p=opened.calibration.log_probability(raw, everything, negate=True),
        teacher_p=teacher_probabilities(backend, opened, ids),
        train=train,
        selection=selection,
        gallery=gallery,
        fitted_on="" if info.calibration is None else opened.calibration.split,
    )


def describing_report(backend: Backend, opened: OpenPosteriors, *, seed: int = 0) -> DescribingReport:
    """P1 of words: calibrated probabilities of the own words on the val and test images of a space.

    Args:
        backend: The store.
        opened: The space.
        seed: Recorded; nothing is random.

    Raises:
        BenchmarkError: no label that is a word of the encoder is stored, or there is no gallery.
        StoreCorruptError: kept word scores are damaged.
    """
    snapshot, info = opened.snapshot, opened.info
    _check_labels(snapshot, info)
    ids = opened.view.ids
    held_back = selection_ids(backend.path, info)
    selected = np.zeros(len(ids), np.bool_) if held_back is None else np.isin(ids, held_back)
    train, selection, gallery = rows_of(snapshot.columns(ids, ("partition",))["partition"], selected)
    everything = range(len(info.labels))
    return run_describing(
        opened.calibration.logits(opened.scores.own_of(gallery), everything),
        np.ascontiguousarray(stored_labels(snapshot, ids[gallery], info.labels).T),
        info.labels,
        data={
            "name": ", ".join(item.name for item in snapshot.datasets()),
            "images": len(ids),
            "labels": len(info.labels),
            "dimensions": info.k,
            "train": len(train),
            "selection": len(selection),
            "gallery": len(gallery),
        },
        fitted_on="" if info.calibration is None else opened.calibration.split,
        seed=seed,
    )


def _check_labels(snapshot: Snapshot, info: SpaceInfo) -> None:
    if not known_labels(snapshot, info):
        raise BenchmarkError(
            f"the store has no stored label that {info.name} knows, so there is nothing to measure against: "
            "import a data set with labels and with val or test images"
        )


def teacher_run(backend: Backend, opened: OpenSpace) -> Path | None:
    """The run that keeps the teacher of a space's encoder; None where the run or its teacher is gone."""
    run = run_of(backend.path, opened.info.fingerprint)
    return run if run is not None and (run / "teacher.safetensors").exists() else None


def teacher_probabilities(backend: Backend, opened: OpenSpace, ids: I64) -> F32 | None:
    """The teacher's probabilities, float32 [L, N]; None where the run or its teacher is gone.

    Args:
        backend: The store; where it can be written the answers are kept beside the teacher.
        opened: The space.
        ids: int64 [N], all images of the space by id: the answers about others would replace those kept.
    """
    run = teacher_run(backend, opened)
    if run is None:
        return None
    kept = run / "teacher_p.npz"
    if (found := _kept_answers(kept, ids)) is not None:
        return found
    from olrsearch.encoders.olr.config import OlrConfig
    from olrsearch.encoders.olr.training import teacher_probabilities as ask

    config = OlrConfig.from_dict(opened.info.config)
    rows = opened.snapshot.images(ids.tolist())
    place = None if backend.read_only else run  # gigabytes, which a temporary folder may not hold
    # A folder of this process alone: benchmarks may run side by side, and hold no lock.
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=place) as scratch:
        pixels = Path(scratch) / "pixels.npy"
        read, _ = cache_pixels(rows, config.image_size, config.crop, pixels)
        if not np.array_equal(read, ids):
            return None
        probabilities = ask(run, np.load(pixels, mmap_mode="r"))
        if not backend.read_only:
            with whole_file(kept, durable=False) as temporary:  # computed again where it is lost
                np.savez(temporary, ids=ids, probabilities=probabilities)
    return probabilities


def _kept_answers(path: Path, ids: I64) -> F32 | None:
    """The teacher's answers as they were kept; None where there are none, about others, or damaged."""
    try:
        with np.load(path, allow_pickle=False) as before:
            found: F32 = before["probabilities"]
            return found if np.array_equal(before["ids"], ids) and found.shape[-1] == len(ids) else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        _log.warning("%s is damaged (%s): the teacher is asked again", path, error)
        return None
