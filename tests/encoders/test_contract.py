"""What every kind of encoder promises, whatever network is behind it."""

import json
import subprocess
import sys

import numpy as np
import olr_case
import pytest
from tiny_encoders.labels import TinyEncoder
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch.core.errors import EncoderError, IncompatibleEncoderError, TrainingError
from olrsearch.encoders import LabelEncoder, PosteriorEncoder, Posteriors, registry
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.maths.gaussian import Gaussians
from olrsearch.maths.triangles import triangle

LABELS = olr_case.LABELS
SIZE = (16, 16)


def _informed_prior(root, **changes):
    import torch

    from olrsearch.encoders.informed_prior.config import InformedPriorConfig
    from olrsearch.encoders.informed_prior.encoder import save
    from olrsearch.encoders.informed_prior.network import InformedPriorNetwork
    from olrsearch.encoders.words.vocabulary import Vocabulary

    torch.manual_seed(1)
    config = InformedPriorConfig.of_profile("tiny", LABELS).with_overrides(changes)
    network = InformedPriorNetwork(config, len(LABELS), torch.full((3,), 128.0), torch.full((3,), 60.0))
    return save(root, config, network, Vocabulary.one_hot(LABELS))


def _olr(root):
    import torch

    from olrsearch.encoders.olr.encoder import save
    from olrsearch.encoders.olr.network import OlrNetwork

    torch.manual_seed(1)
    config = olr_case.config()
    return save(root, config, OlrNetwork(config, torch.full((3,), 128.0), torch.full((3,), 60.0)))


def _vae(kind):
    def make(root):
        import torch

        from olrsearch.encoders.vae.encoder import save
        from olrsearch.encoders.vae.network import VaeNetwork
        from olrsearch.encoders.vae.objectives import OBJECTIVES
        from olrsearch.encoders.vae.words import label_inputs, label_map
        from olrsearch.encoders.words.learned import LearnedWords
        from olrsearch.encoders.words.vocabulary import Vocabulary

        torch.manual_seed(1)
        config = registry.config_class(kind).of_profile("tiny", LABELS)
        inputs = torch.tensor(label_inputs(config).vectors, dtype=torch.float32)
        network = VaeNetwork(config, inputs, OBJECTIVES[kind].parts)
        learned = LearnedWords.of_map(label_map(network, config))
        return save(root, config, network, Vocabulary.of_learned(LABELS, learned))

    return make


def _auto_encoder(kind):
    def made(root):
        import torch

        from olrsearch.encoders.atnl.encoder import save
        from olrsearch.encoders.atnl.network import AutoEncoder
        from olrsearch.encoders.words.learned import fit_learned_words
        from olrsearch.encoders.words.vocabulary import Vocabulary

        torch.manual_seed(1)
        config = registry.config_class(kind).of_profile("tiny", LABELS)
        network = AutoEncoder(config, torch.full((3,), 128.0), torch.full((3,), 60.0))
        points = np.random.default_rng(0).normal(size=(40, config.size))
        words = fit_learned_words(points, olr_case.data(40)[1], LABELS, absent=True)
        return save(root, config, network, Vocabulary.of_learned(LABELS, words))

    return made


MADE = {
    **{kind: _auto_encoder(kind) for kind in ("aae", "acai", "ae", "atnl", "vae", "vae-tl")},
    "informed-prior": _informed_prior,
    "jmvae": _vae("jmvae"),
    "olr": _olr,
    "pse": _vae("pse"),
    "pse-star": _vae("pse-star"),
    "scan": _vae("scan"),
    "tiny": lambda root: root / TinyEncoder.create(root, LABELS, k=5, input_size=SIZE).fingerprint,
    "tiny-posterior": lambda root: (
        root / TinyPosteriorEncoder.create(root, LABELS, input_size=SIZE).fingerprint
    ),
    "trelbo": _vae("trelbo"),
}


def test_every_kind_is_here():
    assert set(MADE) == set(registry.kinds())


