"""Engines: what computes a network's forward pass when images are encoded."""
