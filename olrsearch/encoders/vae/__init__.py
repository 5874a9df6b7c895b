"""Variational encoders: images and labels both become diagonal Gaussians in one latent space.

PSE and PSE*, and beside them JMVAE, TrELBO, SCAN and CVAE, which differ in their objectives alone.

Source: paper 003. Choices where the paper is silent are in `docs/pse.md`.
"""
