"""Publishing an encoder: what is in the folder, and what is refused."""

import json
import shutil

import numpy as np
import pytest
from pictures import LABELS, name, picture, pixels_and_labels, write_pictures
from PIL import Image
from tiny_encoders.labels import TinyEncoder
from trained import add_run

from olrsearch import Store
from olrsearch.core.errors import (
    BenchmarkError,
    CalibrationError,
    EncoderError,
    ModelFileError,
    UnknownSpaceError,
)
from olrsearch.datasets.celeba_files import (
    ATTRIBUTES,
    IDENTITY,
    PARTITION,
    format_attributes,
    format_numbers,
)
from olrsearch.encoders import registry
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.folder.card import read_card, read_card_page
from olrsearch.encoders.folder.defaults import read_defaults
from olrsearch.evaluation.attributes import run_attributes


@pytest.fixture
def trained(published, tmp_path):
    """The store the published encoder was trained in, to be changed."""
    shutil.copytree(published.store, tmp_path / "trained")
    with Store.open(tmp_path / "trained") as store:
        yield store


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_half_and_full_are_two_encoders_with_like_embeddings(trained, published, tmp_path):
    full = trained.encoders.publish(None, tmp_path / "out", name="full")
    assert full == tmp_path / "out" / "full"
    one, other = registry.load(full), registry.load(published.folder)
    assert one.fingerprint == trained.info()["spaces"][0]["fingerprint"] != other.fingerprint
    assert model_config.read_config(published.folder)["rounded_from"] == one.fingerprint
    pixels, _ = pixels_and_labels(40, seed=3)
    before, after = one.encode(pixels), other.encode(pixels)
    assert not np.array_equal(before, after)
    np.testing.assert_allclose(after, before, atol=4e-3 * np.abs(before).max())
    rounding = read_card(published.folder)["rounding"]
    assert rounding["images"] == 120
    assert 0 < rounding["mean"] < rounding["largest"] < 0.01
    assert read_card(full)["rounding"] is None
    assert "float16" not in read_card_page(full)


def test_the_folder_holds_the_model_its_defaults_and_its_card(published):
    assert sorted(files(published.folder)) == [
        "MODEL_CARD.md",
        "card.json",
        "config.json",
        "defaults.json",
        "weights.safetensors",
    ]
    assert [path.name for path in published.root.iterdir()] == ["faces"]  # and no debris
    with Store.open(published.store, read_only=True) as store:
        info = store.session.backend.snapshot().space()
        metric = store.indexes.metric()
    defaults = read_defaults(published.folder)
    assert defaults.calibration.slope.tolist() == info.calibration["slope"]
    assert defaults.calibration.offset.tolist() == info.calibration["offset"]
    assert (info.calibration["label_revision"], defaults.calibration.label_revision) == (0, None)
    assert defaults.calibration.split == "24 selection images of pictures, shipped with the encoder"
    assert defaults.metric.to_dict() == metric.to_dict()


def test_the_cards_figures_are_those_of_p1(published):
    with Store.open(published.store, read_only=True) as store:
        report = run_attributes(store.bench.data())
    measured = read_card(published.folder)["measured"]
    (everyone,) = measured["groups"]
    assert everyone["map"] == report.methods["encoder"].map
    assert everyone["images"] == 48
    assert [row["label"] for row in everyone["labels"]] == list(LABELS)
    for place, row in enumerate(everyone["labels"]):
        truth = [picture(image)[1][place] for image in range(120) if image % 5 > 2]
        assert (row["positives"], row["negatives"]) == (truth.count(1), truth.count(-1))
        assert row["ap"] == report.methods["encoder"].label_ap[place]
        assert f"| {row['label']} |" in read_card_page(published.folder)


def test_nothing_of_the_images_is_in_the_folder(published):
    for content in files(published.folder).values():
        assert b".png" not in content
        assert str(published.store.parent).encode() not in content


def test_publishing_again_writes_the_same_bytes(trained, published, tmp_path):
    again = trained.encoders.publish(None, tmp_path / "out", name="faces", half=True)
    assert files(again) == files(published.folder)


def test_nothing_is_written_over_unasked(trained, tmp_path):
    folder = trained.encoders.publish(None, tmp_path, name="mine")
    before = files(folder)
    with pytest.raises(ModelFileError, match=r"mine exists: give --replace"):
        trained.encoders.publish(None, tmp_path, name="mine", half=True)
    assert files(folder) == before
    trained.encoders.publish(None, tmp_path, name="mine", half=True, hardware="two hands", replace=True)
    assert files(folder) != before
    assert read_card(folder)["training"]["hardware"] == "two hands"
    assert not list(tmp_path.glob(".*"))


