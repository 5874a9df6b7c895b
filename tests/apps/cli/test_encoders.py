"""Encoders by the command line, and a store that nobody trained or labelled."""

import json
import shutil
import socket
import subprocess
import sys

import pytest
from command import call, environment, good, refused
from command_reference import json_keys
from olrsearch_benchmarks.on_a_store import speed_cases
from pictures import LABELS, name, picture, write_pictures
from tiny_encoders.labels import TinyEncoder

from olrsearch import Store
from olrsearch.encoders.folder import model_config
from olrsearch.encoders.folder.defaults import read_defaults

# A process of its own with the tests' encoders in its package, and without a network: it runs the
# commands it is given as JSON, and prints what came of each.
PROGRAM = """
import contextlib, io, json, pathlib, socket, sys
from olrsearch.core import resources
models, store, commands = sys.argv[1:]
resources.models_dir = lambda: pathlib.Path(models)
def refused(*_, **__):
    raise AssertionError('the network was touched')
socket.create_connection = socket.getaddrinfo = refused
socket.socket.connect = refused
from olrsearch.apps.cli import run
for command in json.loads(commands):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(['--store', store, *command])
    print(json.dumps({'code': code, 'out': out.getvalue(), 'err': err.getvalue()}))
assert not {'torch', 'lightning', 'faiss', 'matplotlib', 'onnx', 'onnxruntime'} & set(sys.modules)
"""


@pytest.fixture
def plain(tmp_path):
    """A store of pictures without labels, nothing encoded."""
    write_pictures(tmp_path / "pictures", 60, first=200)
    (tmp_path / "pictures" / "labels.csv").unlink()
    good(tmp_path / "store", "import", "folder", tmp_path / "pictures")
    return tmp_path / "store"


@pytest.fixture
def encoded(shipped, plain):
    good(plain, "encode", "--encoder", shipped.folder.name)
    return plain


# -- lists and cards ---------------------------------------------------------------------


@pytest.mark.usefixtures("shipped")
def test_listing_needs_no_store(tmp_path):
    (row,) = good(tmp_path / "nowhere", "encoders", "list", "--json").rows
    assert list(row) == list(json_keys()["encoders list"][1])
    assert (row["name"], row["source"], row["default"], row["labels"]) == (
        "faces",
        "shipped",
        True,
        list(LABELS),
    )
    head, line, said = good(tmp_path / "nowhere", "encoders", "list").out.splitlines()
    assert head.split()[:2] == ["name", "source"]
    assert line.split()[:6] == ["*", "faces", "shipped", "tiny", "labels", "4"]
    assert line.endswith(row["fingerprint"][:12])
    assert "when none is named" in said
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.usefixtures("shipped")
def test_a_stores_encoders_are_listed_too(gallery):
    rows = good(gallery.store, "encoders", "list", "--json").rows
    assert [(row["source"], row["default"]) for row in rows] == [("shipped", False), ("store", True)]
    lines = good(gallery.store, "encoders", "list").out.splitlines()
    assert [line.startswith("*") for line in lines] == [False, False, True, True]


@pytest.mark.usefixtures("nothing_shipped")
def test_nothing_to_list(tmp_path):
    called = good(tmp_path / "nowhere", "encoders", "list")
    assert not called.out
    assert "run olrsearch train" in called.err
    assert not good(tmp_path / "nowhere", "encoders", "list", "--json").out


def test_reading_up_on_one(shipped, tmp_path):
    out = good(tmp_path / "nowhere", "encoders", "info", "faces").out
    card = good(tmp_path / "nowhere", "encoders", "info", "faces", "--card").out
    row = good(tmp_path / "nowhere", "encoders", "info", "faces", "--json").row
    assert list(row) == list(json_keys()["encoders info"][1])
    assert card == (shipped.folder / "MODEL_CARD.md").read_text("utf-8")
    for said in (
        "faces (shipped): tiny",
        "24 × 24 pixels",
        "labels: Bright, Red, Striped, Framed",
        "calibrated on 24 selection images of pictures",
        "trained on: pictures, 48 images and 24 held back, seed 4",
        "olrsearch train olr --profile tiny",
        "figures: olrsearch bench attributes, 48 images of pictures",
        "licence: ",
        "--card",
    ):
        assert said in out
    for figures in row["card"]["measured"]["groups"][0]["labels"]:
        assert f"{figures['label']} " in out
        assert f"{figures['ap']:.3f}" in out
    assert row["settings"]["kind"] == "tiny"


