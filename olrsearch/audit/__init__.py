"""Which stored labels are wrong: evidence for and against every entry, and what it comes to.

An *entry* is one label of one image. Every scorer says how probable it finds it that the label is
present, without having looked at the entry's own stored value: models are fitted on other folds,
neighbours are of other folds, and of labels only the others count. So one number serves a label
that is stored as present, as absent, or not at all.

Notation, for the whole package: N images, L labels, k numbers a label, F folds. *Given* labels are
int8 [N, L] of −1 absent, 0 unknown, +1 present, as they stand (decisions applied); *evidence* is
float32 [L, N] of probabilities that a label is present, NaN where a scorer says nothing; the *score*
of an entry is the probability of what is given, smaller = more suspicious.
"""
