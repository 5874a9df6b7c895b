"""What stands for a label before training, and the Gaussians that training made of it.

Notation: L labels, d dimensions, D numbers of a label's input vector, S sets of labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from olrsearch.core.errors import WordVectorsError
from olrsearch.encoders.vae.config import ONE_HOT
from olrsearch.encoders.vae.gaussians import HIGH, LOW
from olrsearch.encoders.words.label_words import label_vectors, read_label_words
from olrsearch.encoders.words.learned import LabelMap, scaled
from olrsearch.encoders.words.vectors import WordVectors

if TYPE_CHECKING:
    from olrsearch.core.arrays import F64
    from olrsearch.encoders.vae.config import VaeConfig
    from olrsearch.encoders.vae.network import VaeNetwork
    from olrsearch.encoders.words.label_words import LabelWords


@dataclass(frozen=True, slots=True, eq=False)
class LabelInputs:
    """What a label encoder is given.

    Attributes:
        vectors: float64 [L, D], of one length.
        table: Where they come from; None for one-hot vectors.
        entries: Which words of the table stand for a label; None for one-hot vectors.
    """

    vectors: F64
    table: WordVectors | None = None
    entries: LabelWords | None = None


def label_inputs(config: VaeConfig) -> LabelInputs:
    """The input vectors of a configuration's labels.

    Raises:
        WordVectorsError: the table of word vectors cannot be read, or knows no word of a label, or has a
            vector of zeros for it.
    """
    if config.words == ONE_HOT:
        return LabelInputs(config.label_scale * np.eye(len(config.labels)))
    table = WordVectors.open(config.words)
    entries = read_label_words(config.label_words or None)
    vectors = label_vectors(config.labels, entries, table)
    empty = [name for name, vector in zip(config.labels, vectors, strict=True) if not vector.any()]
    if empty:
        raise WordVectorsError(
            f"the words of {', '.join(empty)} have vectors of zeros in {table.source}, which have no length: "
            "give other words for it in a table of label words, or take another table"
        )
    return LabelInputs(scaled(vectors, config.label_scale), table, entries)


def label_map(network: VaeNetwork, config: VaeConfig) -> LabelMap:
    """A network's label encoder, as a model keeps it."""
    weight, bias, inputs = (
        tensor.detach().cpu().numpy().astype(np.float64)
        for tensor in (network.label.weight, network.label.bias, network.inputs)
    )
    return LabelMap(weight, bias, inputs, LOW, HIGH, config.label_scale)