def test_reading_up_on_one_of_a_store_or_folder(gallery, model):
    space = good(gallery.store, "store", "info", "--json").row["spaces"][0]
    by_name = good(gallery.store, "encoders", "info", space["name"]).out
    assert f"{space['name']} (store): tiny, {space['fingerprint']}" in by_name
    assert "brings: neither calibration nor metric" in by_name
    assert "no model card" in by_name
    assert "(folder): tiny" in good("nowhere", "encoders", "info", model).out
    assert refused(gallery.store, "encoders", "info", space["name"], "--card").endswith(
        "olrsearch encoders publish writes one"
    )


def test_a_trained_encoders_settings_are_shown(world):
    space = good(world.store, "store", "info", "--json").row["spaces"][0]["name"]
    assert "setting teacher_epochs: 2" in good(world.store, "encoders", "info", space).out


@pytest.mark.usefixtures("shipped")
def test_unknown_encoders(gallery, tmp_path):
    for store in (tmp_path / "nowhere", gallery.store):
        line = refused(store, "encoders", "info", "facs")
        assert "no encoder has the name or fingerprint 'facs'" in line
        assert "shipped with olrsearch: faces" in line
    assert call(gallery.store, "encoders", "info", "faces", "--json", "--card").code == 2


# -- publishing --------------------------------------------------------------------------


def test_publishing_says_where_and_what(published, tmp_path):
    space = good(published.store, "store", "info", "--json").row["spaces"][0]["name"]
    called = good(
        published.store,
        "encoders",
        "publish",
        space,
        tmp_path / "out",
        "--name",
        "mine",
        "--hardware",
        "one lamp",
    )
    first, second = called.err.splitlines()
    assert first.startswith(f"published {tmp_path / 'out' / 'mine'}: 0.0 MB, ")
    assert second == f"use it: olrsearch encode --encoder {tmp_path / 'out' / 'mine'}"
    assert (
        "Trained on one lamp" in good("nowhere", "encoders", "info", tmp_path / "out" / "mine", "--card").out
    )
    assert "exists: give --replace" in refused(
        published.store, "encoders", "publish", space, tmp_path / "out", "--name", "mine"
    )
    assert call(published.store, "encoders", "publish", space, tmp_path).code == 2


def test_a_trained_space_is_published_and_used_elsewhere(world, plain, tmp_path, monkeypatch):
    def no_network(*_, **__):
        raise AssertionError("the network was touched")

    store = world.copy(tmp_path / "trained")  # what the teacher says is kept in its run
    space = good(store, "store", "info", "--json").row["spaces"][0]["name"]
    good(store, "encoders", "publish", space, tmp_path / "out", "--name", "avatars", "--half")
    card = good("nowhere", "encoders", "info", tmp_path / "out" / "avatars", "--json").row["card"]
    assert card["terms"]["subject"] == "own"  # CelebA's layout, and other labels
    assert card["training"]["commands"][1] == "olrsearch train olr --profile tiny --set seed=3"
    assert 0 < card["rounding"]["largest"] < 0.02
    for name_ in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name_, no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    good(plain, "encode", "--encoder", tmp_path / "out" / "avatars")
    called = good(plain, "search", "smiling & eyeglasses", "-k", 3, "--json")
    assert len(called.rows) == 3
    assert "shipped with the encoder" in called.err


# -- without training --------------------------------------------------------------------