def test_reports_that_are_given_are_not_measured_again(trained, tmp_path, monkeypatch):
    p1 = {**run_attributes(trained.bench.data(), seed=5).to_dict(), "command": "measured elsewhere"}
    p2 = {
        "protocol": "P2",
        "data": p1["data"],
        "results": {
            "counts": {"A": 3, "all": 3},
            "scores": {
                kind: {"ours": {"ap": 0.5, "p20": 0.25}, "teacher": {"ap": 1.0, "p20": 1.0}}
                for kind in ("A", "all")
            },
        },
    }
    paths = [tmp_path / "p1.json", tmp_path / "p2.json"]
    for path, report in zip(paths, (p1, p2), strict=True):
        path.write_text(json.dumps(report))

    def measured(*_, **__):
        raise AssertionError("P1 was measured")

    monkeypatch.setattr("olrsearch.pipeline.publishing.publish.run_attributes", measured)
    folder = trained.encoders.publish(None, tmp_path / "out", name="mine", reports=paths)
    card = read_card(folder)
    assert (card["measured"]["command"], card["measured"]["seed"]) == ("measured elsewhere", 5)
    assert card["queries"] == [
        {"kind": "A", "queries": 3, "ap": 0.5, "p20": 0.25},
        {"kind": "all", "queries": 3, "ap": 0.5, "p20": 0.25},
    ]
    assert "| A | 3 | 0.500 | 0.250 |" in read_card_page(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda report: report.clear(), "is no report"),
        (lambda report: report.update(protocol="P3"), "is a report of P3: a card takes"),
        (lambda report: report["data"].update(dimensions=7), "of 4 labels × 7 numbers"),
        (lambda report: report["data"].update(labels=5), "of 5 labels × 6 numbers"),
        (lambda report: report["results"]["label_names"].reverse(), "by other names"),
        (lambda report: report["results"].pop("support"), "run olrsearch bench attributes --out again"),
    ],
)
def test_reports_of_something_else_are_refused(trained, tmp_path, change, message):
    report = run_attributes(trained.bench.data(), resamples=20).to_dict()
    change(report)
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    with pytest.raises(BenchmarkError, match=message) as caught:
        trained.encoders.publish(None, tmp_path / "out", name="mine", reports=[path])
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_the_same_protocol_twice_is_refused(trained, tmp_path):
    path = tmp_path / "report.json"
    path.write_text(json.dumps(run_attributes(trained.bench.data(), resamples=20).to_dict()))
    with pytest.raises(BenchmarkError, match="is another report of P1"):
        trained.encoders.publish(None, tmp_path / "out", name="mine", reports=[path, path])
    with pytest.raises(BenchmarkError, match="is no report"):
        trained.encoders.publish(None, tmp_path / "out", name="mine", reports=[tmp_path / "nothing.json"])


def test_names_and_spaces_are_checked_first(trained, tmp_path):
    with pytest.raises(ModelFileError, match="cannot be published as"):
        trained.encoders.publish(None, tmp_path / "out", name="../out")
    with pytest.raises(UnknownSpaceError, match="nothing"):
        trained.encoders.publish("nothing", tmp_path / "out", name="mine")
    assert not (tmp_path / "out").exists()


def test_a_space_without_calibration_has_nothing_to_bring(gallery, tmp_path):
    write_pictures(tmp_path / "pictures", 5)
    with Store.create(tmp_path / "store") as store:
        store.import_folder(tmp_path / "pictures")
        store.encode(gallery.model)
        with pytest.raises(CalibrationError, match="run olrsearch calibrate first"):
            store.encoders.publish(None, tmp_path / "out", name="mine")


def test_a_stale_calibration_is_refused(trained, tmp_path):
    trained.labels.set([name(1)], "red", "unknown", who="me")
    with pytest.raises(CalibrationError, match="run olrsearch calibrate again"):
        trained.encoders.publish(None, tmp_path / "out", name="mine")
    trained.encoders.calibrate()
    assert trained.encoders.publish(None, tmp_path / "out", name="mine").is_dir()


def test_rounding_is_compared_on_pictures_that_are_there(gallery, published, tmp_path):
    store = shutil.copytree(published.store, tmp_path / "store")
    shutil.copytree(gallery.data, tmp_path / "pictures")
    with Store.open(store) as opened:
        opened.relocate("pictures", tmp_path / "pictures")
        for path in (tmp_path / "pictures").glob("*[1-9].png"):
            path.unlink()
        folder = opened.encoders.publish(None, tmp_path / "out", name="few", half=True)
        assert read_card(folder)["rounding"]["images"] == 12
        shutil.rmtree(tmp_path / "pictures")
        with pytest.raises(EncoderError, match=r"relocate the data set .* or publish without --half"):
            opened.encoders.publish(None, tmp_path / "out", name="none", half=True)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["few"]


def test_rounding_that_changes_the_model_is_refused(trained, tmp_path, monkeypatch):
    def ruined(tensors):
        return {
            key: np.zeros_like(array, np.float16) if key == "directions" else array
            for key, array in tensors.items()
        }

    monkeypatch.setattr(model_files, "halved", ruined)
    with pytest.raises(EncoderError, match=r"changes a probability by 0\.\d+, at most 0\.05"):
        trained.encoders.publish(None, tmp_path / "out", name="mine", half=True)
    assert not list((tmp_path / "out").iterdir())


