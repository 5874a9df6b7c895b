import json
import subprocess
import sys

import numpy as np
import pytest
from tiny_encoders.labels import TinyEncoder
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch.core.errors import EncoderError, IncompatibleEncoderError, ModelFileError, TrainingError
from olrsearch.encoders import LabelEncoder, PosteriorEncoder, Posteriors, registry
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.maths.gaussian import Gaussians

LABELS = ("Dark", "Red", "Left_Bright")


def _images(count: int, size: tuple[int, int] = (20, 12), seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    base = rng.integers(0, 256, (count, 1, 1, 3))
    return np.clip(base + rng.integers(-60, 60, (count, *size, 3)), 0, 255).astype(np.uint8)


@pytest.fixture
def encoder(tmp_path):
    return TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12))


def _folder(tmp_path, encoder):
    return tmp_path / encoder.fingerprint


def test_tiny_encodes_pixels_alone_label_major(encoder):
    pixels = _images(9)
    kept = pixels.copy()
    embeddings = encoder.encode(pixels)
    assert embeddings.shape == (3, 9, 5)
    assert embeddings.dtype == np.float32
    np.testing.assert_array_equal(pixels, kept)
    np.testing.assert_allclose(encoder.encode(pixels[4:6]), embeddings[:, 4:6], rtol=1e-6)
    changed = pixels.copy()
    changed[0, :8] = 255 - changed[0, :8]
    assert np.abs(encoder.encode(changed)[:, 0] - embeddings[:, 0]).max() > 1e-3
    assert encoder.encode(pixels[:0]).shape == (3, 0, 5)
    assert isinstance(encoder, LabelEncoder)


def test_tiny_learns_colours_from_labels(tmp_path):
    pixels = _images(200)
    red = np.where(pixels[..., 0].mean((1, 2)) > pixels[..., 2].mean((1, 2)), 1, -1)
    dark = np.where(pixels.mean((1, 2, 3)) < 128, 1, -1)
    targets = np.stack([dark, red, np.zeros_like(red)], axis=1).astype(np.int8)
    fitted = TinyEncoder.fit(tmp_path, LABELS, pixels, targets, k=16)
    logits = fitted.readout.logits(fitted.encode(_images(100, seed=1)))
    other = _images(100, seed=1)
    assert ((logits[0] > 0) == (other.mean((1, 2, 3)) < 128)).mean() > 0.8
    assert ((logits[1] > 0) == (other[..., 0].mean((1, 2)) > other[..., 2].mean((1, 2)))).mean() > 0.8
    np.testing.assert_array_equal(logits[2], 0)
    with pytest.raises(TrainingError, match="one row an image"):
        TinyEncoder.fit(tmp_path, LABELS, pixels, targets[:, :2])


@pytest.mark.parametrize("pixels", [np.zeros((2, 12, 20, 3), np.uint8), np.zeros((2, 20, 12, 3), np.float32)])
def test_other_pixels_are_refused(encoder, pixels):
    with pytest.raises(IncompatibleEncoderError, match="takes uint8"):
        encoder.encode(pixels)


def test_registry_loads_what_was_saved(tmp_path, encoder):
    again = registry.load(_folder(tmp_path, encoder))
    assert isinstance(again, TinyEncoder)
    assert (again.fingerprint, again.labels, again.k) == (encoder.fingerprint, LABELS, 5)
    assert (again.input_size, again.crop, again.kind) == ((20, 12), "none", "tiny")
    np.testing.assert_array_equal(again.encode(_images(3)), encoder.encode(_images(3)))
    readout = model_files.read_readout(_folder(tmp_path, encoder))
    np.testing.assert_array_equal(readout.weight, encoder.readout.weight)


def test_fingerprint_follows_weights_and_configuration(tmp_path, encoder):
    assert TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12)).fingerprint == encoder.fingerprint
    others = [
        TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12), seed=1),
        TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(12, 20)),
        TinyEncoder.create(tmp_path, ("A", "B", "C"), k=5, input_size=(20, 12)),
        TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12), crop="center"),
    ]
    assert len({encoder.fingerprint, *(other.fingerprint for other in others)}) == 5
    assert {path.name for path in tmp_path.iterdir()} == {
        encoder.fingerprint,
        *(other.fingerprint for other in others),
    }


def _edit_config(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _drop_config_key(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != "tensors"}))


def _flip(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 0x40
    path.write_bytes(bytes(data))


def _truncate(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "not a model folder"),
        (lambda folder: (folder / "config.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "config.json").write_text("[]"), "no JSON object"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "is missing"),
        (lambda folder: _edit_config(folder, format_version=99), "install a newer"),
        (lambda folder: _edit_config(folder, crop="center"), "does not match its fingerprint"),
        (lambda folder: _edit_config(folder, k=6), "expected float32"),
        (_drop_config_key, "lacks tensors"),
        (_truncate, "cannot be read"),
        (_flip, "does not match its checksum"),
    ],
)
def test_damage_is_named(tmp_path, encoder, damage, message):
    folder = _folder(tmp_path, encoder)
    damage(folder)
    with pytest.raises(ModelFileError, match=message):
        registry.load(folder)
    if damage is not _drop_config_key:
        again = TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12))
        assert registry.load(folder).fingerprint == again.fingerprint


