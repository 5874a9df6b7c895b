"""Every command: what it prints, what it exits with, what it refuses."""

import io
import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys

import click
import numpy as np
import pytest
from command import call, environment, good, process, refused
from pictures import LABELS, name, picture, pixels_and_labels, write_pictures

from olrsearch.apps.cli import cli, common
from olrsearch.apps.cli.everywhere import Call

# -- queries -----------------------------------------------------------------------------


def test_search_prints_ranks_keys_scores_and_probabilities(gallery):
    lines = good(gallery.store, "search", "bright & !red", "-k", 4).out.splitlines()
    rows = good(gallery.store, "search", "bright & !red", "-k", 4, "--json").rows
    assert len(lines) == len(rows) == 4
    for line, row in zip(lines, rows, strict=True):
        first, second = row["contributions"]
        assert line.split() == [
            str(row["rank"]),
            row["key"],
            f"{row['score']:.4f}",
            "Bright",
            f"{first['probability']:.2f}",
            "!Red",
            f"{second['probability']:.2f}",
        ]
        assert first["value"] + second["value"] == pytest.approx(row["score"])


def test_search_options(gallery):
    rows = good(gallery.store, "search", "bright", "-k", 3, "--offset", 2, "--json").rows
    assert [row["rank"] for row in rows] == [3, 4, 5]
    cut = good(gallery.store, "search", "bright", "-k", 200, "--min-probability", 0.5, "--json")
    assert all(row["score"] >= np.log(0.5) for row in cut.rows)
    assert "pass the cut-off" in cut.err
    filtered = good(gallery.store, "search", "bright", "--where", f"key = '{name(3)}'", "--json").rows
    assert [row["key"] for row in filtered] == [name(3)]
    labels = good(gallery.store, "search", "bright", "-k", 1, "--evidence", "labels", "--json").row
    assert picture(int(labels["key"][:4]))[1][0] == 1
    nothing = good(gallery.store, "search", "bright", "--where", "key = 'x'")
    assert not nothing.out
    assert "no image answers this query" in nothing.err


def test_similar_options(gallery):
    whole = good(gallery.store, "similar", name(2), "-k", 3)
    assert name(2) not in whole.out
    weighted = good(
        gallery.store, "similar", name(2), "--by", "red^2", "--by", "framed", "-k", 2, "--json"
    ).rows
    assert [part["literal"] for part in weighted[0]["contributions"]] == ["Red^2", "Framed"]
    mixed = good(
        gallery.store, "similar", "--with", f"bright={name(1)}", "--with", f"red={name(2)}", "-k", 2, "--json"
    ).rows
    assert {row["key"] for row in mixed}.isdisjoint({name(1), name(2)})
    for row in (*weighted, *mixed):
        assert sum(part["value"] for part in row["contributions"]) == pytest.approx(row["score"], abs=1e-4)
    assert len(good(gallery.store, "similar", "--prototype", "striped", "-k", 5).out.splitlines()) == 5


def test_similar_needs_something_to_compare(gallery):
    for arguments in ((), ("--by", "red"), (name(1), "--by", "red^lots"), ("--with", "red")):
        assert call(gallery.store, "similar", *arguments).code == 2
    twice = call(gallery.store, "similar", "--with", "red=a", "--with", "red=b")
    assert twice.code == 2
    assert "names 'red' twice" in twice.err
    assert "names 'red' twice" in call(gallery.store, "similar", name(1), "--by", "red", "--by", "red^2").err


@pytest.mark.slow
def test_labels_of_any_name_can_be_asked_for(tmp_path):
    from tiny_encoders.labels import TinyEncoder

    odd = ("x^2", "k=v", 'say "hi"', "<b>black & white</b>")
    pixels, labels = pixels_and_labels(100, seed=4)
    TinyEncoder.fit(tmp_path / "models", odd, pixels, labels[:, : len(odd)], k=4)
    (folder,) = (path.parent for path in (tmp_path / "models").rglob("config.json"))
    write_pictures(tmp_path / "my pictures", 30)
    store = tmp_path / "my store"
    good(store, "import", "folder", tmp_path / "my pictures")
    good(store, "encode", "--encoder", folder)
    for spelt, label in (
        ('"x^2"', "x^2"),
        ('"x^2"^3', "x^2^3"),
        ("x^2^3", "x^2^3"),
        ('"k=v"', "k=v"),
        ('"say ""hi"""', 'say "hi"'),
    ):
        row = good(store, "similar", name(1), "--by", spelt, "-k", 3, "--json").rows[0]
        assert [part["literal"] for part in row["contributions"]] == [label]
    row = good(store, "similar", "--with", f'"k=v"={name(2)}', "-k", 3, "--json").rows[0]
    assert [part["literal"] for part in row["contributions"]] == ["k=v"]
    page = tmp_path / "a sheet.html"
    good(
        store,
        "search",
        '"<b>black & white</b>" & "say ""hi"""',
        "--sheet",
        page,
        "--sheet",
        tmp_path / "s.png",
    )
    assert "<b>black" not in page.read_text("utf-8")


