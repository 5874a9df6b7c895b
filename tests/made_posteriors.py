"""Made-up posteriors that lie about the priors of their images' words."""

import numpy as np
from made_words import table_of
from olrsearch_benchmarks.words.posterior_data import PosteriorData

from olrsearch.encoders.words.vocabulary import Vocabulary
from olrsearch.maths.gaussian import SIGMA0, word_prior
from olrsearch.maths.triangles import cholesky, pack

DIGITS = tuple(f"Digit_{number}" for number in range(10))
FACES = ("Smiling", "Eyeglasses", "Bald", "Wearing_Hat", "Male")


def digit_labels(images, *, pairs, seed=0):
    """int8 [N, 10]: a class an image, or two drawn classes, which may be the same."""
    rng = np.random.default_rng(seed)
    labels = np.full((images, len(DIGITS)), -1, np.int8)
    for row in range(images):
        labels[row, rng.integers(0, len(DIGITS), 2 if pairs else 1)] = 1
    return labels


def face_labels(images, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((images, len(FACES))) < (0.4, 0.2, 0.15, 0.2, 0.5), 1, -1).astype(np.int8)


def make(labels, vocabulary, *, noise=0.1, shrinkage=0.05, seed=0, **more):
    """The first quarter of the images is the selection, the last half the gallery."""
    rng = np.random.default_rng([seed, 7])
    images, size = len(labels), vocabulary.size
    mean, covariance = np.empty((images, size)), np.empty((images, size, size))
    for row, present in enumerate(labels > 0):
        prior = word_prior(vocabulary.vectors[present], shrinkage, size=size)
        mean[row] = prior.mean[0] + noise * rng.normal(size=size)
        covariance[row] = prior.covariance[0] * np.exp(0.1 * rng.normal()) + SIGMA0**2 * np.eye(size)
    return PosteriorData(
        name="made up",
        space="made-up",
        vocabulary=vocabulary,
        shrinkage=shrinkage,
        image_ids=np.arange(images, dtype=np.int64) * 3 + 2,
        keys=[f"{row:05d}" for row in range(images)],
        labels=labels,
        mean=mean.astype(np.float32),
        factor=pack(cholesky(covariance)).astype(np.float32),
        selection=np.arange(images // 4),
        gallery=np.arange(images // 2, images),
        images=images,
        train=images // 4,
        **more,
    )


def digits(images=800, *, pairs, **more):
    return make(digit_labels(images, pairs=pairs), Vocabulary.one_hot(DIGITS), **more)


LABEL_WORDS = {
    "Smiling": (("smile", 1.0), ("smiling", 1.0)),
    "Eyeglasses": (("glasses", 1.0),),
    "Bald": (("bald", 1.0),),
    "Wearing_Hat": (("hat", 1.0),),
    "Male": (("man", 1.0),),
}
_NEAR = {"spectacles": "glasses", "grin": "smile", "hairless": "bald", "blonde": "man", "cap": "hat"}


def table(seed=0, size=8):
    """Label words at random, and others near one of them; `cap` is nearer to `bald` than it should be."""
    rng = np.random.default_rng([seed, 11])
    words = [word for pairs in LABEL_WORDS.values() for word, _ in pairs]
    vectors = {word: rng.normal(size=size) for word in words}
    vectors["smiling"] = vectors["smile"] + 0.3 * rng.normal(size=size)
    for word, near in _NEAR.items():
        vectors[word] = vectors[near] + 0.3 * rng.normal(size=size)
    vectors["cap"] = vectors["hat"] + 1.2 * vectors["bald"]
    return table_of(tuple(vectors), np.stack(list(vectors.values())), source="made")


def faces(images=1200, *, noise=0.3, words=True, **more):
    found = table()
    vocabulary = (
        Vocabulary.of_table(FACES, found, table=LABEL_WORDS, kind="centre")
        if words
        else Vocabulary.one_hot(FACES)
    )
    if words:
        more = {"table": found, "label_words": LABEL_WORDS} | more
    return make(face_labels(images), vocabulary, noise=noise, shrinkage=0.1, **more)
