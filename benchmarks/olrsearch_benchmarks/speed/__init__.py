"""P7: speed, as ratios in one run."""
