"""What says whether a label is present: one file a scorer, by name in the registry."""
