"""Engines: all give what torch gives, or say how far from it they may be."""

import copy
import dataclasses
import logging
import sys
import threading
import time

import numpy as np
import pytest
import torch
from torch import nn

from olrsearch.core.errors import EngineError, IncompatibleEncoderError
from olrsearch.core.resources import models_dir
from olrsearch.encoders.engines import engine as engines
from olrsearch.encoders.engines import onnx_graph
from olrsearch.encoders.engines.engine import ENGINES, OnnxEngine, Task, TorchEngine, make_engine
from olrsearch.encoders.engines.folding import folded
from olrsearch.encoders.folder.model_files import read_tensors
from olrsearch.encoders.olr import encoder as olr_encoder
from olrsearch.encoders.olr.config import HEADS, OlrConfig
from olrsearch.encoders.olr.encoder import OlrEncoder
from olrsearch.encoders.olr.network import OlrNetwork
from olrsearch.encoders.trainer.config import BACKBONE_NAMES
from olrsearch.encoders.trunks.efficientnet import EfficientNetLite0
from olrsearch.encoders.trunks.trunk import channels_last

SIZE = (45, 39)  # odd, so that padding and the windows of pooling reach over the edges
CONFIG = dataclasses.replace(OlrConfig.of_profile("tiny", ("A", "B", "C")), image_size=SIZE, width=8)
CPU = torch.device("cpu")

# Root mean square of the error, in units of the spread over images. On these networks it is 0.02 to
# 0.06 and 0.01 to 0.19; an engine that computed something else would be off by 1 or more.
LOOSE = {"torch-bf16": 0.1, "onnx-int8": 0.35}


def pixels_of(count, size=SIZE, seed=0):
    """Images that differ by colour and by coarse shapes."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (count, 4, 4, 3)) + rng.integers(0, 40, (count, 1, 1, 3))
    rows, columns = (np.arange(side) * 4 // side for side in size)
    return (coarse[:, rows][:, :, columns] + rng.integers(0, 16, (count, *size, 3))).astype(np.uint8)


def network_of(backbone="tiny", head="grouped"):
    """A random network whose batch normalisations have seen images, so that folding them matters."""
    torch.manual_seed(3)
    config = dataclasses.replace(CONFIG, backbone=backbone, head=head)
    network = OlrNetwork(config, torch.tensor([120.0, 100.0, 90.0]), torch.tensor([60.0, 50.0, 70.0]))
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias, std=0.2)
    with torch.no_grad():
        network.train()(torch.from_numpy(pixels_of(24, seed=9)).permute(0, 3, 1, 2))
    return channels_last(network).eval().requires_grad_(requires_grad=False)


def task_of(network, **more):
    return Task(network, CPU, SIZE, **more)


def eager(network, pixels):
    with torch.inference_mode():
        return network(torch.tensor(pixels).permute(0, 3, 1, 2)).numpy()


def run(engine, pixels):
    parts = [engine.run(pixels[at : at + engine.chunk]) for at in range(0, len(pixels), engine.chunk)]
    return np.concatenate(parts)


def assert_same(found, expected):
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    scale = np.abs(expected).max()
    assert expected.std(axis=0).max() > 1e-2 * scale  # images are told apart
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * scale)


# -- the same as torch ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
@pytest.mark.parametrize("name", ["torch", "torch-folded", "onnx"])
def test_engines_give_what_the_network_gives(name, backbone, head):
    network, pixels = network_of(backbone, head), pixels_of(11)
    before, kept = copy.deepcopy(network.state_dict()), pixels.copy()
    engine = make_engine(task_of(network), name)
    assert engine.name == name
    assert_same(run(engine, pixels), eager(network, pixels))
    np.testing.assert_array_equal(pixels, kept)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())


# -- fewer bits ------------------------------------------------------------------------------


def trained(network):
    """The network, with the shipped encoder's trunk if that fits: fifty random layers blow rounding up."""
    if isinstance(network.trunk, EfficientNetLite0):
        shipped, prefix = read_tensors(models_dir() / "faces"), "network.trunk."
        network.trunk.load_state_dict(
            {
                name.removeprefix(prefix): torch.tensor(array)
                for name, array in shipped.items()
                if name.startswith(prefix)
            }
        )
    return network


