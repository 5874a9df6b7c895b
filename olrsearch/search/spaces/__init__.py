"""Spaces opened for queries."""
