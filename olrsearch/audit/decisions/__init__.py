"""What people decide of labels: read from files, written to the history, exported."""
