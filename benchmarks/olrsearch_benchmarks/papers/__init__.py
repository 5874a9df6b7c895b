"""P5: what the papers report, measured here."""
