"""Paper 000, section 4.5: whether edited pictures show what was asked, and edited embeddings find it."""