@pytest.mark.slow
def test_what_the_system_refuses_is_one_line(gallery, tmp_path):
    (tmp_path / "file").write_text("no folder")
    called = call(gallery.store, "search", "bright", "--sheet", tmp_path / "file" / "x.html")
    assert called.code == 1
    assert called.err.startswith("error: ")
    assert called.err.count("\n") == 1
    assert refused("unused", "demo", tmp_path / "file", "--count", 200)


def test_no_store_is_made_for_a_data_set_that_is_not_there(tmp_path):
    for kind in ("celeba", "folder", "idx", "cifar100"):
        refused(tmp_path / "store", "import", kind, tmp_path / "nothing")
    assert not (tmp_path / "store").exists()


def test_one_folder_has_one_spelling(gallery, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    around = tmp_path / "here" / ".." / "here" / os.path.relpath(gallery.data, tmp_path / "here")
    good("store", "import", "folder", around, "--name", "pictures")
    again = good("store", "import", "folder", gallery.data, "--name", "pictures", "--json").row
    assert (again["added"], again["unchanged"]) == (0, 120)


@pytest.mark.slow
def test_calibrating_anew_says_which_indexes_are_outdated(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    good(store, "index", "build", "--recipe", "sq8")
    again = good(store, "calibrate", "--where", "partition = 'val'").err
    assert "sq8 was not built with this metric: run olrsearch index build --recipe sq8" in again
    refusal = refused(store, "similar", name(1), "--recipe", "sq8")
    assert refusal.endswith("run olrsearch index build --recipe sq8")


@pytest.mark.slow
def test_a_metric_of_another_version_is_said_and_mended(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    good(store, "index", "build", "--recipe", "sq8")
    with sqlite3.connect(store / "metadata.db") as database:
        database.execute("update artefact set payload = '{\"kind\": \"ip\"}' where kind = 'metric'")
    database.close()
    (store / "metadata.sums").unlink()  # as another program's change, which no checksum knows
    assert "metric: damaged" in good(store, "store", "info").out
    verified = call(store, "store", "verify")
    assert verified.code == 1
    assert "run olrsearch calibrate" in verified.out
    assert "run olrsearch calibrate" in refused(store, "similar", name(1))
    good(store, "calibrate", "--where", "partition != 'test'")
    assert good(store, "store", "verify").out.endswith(": whole\n")


def test_describe_prints_the_most_probable_labels(gallery, tmp_path):
    shutil.copy(gallery.data / name(1), tmp_path / "mine.png")
    out = good(gallery.store, "describe", name(1), tmp_path / "mine.png", "-k", 2).out.splitlines()
    assert len(out) == 6
    assert out[0] == name(1)
    assert "stored: " in out[1]
    assert out[3] == str(tmp_path / "mine.png")
    assert "stored: " not in out[4]
    inside, outside = good(gallery.store, "describe", name(1), tmp_path / "mine.png", "--json").rows
    assert len(inside["estimates"]) == len(LABELS)
    assert [e["probability"] for e in inside["estimates"]] == pytest.approx(
        [e["probability"] for e in outside["estimates"]], abs=1e-5
    )


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("search", "bright & stripd"), ("unknown label 'stripd'", "did you mean Striped")),
        (("search", "bright &"), ("position 9",)),
        (("search", "bright\n& & red"), ("(position 10: bright & «here»& red)",)),
        (("search", "bright^1e308"), ("finite number above 0",)),
        (("search", "bright", "--sheet", "answer.pdf"), ("ends in .html or .png, found '.pdf'",)),
        (("search", "bright", "--sheet", "answer"), ("found no suffix in 'answer'",)),
        (("similar", name(1), "--by", "bright^1e308"), ("finite number above 0",)),
        (("similar", name(1), "--max-distance", "nan"), ("expected a distance",)),
        (("import", "folder", ".", "--name", ""), ("cannot be named ''",)),
        (("search", "(bright"), ("position",)),
        (("search", "bright", "--where", "colour = 1"), ("colour",)),
        (("search", "bright", "--space", "nothing"), ("nothing",)),
        (("similar", "000x.png"), ("no image '000x.png'", "did you mean")),
        (("similar", name(1), "--by", "brigt"), ("did you mean Bright",)),
        (("describe", "gone/nothing.jpg"), ("nor is there a file gone/nothing.jpg",)),
        (("describe", __file__), ("no image that can be read",)),
        (("delete", "id:99999"), ("id:99999",)),
        (("index", "build", "--recipe", "magic"), ("no index recipe 'magic'", "exact")),
        (("store", "relocate", "nobody", "."), ("nobody",)),
        (("encode", "--encoder", "nobody"), ("nobody",)),
        (("import", "folder", "/nowhere/at/all"), ("no folder at",)),
        (("label", "set", "brigt", "absent", name(1)), ("did you mean Bright",)),
    ],
)
def test_errors_are_one_line_and_exit_code_1(gallery, tmp_path, arguments, parts):
    line = refused(gallery.copy(tmp_path / "store"), *arguments)
    for part in parts:
        assert part in line


