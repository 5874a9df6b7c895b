"""The whole way by the command line: on generated avatars, and on real faces where they are."""

import hashlib
import re
import shutil
import sys

import pytest
from command import call, good, one_thread, process, refused
from command_reference import json_keys
from PIL import Image

from olrsearch.datasets.celeba_files import ATTRIBUTES, parse_attributes
from olrsearch.datasets.generated.avatars import TRUTH

QUERY = "smiling & eyeglasses & !beard"

WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {'torch', 'lightning', 'faiss'}:
            raise ImportError(f'{name} is not to be imported here')
sys.meta_path.insert(0, Blocked())
from olrsearch.apps.cli import run
code = run(sys.argv[1:])
assert not {'torch', 'lightning', 'faiss'} & set(sys.modules)
sys.exit(code)
"""


def test_avatars_from_files_to_answers(world, tmp_path):
    info = good(world.store, "store", "info", "--json").row
    (space,) = info["spaces"]
    assert info["images"] == space["embeddings"] == 200
    assert (space["kind"], space["calibrated"], space["indexes"]) == ("olr", True, ["exact"])
    rows = good(world.store, "search", QUERY, "-k", 10, "--json").rows
    assert len(rows) == 10
    for row in rows:
        assert [part["literal"] for part in row["contributions"]] == ["Smiling", "Eyeglasses", "!Beard"]
        assert sum(part["value"] for part in row["contributions"]) == pytest.approx(row["score"])
    first, second = rows[0]["key"], rows[1]["key"]
    assert good(world.store, "similar", first, "-k", 5, "--json").rows
    assert good(world.store, "similar", first, "--by", "smiling", "-k", 5, "--json").rows
    mixed = ("similar", "--with", f"Smiling={first}", "--with", f"Long_Hair={second}")
    assert good(world.store, *mixed, "-k", 5, "--json").rows
    good(world.store, "search", QUERY, "--sheet", tmp_path / "s.html", "--sheet", tmp_path / "s.png")
    assert "data:image/jpeg" in (tmp_path / "s.html").read_text()
    with Image.open(tmp_path / "s.png") as image:
        assert image.size[0] > 800
    assert good(world.store, "store", "verify", "--sources", "--json").row["ok"]


def test_files_outside_the_store_are_encoded_alike(world, tmp_path):
    shutil.copy(world.data / "img_align_celeba" / "000003.jpg", tmp_path / "mine.jpg")
    inside, outside = good(world.store, "describe", "000003.jpg", tmp_path / "mine.jpg", "--json").rows
    chances = [{e["label"]: e["probability"] for e in row["estimates"]} for row in (inside, outside)]
    assert chances[0] == pytest.approx(chances[1], abs=1e-4)
    by_key = good(world.store, "similar", "000003.jpg", "--include-self", "-k", 3, "--json").rows
    by_file = good(world.store, "similar", tmp_path / "mine.jpg", "-k", 3, "--json").rows
    assert [row["distance"] for row in by_file] == pytest.approx(
        [row["distance"] for row in by_key], abs=1e-3
    )


def test_labels_deletions_and_moves_on_the_way(world, tmp_path):
    store = world.copy(tmp_path / "store")
    best = good(store, "search", QUERY, "-k", 1, "--json").row["key"]
    good(store, "delete", best)
    assert best not in good(store, "search", QUERY, "-k", 300).out
    good(store, "label", "set", "Smiling", "absent", "000001.jpg", "--why", "looked")
    assert good(store, "search", QUERY, "-k", 1, "--json").err
    good(store, "calibrate")
    assert not good(store, "search", QUERY, "-k", 1, "--json").err
    shutil.copytree(world.data, tmp_path / "moved")
    assert "199 of 199" in good(store, "store", "relocate", "avatars", tmp_path / "moved").err
    assert good(store, "store", "verify", "--sources", "--json").row["sources_missing"] == 0


def test_neither_teacher_nor_torch_is_needed_to_answer(world, tmp_path):
    store = world.copy(tmp_path / "store")
    for path in (store / "runs").glob("*/teacher*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    questions = (
        ("search", QUERY, "--json"),
        ("similar", "000002.jpg", "--json"),
        ("similar", "000002.jpg", "--by", "smiling", "--with", "Bald=000005.jpg", "--json"),
        ("describe", "000002.jpg", "--json"),
    )
    wanted = [good(world.store, *question).out for question in questions]
    scores = {path.name: digest(path) for path in (world.store / "indexes").glob("*/scores/*.npy")}
    assert scores
    for path in (store / "indexes").glob("*/scores"):
        shutil.rmtree(path)
    built = process(store, "index", "build", program=WITHOUT_TORCH)
    assert built.code == 0, built.err
    assert {path.name: digest(path) for path in (store / "indexes").glob("*/scores/*.npy")} == scores
    for question, answer in zip(questions, wanted, strict=True):
        asked = process(store, *question, program=WITHOUT_TORCH)
        assert asked.code == 0, asked.err
        assert asked.out == answer
    blocked = process(
        store, "describe", world.data / "img_align_celeba" / "000002.jpg", program=WITHOUT_TORCH
    )
    assert blocked.code != 0  # a picture from elsewhere does need the encoder


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_demo_runs_and_runs_again(avatars, tmp_path):
    one_thread()
    folder = tmp_path / "demo"
    shutil.copytree(avatars, folder / "avatars")
    first = good("unused", "-q", "demo", folder, "--count", 200, "--profile", "tiny")
    assert "What it scored" in first.out
    assert "Done in" in first.out
    pictures = [line.strip() for line in first.out.splitlines() if line.strip().endswith((".html", ".png"))]
    assert len(pictures) >= 12
    assert "made, not found" in first.out
    assert "made, not found" in (folder / "edited.html").read_text()
    assert {str(folder / name) for name in ("edited.png", "edits.png", "like-edited.png")} < set(pictures)
    assert f"olrsearch --store {folder / 'store'} search" in first.out
    assert {str(folder / f"audit{suffix}") for suffix in (".html", ".png")} < set(pictures)
    said = re.search(
        r"(\d+) of the 50 most suspicious labels are wrong, as are (\d+) of the first (\d+); \3 of 6,000 are",
        first.out,
    )
    given, truth = (
        parse_attributes((folder / "noisy-avatars" / name).read_bytes(), where=name)
        for name in (ATTRIBUTES, TRUTH)
    )
    wrong = given.labels != truth.labels
    count = int(wrong.sum())
    suspects = good(folder / "audit", "audit", "list", "-k", count, "--json").rows
    found = [wrong[given.keys.index(row["key"]), given.names.index(row["label"])] for row in suspects]
    assert [int(number) for number in said.groups()] == [sum(found[:50]), sum(found), count]
    spaces = good(folder / "store", "store", "info", "--json").row["spaces"]
    refusal = refused("unused", "demo", folder, "--count", 300)
    assert "holds 200 avatars of an earlier call, and --count says 300" in refusal
    again = good("unused", "demo", folder, "--profile", "tiny")
    assert f"going on with the 200 avatars in {folder / 'avatars'}" in again.err
    assert "200 unchanged" in again.err
    assert good(folder / "store", "store", "info", "--json").row["spaces"] == spaces
    assert said[0] in again.out  # the audit is not run twice
    assert len(list((folder / "audit" / "runs").glob("audit-*"))) == 1


@pytest.mark.parametrize(
    ("protocol", "name"), [("P1", "attributes"), ("P2", "queries"), ("P3", "similar"), ("P6", "richness")]
)
def test_the_protocols_run_on_a_trained_store(world, tmp_path, protocol, name):
    store = world.copy(tmp_path / "store")
    called = call(store, "bench", name, "--out", tmp_path / "reports" / name, "--json")
    if protocol != "P1" and called.code:  # so few avatars may hold too few queries or pairs: that is said
        assert called.code == 1
        assert "import more images" in called.err
        return
    assert called.row["protocol"] == protocol
    assert list(called.row) == list(json_keys()[f"bench {name}"][1])
    assert (tmp_path / "reports" / f"{name}.md").read_text().startswith("#")


def test_real_faces_from_the_zips(celeba, tmp_path):
    one_thread()
    store = tmp_path / "store"
    report = good(store, "-q", "import", "celeba", celeba, "--limit", 300, "--json").row
    assert (report["added"], report["failed"]) == (300, [])
    good(store, "-q", "train", "olr", "--profile", "tiny")
    good(store, "-q", "encode")
    good(store, "-q", "index", "build")
    info = good(store, "store", "info", "--json").row
    assert (info["labels"], info["spaces"][0]["embeddings"]) == (40, 300)
    rows = good(
        store, "search", "smiling & !male", "-k", 5, "--sheet", tmp_path / "faces.html", "--json"
    ).rows
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5]
    assert "data:image/jpeg" in (tmp_path / "faces.html").read_text()
    first = rows[0]["key"]
    assert good(store, "similar", first, "--by", "Smiling", "-k", 3, "--json").rows
    assert good(
        store, "similar", "--with", f"Smiling={first}", "--with", f"Wavy_Hair={rows[1]['key']}", "--json"
    ).rows
    (described,) = good(store, "describe", first, "--json").rows
    assert len(described["estimates"]) == 40
    good(store, "label", "set", "smiling", "absent", first)
    good(store, "delete", rows[1]["key"])
    again = good(store, "-q", "import", "celeba", celeba, "--limit", 300, "--json").row
    assert (again["added"], again["unchanged"], again["stayed_deleted"]) == (0, 299, 1)
    again = good(store, "-q", "import", "celeba", celeba, "--limit", 300, "--restore", "--json").row
    assert (again["added"], again["unchanged"], again["restored"]) == (0, 299, 1)
    assert good(store, "store", "verify", "--sources", "--json").row["ok"]
    assert sys.modules["torch"].get_num_threads() == 1
