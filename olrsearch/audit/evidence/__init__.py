"""What the evidence of all scorers comes to: weights, scores, estimated errors."""
