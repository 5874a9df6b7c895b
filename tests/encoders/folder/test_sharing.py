"""Models that have tensors in common: stored once, read as if they were whole."""

import json
import shutil

import numpy as np
import pytest
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch import Store
from olrsearch.core.errors import ModelFileError
from olrsearch.encoders import registry
from olrsearch.encoders.folder import model_config, model_files, sharing
from olrsearch.encoders.folder.sharing import share_tensors, whole_model
from olrsearch.pipeline.adding_encoders import add_model

BASE = {"kind": "olr", "labels": ["A", "B"], "k": 5, "input_size": [8, 8], "crop": "none"}
WORDS = {**BASE, "kind": "informed-prior", "layout": "posterior", "words": {}}


def trunk(prefix):
    rng = np.random.default_rng(0)
    return {
        f"{prefix}.0.weight": rng.normal(size=(40, 3, 5, 5)).astype(np.float32),
        f"{prefix}.0.bias": rng.normal(size=40).astype(np.float32),
        f"{prefix}.1.num_batches_tracked": np.array(7, np.int64),
        f"{prefix}.2.num_batches_tracked": np.array(7, np.int64),
    }


def save(root, name, config, tensors, **more):
    folder = model_files.save_model(root / "made", config, tensors, **more)
    return folder.rename(root / name)


@pytest.fixture
def models(tmp_path):
    """A label encoder and an encoder of words with its trunk, in half precision, side by side."""
    rng = np.random.default_rng(1)
    readout = {"readout.weight": np.ones((2, 5), np.float32), "readout.bias": np.zeros(2, np.float32)}
    own = {
        "words.vectors": rng.normal(size=(2, 5)).astype(np.float32),
        "network.encoder.head.weight": rng.normal(size=(20, 40)).astype(np.float32),
    }
    faces = save(tmp_path, "faces", BASE, trunk("network.trunk") | readout, half=True)
    words = save(tmp_path, "words", WORDS, trunk("network.encoder.trunk") | own, half=True)
    return faces, words


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def equal(one, other):
    assert list(one) == list(other)
    for name, array in one.items():
        assert array.dtype == other[name].dtype
        np.testing.assert_array_equal(array, other[name])


def test_what_is_shared_is_stored_once_and_read_as_before(models):
    faces, words = models
    before, kept = model_files.read_tensors(words), contents(faces)
    config, size = model_config.read_config(words), (words / "weights.safetensors").stat().st_size
    assert share_tensors(words, faces) == 4
    assert sorted(contents(words)) == ["config.json", "shared.json", "weights.safetensors"]
    assert size - (words / "weights.safetensors").stat().st_size >= 2 * 40 * 3 * 5 * 5 + 4 * 40
    assert model_files.tensor_names(words / "weights.safetensors") == {
        "words.vectors",
        "network.encoder.head.weight",
    }
    shared = model_files.read_shared(words)
    assert (shared.folder, shared.fingerprint) == ("faces", model_config.read_config(faces)["fingerprint"])
    assert shared.names["network.encoder.trunk.0.weight"] == "network.trunk.0.weight"
    equal(model_files.read_tensors(words), before)
    assert model_config.read_config(words) == config
    assert contents(faces) == kept
    name = "network.encoder.trunk.0.bias"
    equal(model_files.read_tensors(words, (name,)), {name: before[name]})


def test_a_model_that_shares_everything_is_loaded(tmp_path):
    """Registered kinds open it like any other."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    made = [TinyPosteriorEncoder.create(tmp_path, ("A", "B"), shrinkage=share) for share in (0.1, 0.2)]
    one, other = (tmp_path / encoder.fingerprint for encoder in made)
    share_tensors(other, one)
    assert model_files.tensor_names(other / "weights.safetensors") == set()
    again = registry.load(other)
    assert (again.fingerprint, again.shrinkage) == (made[1].fingerprint, 0.2)
    np.testing.assert_array_equal(again.encode(pixels).factor, made[1].encode(pixels).factor)


def test_what_a_model_holds_itself_needs_no_neighbour(models):
    faces, words = models
    vectors = model_files.read_tensors(words, ("words.vectors",))
    share_tensors(words, faces)
    shutil.rmtree(faces)
    equal(model_files.read_tensors(words, ("words.vectors",)), vectors)


def flip(folder):
    path = folder / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-200] ^= 0x10
    path.write_bytes(bytes(data))


def other_trunk(folder):
    tensors = model_files.read_stored(folder)
    tensors["network.trunk.0.bias"] = tensors["network.trunk.0.bias"] + np.float32(1)
    shutil.rmtree(folder)
    save(folder.parent, folder.name, BASE, tensors)


def no_trunk(folder):
    tensors = {name: array for name, array in model_files.read_stored(folder).items() if "trunk" not in name}
    shutil.rmtree(folder)
    save(folder.parent, folder.name, BASE, tensors)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, r"cannot be read \(.*faces/weights\.safetensors is missing\)"),
        (no_trunk, r"cannot be read \(.*network\.trunk"),
        (other_trunk, r"network\.trunk\.0\.bias is another there"),
        (flip, r"network\.trunk\.0\.\w+ is another there"),
    ],
)
def test_a_neighbour_that_is_gone_or_another_is_named(models, damage, message):
    faces, words = models
    fingerprint = model_config.read_config(faces)["fingerprint"]
    share_tensors(words, faces)
    damage(faces)
    with pytest.raises(ModelFileError, match=message) as caught:
        model_files.read_tensors(words)
    assert f"takes 4 tensors from {faces}, the model {fingerprint[:12]}" in str(caught.value)
    assert "copy the folder faces of that model beside it, or a whole copy" in str(caught.value)


def test_another_model_with_the_same_trunk_will_do(models):
    """It is the numbers that count, and they are held against this model's checksums."""
    faces, words = models
    before = model_files.read_tensors(words)
    share_tensors(words, faces)
    tensors = model_files.read_stored(faces)
    tensors["readout.bias"] = tensors["readout.bias"] + np.float32(1)
    shutil.rmtree(faces)
    save(faces.parent, "faces", BASE, tensors)
    equal(model_files.read_tensors(words), before)


