"""The informed-prior encoder: an image becomes a Gaussian, drawn by training to that of its words.

Source: Bütepage et al., "Informed Priors for Deep Representation Learning", 2019. Choices where the
paper is silent are in `docs/informed-prior.md`.
"""