def test_other_models_weights_are_found_out(tmp_path, encoder):
    other = TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12), seed=7)
    weights = _folder(tmp_path, other) / "weights.safetensors"
    (_folder(tmp_path, encoder) / "weights.safetensors").write_bytes(weights.read_bytes())
    with pytest.raises(ModelFileError, match="checksum"):
        model_files.read_readout(_folder(tmp_path, encoder))


def test_unknown_kind_is_named(tmp_path):
    config = {"kind": "tinny", "labels": ["A"], "k": 1, "input_size": [4, 4], "crop": "none"}
    tensors = {"readout.weight": np.zeros((1, 1), np.float32), "readout.bias": np.zeros(1, np.float32)}
    with pytest.raises(ModelFileError, match="did you mean tiny"):
        registry.load(model_files.save_model(tmp_path, config, tensors))


def test_kinds_are_those_of_the_package_and_of_plug_ins():
    own = ("aae", "acai", "ae", "atnl", "informed-prior", "jmvae", "olr", "pse", "pse-star", "scan")
    own = (*own, "trelbo", "vae", "vae-tl")
    assert registry.kinds() == tuple(sorted((*own, "tiny", "tiny-posterior")))
    assert registry.trainable() == own
    with pytest.raises(TrainingError, match=r"kind 'tiny' can be trained: expected aae, .*informed-prior"):
        registry.config_class("tiny")


def test_torch_stays_away(tmp_path, encoder):
    code = (
        "import sys, pathlib\n"
        "import olrsearch.encoders, olrsearch.encoders.olr\n"
        "from olrsearch.encoders import registry\n"
        "from olrsearch.encoders.folder import model_files\n"
        "from olrsearch.encoders.olr.config import OlrConfig\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "model_files.read_readout(path); registry.load(path)\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(_folder(tmp_path, encoder))], check=True)


# -- posteriors --------------------------------------------------------------------------


@pytest.fixture
def posterior_encoder(tmp_path):
    return TinyPosteriorEncoder.create(tmp_path, LABELS, input_size=(20, 12), shrinkage=0.3)


def test_tiny_posteriors_depend_on_pixels_alone_and_keep_the_floor(posterior_encoder):
    pixels = _images(9)
    kept = pixels.copy()
    made = posterior_encoder.encode(pixels)
    assert isinstance(made, Posteriors)
    assert (made.mean.shape, made.factor.shape) == ((9, 3), (9, 6))
    assert {made.mean.dtype, made.factor.dtype} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(pixels, kept)
    Gaussians.of_packed(made.mean, made.factor).check_floor()
    few = posterior_encoder.encode(pixels[4:6])
    np.testing.assert_allclose(few.mean, made.mean[4:6], rtol=1e-6)
    np.testing.assert_allclose(few.factor, made.factor[4:6], rtol=1e-6)
    assert np.ptp(made.mean, axis=0).min() > 0.01
    assert posterior_encoder.encode(pixels[:0]).factor.shape == (0, 6)
    assert isinstance(posterior_encoder, PosteriorEncoder)
    assert not isinstance(posterior_encoder, LabelEncoder)
    with pytest.raises(IncompatibleEncoderError, match="takes uint8"):
        posterior_encoder.encode(pixels[:, 1:])
    with pytest.raises(EncoderError, match="no decoder"):
        posterior_encoder.decode(made.mean)


def test_a_black_image_has_a_posterior(posterior_encoder):
    made = posterior_encoder.encode(np.zeros((1, 20, 12, 3), np.uint8))
    Gaussians.of_packed(made.mean, made.factor).check_floor()


def test_the_registry_loads_either_and_tells_them_apart(tmp_path, encoder, posterior_encoder):
    labels, posterior = _folder(tmp_path, encoder), _folder(tmp_path, posterior_encoder)
    assert isinstance(registry.load(posterior), TinyPosteriorEncoder)
    again = registry.load(posterior)
    assert (again.fingerprint, again.labels, again.k) == (posterior_encoder.fingerprint, LABELS, 3)
    assert (again.vocabulary.names, again.has_decoder, again.shrinkage) == (LABELS, False, 0.3)
    np.testing.assert_array_equal(again.encode(_images(3)).mean, posterior_encoder.encode(_images(3)).mean)
    assert registry.load(labels).fingerprint == encoder.fingerprint


def _posterior_tensors(words=2):
    return {
        "words.vectors": np.eye(words, 5, dtype=np.float32),
        "network.kernel": np.ones((2, 3), np.float32),
    }


