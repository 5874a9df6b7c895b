"""Spaces of posteriors beside spaces of label embeddings: filled, opened, kept apart."""

import json
import shutil

import numpy as np
import pytest
from command import good, refused
from pictures import LABELS, name, write_pictures
from tiny_encoders.labels import TinyEncoder
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch import Store
from olrsearch.core.errors import EmptyStoreError, IncompatibleEncoderError, ModelFileError, VectorError
from olrsearch.datasets.images import load_array
from olrsearch.encoders import registry
from olrsearch.encoders.folder import model_config
from olrsearch.pipeline.adding_encoders import add_model
from olrsearch.pipeline.encoding import encode_missing
from olrsearch.pipeline.known_encoders import default_encoder
from olrsearch.search.spaces.labels import OpenSpace
from olrsearch.search.spaces.posteriors import OpenPosteriors


@pytest.fixture(scope="module")
def posterior_model(tmp_path_factory):
    """A model folder of an encoder of posteriors."""
    root = tmp_path_factory.mktemp("posterior-models")
    return root / TinyPosteriorEncoder.create(root, LABELS, input_size=(24, 24), shrinkage=0.2).fingerprint


@pytest.fixture(scope="module")
def mixed(gallery, posterior_model, tmp_path_factory):
    """120 pictures encoded twice: label embeddings first, posteriors then."""
    home = gallery.copy(tmp_path_factory.mktemp("mixed") / "store")
    said = good(home, "encode", "--encoder", posterior_model).err
    assert "tiny-posterior-" in said
    assert "120 encoded" in said
    assert "probabilities calibrated on 96 images" in said
    assert "label indexes" not in said
    return home


def opened(store, layout="posterior"):
    snapshot = store.session.backend.snapshot()
    return OpenPosteriors(snapshot, snapshot.space(layout=layout))


# -- encoding ----------------------------------------------------------------------------


def test_what_the_encoder_makes_is_what_the_store_holds(mixed, gallery, posterior_model):
    encoder = registry.load(posterior_model)
    with Store.open(mixed, read_only=True) as store:
        space = opened(store)
        (segment,) = space.segments
        keys = [row.key for row in space.snapshot.images(segment.ids)]
        pixels = np.stack([load_array(gallery.data, key, (24, 24), "none") for key in keys])
        made = encoder.encode(pixels)
        np.testing.assert_allclose(segment.mean, made.mean, rtol=1e-6)
        np.testing.assert_allclose(segment.factor, made.factor, rtol=1e-6)
        assert segment.factor.shape == (120, 10)
        assert store.verify().ok


def test_segments_are_joined_from_batches_and_only_new_images_are_encoded(gallery, posterior_model, tmp_path):
    home = gallery.copy(tmp_path / "store")
    more = tmp_path / "more"
    with Store.open(home) as store:
        add_model(store.session.backend, posterior_model)
        info = store.session.backend.snapshot().space()
        assert (info.layout, info.k, info.labels) == ("posterior", 4, LABELS)
        encoder = registry.load(posterior_model)
        report = encode_missing(store.session.backend, info, encoder, batch_size=16, segment_images=50)
        assert (report.encoded, report.present) == (120, 0)
        assert [part.count for part in store.session.backend.snapshot().space().segments] == [64, 56]
        write_pictures(more, 7, first=500)
        store.import_folder(more)
        assert opened(store).coverage_notes() == (
            f"7 images have no posterior in {info.name} yet: run olrsearch encode",
        )
        assert store.encode().encoded == 7  # the newest space, of whatever layout
        assert opened(store).coverage_notes() == ()
        with pytest.raises(IncompatibleEncoderError, match="with its own encoder"):
            encode_missing(store.session.backend, info, TinyEncoder.load(gallery.model))


