"""Statistics of fit beside a model: bound to it, checked, and no part of what it makes of images."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from olrsearch.core.errors import ModelFileError
from olrsearch.encoders.folder.fit_file import FIT, FIT_TENSORS, TrainingFit, copy_fit, read_fit, write_fit
from olrsearch.encoders.folder.shipped import shipped_encoders
from olrsearch.encoders.informed_prior.encoder import InformedPriorEncoder
from olrsearch.encoders.olr import encoder as olr_encoder
from olrsearch.encoders.olr.config import OlrConfig
from olrsearch.encoders.olr.encoder import OlrEncoder
from olrsearch.encoders.olr.network import OlrNetwork
from olrsearch.encoders.protocol import MeasuringEncoder
from olrsearch.encoders.registry import load
from olrsearch.maths.fit import FOREIGN, fit_model

CONFIG = OlrConfig(labels=("a", "b", "c"), k=4, image_size=(40, 32), width=4, backbone="small")


def network_of(mean=127.0):
    return OlrNetwork(CONFIG, torch.full((3,), mean), torch.ones(3))


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    return olr_encoder.save(
        tmp_path / "models", CONFIG, OlrNetwork(CONFIG, torch.full((3,), 127.0), torch.ones(3))
    )


def pixels(count, seed=0, *, least=100):
    return np.random.default_rng(seed).integers(least, 156, (count, 40, 32, 3), dtype=np.uint8)


def fitted(folder):
    encoder = load(folder)
    model = fit_model(encoder.features(pixels(120)), encoder.features(pixels(30, 1)))
    return TrainingFit(model, 120, 30, (0.8, 0.8))


def test_statistics_change_nothing_that_an_encoder_makes(folder):
    before = OlrEncoder(folder, "cpu")
    assert isinstance(before, MeasuringEncoder)
    assert before.training_fit is None
    made = before.encode(pixels(5))
    write_fit(folder, fitted(folder))
    after = OlrEncoder(folder, "cpu")
    assert after.fingerprint == before.fingerprint
    again, fits = after.encode_with_fit(pixels(5))
    np.testing.assert_array_equal(again, made)
    assert fits.shape == (5,)
    assert before.encode_with_fit(pixels(5))[1] is None
    assert after.encode_with_fit(pixels(0))[1].shape == (0,)


@pytest.mark.parametrize("name", ["torch", "torch-folded", "onnx"])
def test_engines_see_the_same(folder, name):
    write_fit(folder, fitted(folder))
    encoder, other = OlrEncoder(folder, "cpu", engine=name), OlrEncoder(folder, "cpu", engine="torch")
    np.testing.assert_allclose(encoder.features(pixels(9)), other.features(pixels(9)), rtol=1e-4, atol=1e-4)
    # The last of the network's maps is the mean of the trunk's own.
    with torch.no_grad():
        maps = other._engine._network.network.trunk.maps(
            other._engine._network.network.normalise(torch.tensor(pixels(9)).permute(0, 3, 1, 2))
        )
    seen = torch.cat([part.mean(dim=(2, 3)) for part in maps[:-1]], dim=1).numpy()
    np.testing.assert_allclose(encoder.features(pixels(9)), seen, rtol=1e-4, atol=1e-4)


def test_what_is_written_is_read_and_copied(folder, tmp_path):
    assert read_fit(folder) is None
    fit = fitted(folder)
    write_fit(folder, fit)
    other = olr_encoder.save(tmp_path / "others", CONFIG, network_of(0.0))
    copy_fit(folder, other)
    for place in (folder, other):
        found = read_fit(place)
        assert (found.images, found.held_out, found.shapes) == (120, 30, (0.8, 0.8))
        np.testing.assert_array_equal(found.model.factor, fit.model.factor)
    copy_fit(
        olr_encoder.save(tmp_path / "bare", CONFIG, OlrNetwork(CONFIG, torch.ones(3), torch.ones(3))), other
    )
    assert read_fit(other) is not None


def test_damage_is_named(folder):
    write_fit(folder, fitted(folder))
    path = folder / FIT_TENSORS
    whole, said = path.read_bytes(), (folder / FIT).read_text()
    arrays = load_file(path)
    save_file({**arrays, "centre": arrays["centre"] + 1}, path)
    with pytest.raises(ModelFileError, match="does not match its checksums"):
        read_fit(folder)
    path.write_bytes(whole[:100])
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_fit(folder)
    path.unlink()
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_fit(folder)
    path.write_bytes(whole)
    (folder / FIT).write_text(json.dumps({**json.loads(said), "tail": 3.0}))
    with pytest.raises(ModelFileError, match="checksum"):
        read_fit(folder)


def test_shipped_encoders_know_what_fits():
    for entry in shipped_encoders():
        encoder = load(entry.path)
        assert encoder.training_fit.images > 10_000
        height, width = encoder.input_size
        noise = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8)
        made, fits = encoder.encode_with_fit(noise)
        assert (fits < FOREIGN).all()
        plain = encoder.encode(noise)
        if isinstance(encoder, InformedPriorEncoder):
            made, plain = made.mean, plain.mean
        np.testing.assert_array_equal(made, plain)