def test_a_posterior_model_needs_words_and_no_readout(tmp_path):
    config = CONFIG | {"layout": "posterior"}
    folder = model_files.save_model(tmp_path, config, _posterior_tensors())
    assert model_config.layout_of(model_config.read_config(folder)) == "posterior"
    with pytest.raises(ModelFileError, match=r"words\.vectors None, expected float32 \[2, 5\]"):
        model_files.save_model(tmp_path, config, _tensors())
    with pytest.raises(ModelFileError, match=r"words\.vectors \('float32', \[3, 5\]\)"):
        model_files.save_model(tmp_path, config, _posterior_tensors(3))
    with pytest.raises(ModelFileError, match=r"readout\.weight None"):
        model_files.save_model(tmp_path, CONFIG, _posterior_tensors())
    with pytest.raises(ModelFileError, match=r"layout 'mixture', this program knows labels, posterior"):
        model_files.save_model(tmp_path, CONFIG | {"layout": "mixture"}, _tensors())
    assert model_config.layout_of(CONFIG) == "labels"


def test_words_are_never_rounded(tmp_path):
    folder = model_files.save_model(
        tmp_path, CONFIG | {"layout": "posterior"}, _posterior_tensors(), half=True
    )
    types = {name: entry["dtype"] for name, entry in model_config.read_config(folder)["tensors"].items()}
    assert types == {"words.vectors": "float32", "network.kernel": "float16"}


# -- half precision ----------------------------------------------------------------------


def _tensors():
    rng = np.random.default_rng(0)
    return {
        "network.kernel": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "network.bias": rng.normal(size=4).astype(np.float32),
        "network.norm.running_var": rng.uniform(1, 2, 4).astype(np.float32),
        "network.norm.num_batches_tracked": np.array(7, np.int64),
        "readout.weight": rng.normal(size=(2, 5)).astype(np.float32),
        "readout.bias": rng.normal(size=2).astype(np.float32),
    }


CONFIG = {"kind": "tiny", "labels": ["A", "B"], "k": 5, "input_size": [8, 8], "crop": "none"}


def test_half_precision_rounds_kernels_alone(tmp_path):
    tensors = _tensors()
    kept = {name: array.copy() for name, array in tensors.items()}
    full = model_files.save_model(tmp_path, CONFIG, tensors)
    half = model_files.save_model(tmp_path, CONFIG, tensors, half=True)
    assert half != full
    types = {name: entry["dtype"] for name, entry in model_config.read_config(half)["tensors"].items()}
    assert {name for name, kind in types.items() if kind == "float16"} == {"network.kernel"}
    assert types["network.norm.num_batches_tracked"] == "int64"
    read = model_files.read_tensors(half)
    assert read["network.kernel"].dtype == np.float32
    np.testing.assert_array_equal(read["network.kernel"], tensors["network.kernel"].astype(np.float16))
    for name in set(tensors) - {"network.kernel"}:
        np.testing.assert_array_equal(read[name], tensors[name])
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, kept[name])
    sizes = [(folder / "weights.safetensors").stat().st_size for folder in (half, full)]
    assert sizes[1] - sizes[0] >= 2 * tensors["network.kernel"].size - 16
    # Rounding what is rounded changes nothing.
    assert model_files.save_model(tmp_path, CONFIG, read, half=True) == half


@pytest.mark.parametrize("value", [70_000.0, np.inf, np.nan])
def test_numbers_that_float16_cannot_hold_are_refused(tmp_path, value):
    tensors = _tensors()
    tensors["network.kernel"][0, 0, 0, 0] = value
    with pytest.raises(ModelFileError, match=r"network\.kernel holds numbers beyond 65504.*full precision"):
        model_files.save_model(tmp_path, CONFIG, tensors, half=True)
    assert list(tmp_path.iterdir()) == []


# -- files beside a model ----------------------------------------------------------------


def _rewrite(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_companions_belong_to_one_model(tmp_path, encoder):
    folder = _folder(tmp_path, encoder)
    assert model_config.read_companion(folder, "facts.json") is None
    path = model_config.write_companion(folder, "facts.json", {"numbers": [1, 2.5], "text": "größer"})
    assert model_config.read_companion(folder, "facts.json") == {"numbers": [1, 2.5], "text": "größer"}
    assert registry.load(folder).fingerprint == encoder.fingerprint  # it is no part of the model
    other = _folder(tmp_path, TinyEncoder.create(tmp_path, LABELS, k=5, input_size=(20, 12), seed=1))
    (other / "facts.json").write_bytes(path.read_bytes())
    with pytest.raises(ModelFileError, match="is about another model than the one beside it"):
        model_config.read_companion(other, "facts.json")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_text("{"), "cannot be read"),
        (lambda path: path.write_text('{"numbers": NaN}'), "NaN is no JSON number"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda path: path.write_text("[]"), "no JSON object"),
        (lambda path: path.write_text("{}"), "does not match its checksum"),
        (lambda path: _rewrite(path, numbers=[1, 2.6]), "does not match its checksum"),
        (lambda path: _rewrite(path, fingerprint="0" * 64), "does not match its checksum"),
        (lambda path: _rewrite(path, format_version=99), "install a newer olrsearch"),
    ],
)
def test_damaged_companions_are_named(tmp_path, encoder, damage, message):
    folder = _folder(tmp_path, encoder)
    damage(model_config.write_companion(folder, "facts.json", {"numbers": [1, 2.5]}))
    with pytest.raises(ModelFileError, match=message) as caught:
        model_config.read_companion(folder, "facts.json")
    assert str(folder / "facts.json") in str(caught.value)
