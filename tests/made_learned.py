"""A tiny encoder of posteriors whose words have Gaussians that were learned."""

from pathlib import Path

import numpy as np
from pictures import LABELS, pixels_and_labels
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch.encoders.words.learned import LabelMap, LearnedWords, fit_learned_words
from olrsearch.encoders.words.vocabulary import Vocabulary

SIZE = (24, 24)


def of_images(encode):
    """Gaussians of the pictures with a label, and of those without."""
    pixels, labels = pixels_and_labels(400, size=SIZE, seed=1)
    return Vocabulary.of_learned(LABELS, fit_learned_words(encode(pixels), labels, LABELS, absent=True))


def of_a_table(table):
    """Gaussians by a label map from a table of word vectors that has every label's word."""

    def made(encode):
        pixels, labels = pixels_and_labels(400, size=SIZE, seed=1)
        points = encode(pixels).astype(np.float64)
        means = np.stack([points[labels[:, word] > 0].mean(axis=0) for word in range(len(LABELS))])
        inputs = table.vectors([label.lower() for label in LABELS]).astype(np.float64)
        weight = np.linalg.lstsq(inputs, np.hstack([means, np.full_like(means, -1.0)]), rcond=None)[0].T
        label_map = LabelMap(weight, np.zeros(len(weight)), inputs, -4.0, 2.0)
        return Vocabulary.of_learned(LABELS, LearnedWords.of_map(label_map), words=table, table={})

    return made


def make(root, learned=of_images, **more):
    """Write such an encoder; its folder."""
    encoder = TinyPosteriorEncoder.create(
        root, LABELS, input_size=SIZE, decoder=more.pop("decoder", True), learned=learned, **more
    )
    return Path(root) / encoder.fingerprint
