import json
import shutil
import socket
import subprocess
import sys

import numpy as np
import pytest
from command import environment
from pictures import LABELS, pixels_and_labels

import olrsearch
from olrsearch.core import resources
from olrsearch.core.errors import ModelFileError
from olrsearch.encoders import registry
from olrsearch.encoders.folder import model_config, model_files
from olrsearch.encoders.folder.shipped import check_name, shipped_encoder, shipped_encoders

BUDGET = 15_000_000


def test_shipped_encoders_are_found_by_name(published):
    (entry,) = shipped_encoders(published.root)
    assert (entry.name, entry.source, entry.default) == ("faces", "shipped", True)
    assert (entry.kind, entry.labels, entry.k, entry.input_size, entry.crop) == (
        "tiny",
        LABELS,
        6,
        (24, 24),
        "none",
    )
    assert entry.fingerprint == model_config.read_config(published.folder)["fingerprint"]
    assert entry.bytes == sum(path.stat().st_size for path in published.folder.iterdir())
    assert entry.notice
    assert shipped_encoder("faces", published.root) == entry
    assert shipped_encoder("face", published.root) is None
    assert shipped_encoder("..", published.root) is None


def test_the_public_function_lists_what_the_package_has(shipped):
    assert [entry.path for entry in olrsearch.shipped_encoders()] == [shipped.folder]


@pytest.mark.usefixtures("nothing_shipped")
def test_a_package_without_encoders():
    assert olrsearch.shipped_encoders() == ()
    assert shipped_encoder("faces") is None


def test_other_folders_are_no_encoders(published, tmp_path):
    shutil.copytree(published.folder, tmp_path / "faces-2")
    shutil.copytree(published.folder, tmp_path / ".faces.partial")
    (tmp_path / "notes").mkdir()
    (tmp_path / "README.md").write_text("what this is")
    (entry,) = shipped_encoders(tmp_path)
    assert (entry.name, entry.default) == ("faces-2", False)


def test_a_damaged_encoder_is_named(published, tmp_path):
    shutil.copytree(published.folder, tmp_path / "faces")
    (tmp_path / "faces" / "config.json").write_text("{}")
    with pytest.raises(ModelFileError, match=r"faces lacks .*; copy the model again"):
        shipped_encoders(tmp_path)


@pytest.mark.parametrize(
    "name", ["", "Faces", "../faces", "faces/2", "2faces", "faces-", "a--b", "gesichter ö"]
)
def test_names_that_cannot_be_folders_are_refused(name):
    check_name("faces-large-2")
    with pytest.raises(ModelFileError, match="cannot be published as"):
        check_name(name)


def test_what_the_package_ships_is_whole_and_small():
    root = resources.models_dir()
    assert (root / "README.md").is_file()
    total = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    assert total <= BUDGET
    for entry in shipped_encoders():
        model_files.read_tensors(entry.path)
        assert {path.name for path in entry.path.iterdir()} - {"shared.json"} == {
            "config.json",
            "weights.safetensors",
            "defaults.json",
            "fit.json",
            "fit.safetensors",
            "card.json",
            "MODEL_CARD.md",
        }


def test_loading_and_encoding_touch_no_network(published, monkeypatch):
    def refused(*_, **__):
        raise AssertionError("the network was touched")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refused)
    encoder = registry.load(shipped_encoders(published.root)[0].path)
    pixels, _ = pixels_and_labels(3)
    assert np.isfinite(encoder.encode(pixels)).all()


def test_listing_loads_neither_torch_nor_a_network(published):
    code = (
        "import pathlib, sys\n"
        "import olrsearch\n"
        "print([entry.name for entry in olrsearch.shipped_encoders(pathlib.Path(sys.argv[1]))])\n"
        "assert not {'torch', 'lightning', 'faiss', 'sqlalchemy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(published.root)],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "['faces']\n"


def test_entries_as_json(published):
    (entry,) = shipped_encoders(published.root)
    row = json.loads(json.dumps(entry.to_dict()))
    assert list(row) == [
        "name",
        "source",
        "kind",
        "layout",
        "labels",
        "k",
        "input_size",
        "crop",
        "bytes",
        "fingerprint",
        "notice",
        "default",
        "has_decoder",
        "path",
    ]
    assert row["labels"] == list(LABELS)
