"""Auto-encoders whose points mean something: ATNL, and beside it AE, VAE, AAE, ACAI and VAE-TL.

All six stand on the same networks and differ in their objective alone, a page each in `objectives/`. An
image becomes a point, on the unit sphere for ATNL, or a Gaussian with diagonal covariance for the two VAEs.

Source: paper 002. Choices where the poster is silent are in `docs/atnl.md`.
"""
