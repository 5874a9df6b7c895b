"""Convolutional trunks: pixels to feature maps."""
