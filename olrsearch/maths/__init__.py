"""Numbers in, numbers out: Gaussians, metrics, calibration, linear models. No files, no store."""