@pytest.mark.parametrize(
    "arguments",
    [("serch", "x"), ("search",), ("search", "bright", "-k", "0"), ("search", "a", "--evidence", "b")],
)
def test_misspelt_commands_exit_with_2(gallery, arguments):
    called = call(gallery.store, *arguments)
    assert called.code == 2
    error, usage = called.err.splitlines()
    assert error.startswith("error: ")
    assert usage.startswith("usage: olrsearch ")
    assert "--help" in usage


@pytest.mark.usefixtures("nothing_shipped")
def test_empty_stores_are_refused_with_what_to_do(gallery, tmp_path):
    store = tmp_path / "store"
    assert "run `olrsearch import folder IMAGES`" in refused(store, "search", "bright")
    good(store, "store", "create")
    assert "is a store already: import into it" in refused(store, "store", "create")
    for arguments in (
        ("search", "bright"),
        ("similar", "a"),
        ("describe", "a"),
        ("encode",),
        ("train", "olr"),
    ):
        assert "import" in refused(store, *arguments)
    good(store, "import", "folder", gallery.data)
    assert "run olrsearch train" in refused(store, "encode")
    for arguments in (("search", "bright"), ("similar", name(1)), ("index", "build"), ("calibrate",)):
        line = refused(store, *arguments)
        assert "train" in line or "encode" in line


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX pipe")
def test_a_pipe_closed_by_its_reader_is_no_error(gallery):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as out:
        done = subprocess.run(
            [sys.executable, "-m", "olrsearch", "--store", gallery.store, "search", "bright"],
            stdout=out,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment(),
        )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_pipe_is_no_error(gallery, monkeypatch):
    def closed(*_, **__):
        raise BrokenPipeError

    duplicated = []
    monkeypatch.setattr("os.dup2", lambda *files: duplicated.append(files))
    monkeypatch.setattr("click.echo", closed)
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(out, "fileno", lambda: 77, raising=False)
    from olrsearch.apps.cli import run

    monkeypatch.setattr(sys, "stdout", out)
    assert run(["--store", str(gallery.store), "search", "bright"]) == 0
    assert [file for _, file in duplicated] == [77]


# -- changes -----------------------------------------------------------------------------


def test_store_info_for_people(gallery):
    out = good(gallery.store, "store", "info").out
    assert "images: 120" in out
    assert "datasets pictures" in out or "pictures" in out
    assert "calibrated: True" in out