def test_a_rounded_encoder_is_measured_in_the_store_it_was_trained_in(trained, published, tmp_path):
    """So that defaults and figures can be those of the very weights that are published."""
    trained.encode(published.folder)
    info = trained.session.backend.snapshot().space()
    assert info.calibration["split"].endswith("shipped with the encoder")
    report = trained.encoders.calibrate()
    assert (report.calibration.split, report.calibration.count) == ("selection", 24)
    with pytest.raises(ModelFileError, match="in half precision already: leave --half out"):
        trained.encoders.publish(None, tmp_path / "out", name="mine", half=True)
    folder = trained.encoders.publish(None, tmp_path / "out", name="mine")
    assert model_config.read_config(folder) == model_config.read_config(published.folder)
    card = read_card(folder)
    assert (card["rounding"], card["training"]["seed"]) == (None, 4)
    halved, encoded, calibrated, published_last = card["training"]["commands"][-4:]
    assert halved.endswith("HALF_DIR --name mine --half")
    assert encoded == "olrsearch encode --encoder HALF_DIR/mine"
    assert calibrated == f"olrsearch calibrate --space {info.name}"
    assert published_last == f"olrsearch encoders publish {info.name} OUT_DIR --name mine"
    assert card["measured"]["groups"][0]["map"] == pytest.approx(
        read_card(published.folder)["measured"]["groups"][0]["map"], abs=0.02
    )


def test_what_others_published_keeps_their_card(published, gallery, tmp_path):
    with Store.create(tmp_path / "store") as store:
        store.import_folder(gallery.data, labels=gallery.data / "labels.csv")
        store.encode(published.folder)
        with pytest.raises(ModelFileError, match=r"its card is theirs: copy .*models"):
            store.encoders.publish(None, tmp_path / "out", name="mine")


def test_an_encoder_from_elsewhere_needs_a_report(gallery, trained, tmp_path):
    report = tmp_path / "p1.json"
    report.write_text(json.dumps(run_attributes(trained.bench.data(), resamples=20).to_dict()))
    with Store.open(gallery.copy(tmp_path / "store")) as store:
        with pytest.raises(BenchmarkError, match=r"with olrsearch bench attributes --out .* --report"):
            store.encoders.publish(None, tmp_path / "out", name="mine")
        folder = store.encoders.publish(None, tmp_path / "out", name="mine", reports=[report])
    card = read_card(folder)
    assert (card["training"], card["data"]) == (None, [])
    assert card["calibration"] == "96 labelled images outside test of pictures"
    assert "trained outside the store" in read_card_page(folder)


@pytest.mark.slow
def test_faces_have_celebas_terms_and_groups(tmp_path):
    """Pictures in CelebA's layout, with some of its labels."""
    names = ("Male", "Young", "5_o_Clock_Shadow", "Attractive", "Bags_Under_Eyes", "Blurry", "Chubby")
    data, keys = tmp_path / "celeba", [f"{row:06d}.jpg" for row in range(150)]
    (data / "img_align_celeba").mkdir(parents=True)
    made = [picture(row) for row in range(150)]
    for key, (pixels, _) in zip(keys, made, strict=True):
        Image.fromarray(pixels).save(data / "img_align_celeba" / key, quality=95)
    labels = np.array([[*row, *row[:3]] for _, row in made], np.int8)
    (data / ATTRIBUTES).write_bytes(format_attributes(names, keys, labels))
    (data / PARTITION).write_bytes(format_numbers(keys, [(0, 0, 0, 1, 2)[row % 5] for row in range(150)]))
    (data / IDENTITY).write_bytes(format_numbers(keys, list(range(1, 151))))
    encoder = TinyEncoder.fit(tmp_path / "models", names, np.stack([pixels for pixels, _ in made]), labels)
    with Store.create(tmp_path / "store") as store:
        store.import_celeba(data)
        store.encode(tmp_path / "models" / encoder.fingerprint)
        add_run(store.path)
        store.encoders.calibrate()
        folder = store.encoders.publish(None, tmp_path / "out", name="faces", half=True)
    card, page = read_card(folder), read_card_page(folder)
    assert (card["terms"]["subject"], card["data"]) == ("celeba", ["celeba"])
    assert card["terms"]["notice"] == "for aligned face crops and non-commercial research only"
    assert [group["group"] for group in card["measured"]["groups"]] == [
        "all",
        "Male",
        "!Male",
        "Young",
        "!Young",
    ]
    gallery = labels[[row for row in range(150) if row % 5 > 2]]
    everyone, men, others, *_ = card["measured"]["groups"]
    assert everyone["images"] == len(gallery) == men["images"] + others["images"]
    for place, row in enumerate(men["labels"]):
        assert row["positives"] == ((gallery[:, 0] > 0) & (gallery[:, place] > 0)).sum()
    assert men["labels"][0]["balanced_accuracy"] is None  # nobody there lacks it
    for said in (
        "### Only images labelled !Young",
        "Of the training images",
        "## What it must not be used for",
    ):
        assert said in page
    assert "are labelled Male and" in page