def loss(found, expected):
    """Root mean square of the error, in units of the spread over images."""
    spread = (expected - expected.mean(axis=0)).std()
    return float(np.sqrt(np.square(found - expected).mean()) / spread)


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
def test_bfloat16_is_near(backbone, head):
    if not engines._has_bfloat16(CPU):
        pytest.skip("this processor does not compute with bfloat16")
    network, pixels = trained(network_of(backbone, head)), pixels_of(32)
    found = run(make_engine(task_of(network), "torch-bf16"), pixels)
    assert found.dtype == np.float32
    assert 1e-4 < loss(found, eager(network, pixels)) < LOOSE["torch-bf16"]


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
def test_eight_bits_are_near(backbone, head):
    network, pixels = trained(network_of(backbone, head)), pixels_of(32)
    engine = make_engine(task_of(network, calibration=pixels_of(40, seed=5)), "onnx-int8")
    found = run(engine, pixels)
    assert found.dtype == np.float32
    if (backbone, head) == ("tiny", "query"):  # of its six convolutions none is left to quantise
        assert_same(found, eager(network, pixels))
    else:
        assert 1e-4 < loss(found, eager(network, pixels)) < LOOSE["onnx-int8"]


def test_the_first_five_convolutions_and_the_last_keep_their_bits():
    from olrsearch.encoders.engines.quantise import quantised

    model = onnx_graph.to_onnx(folded(network_of("small")), SIZE)
    before = model.SerializeToString()
    found = quantised(model, pixels_of(16))
    assert model.SerializeToString() == before
    made_by = {name: node.op_type for node in found.graph.node for name in node.output}
    convolutions = [node for node in found.graph.node if node.op_type == "Conv"]
    rounded = [made_by.get(node.input[1]) == "DequantizeLinear" for node in convolutions]
    assert rounded == [False] * 5 + [True] * (len(rounded) - 6) + [False]
    assert sum(rounded) > 3


def test_eight_bits_need_typical_images_of_the_right_size():
    network = network_of()
    for nothing in (None, pixels_of(0)):
        with pytest.raises(EngineError, match="needs typical images"):
            make_engine(task_of(network, calibration=nothing), "onnx-int8")
    with pytest.raises(IncompatibleEncoderError, match="45, 39, 3"):
        make_engine(task_of(network, calibration=pixels_of(3, (45, 40))), "onnx-int8")


def test_processors_without_bfloat16_are_told(monkeypatch):
    monkeypatch.setattr("torch.cpu.get_capabilities", dict, raising=False)
    with pytest.raises(EngineError, match="this cpu does not compute with bfloat16"):
        make_engine(task_of(network_of()), "torch-bf16")


# -- which engine ------------------------------------------------------------------------------


def test_unknown_engines_are_refused(tmp_path):
    network = network_of()
    with pytest.raises(EngineError, match="unknown engine 'onxx'; expected one of torch, torch-folded"):
        make_engine(task_of(network), "onxx")
    folder = olr_encoder.save(tmp_path, CONFIG, network)
    with pytest.raises(EngineError, match="unknown engine ''"):
        OlrEncoder(folder, engine="")


def test_the_default_is_onnx_on_a_processor_and_torch_on_a_gpu(tmp_path, caplog):
    network = network_of()
    folder = olr_encoder.save(tmp_path, CONFIG, network)
    with caplog.at_level(logging.WARNING):
        assert OlrEncoder(folder, "cpu").engine == "onnx"
        graphics = make_engine(Task(network, torch.device("cuda"), SIZE))
    assert (graphics.name, graphics.chunk) == ("torch", 256)
    assert not caplog.records
    assert OlrEncoder(folder, "cpu", engine="torch-folded").engine == "torch-folded"


def test_onnx_computes_on_the_processor_alone():
    task = Task(network_of(), torch.device("cuda"), SIZE, pixels_of(2))
    for name in ("onnx", "onnx-int8"):
        with pytest.raises(EngineError, match=f"{name} computes on the CPU, not on cuda"):
            make_engine(task, name)


@pytest.mark.parametrize("package", ["onnxruntime", "onnx"])
def test_without_onnx_runtime_torch_computes(package, monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "olrsearch.encoders.engines.onnx_graph", raising=False)
    network, pixels = network_of(), pixels_of(3)
    with pytest.raises(EngineError, match="pip install onnx onnxruntime"):
        make_engine(task_of(network), "onnx")
    engine = make_engine(task_of(network))
    assert engine.name == "torch-folded"
    assert "the engine onnx is left out" in caplog.text
    assert_same(run(engine, pixels), eager(network, pixels))


