"""Tables of word vectors for tests."""

import numpy as np

from olrsearch.encoders.words.tables import WordList
from olrsearch.encoders.words.vectors import WordVectors


def table_of(words, vectors, *, source="arrays"):
    """A table of word vectors in memory."""
    return WordVectors(WordList(words, [np.array(vectors, np.float32)]).table(), source)