@pytest.mark.parametrize("name", ["../faces", "/faces", "a/b", "..", ".", "", 3, None])
def test_only_folders_beside_a_model_are_read(models, name):
    faces, words = models
    share_tensors(words, faces)
    content = model_config.read_companion(words, "shared.json")
    model_config.write_companion(words, "shared.json", {**content, "from": name})
    with pytest.raises(ModelFileError, match=r"shared\.json does not name a folder beside the model"):
        model_files.read_tensors(words)


def test_a_tensor_that_nobody_has_is_missed(models):
    faces, words = models
    share_tensors(words, faces)
    content = model_config.read_companion(words, "shared.json")
    content["tensors"].popitem()
    model_config.write_companion(words, "shared.json", content)
    with pytest.raises(ModelFileError, match=r"holds other tensors than config\.json lists"):
        model_files.read_tensors(words)
    (words / "shared.json").write_text(json.dumps(content))
    with pytest.raises(ModelFileError, match=r"shared\.json does not match its checksum"):
        model_files.read_tensors(words)


def test_sharing_is_whole_or_not_at_all(models, monkeypatch):
    faces, words = models
    before = contents(words)

    def full(*_, **__):
        raise OSError("no space left on device")

    monkeypatch.setattr(sharing, "save_file", full)
    with pytest.raises(OSError, match="no space left"):
        share_tensors(words, faces)
    assert contents(words) == before


def test_what_cannot_be_shared_is_refused(models, tmp_path):
    faces, words = models
    with pytest.raises(ModelFileError, match="are one model"):
        share_tensors(words, shutil.copytree(words, tmp_path / "copy"))
    alone = save(tmp_path, "alone", BASE | {"k": 6}, {
        "readout.weight": np.zeros((2, 6), np.float32), "readout.bias": np.ones(2, np.float32),
    })  # fmt: skip
    before = contents(words)
    with pytest.raises(ModelFileError, match="no tensor in common"):
        share_tensors(words, alone)
    assert contents(words) == before
    share_tensors(words, faces)
    with pytest.raises(ModelFileError, match="takes tensors from faces already"):
        share_tensors(words, faces)
    with pytest.raises(ModelFileError, match=r"words takes tensors from faces already"):
        share_tensors(faces, words)
    flip(faces)
    with pytest.raises(ModelFileError, match="does not match its checksum"):
        share_tensors(whole_copy_of(tmp_path, trunk("network.encoder.trunk")), faces)


def whole_copy_of(root, tensors):
    return save(root, "third", WORDS, tensors | {"words.vectors": np.eye(2, 5, dtype=np.float32)}, half=True)


def test_a_whole_copy_has_the_same_fingerprint_and_needs_nobody(models, tmp_path):
    faces, words = models
    model_config.write_companion(words, "facts.json", {"so": "what"})
    before = model_files.read_stored(words)
    share_tensors(words, faces)
    copy = whole_model(words, tmp_path / "copy")
    assert sorted(contents(copy)) == ["config.json", "facts.json", "weights.safetensors"]
    shutil.rmtree(faces)
    equal(model_files.read_stored(copy), before)
    assert model_config.read_config(copy) == model_config.read_config(words)
    with pytest.raises(ModelFileError, match="copy exists"):
        whole_model(copy, copy)
    with pytest.raises(ModelFileError, match="is missing"):
        whole_model(words, tmp_path / "other")
    assert contents(whole_model(copy, tmp_path / "again")) == contents(copy)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "copy", "made", "words"]


def test_a_store_takes_a_whole_model(gallery, tmp_path):
    made = [
        TinyPosteriorEncoder.create(tmp_path, ("Bright", "Red"), input_size=(24, 24), shrinkage=share)
        for share in (0.1, 0.2)
    ]
    one, other = (tmp_path / encoder.fingerprint for encoder in made)
    share_tensors(other, one)
    with Store.open(gallery.copy(tmp_path / "store")) as store:
        fingerprint = add_model(store.session.backend, other)
        kept = tmp_path / "store" / "models" / fingerprint
        assert not (kept / "shared.json").exists()
        assert model_files.tensor_names(kept / "weights.safetensors") == {"directions", "words.vectors"}
        shutil.rmtree(one)
        assert store.encode(fingerprint).encoded == 120
        assert store.verify().ok
        with pytest.raises(ModelFileError, match="is missing"):
            add_model(store.session.backend, other)
