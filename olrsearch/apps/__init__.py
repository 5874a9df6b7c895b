"""Programs on top of the public face."""