def test_an_interrupted_encoding_keeps_what_it_had(gallery, posterior_model, tmp_path):
    home = gallery.copy(tmp_path / "store")
    encoder = registry.load(posterior_model)

    class Stopping:
        images = 0

        def __getattr__(self, attribute):
            return getattr(encoder, attribute)

        def encode(self, pixels):
            if self.images >= 32:
                raise KeyboardInterrupt
            self.images += len(pixels)
            return encoder.encode(pixels)

    with Store.open(home) as store:
        fingerprint = add_model(store.session.backend, posterior_model)
        store.session._encoders[fingerprint] = Stopping()
        with pytest.raises(KeyboardInterrupt):
            store.encode(batch_size=16)
        assert store.verify().ok
        store.session._encoders.clear()
        report = store.encode()
        assert (report.encoded, report.present) == (88, 32)
        assert any("calibrated on 96 images" in note for note in report.notes)
        assert store.verify().ok


def test_a_posterior_below_the_floor_names_its_image(gallery, posterior_model, tmp_path):
    home = gallery.copy(tmp_path / "store")
    encoder = registry.load(posterior_model)

    class Narrow:
        def __getattr__(self, attribute):
            return getattr(encoder, attribute)

        def encode(self, pixels):
            made = encoder.encode(pixels)
            made.factor[3] *= np.float32(0.01)
            return made

    with Store.open(home) as store:
        store.session._encoders[add_model(store.session.backend, posterior_model)] = Narrow()
        line = r"posterior of image 4 has the eigenvalue .* expected σ₀² = 0\.0001 or more"
        with pytest.raises(VectorError, match=line):
            store.encode()
        assert store.session.backend.snapshot().space().count == 0
        assert store.verify().ok


# -- opening -----------------------------------------------------------------------------


def test_a_space_of_posteriors_opened(mixed, tmp_path):
    home = shutil.copytree(mixed, tmp_path / "store")
    with Store.open(home) as store:
        everything = store.session.backend.snapshot().image_ids()
        store.delete([f"id:{everything[5]}"])
        space = opened(store)
        assert space.view.ids.tolist() == np.delete(everything, 5).tolist()
        assert space.view.ids.dtype == np.int64
        assert space.snapshot.tombstoned().tolist() == [everything[5]]
        assert space.vocabulary.names == LABELS
        np.testing.assert_array_equal(space.vocabulary.vectors, np.eye(4))
        assert space.shrinkage == 0.2
        assert space.coverage_notes() == ()


def test_shrinkage_is_of_the_space_or_else_of_the_model(mixed, tmp_path):
    home = shutil.copytree(mixed, tmp_path / "store")
    with Store.open(home) as store:
        space = opened(store)
        space.info.config.clear()  # as of a trainer that records something else
        assert space.shrinkage == 0.2
        other = opened(store)
        other.info.config["shrinkage"] = 0
        with pytest.raises(ModelFileError, match="has the shrinkage 0, expected a number above 0"):
            _ = other.shrinkage


def test_each_kind_of_space_is_opened_by_its_own(mixed):
    with Store.open(mixed, read_only=True) as store:
        snapshot = store.session.backend.snapshot()
        labels, posterior = snapshot.spaces()
        with pytest.raises(IncompatibleEncoderError, match="holds label embeddings, no posteriors"):
            OpenPosteriors(snapshot, labels)
        with pytest.raises(IncompatibleEncoderError, match="holds posteriors, no label embeddings"):
            OpenSpace(snapshot, posterior)


def test_a_space_with_nothing_in_it(gallery, posterior_model, tmp_path):
    with Store.open(gallery.copy(tmp_path / "store")) as store:
        add_model(store.session.backend, posterior_model)
        with pytest.raises(EmptyStoreError, match="holds no posteriors yet: run olrsearch encode"):
            opened(store)


# -- apart -------------------------------------------------------------------------------


def test_questions_about_labels_go_to_the_newest_space_of_labels(mixed, gallery):
    with Store.open(mixed, read_only=True) as both, Store.open(gallery.store, read_only=True) as before:
        assert both.search("bright & !red").hits == before.search("bright & !red").hits
        assert both.similar(name(3)).hits == before.similar(name(3)).hits
        assert both.describe(name(3)) == before.describe(name(3))
        assert both.describe(gallery.data / name(4)) == before.describe(gallery.data / name(4))
        assert both.labels.known() == LABELS
        assert both.indexes.info()["space"] == before.indexes.info()["space"]
        newest = both.session.backend.snapshot().space()
        assert newest.layout == "posterior"
        assert default_encoder(both.session.backend.snapshot()).fingerprint == newest.fingerprint


