"""Made-up galleries for tests: vectors that carry their labels, spread over several parts."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from olrsearch.maths.readout import Readout
from olrsearch.search.index.view import EmbeddingView

NAMES = ("Smiling", "Eyeglasses", "Male", "Wavy_Hair", "Wearing_Hat")


class PlainPart(NamedTuple):
    """Plain arrays as a part of a view: for embeddings that lie in no store."""

    ids: np.ndarray  # int64 [n]
    embeddings: np.ndarray  # float32 [L, n, k]


@dataclass(frozen=True)
class Gallery:
    view: EmbeddingView
    readout: Readout
    names: tuple[str, ...]
    labels: np.ndarray  # int8 [N, L] in the view's rows

    def all(self):
        """float32 [L, N, k] in the view's rows."""
        return np.stack([self.view.vectors(label) for label in range(self.view.labels)])


def gallery(images=60, size=4, parts=(1.0,), seed=0, names=NAMES, deleted=()):
    """Like OLR's vectors: long where the label is present, near zero where it is not."""
    rng = np.random.default_rng(seed)
    count = len(names)
    labels = np.where(rng.random((images, count)) < 0.35, 1, -1).astype(np.int8)
    base = np.abs(rng.normal(size=(count, images, size))) * np.linspace(0.3, 3, count)[:, None, None]
    presence = np.where(labels.T > 0, 1.0, 0.25)[:, :, None]
    embeddings = (base * presence).astype(np.float32)
    ids = rng.permutation(images * 2)[:images].astype(np.int64)
    cuts = np.cumsum([int(images * share) for share in parts])[:-1]
    pieces = [
        PlainPart(np.ascontiguousarray(part_ids), np.ascontiguousarray(vectors))
        for part_ids, vectors in zip(np.split(ids, cuts), np.split(embeddings, cuts, axis=1), strict=True)
    ]
    view = EmbeddingView(pieces, deleted)
    weight = np.ones((count, size), np.float32) / np.linspace(0.3, 3, count)[:, None].astype(np.float32)
    kept = ~np.isin(ids, list(deleted))
    return Gallery(view, Readout(weight, np.full(count, -2.0, np.float32)), tuple(names), labels[kept])