def test_a_model_that_onnx_runtime_refuses_is_named():
    model = onnx_graph.to_onnx(folded(network_of()), SIZE)
    model.graph.node[3].op_type = "Nothing"
    with pytest.raises(EngineError, match=r"ONNX Runtime refuses the network \(.*Nothing"):
        OnnxEngine("onnx", model)


# -- networks that are not written as ONNX --------------------------------------------------


class Layers(nn.Module):
    """Layers one after another, [B, 3, H, W] → [B, 2, 3]."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.float()).mean(dim=(2, 3)).reshape(-1, 2, 3)


class Does(nn.Module):
    """A function of the pixels."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x.to(torch.float32))


@pytest.mark.parametrize(
    ("network", "what"),
    [
        (Layers(nn.Conv2d(3, 6, 3), nn.GELU()), "the layer GELU"),
        (Layers(nn.Conv2d(3, 6, 3, padding=1, padding_mode="reflect")), "of reflect"),
        (Layers(nn.Conv2d(3, 6, 3, padding="same")), "padding 'same'"),
        (Layers(nn.AvgPool2d(3, padding=1)), "average pooling with padding"),
        (Layers(nn.BatchNorm2d(3, track_running_stats=False)), "a batch normalisation that is not fixed"),
        (Layers(nn.Dropout()).train(), "dropout while training"),
        (Does(torch.sigmoid), "the operation sigmoid"),
        (Does(lambda x: x.cumsum(1)), "the operation cumsum"),
        (Does(lambda x: x.mean(dim=(2, 3), keepdim=True)), "the operation mean with other arguments"),
        (Does(lambda x: x.to(torch.float64)), "a conversion to torch.float64"),
        (Does(lambda x: x.dtype), "the attribute dtype"),
        (Does(lambda x: x[0]), "an index into anything but a shape"),
        (Does(lambda x: x.shape[1:]), "an index into anything but a shape"),
    ],
)
def test_what_has_no_counterpart_is_named(network, what):
    with pytest.raises(EngineError, match="has no counterpart among the ONNX operations") as caught:
        onnx_graph.to_onnx(folded(network), SIZE)
    assert what in str(caught.value)
    assert "choose an engine of torch" in str(caught.value)


def test_the_default_goes_round_what_onnx_does_not_know(caplog):
    network, pixels = Layers(nn.Conv2d(3, 6, 3), nn.Tanh()).eval(), pixels_of(4)
    with pytest.raises(EngineError, match="the layer Tanh"):
        make_engine(task_of(network), "onnx")
    engine = make_engine(task_of(network))
    assert engine.name == "torch-folded"
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("the engine onnx is left out: the layer Tanh has no counterpart")
    assert_same(run(engine, pixels), eager(network, pixels))


def test_the_default_goes_round_what_cannot_be_followed(caplog):
    network = Does(lambda x: x if x.sum() > 0 else -x).eval()
    pixels = pixels_of(4)
    with pytest.raises(EngineError, match="the forward pass of Does cannot be followed"):
        make_engine(task_of(network), "torch-folded")
    engine = make_engine(task_of(network))
    assert engine.name == "torch"
    assert [record.getMessage()[:29] for record in caplog.records] == [
        "the engine onnx is left out: ",
        "the engine torch-folded is le",
    ]
    assert_same(run(engine, pixels), eager(network, pixels))


class Mixed(nn.Module):
    """What trunks and heads of ours do not do now, but could."""

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(3)  # no convolution before it
        self.shared = nn.Conv2d(3, 3, 3, padding=(1, 2), groups=3)
        self.norm, self.again = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.seen = nn.Conv2d(3, 4, (3, 1), stride=(2, 1), dilation=(2, 1))
        self.after = nn.BatchNorm2d(4)
        self.pool = nn.AvgPool2d((3, 2), (2, 2), ceil_mode=True)
        self.rest = nn.Sequential(nn.Dropout(), nn.Identity(), nn.ReLU6())
        self.linear, self.plain = nn.Linear(4, 5), nn.Linear(5, 3, bias=False)

    def forward(self, x):
        x = self.first(1 - x.to(torch.float32).contiguous(memory_format=torch.channels_last) / 255)
        x = self.norm(self.shared(x)) * 2
        x = torch.relu(self.again(self.shared(x)))  # one convolution, two normalisations
        seen = self.seen(x)
        x = self.rest(self.pool(self.after(seen) + seen - 0.1))  # somebody else needs what was there before
        x = self.plain(self.linear(x.flatten(2).transpose(1, 2)))
        return torch.softmax(x.reshape((x.shape[0], -1, 3)), dim=-1).float()