def test_they_are_not_asked_of_posteriors(mixed, tmp_path):
    home = shutil.copytree(mixed, tmp_path / "store")
    space = next(item["name"] for item in good(home, "store", "info", "--json").row["spaces"][1:])
    for arguments in (
        ("search", "bright"),
        ("similar", name(3)),
        ("describe", name(3)),
        ("look", "norms"),
        ("bench", "queries"),
    ):
        line = refused(home, *arguments, "--space", space)
        assert f"the space {space} holds posteriors, and this needs label embeddings" in line
        assert "`olrsearch words`" in line
    good(home, "calibrate")
    good(home, "index", "build")
    assert good(home, "store", "verify", "--json").row["ok"]


def test_a_store_of_posteriors_alone(gallery, posterior_model, tmp_path):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data, "--labels", gallery.data / "labels.csv")
    good(home, "encode", "--encoder", posterior_model)
    line = refused(home, "search", "bright")
    assert "has no label embeddings yet" in line
    assert "olrsearch words" in line
    good(home, "encode", "--encoder", gallery.model)
    assert good(home, "search", "bright").code == 0


def test_the_store_says_what_its_spaces_hold(mixed):
    rows = good(mixed, "store", "info", "--json").row["spaces"]
    assert [row["layout"] for row in rows] == ["labels", "posterior"]
    assert (rows[1]["kind"], rows[1]["labels"], rows[1]["k"]) == ("tiny-posterior", 4, 4)
    assert (rows[1]["embeddings"], rows[1]["calibrated"], rows[1]["metric"]) == (120, True, None)
    assert "  layout: posterior" in good(mixed, "store", "info").out.splitlines()
    listed = good(mixed, "encoders", "list").out.splitlines()
    assert any(line.startswith("* tiny-posterior-") for line in listed)
    shown = good(mixed, "encoders", "info", rows[1]["name"]).out
    assert "gives: a posterior of 4 dimensions" in shown
    assert "brings: no calibration" in shown
    assert good(mixed, "encoders", "info", rows[1]["name"], "--json").row["layout"] == "posterior"


def test_a_model_of_another_size_is_found_by_verifying(mixed, tmp_path):
    home = shutil.copytree(mixed, tmp_path / "store")
    with Store.open(home, read_only=True) as store:
        folder = opened(store).info.model_path
    other = TinyPosteriorEncoder.create(tmp_path, LABELS[:3], input_size=(24, 24))
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / other.fingerprint, folder)
    with Store.open(home, read_only=True) as store:
        report = store.verify()
    assert any("no encoder of posteriors of 4 dimensions" in problem.message for problem in report.problems)
    assert any("files were swapped" in problem.message for problem in report.problems)


def test_damage_is_found(mixed, tmp_path):
    home = shutil.copytree(mixed, tmp_path / "store")
    with Store.open(home, read_only=True) as store:
        path = opened(store).info.segments[0].path / "factor.npy"
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))
    with Store.open(home, read_only=True) as store:
        (problem,) = store.verify().problems
    assert problem.code == "segment"
    assert "factor.npy" in problem.message


def test_a_copied_store_is_whole(mixed, tmp_path):
    home = shutil.copytree(mixed, tmp_path / "copy")
    with Store.open(home, read_only=True) as store:
        assert store.verify(sources=True).ok
        assert len(opened(store).view) == 120
        manifest = json.loads((opened(store).info.segments[0].path / "manifest.json").read_text())
    assert sorted(manifest["files"]) == ["factor.npy", "ids.npy", "mean.npy"]
    assert model_config.layout_of(model_config.read_config(home / "models" / manifest["fingerprint"])) == (
        "posterior"
    )
