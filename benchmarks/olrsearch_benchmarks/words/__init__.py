"""What is measured of posteriors and words."""