@pytest.mark.slow
def test_from_a_folder_to_answers_without_training_or_labels(shipped, plain, tmp_path):
    """As a person does it, in a process that can reach no network and imports no torch."""
    sheet = tmp_path / "sheet.html"
    commands = [
        ("encode",),
        ("encode",),
        ("search", "bright & !red", "-k", 8, "--json", "--sheet", sheet),
        ("similar", name(201), "-k", 3),
        ("similar", name(201), "--by", "red", "-k", 3),
        ("similar", "--with", f"bright={name(201)}", "--with", f"red={name(202)}", "-k", 3),
        ("describe", name(201)),
        ("describe", tmp_path / "pictures" / name(201)),
        ("index", "build"),
        ("label", "list"),
        ("store", "verify"),
        ("encoders", "list"),
    ]
    asked = json.dumps([[str(word) for word in command] for command in commands])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(shipped.root), str(plain), asked],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    called = [json.loads(line) for line in done.stdout.splitlines()]
    assert [item["code"] for item in called] == [0] * len(commands), called
    assert all(item["out"] for item in called[2:8])
    first, again, found, *_ = called
    first = first["err"].splitlines()
    assert first[0] == (
        "no encoder here yet: using faces, which comes with olrsearch, for images like those it was trained "
        "on, on the terms of whoever published it (olrsearch encoders info faces --card)"
    )
    assert "60 encoded" in first[1]
    assert "does not know which images it was trained on" in first[2]
    assert len(first) == 3
    assert "no encoder here yet" not in again["err"]
    assert "60 had embeddings" in again["err"]
    rows = [json.loads(line) for line in found["out"].splitlines()]
    truth = [picture(int(row["key"][:4]))[1][:2] for row in rows]
    assert truth.count((1, -1)) >= 7
    assert sheet.stat().st_size > 10_000
    assert "note: probabilities are calibrated on 24 selection images of pictures, shipped" in found["err"]


def test_probabilities_use_what_came_with_the_encoder(encoded, shipped):
    defaults = read_defaults(shipped.folder)
    with Store.open(encoded, read_only=True) as store:
        opened = store.session.space(None)
        assert store.info()["spaces"][0]["calibrated"]
        assert not store.info()["spaces"][0]["calibration_stale"]
        assert opened.calibration.to_dict() == defaults.calibration.to_dict()
        assert opened.metric.to_dict() == defaults.metric.to_dict()
        raw = opened.readout.logits(store.looks.embedding(name(203))[:, None])
        wanted = defaults.calibration.probability(raw, range(4))[:, 0]
        (described,) = store.describe(name(203))
    found = {item.label: item.probability for item in described}
    assert [found[label] for label in LABELS] == pytest.approx(wanted.tolist())
    assert max(abs(1 / (1 + pow(2.718281828, -float(raw[row, 0]))) - wanted[row]) for row in range(4)) > 0.01


def test_the_space_is_called_after_the_encoder(encoded, shipped):
    fingerprint = model_config.read_config(shipped.folder)["fingerprint"]
    (space,) = good(encoded, "store", "info", "--json").row["spaces"]
    assert (space["name"], space["fingerprint"]) == (f"faces-{fingerprint[:8]}", fingerprint)
    for named in ("faces", space["name"], fingerprint[:10], shipped.folder):
        called = good(encoded, "encode", "--encoder", named)
        assert "60 had embeddings" in called.err
        assert "no encoder here yet" not in called.err
    assert len(good(encoded, "store", "info", "--json").row["spaces"]) == 1


def test_what_needs_labels_says_so(encoded):
    assert "has no stored label that faces-" in refused(encoded, "calibrate")
    assert "those that came with the encoder stay" in refused(encoded, "calibrate", "--where", "id > 0")
    for protocol in ("attributes", "queries", "similar", "richness"):
        line = refused(encoded, "bench", protocol)
        assert "has no stored label that faces-" in line
        assert "import a data set with labels" in line
    assert "import labels, or compare with an image" in refused(encoded, "similar", "--prototype", "bright")
    assert "import a labelled data set first" in refused(encoded, "train", "olr")
    assert "Bright" in refused(encoded, "search", "bright", "--where", "Bright = present")


@pytest.mark.parametrize("evidence", ["labels", "both"])
def test_evidence_that_is_not_there_is_said(encoded, evidence):
    err = good(encoded, "search", "bright", "-k", 3, "--evidence", evidence).err
    assert "is stored here: stored labels say nothing" in err
    assert ("probabilities are calibrated" in err) == (evidence == "both")


