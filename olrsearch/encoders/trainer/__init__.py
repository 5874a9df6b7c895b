"""What trains every encoder: configuration, batches, stages, checkpoints, progress."""
