"""Encoders of a few numbers, for tests."""
