"""Labels of one value: named, and without a say in what an encoder answers."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.network import OlrNetwork
from olrsearch.encoders.olr.training import _silence
from olrsearch.encoders.single_valued import single_valued
from olrsearch.encoders.trainer.run import TrainingImages

LABELS = np.array([[1, 1, -1, 0], [1, -1, -1, 0], [0, 1, -1, 1]], np.int8)


def test_labels_of_one_value_are_found():
    assert single_valued(LABELS, "abcd") == ("a", "c", "d")
    assert single_valued(LABELS[:0], "abcd") == tuple("abcd")


def test_the_readout_says_nothing_of_them():
    config = dataclasses.replace(OlrConfig.of_profile("tiny", tuple("abcd")))
    network = OlrNetwork(config, torch.zeros(3), torch.ones(3))
    torch.nn.init.ones_(network.readout.bias)
    pixels = np.zeros((3, *config.image_size, 3), np.uint8)
    _silence(network, TrainingImages(pixels, LABELS, np.arange(3), np.arange(0)), config)
    with torch.no_grad():
        logits = network.readout(torch.rand(5, 4, config.k))
    assert (logits[:, [0, 2, 3]] == 0).all()
    assert (logits[:, 1] != 0).all()
