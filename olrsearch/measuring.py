"""From a store to the arrays that the protocols measure."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.bench.data import BenchData, rows_of
from olrsearch.bench.describing import run_describing
from olrsearch.bench.encoding import Workload, run_encoding
from olrsearch.bench.speed import attribute_case, encode_case, label_case, whole_case
from olrsearch.errors import BenchmarkError, EngineError
from olrsearch.fitting import selection_ids
from olrsearch.index.whole import WholeIndex
from olrsearch.pixels import batched, cache_pixels, decoded, read_pixels
from olrsearch.query import Literal, conjunction, negation
from olrsearch.search.attributes import search_attributes
from olrsearch.spaces import known_labels, stored_labels
from olrsearch.training import run_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.arrays import F32, I64, U8
    from olrsearch.bench.describing import DescribingReport
    from olrsearch.bench.encoding import EncodingReport
    from olrsearch.bench.speed import SpeedCase
    from olrsearch.encoders.protocol import LabelEncoder
    from olrsearch.posteriors import OpenPosteriors
    from olrsearch.spaces import OpenSpace
    from olrsearch.store.backend import Backend
    from olrsearch.store.catalog import Snapshot
    from olrsearch.store.values import SpaceInfo

_ENCODED, _TYPICAL, _TOGETHER = 512, 128, 128
"""Images that are timed, that 8-bit numbers are scaled by, and of a batch on the way to the encoder."""


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
    held_back = selection_ids(backend.path, info.fingerprint)
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
    held_back = selection_ids(backend.path, info.fingerprint)
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
    run = run_of(backend.path / "runs", opened.info.fingerprint)
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
    if kept.exists():
        with np.load(kept, allow_pickle=False) as before:
            if np.array_equal(before["ids"], ids):
                found: F32 = before["probabilities"]
                return found
    from olrsearch.encoders.olr.config import OlrConfig
    from olrsearch.encoders.olr.training import teacher_probabilities as ask

    config = OlrConfig.from_dict(opened.info.config)
    rows = opened.snapshot.images(ids.tolist())
    place = None if backend.read_only else run  # gigabytes, which a temporary folder may not hold
    # A folder of this process alone: benchmarks may run side by side, and hold no lock.
    with tempfile.TemporaryDirectory(prefix=".gallery-", dir=place) as scratch:
        pixels = Path(scratch) / "pixels.npy"
        read, _ = cache_pixels(rows, config.image_size, config.crop, pixels)
        if not np.array_equal(read, ids):
            return None
        probabilities = ask(run, np.load(pixels, mmap_mode="r"))
        if not backend.read_only:
            answers = Path(scratch) / kept.name
            np.savez(answers, ids=ids, probabilities=probabilities)
            answers.replace(kept)
    return probabilities


def speed_cases(opened: OpenSpace, encoder: LabelEncoder, *, seed: int = 0) -> list[SpeedCase]:
    """What P7 times of one space: an attribute query, both indexes, and encoding.

    Args:
        opened: The space.
        encoder: Its encoder; encodes 512 of its images.
        seed: Of the query drawn.
    """
    view, info = opened.view, opened.info
    rng = np.random.default_rng(seed)
    chosen = rng.choice(len(info.labels), size=min(3, len(info.labels)), replace=False)
    signs = np.zeros(len(info.labels), np.int8)
    signs[chosen] = 1
    signs[chosen[-1:]] = -1
    parts = [Literal(info.labels[label]) for label in chosen]
    node = conjunction([*parts[:-1], negation(parts[-1])])
    embeddings = view.gather_all(np.arange(len(view)))
    raw = opened.readout.logits(embeddings)
    everything = range(view.labels)
    row = int(rng.integers(len(view)))
    query = np.ascontiguousarray(embeddings[:, row])
    label = int(chosen[0])
    whole = WholeIndex(opened.indexes)
    images = opened.snapshot.images(view.ids[:_ENCODED].tolist())
    _, pixels, _ = read_pixels(images, encoder.input_size, encoder.crop)

    def encode_all() -> F32:
        _, found, _ = read_pixels(images, encoder.input_size, encoder.crop)
        return encoder.encode(found)

    return [
        attribute_case(
            lambda: search_attributes(node, opened.scores(), count=20),
            signs,
            opened.calibration.log_probability(raw, everything),
            opened.calibration.log_probability(raw, everything, negate=True),
        ),
        label_case(
            lambda: opened.indexes.of(label).search(query[label], 20),
            opened.metric,
            query[label],
            embeddings[label],
            label,
        ),
        whole_case(lambda: whole.search(query, 20), opened.metric, query, embeddings),
        encode_case(encode_all, lambda: encoder.encode(pixels)),
    ]


def encoding_report(
    snapshot: Snapshot, info: SpaceInfo, encoder: LabelEncoder, *, images: int = _ENCODED, seed: int = 0
) -> EncodingReport:
    """P7, encoding: all engines on a space's encoder, timed on some images and ranked on the gallery.

    Args:
        snapshot: The generation.
        info: The space.
        encoder: Its encoder, as encoding opens it by itself.
        images: How many images are timed.
        seed: Of the images drawn.

    Raises:
        BenchmarkError: an encoder without engines, no label that it knows, or no gallery.
    """
    # Here, since torch comes with them.
    from olrsearch.encoders.engines.engine import ENGINES
    from olrsearch.encoders.olr.encoder import OlrEncoder

    if not isinstance(encoder, OlrEncoder):
        raise BenchmarkError(
            f"encoders of kind {encoder.kind} have one way to compute, so there is nothing to compare: "
            "name a space of an OLR encoder with --space"
        )
    ids = snapshot.image_ids()
    partition = snapshot.columns(ids, ("partition",))["partition"]
    gallery = ids[np.isin(partition, ("val", "test"))]
    others = np.setdiff1d(ids, gallery)
    if not len(gallery) or not known_labels(snapshot, info):
        raise BenchmarkError(
            f"{len(gallery)} val and test images and no stored label that {info.name} knows, or one of the "
            "two: import a data set with labels and partitions"
        )
    rng = np.random.default_rng(seed)
    size, crop = encoder.input_size, encoder.crop
    timed = snapshot.images(np.sort(rng.permutation(gallery)[:images]).tolist())
    typical = snapshot.images(
        np.sort(rng.permutation(others if len(others) else gallery)[:_TYPICAL]).tolist()
    )
    _, calibration, _ = read_pixels(typical, size, crop)
    engines: dict[str, Callable[[U8], F32]] = {}
    missing: dict[str, str] = {}
    for name in ENGINES:
        try:
            engines[name] = OlrEncoder.load(info.model_path, engine=name, calibration=calibration).encode
        except EngineError as error:
            missing[name] = str(error)

    def together() -> None:
        with closing(decoded(batched(timed, _TOGETHER), size, crop)) as source:
            for batch in source:
                encoder.encode(batch.pixels)

    with tempfile.TemporaryDirectory(prefix="gallery-") as scratch:
        path = Path(scratch) / "pixels.npy"
        kept, _ = cache_pixels(snapshot.images(gallery.tolist()), size, crop, path)
        return run_encoding(
            engines,
            Workload(
                timed=read_pixels(timed, size, crop)[1],
                gallery=np.load(path, mmap_mode="r"),
                truth=np.ascontiguousarray(stored_labels(snapshot, kept, info.labels).T),
                readout=encoder.readout,
                decode=lambda: read_pixels(timed, size, crop),
                together=together,
            ),
            default=encoder.engine,
            missing=missing,
            seed=seed,
            data={
                "name": ", ".join(item.name for item in snapshot.datasets()),
                "images": len(ids),
                "gallery": len(kept),
            },
        )
