"""Embeddings and posteriors in immutable segments."""
