"""Search over label embeddings: exact scans, label scores and index recipes."""
