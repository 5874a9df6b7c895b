"""How surely images that are unlike a space's training images are told from those that are like them."""