def test_speed_is_measured_without_labels(encoded):
    with Store.open(encoded, read_only=True) as store:
        cases = speed_cases(store)
        assert len(cases) == 4
        for case in cases:
            assert case.ours() is not None
            assert case.theirs() is not None


@pytest.mark.slow
@pytest.mark.usefixtures("shipped")
def test_labels_of_ones_own_replace_what_came(plain, tmp_path):
    write_pictures(tmp_path / "labelled", 80)
    good(plain, "import", "folder", tmp_path / "labelled", "--labels", tmp_path / "labelled" / "labels.csv")
    called = good(plain, "encode")
    assert "140 encoded" in called.err
    # The encoder's own calibration stays until another is asked for.
    assert "calibrat" not in called.err
    note = good(plain, "search", "bright", "-k", 1).err
    assert "run olrsearch calibrate to fit them to the labels of this store" in note
    good(plain, "calibrate")
    assert not good(plain, "search", "bright", "-k", 1).err
    good(plain, "encode", "--encoder", "faces")
    assert not good(plain, "search", "bright", "-k", 1).err  # and is not taken a second time
    space = good(plain, "store", "info", "--json").row["spaces"][0]
    assert (space["calibrated"], space["calibration_stale"]) == (True, False)


def test_damaged_defaults_stop_before_anything_is_copied(published, plain, tmp_path):
    folder = shutil.copytree(published.folder, tmp_path / "mine")
    content = json.loads((folder / "defaults.json").read_text())
    content["calibration"]["offset"][0] = 3.0
    (folder / "defaults.json").write_text(json.dumps(content))
    line = refused(plain, "encode", "--encoder", folder)
    assert "defaults.json does not match its checksum; copy the model again" in line
    assert good(plain, "store", "info", "--json").row["spaces"] == []
    assert not list((plain / "models").iterdir())


def test_defaults_of_another_model_are_refused(published, gallery, plain, tmp_path):
    folder = shutil.copytree(gallery.model, tmp_path / "mine")
    shutil.copy(published.folder / "defaults.json", folder)
    line = refused(plain, "encode", "--encoder", folder)
    assert "defaults.json is about another model than the one beside it" in line


def test_damage_in_the_stores_copy_is_found_and_mended(encoded):
    (copy,) = (encoded / "models").iterdir()
    (copy / "defaults.json").write_text("{}")
    called = call(encoded, "store", "verify")
    assert called.code == 1
    assert "defaults.json does not match its checksum" in called.out
    good(encoded, "encode", "--encoder", "faces")
    assert good(encoded, "store", "verify").out.endswith(": whole\n")


def test_a_space_that_had_nothing_is_given_both_later(published, plain, tmp_path):
    bare = shutil.copytree(published.folder, tmp_path / "bare")
    (bare / "defaults.json").unlink()
    assert "is not calibrated" in good(plain, "encode", "--encoder", bare).err
    assert "and no label is stored to fit them to" in good(plain, "search", "bright", "-k", 1).err
    good(plain, "encode", "--encoder", published.folder)
    assert "shipped with the encoder" in good(plain, "search", "bright", "-k", 1).err


@pytest.mark.usefixtures("shipped")
def test_a_trained_encoder_is_preferred_to_the_shipped_one(plain, tmp_path):
    TinyEncoder.create(tmp_path / "models", LABELS, k=3)
    (folder,) = (tmp_path / "models").iterdir()
    good(plain, "encode", "--encoder", folder)
    called = good(plain, "encode")
    assert "60 had embeddings" in called.err
    assert "faces" not in called.err


@pytest.mark.usefixtures("shipped")
def test_no_encoder_is_announced_where_there_is_nothing_to_encode(tmp_path):
    good(tmp_path / "store", "store", "create")
    called = call(tmp_path / "store", "encode")
    assert called.code == 1
    assert (
        called.err
        == f"error: the store holds no images: run olrsearch --store {tmp_path}/store import first\n"
    )


@pytest.mark.usefixtures("nothing_shipped")
def test_nothing_shipped_and_nothing_trained(plain):
    line = refused(plain, "encode")
    assert "run olrsearch train, or name a model folder with --encoder" in line
