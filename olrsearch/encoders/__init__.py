"""Encoders: images to label embeddings, or to posteriors.

An encoder is a folder (`config.json`, `weights.safetensors`) named by its
fingerprint. `registry.load` opens one; `model_files` reads what can be read of it
without torch. Training lives in the package of each kind of encoder
(`encoders.olr.training`). Importing this package does not import torch.
"""

from olrsearch.encoders.protocol import Encoder, LabelEncoder, PosteriorEncoder, Posteriors

__all__ = ["Encoder", "LabelEncoder", "PosteriorEncoder", "Posteriors"]
