"""Readers of image data sets: CelebA's layout, any folder, idx files; and generated avatars."""