def test_layers_and_operations_that_are_written():
    torch.manual_seed(0)
    network, pixels = Mixed(), pixels_of(6)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean, std=0.3)
            nn.init.uniform_(layer.running_var, 0.1, 0.6)
    network.eval()
    left = [name for name, layer in folded(network).named_modules() if isinstance(layer, nn.BatchNorm2d)]
    assert left == ["first", "norm", "again", "after"]  # none of them may be folded
    for name in ("torch-folded", "onnx"):
        assert_same(run(make_engine(task_of(network), name), pixels), eager(network, pixels))


@pytest.mark.parametrize("backbone", BACKBONE_NAMES)
def test_all_batch_normalisations_of_the_trunks_are_folded(backbone):
    network = network_of(backbone)
    assert not [layer for layer in folded(network).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]


# -- batches -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["torch", "torch-folded", "onnx"])
@pytest.mark.parametrize("head", HEADS)
def test_batches_of_any_size(tmp_path, name, head):
    torch.set_num_threads(2 if name == "onnx" else 1)  # as many chunks at once
    network = network_of(head=head)
    encoder = OlrEncoder(
        olr_encoder.save(tmp_path, dataclasses.replace(CONFIG, head=head), network), "cpu", engine=name
    )
    chunk = encoder._engine.chunk
    pixels = pixels_of(3 * chunk + 1)
    expected = eager(network, pixels).transpose(1, 0, 2)
    for count in (0, 1, chunk - 1, chunk, chunk + 1, 3 * chunk + 1):
        found = encoder.encode(pixels[:count])
        assert found.shape == (3, count, CONFIG.k)
        assert found.dtype == np.float32
        np.testing.assert_allclose(
            found, expected[:, :count], rtol=1e-4, atol=1e-4 * float(np.abs(expected).max())
        )


class Slow:
    """An engine that takes longest for the first chunk, and knows how many ran at once."""

    name, chunk, workers = "slow", 2, 3

    def __init__(self, numbers, *, fails=False):
        self.numbers, self.fails = numbers, fails
        self.together = self.most = 0
        self.lock = threading.Lock()

    def run(self, pixels):
        with self.lock:
            self.together += 1
            self.most = max(self.most, self.together)
        time.sleep(0.2 if pixels[0, 0, 0, 0] == 0 else 0.05)
        with self.lock:
            self.together -= 1
        if self.fails:
            raise RuntimeError("out of order")
        return np.broadcast_to(pixels[:, 0, 0, 0].astype(np.float32)[:, None], (len(pixels), self.numbers))


def test_chunks_side_by_side_keep_their_places(tmp_path, monkeypatch):
    encoder = OlrEncoder(olr_encoder.save(tmp_path, CONFIG, network_of()), "cpu")
    pixels = np.zeros((15, *SIZE, 3), np.uint8)
    pixels[:, 0, 0, 0] = np.arange(15)
    numbers = encoder.numbers + encoder.features(pixels).shape[1]
    slow = Slow(numbers)
    monkeypatch.setattr(encoder, "_engine", slow)
    np.testing.assert_array_equal(encoder.encode(pixels)[1, :, 0], np.arange(15))
    assert 1 < slow.most <= 3
    monkeypatch.setattr(encoder, "_engine", Slow(numbers, fails=True))
    with pytest.raises(RuntimeError, match="out of order"):
        encoder.encode(pixels)


def test_chunks_are_small_on_a_processor():
    network = network_of()
    assert TorchEngine("torch", network, CPU).chunk == 32
    torch.set_num_threads(2)
    engine = ENGINES["onnx"](task_of(network))
    assert (engine.chunk, engine.workers) == (8, 2)