@pytest.fixture(scope="module", params=sorted(MADE))
def folder(request, tmp_path_factory):
    return MADE[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def encoder(folder):
    return registry.load(folder)


def _pixels(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)


def _arrays(encoder, pixels):
    """What an encoder makes of images, each array with the images first."""
    made = encoder.encode(pixels)
    return list(made) if isinstance(made, Posteriors) else [np.moveaxis(made, 1, 0)]


def test_facts_are_those_of_the_folder(folder, encoder):
    config = model_config.read_config(folder)
    assert folder.name == encoder.fingerprint == config["fingerprint"]
    assert (encoder.kind, encoder.labels, encoder.k) == (config["kind"], LABELS, config["k"])
    assert (encoder.input_size, encoder.crop) == (SIZE, "none")
    is_posterior = model_config.layout_of(config) == "posterior"
    assert (isinstance(encoder, LabelEncoder), isinstance(encoder, PosteriorEncoder)) == (
        not is_posterior,
        is_posterior,
    )


def test_saved_again_it_is_the_same_model(folder, tmp_path):
    config, tensors = model_config.read_config(folder), model_files.read_tensors(folder)
    kept = {key: value for key, value in config.items() if key not in {"fingerprint", "tensors"}}
    again = model_files.save_model(tmp_path, kept, tensors)
    assert again.name == folder.name
    for one, other in zip(
        *(_arrays(registry.load(path), _pixels(3)) for path in (folder, again)), strict=True
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_shape_type_and_finite_numbers(encoder, count):
    pixels = _pixels(count)
    before = pixels.copy()
    made = encoder.encode(pixels)
    np.testing.assert_array_equal(pixels, before)
    shapes = (
        [(count, encoder.k), (count, triangle(encoder.k))]
        if isinstance(made, Posteriors)
        else [(len(LABELS), count, encoder.k)]
    )
    arrays = list(made) if isinstance(made, Posteriors) else [made]
    assert [array.shape for array in arrays] == shapes
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in arrays)


def test_the_same_images_become_the_same(folder, encoder):
    for other in (encoder, registry.load(folder)):
        for one, again in zip(_arrays(encoder, _pixels(5)), _arrays(other, _pixels(5)), strict=True):
            np.testing.assert_array_equal(one, again)


def test_an_image_does_not_depend_on_the_others_of_its_batch(encoder):
    pixels = _pixels(40)
    together = _arrays(encoder, pixels)
    apart = zip(*(_arrays(encoder, pixels[place : place + 3]) for place in range(0, 40, 3)), strict=True)
    for one, parts in zip(together, apart, strict=True):
        np.testing.assert_allclose(np.concatenate(parts), one, rtol=1e-4, atol=1e-5)
    order = np.random.default_rng(1).permutation(40)
    for one, moved in zip(together, _arrays(encoder, pixels[order]), strict=True):
        np.testing.assert_allclose(moved, one[order], rtol=1e-4, atol=1e-5)
    assert np.ptp(together[0], axis=0).max() > 1e-3, "images differ"


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((2, 16, 17, 3), np.uint8),
        np.zeros((16, 16, 3), np.uint8),
        np.zeros((2, 3, 16, 16), np.uint8),
        np.zeros((2, 16, 16, 3), np.float32),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
    ids=["width", "one image", "planes", "floats", "none of another size"],
)
def test_wrong_pixels_are_refused(encoder, wrong):
    with pytest.raises(IncompatibleEncoderError, match="scale images to its input_size"):
        encoder.encode(wrong)


def test_what_queries_need_is_read_without_torch(folder, encoder, tmp_path):
    out = tmp_path / "out.npz"
    reader, numbers = "readout", "found.weight, found.bias"
    if isinstance(encoder, PosteriorEncoder):
        reader, numbers = "vocabulary", "found.vectors"
    code = (
        "import sys, numpy as np, pathlib\n"
        "from olrsearch.encoders import registry\n"
        "from olrsearch.encoders.folder import model_files\n"
        "assert registry.trainable()\n"
        f"found = model_files.read_{reader}(pathlib.Path(sys.argv[1]))\n"
        f"np.savez(sys.argv[2], {numbers})\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder), str(out)], check=True)
    expected = (
        [encoder.vocabulary.vectors]
        if reader == "vocabulary"
        else [encoder.readout.weight, encoder.readout.bias]
    )
    with np.load(out) as found:
        for one, array in zip(expected, found.values(), strict=True):
            np.testing.assert_array_equal(array, one)


def test_readouts_read_embeddings_and_posteriors_keep_the_floor(encoder):
    if isinstance(encoder, LabelEncoder):
        logits = encoder.readout.logits(encoder.encode(_pixels(6)))
        assert (logits.shape, np.isfinite(logits).all()) == ((len(LABELS), 6), True)
        return
    Gaussians.of_packed(*encoder.encode(_pixels(6))).check_floor()
    assert encoder.vocabulary.names == LABELS
    assert encoder.vocabulary.vectors.shape == (len(LABELS), encoder.k)


def test_decoders_draw_points_and_nothing_else_does(encoder):
    if isinstance(encoder, LabelEncoder):
        assert not hasattr(encoder, "decode")
        return
    points = np.random.default_rng(2).normal(size=(70, encoder.k)).astype(np.float32)
    if not encoder.has_decoder:
        with pytest.raises(EncoderError, match="has no decoder"):
            encoder.decode(points)
        return
    drawn = encoder.decode(points)
    assert (drawn.shape[0], drawn.shape[-1], drawn.dtype) == (70, 3, np.uint8)
    np.testing.assert_allclose(encoder.decode(points[60:]).astype(int), drawn[60:].astype(int), atol=1)
    assert encoder.decode(points[:0]).shape == (0, *drawn.shape[1:])
    with pytest.raises(EncoderError, match=r"takes \[m, "):
        encoder.decode(points[:, :-1])


def test_trained_kinds_say_how_they_are_trained():
    for kind in registry.trainable():
        of_kind = registry.config_class(kind)
        assert of_kind.kind == kind
        assert of_kind.default_profile in of_kind.profiles
        for name in of_kind.profiles:
            config = of_kind.of_profile(name, LABELS)
            assert of_kind.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert set(of_kind.teacher_shape) <= set(of_kind.field_names())
        assert of_kind.after_teacher <= set(of_kind.field_names())
        assert callable(registry.trainer(kind))
    with pytest.raises(TrainingError, match="no encoder of kind 'tiny' can be trained"):
        registry.config_class("tiny")
