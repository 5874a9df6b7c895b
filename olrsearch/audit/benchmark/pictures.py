"""Audits that have met no label: features of a trunk that knows ImageNet, and heads for every fold.

What a store's encoder makes of an image may know the label that is to be audited. Here nothing does: the
trunk never saw these labels, and probabilities as well as label embeddings come from models of the other
folds.

Notation: N images, L labels, k numbers a label, F folds, D numbers the trunk gives, m of them kept.
"""

from __future__ import annotations

import logging
import tempfile
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.core.arrays import npy
from olrsearch.core.errors import AuditError
from olrsearch.core.files import TEMPORARY, write_whole
from olrsearch.core.progress import silent
from olrsearch.maths.principal import principal_components
from olrsearch.pipeline.reading_pixels import batched, decoded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from olrsearch.core.arrays import F32, I8, I64
    from olrsearch.core.progress import Track
    from olrsearch.encoders.olr.frozen_heads import FrozenHeads
    from olrsearch.store.read.snapshot import Snapshot
    from olrsearch.store.values import ImageRow

COMPONENTS: Final = 1024
"""m."""

_BATCH: Final = 128
_log = logging.getLogger(__name__)


class HeadViews:
    """How images look to heads that were trained on the other folds' labels.

    Args:
        features: float32 [N, m], of the frozen trunk.
        given: int8 [N, L], what the heads learn.
        fold: int64 [N].
        seed: Of everything random.
    """

    def __init__(self, features: F32, given: I8, fold: I64, *, seed: int) -> None:
        self._features = features
        self._given = given
        self._fold = fold
        self._seed = seed
        self._heads: dict[int, FrozenHeads] = {}

    def features(self, fold: int, rows: I64) -> F32:
        """The trunk's features of some images, float32 [n, m]."""
        del fold  # no label went into them
        return self._features[rows]

    def embeddings(self, fold: int, label: int) -> F32:
        """e^l of all images by the head that did not see the fold, float32 [N, k]."""
        if fold not in self._heads:
            from olrsearch.encoders.olr.frozen_heads import train_frozen_heads

            rows = np.flatnonzero(self._fold != fold)
            self._heads[fold] = train_frozen_heads(
                self._features[rows], self._given[rows], seed=self._seed * 1000 + fold
            )
            _log.info("heads without fold %d are trained", fold)
        return self._heads[fold].embeddings(self._features, label)


def picture_features(
    snapshot: Snapshot, ids: I64, *, cache: Path | None = None, track: Track = silent
) -> F32:
    """Principal components of what the frozen trunk sees of images of a store.

    Args:
        snapshot: The store.
        ids: int64 [N].
        cache: Where they are kept, so that they are computed once; created when absent. None keeps nothing.
        track: Shows the progress.

    Returns:
        float32 [N, m].

    Raises:
        AuditError: an image cannot be read.
        TrainingError: the package that holds the trunk's weights is not installed.
    """
    rows = snapshot.images(ids)
    place = None if cache is None else cache / f"pictures-{_key(rows)}.npy"
    if place is not None and place.exists():
        found: F32 = np.load(place)
        return found
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=TEMPORARY, dir=cache) as scratch:
        found = _computed(rows, Path(scratch) / "maps.npy", track)
    if place is not None:
        write_whole(place, npy(found))
    return found


def _key(rows: Sequence[ImageRow]) -> str:
    """What features are kept by, 16 digits: the same in every copy of a store, and in no other."""
    pictures = [f"{row.sha256} {row.uri}" for row in rows]  # a file may hold several
    return sha256("\n".join([str(COMPONENTS), *pictures]).encode()).hexdigest()[:16]


def _computed(rows: Sequence[ImageRow], scratch: Path, track: Track) -> F32:
    from olrsearch.encoders.trunks.frozen import FrozenTrunk

    trunk = FrozenTrunk()
    maps = np.lib.format.open_memmap(scratch, "w+", np.float16, (len(rows), sum(trunk.blocks)))
    done = 0
    with closing(decoded(batched(rows, _BATCH), trunk.input_size, "none", on_error="skip")) as source:
        for batch in track(source, total=len(rows), what="pictures"):
            if batch.failures:
                failure = batch.failures[0]
                raise AuditError(
                    f"{failure.key} cannot be read ({failure.reason}), and every image must be: bring it "
                    "back (`olrsearch store relocate`), or leave it out"
                )
            maps[done : done + len(batch.ids)] = trunk.features(batch.pixels)
            done += len(batch.ids)
    return principal_components(maps, COMPONENTS, groups=trunk.blocks, track=track)
