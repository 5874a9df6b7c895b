import dataclasses

import numpy as np
import pytest
import torch

from olrsearch.encoders import LabelEncoder, model_files, registry
from olrsearch.encoders.olr import encoder as olr_encoder
from olrsearch.encoders.olr.backbones import BACKBONES, Trunk
from olrsearch.encoders.olr.config import BACKBONE_NAMES, OlrConfig, profile
from olrsearch.encoders.olr.encoder import OlrEncoder
from olrsearch.encoders.olr.network import OlrNetwork, TeacherNetwork
from olrsearch.errors import IncompatibleEncoderError, ModelFileError

LABELS = ("A", "B", "C")
CONFIG = profile("tiny", LABELS)
MEAN, STD = torch.tensor([120.0, 100.0, 90.0]), torch.tensor([60.0, 50.0, 70.0])


def _network(config: OlrConfig = CONFIG, seed: int = 0) -> OlrNetwork:
    torch.manual_seed(seed)
    network = OlrNetwork(config, MEAN, STD)
    torch.nn.init.normal_(network.readout.weight)
    return network


def _pixels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    return olr_encoder.save(tmp_path, CONFIG, _network())


def test_every_named_backbone_exists():
    assert set(BACKBONE_NAMES) == set(BACKBONES)
    trunk = Trunk("small", 4)
    assert trunk(torch.rand(2, 3, 80, 64)).shape == (2, trunk.channels, 5, 4)
    assert Trunk("deep", 2)(torch.rand(2, 3, 30, 21)).shape[:2] == (2, 16)


@pytest.mark.parametrize("kernel", [1, 3])
def test_embeddings_are_groups_of_pooled_rectified_maps(kernel):
    network = _network(dataclasses.replace(CONFIG, label_kernel=kernel)).eval()
    pixels = torch.from_numpy(_pixels(4)).permute(0, 3, 1, 2)
    embeddings = network(pixels)
    assert embeddings.shape == (4, 3, 4)
    assert (embeddings >= 0).all()
    maps = torch.relu(network.label_layer(network.trunk(network.normalise(pixels))))
    torch.testing.assert_close(embeddings[:, 1], maps[:, 4:8].mean((2, 3)))


def test_inner_products_start_at_the_size_of_joint_probabilities():
    config = OlrConfig(labels=tuple(map(str, range(10))), k=32, width=8, image_size=(32, 32))
    network = OlrNetwork(config, MEAN, STD)
    embeddings = network(torch.rand(16, 3, 32, 32) * 255)
    assert 0.05 < embeddings.square().sum(2).mean().item() < 1.5


def test_teacher_gives_a_logit_a_label():
    teacher = TeacherNetwork(CONFIG, MEAN, STD)
    assert teacher(torch.rand(5, 3, 16, 16) * 255).shape == (5, 3)
    first = TeacherNetwork(CONFIG, MEAN, STD).trunk.state_dict()
    assert first.keys() == _network().trunk.state_dict().keys()


def test_encoder_is_what_the_network_gives(folder):
    encoder = registry.load(folder)
    assert isinstance(encoder, OlrEncoder)
    assert isinstance(encoder, LabelEncoder)
    assert encoder.fingerprint == folder.name
    assert (encoder.labels, encoder.k, encoder.input_size, encoder.crop) == (LABELS, 4, (16, 16), "none")
    pixels = _pixels(7)
    kept = pixels.copy()
    embeddings = encoder.encode(pixels)
    np.testing.assert_array_equal(pixels, kept)
    assert embeddings.dtype == np.float32
    with torch.inference_mode():
        network = _network().eval()
        direct = network(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        logits = network.readout(direct).numpy()
    np.testing.assert_allclose(embeddings, direct.numpy().transpose(1, 0, 2), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoder.readout.logits(embeddings), logits.T, rtol=1e-4, atol=1e-5)
    readout = model_files.read_readout(folder)
    np.testing.assert_array_equal(readout.weight, encoder.readout.weight)


def test_batches_do_not_matter(folder, monkeypatch):
    encoder = OlrEncoder.load(folder)
    pixels = _pixels(23)
    whole = encoder.encode(pixels)
    np.testing.assert_array_equal(encoder.encode(pixels), whole)
    singles = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(23)], axis=1)
    np.testing.assert_allclose(singles, whole, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(olr_encoder, "_CHUNK", 5)
    np.testing.assert_allclose(encoder.encode(pixels), whole, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(pixels[::2]), whole[:, ::2], rtol=1e-4, atol=1e-6)
    assert encoder.encode(pixels[:0]).shape == (3, 0, 4)


def test_read_only_pixels_are_fine(folder):
    pixels = _pixels(2)
    pixels.flags.writeable = False
    assert OlrEncoder.load(folder).encode(pixels).shape == (3, 2, 4)


def test_other_sizes_are_refused(folder):
    with pytest.raises(IncompatibleEncoderError, match="16, 16, 3"):
        OlrEncoder.load(folder).encode(np.zeros((1, 16, 17, 3), np.uint8))


def test_saving_twice_gives_one_model(tmp_path, folder):
    assert olr_encoder.save(tmp_path, CONFIG, _network()) == folder
    assert olr_encoder.save(tmp_path, CONFIG, _network(seed=1)) != folder
    assert len(list(tmp_path.iterdir())) == 2


def test_a_model_of_another_shape_is_named(tmp_path):
    config = {"kind": "olr", "labels": ["A"], "k": 2, "input_size": [16, 16], "crop": "none"}
    tensors = {"readout.weight": np.zeros((1, 2), np.float32), "readout.bias": np.zeros(1, np.float32)}
    with pytest.raises(ModelFileError, match="no OLR model"):
        registry.load(model_files.save_model(tmp_path, config, tensors))
    config |= {"backbone": "tiny", "width": 8, "label_kernel": 1}
    with pytest.raises(ModelFileError, match="no OLR model"):
        registry.load(model_files.save_model(tmp_path, config, tensors))
