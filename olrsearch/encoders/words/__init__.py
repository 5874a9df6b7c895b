"""Words as vectors: tables of word vectors, the words of labels, the vocabulary of an encoder."""
