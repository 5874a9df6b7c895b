"""Data sets into a store, images into embeddings, and all that is fitted to them."""
