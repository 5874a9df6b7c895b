"""Made-up data for the protocols."""

from __future__ import annotations

import numpy as np
import pytest

from olrsearch.evaluation.data import BenchData, rows_of

NAMES = ("Male", "Young", "Heavy_Makeup", "Bald", "Smiling", "Wavy Hair")


def make_data(*, images: int = 900, size: int = 4, seed: int = 0, rich: bool = True) -> BenchData:
    """Correlated labels, a noisy teacher, and embeddings that hold the latent (rich) or only p."""
    rng = np.random.default_rng(seed)
    identity = np.sort(rng.integers(0, images // 3, images))
    latent = rng.normal(size=(images, 5)) + 0.7 * rng.normal(size=(images // 3, 5))[identity]
    logits = latent @ rng.normal(size=(5, len(NAMES))) - 0.8
    labels = np.where(logits + rng.logistic(size=logits.shape) * 0.4 > 0, 1, -1).astype(np.int8)
    noisy = logits + rng.normal(size=logits.shape) * 0.5
    probability = 1 / (1 + np.exp(-noisy))
    embeddings = np.empty((len(NAMES), images, size), np.float32)
    for label in range(len(NAMES)):
        direction = rng.uniform(0.2, 1, size)
        embeddings[label] = probability[:, [label]] * direction
        if rich:
            embeddings[label] += 0.3 * latent @ rng.normal(size=(5, size)) * probability[:, [label]]
    partition = np.where(identity < images * 0.2, "train", np.where(identity < images * 0.27, "val", "test"))
    train, selection, gallery = rows_of(partition, identity < images * 0.06)
    return BenchData(
        name="made up",
        label_names=NAMES,
        image_ids=np.arange(images, dtype=np.int64) * 2 + 1,
        keys=[f"{row:06d}.jpg" for row in range(images)],
        labels=labels,
        partition=partition,
        identity=identity.astype(np.int64),
        embeddings=embeddings,
        log_p=-np.logaddexp(0, -noisy).T.copy(),
        log_not_p=-np.logaddexp(0, noisy).T.copy(),
        teacher_p=(1 / (1 + np.exp(-(noisy + 0.1 * rng.normal(size=noisy.shape))))).T.copy(),
        train=train,
        selection=selection,
        gallery=gallery,
    )


@pytest.fixture(scope="session")
def data() -> BenchData:
    return make_data()


@pytest.fixture(scope="session")
def make():
    return make_data
