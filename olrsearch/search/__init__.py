"""Queries over one view of a space: attributes, similarity, filters."""