def test_verify_says_what_is_damaged(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    assert good(store, "store", "verify", "--sources").out.splitlines()[-1].endswith("whole")
    (store / "leftover").mkdir()
    called = good(store, "store", "verify")
    assert "belongs to nothing: leftover" in called.out
    plane = next((store / "segments").glob("*/embeddings.npy"))
    data = bytearray(plane.read_bytes())
    data[-1] ^= 255
    plane.write_bytes(data)
    called = call(store, "store", "verify")
    assert called.code == 1
    assert "damaged: " in called.out
    report = call(store, "store", "verify", "--json").row
    assert not report["ok"]
    assert report["problems"][0]["code"] == "segment"


def test_labels_are_listed_and_corrected(gallery, tmp_path):
    store = gallery.copy(tmp_path / "store")
    before = {row["label"]: row for row in good(store, "label", "list", "--json").rows}
    image = next(row for row in range(120) if picture(row)[1][2] == 1)
    called = good(store, "label", "set", "striped", "unknown", name(image), "--why", "blurred", "--who", "me")
    assert called.err == "striped is now unknown for 1 image\n"
    after = {row["label"]: row for row in good(store, "label", "list", "--json").rows}
    assert after["Striped"]["present"] == before["Striped"]["present"] - 1
    assert after["Striped"]["unknown"] == 1
    table = good(store, "label", "list").out.splitlines()
    assert len(table) == 1 + len(LABELS)
    assert "calibrate" in good(store, "search", "bright", "-k", 1).err
    calibrated = good(store, "calibrate")
    assert "label revision 1" in calibrated.err
    assert not good(store, "search", "bright", "-k", 1).err


def test_deleting_by_condition_asks_first(gallery, tmp_path, monkeypatch):
    store = gallery.copy(tmp_path / "store")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    called = call(store, "delete", "--where", "partition = 'val'")
    assert called.code == 1
    assert "nothing deleted" in called.err
    assert "delete 24 images from the store?" in called.err
    assert good(store, "store", "info", "--json").row["images"] == 120
    assert good(store, "delete", "--where", "partition = 'val'", "--yes").err == "24 images deleted\n"
    assert good(store, "delete", name(0), "id:2").err == "2 images deleted\n"
    assert good(store, "store", "info", "--json").row["images"] == 94
    assert call(store, "delete").code == 2


def test_relocating_by_command(gallery, tmp_path):
    store = tmp_path / "store"
    shutil.copytree(gallery.data, tmp_path / "here")
    good(store, "import", "folder", tmp_path / "here", "--name", "pictures")
    shutil.move(tmp_path / "here", tmp_path / "there")
    called = good(store, "store", "relocate", "pictures", tmp_path / "there")
    assert called.err.startswith("pictures: 120 of 120 images found below")
    (tmp_path / "void").mkdir()
    assert "pictures" in refused(store, "store", "relocate", "pictures", tmp_path / "void")
    assert good(store, "store", "verify", "--sources", "--json").row["sources_missing"] == 0


def test_migrate_says_that_there_is_nothing_to_do(gallery, tmp_path):
    assert "up to date" in good(gallery.copy(tmp_path / "store"), "store", "migrate").err


def test_index_build_and_info(gallery, tmp_path):
    pytest.importorskip("faiss")
    store = gallery.copy(tmp_path / "store")
    assert "label scores of 120 images" in good(store, "index", "build").err
    assert "recall@10" in good(store, "index", "build", "--recipe", "sq8").err
    row = good(store, "index", "info", "--json").row
    assert set(row["indexes"]) == {"exact", "sq8"}
    assert {file["label"] for file in row["indexes"]["sq8"]["files"]} == {None, 0, 1, 2, 3}
    assert "space: " in good(store, "index", "info").out


def test_idx_files(tmp_path):
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    pixels = np.random.default_rng(0).integers(0, 255, (6, 8, 8), np.uint8)
    images.write_bytes(bytes([0, 0, 8, 3]) + np.array([6, 8, 8], ">u4").tobytes() + pixels.tobytes())
    labels.write_bytes(bytes([0, 0, 8, 1]) + np.array([6], ">u4").tobytes() + bytes([0, 1, 2, 0, 1, 2]))
    store = tmp_path / "store"
    row = good(store, "import", "idx", images, labels, "--names", "cat, dog, bird", "--json").row
    assert row["added"] == 6
    assert [item["label"] for item in good(store, "label", "list", "--json").rows] == ["cat", "dog", "bird"]
    assert good(store, "store", "verify", "--sources", "--json").row["sources_missing"] == 0


# -- the terminal ------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bars_on_a_terminal(tmp_path, monkeypatch):
    write_pictures(tmp_path / "pictures", 3)
    seen = Terminal()
    monkeypatch.setattr(sys, "stderr", seen)
    context = click.Context(cli, obj=Call())
    assert list(common.tracker(context)([1, 2], total=2, what="work")) == [1, 2]
    with common.counter(context, total=3, what="draw") as count:
        count(3)
    assert "work" in seen.getvalue()
    assert "draw" in seen.getvalue()
    context.obj.quiet = True
    assert common.tracker(context) is common.silent
    with common.counter(context, total=3, what="draw") as count:
        count(3)


def test_the_store_may_come_from_the_environment(gallery, monkeypatch):
    from click.testing import CliRunner

    result = CliRunner().invoke(cli, ["store", "info", "--json"], env={"OLRSEARCH_STORE": str(gallery.store)})
    assert result.exit_code == 0
    assert json.loads(result.stdout)["images"] == 120
    del monkeypatch


def test_python_dash_m_and_verbosity(gallery):
    program = (
        "import runpy, sys; sys.argv[0] = 'olrsearch'; runpy.run_module('olrsearch', run_name='__main__')"
    )
    done = process(gallery.store, "-v", "describe", name(1), "--json", program=program)
    assert done.code == 0, done.err
    assert json.loads(done.out)["image"] == name(1)
    assert logging.getLogger().level != logging.DEBUG
