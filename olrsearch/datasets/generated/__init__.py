"""Data sets that are made: avatars with exact labels, pairs of digits."""
