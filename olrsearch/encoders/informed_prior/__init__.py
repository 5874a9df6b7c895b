"""The informed-prior encoder: an image becomes a Gaussian, drawn by training to that of its words.

Source: paper 004. Choices where the paper is silent are in `docs/informed-prior.md`.
"""
