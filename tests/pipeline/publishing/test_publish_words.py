"""Publishing an encoder of posteriors whose trunk another published encoder has, and using it elsewhere."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from command import good, one_thread, refused
from pictures import LABELS, name, picture, write_pictures

from olrsearch import Store
from olrsearch.core.errors import BenchmarkError, CalibrationError, EncoderError, ModelFileError
from olrsearch.encoders import registry
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.folder.card import read_card, read_card_page
from olrsearch.encoders.folder.defaults import read_defaults
from olrsearch.evaluation.describing import run_describing
from olrsearch.pipeline.known_encoders import default_encoder, encoder_details, find_encoder, list_encoders
from olrsearch.search.spaces.posteriors import OpenPosteriors

WORDS = ("bright", "red", "striped", "framed", "crimson", "dark")


@dataclass(frozen=True)
class Trained:
    """A store with label embeddings and posteriors on one trunk, and what was published of it."""

    store: Path
    models: Path
    space: str

    def copy(self, to):
        return Path(shutil.copytree(self.store, to))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    one_thread()
    home = tmp_path_factory.mktemp("words")
    table = write_pictures(home / "pictures", 260)
    numbers = np.random.default_rng(5).normal(size=(len(WORDS), 6))
    numbers[4] = numbers[1] + 0.1
    rows = (f"{word} {' '.join(map(str, row))}" for word, row in zip(WORDS, numbers, strict=True))
    (home / "words.txt").write_text("\n".join(rows) + "\n")
    store, models = home / "store", home / "models"
    good(store, "-q", "import", "folder", home / "pictures", "--labels", table)
    good(store, "-q", "train", "olr", "--profile", "tiny", "--set", "seed=3", "--set", "image_size=24,24")
    good(store, "-q", "encode")
    labels = good(store, "store", "info", "--json").row["spaces"][0]["name"]
    good(store, "-q", "encoders", "publish", labels, models, "--name", "faces", "--half")
    settings = {
        "words": home / "words.txt",
        "start_from": models / "faces",
        "freeze_trunk": "true",
        "image_size": "24,24",
        "pooling": "average",
        "decoder": "false",
        "shrinkage": "0.1",
        "width": "8",
        "epochs": "6",
    }
    options = [part for key, value in settings.items() for part in ("--set", f"{key}={value}")]
    good(store, "-q", "train", "informed-prior", "--profile", "tiny", *options)
    good(store, "-q", "encode")
    space = good(store, "store", "info", "--json").row["spaces"][1]["name"]
    good(store, "-q", "calibrate", "--space", space)
    options = ("--name", "faces-words", "--half", "--share", "faces")
    said = good(store, "encoders", "publish", space, models, *options).err
    assert "it needs faces beside it: copy both folders" in said
    return Trained(store, models, space)


@pytest.fixture
def shipped_words(trained, monkeypatch):
    """A package that comes with both."""
    monkeypatch.setattr("olrsearch.core.resources.models_dir", lambda: trained.models)
    return trained


@pytest.fixture
def plain(tmp_path):
    """A store of pictures without labels, nothing encoded."""
    write_pictures(tmp_path / "unlabelled", 40, first=300)
    (tmp_path / "unlabelled" / "labels.csv").unlink()
    good(tmp_path / "plain", "import", "folder", tmp_path / "unlabelled")
    return tmp_path / "plain"


def test_the_trunk_is_stored_once(trained):
    words, faces = trained.models / "faces-words", trained.models / "faces"
    assert sorted(path.name for path in words.iterdir()) == [
        "MODEL_CARD.md",
        "card.json",
        "config.json",
        "defaults.json",
        "fit.json",
        "fit.safetensors",
        "shared.json",
        "weights.safetensors",
    ]
    assert sorted(path.name for path in trained.models.iterdir()) == ["faces", "faces-words"]
    shared = model_files.read_shared(words)
    assert shared.folder == "faces"
    entries = model_config.read_config(words)["tensors"]
    trunk = {key for key in entries if key.startswith(("network.encoder.trunk.", "network.encoder.norm"))}
    assert len(trunk) > 10
    assert trunk <= set(shared.names)
    assert all(
        shared.names[key].startswith("network.") for key in trunk if entries[key]["dtype"] == "float16"
    )
    held = model_files.tensor_names(words / "weights.safetensors")
    assert {"words.vectors", "words.mean", "words.matrix"} <= held
    types = {key: entries[key]["dtype"] for key in held}
    assert {kind for key, kind in types.items() if key.startswith("words.")} == {"float32"}
    assert "float16" in types.values()
    theirs = model_files.read_tensors(faces)
    for key, array in model_files.read_tensors(words, sorted(trunk)).items():
        np.testing.assert_array_equal(array, theirs[shared.names[key]])


def test_publishing_again_writes_the_same_bytes(trained, tmp_path):
    shutil.copytree(trained.models / "faces", tmp_path / "out" / "faces")
    with Store.open(trained.store) as store:
        folder = store.encoders.publish(
            trained.space, tmp_path / "out", name="faces-words", half=True, share=tmp_path / "out" / "faces"
        )
    before = trained.models / "faces-words"
    for path in before.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()


def test_the_rounded_encoder_says_nearly_the_same(trained):
    words = trained.models / "faces-words"
    rounding = read_card(words)["rounding"]
    assert rounding["images"] == 256
    assert 0 < rounding["mean"] < rounding["largest"] < 0.05
    with Store.open(trained.store, read_only=True) as store:
        full = registry.load(store.encoders.get(trained.space).path)
    half = registry.load(words)
    assert model_config.read_config(words)["rounded_from"] == full.fingerprint != half.fingerprint
    pixels = np.stack([picture(row)[0] for row in range(20)])
    one, other = full.encode(pixels), half.encode(pixels)
    assert not np.array_equal(one.mean, other.mean)
    np.testing.assert_allclose(one.mean, other.mean, atol=0.01)
    np.testing.assert_array_equal(full.vocabulary.vectors, half.vocabulary.vectors)


def test_defaults_are_the_calibration_of_the_words(trained):
    defaults = read_defaults(trained.models / "faces-words")
    with Store.open(trained.store, read_only=True) as store:
        kept = store.session.backend.snapshot().space(trained.space).calibration
    assert defaults.metric is None
    assert defaults.calibration.slope.tolist() == kept["slope"]
    assert defaults.calibration.offset.tolist() == kept["offset"]
    assert defaults.calibration.label_revision is None
    assert defaults.calibration.split.endswith(" selection images of pictures, shipped with the encoder")


def test_the_cards_figures_are_those_of_the_calibrated_probabilities(trained):
    card = read_card(trained.models / "faces-words")
    (everyone,) = card["measured"]["groups"]
    with Store.open(trained.store, read_only=True) as store:
        snapshot = store.session.backend.snapshot()
        opened = OpenPosteriors(snapshot, snapshot.space(trained.space))
        partition = snapshot.columns(opened.view.ids, ("partition",))["partition"]
        rows = np.flatnonzero(np.isin(partition, ("val", "test")))
        probability = opened.calibration.probability(opened.scores.own_of(rows), range(4))
        truth = snapshot.labels(opened.view.ids[rows], LABELS).T
    assert everyone["images"] == len(rows) == 104
    for row, found in enumerate(everyone["labels"]):
        order = np.argsort(-probability[row], kind="stable")
        hits = (truth[row] > 0)[order]
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
        assert found["ap"] == pytest.approx(precision[hits].mean())
        right = (probability[row] >= 0.5) == (truth[row] > 0)
        assert found["accuracy"] == pytest.approx(right.mean())
        rates = [right[truth[row] == sign].mean() for sign in (1, -1)]
        assert found["balanced_accuracy"] == pytest.approx(np.mean(rates))
    assert everyone["map"] == pytest.approx(np.mean([row["ap"] for row in everyone["labels"]]))


def test_the_card_says_where_words_come_from_and_how_it_was_trained(trained):
    card, page = read_card(trained.models / "faces-words"), read_card_page(trained.models / "faces-words")
    config = model_config.read_config(trained.models / "faces-words")
    assert card["words"] == {
        "source": "words.txt",
        "digest": config["words"]["digest"],
        "transform": "whiten",
        "shrinkage": 0.1,
    }
    assert (card["metric"], card["shared"], card["data"]) == (None, "faces", ["pictures"])
    training = card["training"]
    assert training["settings"]["start_from"] == "PATH/faces"
    assert training["settings"]["words"] == "PATH/words.txt"
    imported, trains, encodes, published = training["commands"]
    assert imported == "olrsearch import folder PATH"
    assert trains.startswith("olrsearch train informed-prior --profile tiny --set ")
    assert "--set start_from=PATH/faces --set freeze_trunk=true" in trains
    assert encodes == "olrsearch encode"
    assert published.endswith("--name faces-words --half --share faces")
    for said in (
        "Posteriors in a space of words",
        f"a Gaussian of d = {config['k']} dimensions",
        "λ = 0.1",
        card["words"]["digest"],
        "The trunk is that of the encoder `PATH/faces`, which training left as it was",
        "the tensors it has in common with `faces` lie in that folder beside it",
        "Opposites are neighbours",
        "A negated word",
        "average precision of describing",
        "## What it must not be used for",
    ):
        assert said in page, said
    assert "label distances" not in page
    assert "embedding" not in page.split("## Known limits")[0].split("## Model")[1].replace(
        "label embeddings", ""
    )
    assert "\n\n\n" not in page
    assert not [line for line in page.splitlines() if line != line.rstrip()]
    for text in (page, json.dumps(card)):
        assert str(trained.store.parent) not in text
        assert ".png" not in text


def test_what_cannot_be_published_says_why(trained, tmp_path):
    with Store.open(trained.copy(tmp_path / "store")) as store:
        for share in ("faces", trained.models / "faces", "nobody"):
            with pytest.raises(ModelFileError, match=r"is no encoder in .*copy its folder there first"):
                store.encoders.publish(trained.space, tmp_path / "out", name="words", share=share)
        shutil.copytree(trained.models / "faces", tmp_path / "out" / "faces")
        with pytest.raises(ModelFileError, match="cannot share tensors with itself"):
            store.encoders.publish(trained.space, tmp_path / "out", name="faces", share="faces", replace=True)
        shutil.copytree(trained.models / "faces-words", tmp_path / "out" / "shares")
        with pytest.raises(ModelFileError, match="takes tensors from faces already"):
            store.encoders.publish(trained.space, tmp_path / "out", name="words", share="shares")
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["faces", "shares"]
        store.labels.set([name(1)], "red", "unknown", who="me")
        with pytest.raises(CalibrationError, match="run olrsearch calibrate again"):
            store.encoders.publish(trained.space, tmp_path / "out", name="words")


def test_posteriors_that_nobody_calibrated_have_nothing_to_bring(trained, plain, tmp_path):
    with Store.open(trained.store, read_only=True) as store:
        model = store.encoders.get(trained.space).path
    with Store.open(plain) as store:
        store.encode(model)
        with pytest.raises(CalibrationError, match="has no calibration that others could use"):
            store.encoders.publish(None, tmp_path / "out", name="words")  # the only space there is


def test_rounding_that_changes_the_model_is_refused(trained, tmp_path, monkeypatch):
    def ruined(tensors):
        return {
            key: np.zeros_like(array, np.float16) if key.endswith("head.1.weight") else array
            for key, array in tensors.items()
        }

    monkeypatch.setattr(model_files, "halved", ruined)
    with (
        Store.open(trained.store) as store,
        pytest.raises(EncoderError, match=r"changes a probability by 0\.\d+, at most 0\.05"),
    ):
        store.encoders.publish(trained.space, tmp_path / "out", name="mine", half=True)
    assert not list((tmp_path / "out").iterdir())


def test_reports_of_words_are_taken(trained, tmp_path):
    good(
        trained.store, "bench", "attributes", "--space", trained.space, "--out", tmp_path / "p1", "--seed", 6
    )
    report = json.loads((tmp_path / "p1.json").read_text())
    assert (report["protocol"], report["data"]["labels"]) == ("P1", 4)
    assert sorted(report["results"]["methods"]) == ["encoder", "majority"]
    assert "| word " in (tmp_path / "p1.md").read_text()
    with Store.open(trained.store) as store:
        folder = store.encoders.publish(
            trained.space, tmp_path / "out", name="mine", reports=[tmp_path / "p1.json"]
        )
        card = read_card(folder)
        assert card["measured"]["seed"] == 6
        assert card["measured"]["groups"] == read_card(trained.models / "faces-words")["measured"]["groups"]
        assert (card["shared"], card["rounding"]) == (None, None)
        with pytest.raises(BenchmarkError, match="of 4 labels × 6 numbers"):
            store.encoders.publish(None, tmp_path / "out", name="other", reports=[tmp_path / "p1.json"])


def test_a_rounded_encoder_is_published_from_the_store_it_was_trained_in(trained, tmp_path):
    """So that defaults and figures can be those of the very weights that ship, trunk and all."""
    store = trained.copy(tmp_path / "store")
    shutil.copytree(trained.models, tmp_path / "halved")
    good(store, "-q", "encode", "--encoder", tmp_path / "halved" / "faces-words")
    space = good(store, "store", "info", "--json").row["spaces"][2]["name"]
    good(store, "-q", "calibrate", "--space", space)
    shutil.copytree(trained.models / "faces", tmp_path / "out" / "faces")
    good(store, "encoders", "publish", space, tmp_path / "out", "--name", "faces-words", "--share", "faces")
    folder = tmp_path / "out" / "faces-words"
    assert model_config.read_config(folder) == model_config.read_config(trained.models / "faces-words")
    card = read_card(folder)
    assert card["rounding"] is None
    assert card["training"]["commands"][-1] == (
        f"olrsearch encoders publish {space} OUT_DIR --name faces-words --share faces"
    )
    assert card["calibration"].endswith(" selection images of pictures")
    shutil.rmtree(tmp_path / "halved")
    assert good(store, "store", "verify").out.endswith(": whole\n")


# -- shipped -----------------------------------------------------------------------------


@pytest.mark.usefixtures("shipped_words")
def test_both_layouts_are_listed_and_the_label_encoder_is_the_default(tmp_path):
    faces, words = list_encoders()
    assert (faces.name, faces.layout, faces.default) == ("faces", "labels", True)
    assert (words.name, words.layout, words.default) == ("faces-words", "posterior", False)
    assert default_encoder() == faces
    assert find_encoder(words.fingerprint[:10]) == words
    found = encoder_details(words)
    assert found["calibration"].endswith("shipped with the encoder")
    assert found["metric"] is None
    head, first, second, _ = good(tmp_path / "nowhere", "encoders", "list").out.splitlines()
    assert "layout" in head
    assert first.split()[:6] == ["*", "faces", "shipped", "olr", "labels", "4"]
    assert second.split()[:5] == ["faces-words", "shipped", "informed-prior", "posterior", "4"]
    out = good(tmp_path / "nowhere", "encoders", "info", "faces-words").out
    assert "brings: probabilities calibrated on " in out
    assert "distances by" not in out
    assert "gives: a posterior of 6 dimensions" in out


def test_words_are_asked_without_training_or_labels(shipped_words, plain):
    good(plain, "encode")
    spaces = good(plain, "store", "info", "--json").row["spaces"]
    assert [space["name"].rsplit("-", 1)[0] for space in spaces] == ["faces"]
    assert "40 encoded" in good(plain, "encode", "--encoder", "faces-words").err
    kept = plain / "models" / find_encoder("faces-words").fingerprint
    assert not (kept / "shared.json").exists()
    called = good(plain, "words", "bright", "!red", "-k", 5, "--json")
    assert len(called.rows) == 5
    assert "probabilities are calibrated on" in called.err
    assert "shipped with the encoder" in called.err
    with Store.open(plain, read_only=True) as store:
        snapshot = store.session.backend.snapshot()
        opened = OpenPosteriors(snapshot, snapshot.space(layout="posterior"))
        defaults = read_defaults(shipped_words.models / "faces-words")
        assert opened.calibration.to_dict() == defaults.calibration.to_dict()
        store.search("bright", k=3)  # label embeddings are there as well
    assert good(plain, "store", "verify").out.endswith(": whole\n")


def test_a_neighbour_that_is_missing_stops_before_anything_is_copied(trained, plain, tmp_path):
    folder = shutil.copytree(trained.models / "faces-words", tmp_path / "alone" / "faces-words")
    line = refused(plain, "encode", "--encoder", folder)
    assert "copy the folder faces of that model beside it" in line
    assert good(plain, "store", "info", "--json").row["spaces"] == []
    assert not list((plain / "models").iterdir())


# -- the measure itself ------------------------------------------------------------------


def test_describing_measures_groups_apart():
    names = ("Male", "Smiling", "Bald")
    truth = np.array([[1, 1, -1, -1], [1, -1, 1, -1], [0, -1, -1, -1]], np.int8)
    logits = np.array([[3.0, 1.0, -1.0, 2.0], [2.0, 1.0, -1.0, -3.0], [1.0, -1.0, -2.0, -1.0]])
    report = run_describing(logits, truth, names, data={"name": "x"}, fitted_on="others")
    scores = report.methods["encoder"]
    assert scores.label_accuracy.tolist() == [0.75, 0.5, 1.0]
    assert scores.label_ap[:2].tolist() == pytest.approx([(1 + 2 / 3) / 2, (1 + 2 / 3) / 2])
    assert np.isnan(scores.label_ap[2])
    assert list(report.groups) == ["Male", "!Male"]
    assert report.groups["Male"]["encoder"].label_accuracy.tolist() == [1.0, 0.5, 1.0]
    assert (report.support["!Male"].images, report.support["!Male"].positives.tolist()) == (2, [0, 1, 0])
    assert "fitted on others" in report.notes[0]
    assert report.to_dict()["results"]["methods"]["encoder"]["label_ap"][2] is None
    assert "| Bald " in report.to_markdown()


@pytest.mark.parametrize(
    ("logits", "truth", "message"),
    [
        (np.zeros((2, 3)), np.ones((2, 4), np.int8), "expected one entry a word and image"),
        (np.zeros((3, 3)), np.ones((3, 3), np.int8), "and 2 names"),
        (np.zeros((2, 0)), np.ones((2, 0), np.int8), "the gallery is empty"),
        (np.full((2, 3), np.nan), np.ones((2, 3), np.int8), "NaN or infinities"),
    ],
)
def test_describing_refuses_what_does_not_fit(logits, truth, message):
    with pytest.raises(BenchmarkError, match=message):
        run_describing(logits, truth, ("A", "B"), data={})
