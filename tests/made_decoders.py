"""Decoders with chance weights beside the models of stores: pictures without training."""

import dataclasses

import numpy as np
import torch

from olrsearch.encoders.olr.decoder_config import DecoderConfig
from olrsearch.encoders.olr.decoder_file import DecoderFile, write_decoder
from olrsearch.encoders.olr.decoder_network import DecoderNetwork
from olrsearch.store import Backend


def add_decoder(store):
    """Put a decoder beside the newest model of a store."""
    with Backend.open(store) as backend:
        info = backend.snapshot().space()
    config = dataclasses.replace(DecoderConfig.of_profile("tiny", info.labels), k=info.k)
    torch.manual_seed(0)
    network = DecoderNetwork(config, len(info.labels) * info.k, config.rank)
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    rng = np.random.default_rng(0)
    for name in ("linear.weight", "linear.axes"):  # a linear reconstruction that is not nothing
        tensors[name] = rng.normal(0, 0.5, tensors[name].shape).astype(np.float32)
    write_decoder(info.model_path, DecoderFile(config, tensors, 10, 2, {"ssim": 0.5}))
