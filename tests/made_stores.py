"""Images, embeddings and filled stores to test with."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.maths.gaussian import SIGMA0
from olrsearch.maths.triangles import cholesky, pack
from olrsearch.store import NewImage

if TYPE_CHECKING:
    from olrsearch.store import Backend

LABELS = ("Smiling", "Eyeglasses", "Male")
FINGERPRINT = "ab" * 32


def sha(value: object) -> str:
    return hashlib.sha256(str(value).encode()).hexdigest()


def new(key: str, content: object = None, labels=(1, 0, -1), **more) -> NewImage:
    """An image whose bytes are told apart by `content`."""
    content = key if content is None else content
    fields = {"uri": f"img/{key}", "sha256": sha(content), "size_bytes": 10, "width": 178, "height": 218}
    return NewImage(key, labels=labels, **(fields | more))


def fill(store: Backend, count: int = 10, name: str = "faces") -> list[int]:
    """Imports images `000.jpg`, … and returns their ids."""
    with store.writer() as writer:
        dataset = writer.gallery.add_dataset(name, "folder", store.path.parent / "faces")
        images = [
            new(
                f"{number:03}.jpg",
                f"{name}{number}",
                partition=("train", "val", "test")[number % 3],
                identity=number // 2,
                thumbnail=b"jpeg%d" % number,
            )
            for number in range(count)
        ]
        writer.gallery.add_images(dataset, images, LABELS)
    return store.snapshot().image_ids().tolist()


def vectors(count: int, labels: int = 3, k: int = 4, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(labels, count, k)).astype(np.float32)


def add_space(writer, fingerprint: str = FINGERPRINT, name: str = "olr") -> int:
    return writer.spaces.add(
        fingerprint=fingerprint, name=name, kind="olr", labels=LABELS, k=4, config={"kind": "olr"}
    )


def encode(store: Backend, ids, fingerprint: str = FINGERPRINT, seed: int = 0):
    """Adds a space and one segment."""
    with store.writer() as writer:
        space = add_space(writer, fingerprint)
        info = writer.spaces.add_segment(space, ids, vectors(len(ids), seed=seed))
    return space, info


def posteriors(count: int, k: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    """Means and packed factors of Gaussians some of whose eigenvalues are σ₀²."""
    rng = np.random.default_rng(seed)
    loose = rng.normal(size=(count, k, k)) * rng.uniform(0, 1, (count, 1, k))
    loose[::2, :, 0] = 0
    covariance = loose @ loose.swapaxes(1, 2) + SIGMA0**2 * np.eye(k)
    mean = rng.normal(size=(count, k))
    return {"mean": mean.astype(np.float32), "factor": pack(cholesky(covariance)).astype(np.float32)}


def add_posterior_space(writer, fingerprint: str = "ef" * 32, name: str = "words", k: int = 4) -> int:
    return writer.spaces.add(
        fingerprint=fingerprint,
        name=name,
        kind="tiny-posterior",
        labels=LABELS,
        k=k,
        config={"kind": "tiny-posterior", "shrinkage": 0.1},
        layout="posterior",
    )


def encode_posteriors(store: Backend, ids, fingerprint: str = "ef" * 32, seed: int = 0):
    """Adds a space of posteriors and one segment."""
    with store.writer() as writer:
        space = add_posterior_space(writer, fingerprint)
        info = writer.spaces.add_segment(space, ids, posteriors(len(ids), seed=seed))
    return space, info
