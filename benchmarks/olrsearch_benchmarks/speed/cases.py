"""From a space to what P7 times of it: queries, scans, encoding."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import BenchmarkError, EngineError
from olrsearch.pipeline.reading_pixels import batched, cache_pixels, decoded, read_pixels
from olrsearch.search.attributes import search_attributes
from olrsearch.search.index.label import WholeIndex, nearest
from olrsearch.search.query.ast import Literal, conjunction, negation
from olrsearch.search.spaces.about import known_labels, stored_labels
from olrsearch_benchmarks.speed.encoding import Workload, run_encoding
from olrsearch_benchmarks.speed.speed import attribute_case, encode_case, label_case, whole_case

if TYPE_CHECKING:
    from collections.abc import Callable

    from olrsearch.core.arrays import F32, U8
    from olrsearch.encoders.protocol import LabelEncoder
    from olrsearch.search.spaces.labels import OpenSpace
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import SpaceInfo
    from olrsearch_benchmarks.speed.encoding import EncodingReport
    from olrsearch_benchmarks.speed.speed import SpeedCase


_ENCODED, _TYPICAL, _TOGETHER = 512, 128, 128
"""Images that are timed, that 8-bit numbers are scaled by, and of a batch on the way to the encoder."""


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
            lambda: nearest(opened.indexes.of(label), query[label], 20),
            opened.metric,
            query[label],
            embeddings[label],
            label,
        ),
        whole_case(lambda: nearest(whole, query, 20), opened.metric, query, embeddings),
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
            engines[name] = OlrEncoder(info.model_path, engine=name, calibration=calibration).encode
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
