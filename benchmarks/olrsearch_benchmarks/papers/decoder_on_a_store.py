"""P5 of OLR's decoder, of a space of a store."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.api.reconstructions import space_decoder
from olrsearch.core.errors import BenchmarkError, TrainingError
from olrsearch.datasets.selection import selection_split
from olrsearch.pipeline.reading_pixels import cache_pixels
from olrsearch_benchmarks.papers.decoder import DecoderCase, run_decoder_paper
from olrsearch_benchmarks.papers.decoder_identity import TrunkJudge

if TYPE_CHECKING:
    from olrsearch import Store
    from olrsearch.core.arrays import I64
    from olrsearch.evaluation.data import BenchData
    from olrsearch_benchmarks.papers.decoder import DecoderPaperReport


def decoder_paper(store: Store, *, space: str | None = None, seed: int = 0) -> DecoderPaperReport:
    """Measure the decoder of a space on images of val and test.

    Args:
        store: The store.
        space: Name or fingerprint; the newest of label embeddings when None.
        seed: Of everything random.

    Raises:
        ModelFileError: the space has no decoder.
        BenchmarkError: no images to fit or measure on, or images that cannot be read.
    """
    opened = store.session.space(space)
    decoder = space_decoder(opened)
    data = store.bench.data(space=space)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pixels.npy"
        rows = opened.snapshot.images(data.image_ids.tolist())
        _, failures = cache_pixels(rows, decoder.size, decoder.crop, path, track=store.session.track)
        if failures:
            raise BenchmarkError(
                f"{len(failures)} images cannot be read, the first: {failures[0].reason}; restore them, or "
                "delete them from the store"
            )
        train, selection = _parts(data)
        case = DecoderCase(
            name=data.name,
            pixels=np.load(path, mmap_mode="r"),
            embeddings=np.ascontiguousarray(np.transpose(data.embeddings, (1, 0, 2))),
            identity=data.identity,
            train=train,
            selection=selection,
            gallery=data.gallery,
        )
        return run_decoder_paper(case, decoder, judge=_judge(), seed=seed)


def _parts(data: BenchData) -> tuple[I64, I64]:
    """Rows to fit on and to choose on; whole people for an encoder that held nothing back here."""
    if len(data.selection):
        return data.train, data.selection
    identities = [None if value < 0 else int(value) for value in data.identity[data.train].tolist()]
    keys = [data.keys[row] for row in data.train.tolist()]
    chosen = selection_split(identities, keys, size=min(1000, len(keys) // 8))
    return data.train[~chosen], data.train[chosen]


def _judge() -> TrunkJudge | None:
    try:
        return TrunkJudge()
    except TrainingError:  # its weights are a package of their own
        return None
