"""Audits of a store: from its labels to a run that is kept, and everything that can be asked of it."""
