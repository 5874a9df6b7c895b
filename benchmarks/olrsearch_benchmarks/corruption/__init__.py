"""What a store says when its files are damaged."""
