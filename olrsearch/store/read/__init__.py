"""What a reader sees: one generation."""
