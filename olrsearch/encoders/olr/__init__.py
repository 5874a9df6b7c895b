"""OLR, occlusion-based latent representations: one vector per label from label supervision.

A sigmoid classifier, the teacher, learns the labels. A Siamese network learns, from
occluded pairs of images, label embeddings whose inner products equal the products
of the teacher's probabilities. The teacher is needed while training only.

Source: paper 001, section 3.
"""
