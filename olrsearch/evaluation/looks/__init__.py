"""What there is to see in an embedding: correlations of norms, principal components, disagreements."""
