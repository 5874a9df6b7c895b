"""KL recipes by the command line: built, described, asked, refused, on an encoder that needs no torch."""

import json
import shutil

import numpy as np
import pytest
from command import call, good, refused
from pictures import LABELS, name, write_pictures
from tiny_encoders.posteriors import TinyPosteriorEncoder

from olrsearch import Store
from olrsearch.core.resources import recipes_dir
from olrsearch.maths.kl_features import feature_size

pytestmark = pytest.mark.slow

RECIPE = "kl-projected"
DEVICE = "kl-device"
MATCH = ("--mode", "match")


@pytest.fixture(scope="module")
def home(gallery, tmp_path_factory):
    """120 pictures as label embeddings and as posteriors, with two recipes built; one scans on a device."""
    pytest.importorskip("torch")
    root = tmp_path_factory.mktemp("word-recipes")
    model = root / TinyPosteriorEncoder.create(root, LABELS, input_size=(24, 24), shrinkage=0.2).fingerprint
    home = gallery.copy(root / "store")
    good(home, "encode", "--encoder", model)
    own = root / f"{DEVICE}.toml"
    text = (recipes_dir() / "kl-torch.toml").read_text("utf-8")
    own.write_text(text.replace('device = "auto"', 'device = "cpu"'), "utf-8")
    good(home, "index", "build", "--recipe", own)
    said = good(home, "index", "build", "--recipe", RECIPE).err.splitlines()
    assert "kl-projected of 120 images (query-to-image)" in said[0]
    assert [line.partition(", ")[0].rpartition(" ")[2] for line in said[1:]] == [
        *(f"words-{size}" for size in (1, 2, 3, 4)),
        "images",
    ]
    return home


def posterior_space(home):
    with Store.open(home, read_only=True) as store:
        info = store.session.posteriors(None).info
        return info.name, info.index_path


def ids_of(called):
    return [(row["key"], row["distance"]) for row in called.rows]


def test_recipes_are_said_and_verified(home, tmp_path):
    space, _ = posterior_space(home)
    said = good(home, "index", "info", "--space", space).out
    for recipe, files in ((RECIPE, 8), (DEVICE, 1)):
        assert f"\n{recipe} (query-to-image): {files} files, 0." in said
        index = good(home, "index", "info", "--space", space, "--json").row["indexes"][recipe]
        assert index["recall"]["words-2"]["at_10"] >= index["recipe"]["recall_at_10"]
        assert index["count"] == 120
    assert good(home, "store", "verify").code == 0
    copy = shutil.copytree(home, tmp_path / "store")
    _, folder = posterior_space(copy)
    for file, size in (("index.faiss", -1), ("queries.npy", -1), ("ids.npy", -8)):
        path = folder / RECIPE / file
        whole = path.read_bytes()
        path.write_bytes(whole[:size] + bytes(-size) if whole[-1] else whole[:size] + b"\x01" * -size)
        called = call(copy, "store", "verify", "--json")
        assert (called.code, [problem["code"] for problem in called.row["problems"]]) == (1, ["index"])
        path.write_bytes(whole)
    assert good(copy, "store", "verify").code == 0


def test_answers_are_those_of_the_exact_search(home):
    for recipe in (RECIPE, DEVICE):
        for words in (("bright",), ("bright", "framed"), ("red^2", "striped", "framed")):
            wanted = ids_of(good(home, "words", *words, *MATCH, "-k", 3, "--json"))
            called = good(home, "words", *words, *MATCH, "-k", 3, "--recipe", recipe, "--json")
            assert ids_of(called) == wanted
            assert "was not used" not in called.err
            assert (
                ids_of(good(home, "words", *words, *MATCH, "-k", 3, "--recipe", "exact", "--json")) == wanted
            )
        options = ("--by", "posterior", "--direction", "query-to-image", "-k", 4, "--json")
        wanted = ids_of(good(home, "similar", name(3), *options))
        called = good(home, "similar", name(3), *options, "--recipe", recipe)
        assert ids_of(called) == wanted
        assert name(3) not in {key for key, _ in wanted}


def test_answers_say_whether_they_are_proven(home):
    with Store.open(home, read_only=True) as store:
        ranking = store.words(["bright"], k=3, mode="match", recipe=RECIPE)
        recall = store.session.posteriors(None).built(RECIPE).described.recall["words-1"]
        assert not ranking.exact
        assert (
            f"proposed by {RECIPE} and not proven exact: measured recall@10 {recall.at_10:.3f}, "
            f"recall@100 {recall.at_100:.3f} (words-1)"
        ) in ranking.notes
        assert store.words(["bright"], k=3, mode="match", recipe=DEVICE).exact
        assert store.words(["bright"], k=120, mode="match", recipe=RECIPE).exact  # all were scored
        paged = store.words(["bright"], k=2, offset=1, mode="match", recipe=DEVICE)
        assert [hit.key for hit in paged] == [
            hit.key for hit in store.words(["bright"], k=3, mode="match").hits[1:]
        ]
        assert store.session.posteriors(None).built(RECIPE) is store.session.posteriors(None).built(RECIPE)


def test_what_a_recipe_is_not_for_is_answered_exactly_and_said(home):
    for arguments, reason in (
        (("words", "bright", *MATCH, "--direction", "image-to-query"), "not for image-to-query"),
        (("words", "bright", *MATCH, "--direction", "jeffreys"), "not for jeffreys"),
        (("words", "bright", *MATCH, "--farthest"), "not the farthest"),
        (("words", "bright", "!red", *MATCH), "negated words are scored for all images"),
        (("words", "bright", *MATCH, "--shrinkage", 0.5), "measured with the shrinkage 0.2"),
        (("words", "bright", *MATCH, "--where", "partition = 'test'"), "fewer than 25% of the images"),
        (
            ("words", "bright", *MATCH, "--attributes", "red", "--attributes-mode", "rank"),
            "fusing ranks all images",
        ),
        (("similar", name(3), "--by", "posterior"), "not for jeffreys"),
        (("similar", name(3), "--by", "posterior", "--farthest"), "not the farthest"),
    ):
        wanted = ids_of(good(home, *arguments, "--json"))
        called = good(home, *arguments, "--recipe", RECIPE, "--json")
        assert ids_of(called) == wanted
        assert f"{RECIPE} was not used, the answer is exact: " in called.err
        assert reason in called.err
    wide = ("words", "bright", *MATCH, "--where", "partition = 'train'", "-k", 50, "--json")
    called = good(home, *wide, "--recipe", RECIPE)
    assert ids_of(called) == ids_of(good(home, *wide))
    assert "was not used" not in called.err
    assert "take the mode match" in refused(home, "words", "bright", "--recipe", RECIPE)


def test_images_added_and_deleted_since(home, tmp_path):
    copy = shutil.copytree(home, tmp_path / "store")
    first = good(copy, "words", "bright", *MATCH, "-k", 3, "--json").rows[1]["key"]
    good(copy, "delete", first)
    write_pictures(tmp_path / "more", 30, first=500)
    good(copy, "import", "folder", tmp_path / "more")
    space, folder = posterior_space(copy)
    good(copy, "encode", "--encoder", space)
    for count in (3, 40):
        wanted = ids_of(good(copy, "words", "bright", *MATCH, "-k", count, "--json"))
        called = good(copy, "words", "bright", *MATCH, "-k", count, "--recipe", RECIPE, "--json")
        assert ids_of(called) == wanted
        assert f"30 images came after {RECIPE} was built" in called.err
        called = good(copy, "words", "bright", *MATCH, "-k", count, "--recipe", DEVICE, "--json")
        assert ids_of(called) == wanted
        assert "came after" not in called.err
        assert first not in dict(wanted)
    assert {key for key, _ in wanted} & {name(row) for row in range(500, 530)}
    good(copy, "index", "build", "--space", space, "--recipe", RECIPE)
    called = good(copy, "words", "bright", *MATCH, "-k", 40, "--recipe", RECIPE, "--json")
    assert ids_of(called) == wanted
    assert "came after" not in called.err
    (folder / RECIPE / "scale.npy").unlink()
    line = refused(copy, "words", "bright", *MATCH, "--recipe", RECIPE)
    assert "scale.npy is missing" in line
    assert "run index build again" in line


def test_an_index_of_an_older_program_is_passed_over(home, tmp_path):
    """A store with an index of a kind that is no longer searched: its row and its files are as they were."""
    copy = shutil.copytree(home, tmp_path / "store")
    space, folder = posterior_space(copy)
    old = folder / "kl-fp16"
    old.mkdir()
    described = json.loads((folder / RECIPE / "index.json").read_text()) | {"format_version": 1}
    described["recipe"] |= {
        "name": "kl-fp16",
        "kind": "fp16",
        "parameters": {
            "proposals": 4,
            "width": 64,
            "prove": False,
            "links": 32,
            "ef_construction": 80,
            "ef_search": 256,
            "headroom": 1.2,
            "device": "auto",
            "dtype": "float16",
        },
    }
    for file in ("ids.npy", "index.faiss", "centre.npy"):
        shutil.copy(folder / RECIPE / file, old / file)
    described["files"] = [file for file in described["files"] if (old / file["name"]).exists()]
    (old / "index.json").write_text(json.dumps(described, indent=1) + "\n")
    with Store.open(copy) as store, store.session.backend.writer() as writer:
        writer.spaces.add_index(store.session.posteriors(None).info.id, "kl-fp16", described)

    said = good(copy, "index", "info", "--space", space)
    note = "the index 'kl-fp16' is not used: its kind was no quicker than the exact search"
    assert note in said.out
    assert "kl-fp16 (query-to-image)" not in said.out
    row = good(copy, "index", "info", "--space", space, "--json").row
    assert set(row["indexes"]) == {RECIPE, DEVICE}
    assert len(row["notes"]) == 1
    assert good(copy, "store", "verify").code == 0
    line = refused(copy, "words", "bright", *MATCH, "--recipe", "kl-fp16")
    assert note in line
    assert "run olrsearch index build --recipe kl-projected" in line
    wanted = ids_of(good(home, "words", "bright", *MATCH, "-k", 3, "--json"))
    assert ids_of(good(copy, "words", "bright", *MATCH, "-k", 3, "--json")) == wanted
    assert ids_of(good(copy, "words", "bright", *MATCH, "-k", 3, "--recipe", RECIPE, "--json")) == wanted
    (old / "index.faiss").write_bytes(b"damaged")  # nothing reads it
    assert good(copy, "store", "verify").code == 0


def test_a_recipe_for_a_gpu(home, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    space, folder = posterior_space(home)
    called = call(home, "index", "build", "--recipe", "kl-torch")
    assert called.code == 1
    (said,) = called.err.splitlines()  # nothing is promised before
    assert "torch sees no GPU here, and the index is for the device auto: leave --recipe out" in said
    assert not (folder / "kl-torch").exists()
    own = tmp_path / "kl-own.toml"
    text = (recipes_dir() / "kl-torch.toml").read_text("utf-8")
    own.write_text(text.replace('device = "auto"', 'device = "cpu"'), "utf-8")
    copy = shutil.copytree(home, tmp_path / "store")
    good(copy, "index", "build", "--space", space, "--recipe", own)
    for words in (("bright",), ("bright", "framed")):
        wanted = good(copy, "words", *words, *MATCH, "-k", 5, "--json")
        called = good(copy, "words", *words, *MATCH, "-k", 5, "--recipe", "kl-own", "--json")
        assert ids_of(called) == ids_of(wanted)
        assert "not proven" not in called.err
    assert good(copy, "store", "verify").code == 0
    assert "kl-own (query-to-image): 1 files" in good(copy, "index", "info", "--space", space).out
    with Store.open(copy, read_only=True) as store:
        size = feature_size(store.session.posteriors(None).view.size)
        assert store.indexes.estimate(str(own))[1] == 120 * 4 * (size + 1)
        assert store.indexes.estimate(RECIPE)[1] == store.indexes.estimate("exact")[1] == 0
        assert store.indexes.estimate(str(own))[0] < store.indexes.estimate(RECIPE)[0]


def test_refusals(home, tmp_path):
    space, folder = posterior_space(home)
    line = refused(home, "words", "bright", *MATCH, "--recipe", "kl-nothing")
    assert f"no index 'kl-nothing' in {space}, built are: {DEVICE}, {RECIPE}" in line
    assert "expected exact, kl-projected, kl-torch, or a file" in refused(
        home, "index", "build", "--space", space, "--recipe", "kl-nothing"
    )
    with Store.open(home, read_only=True) as store:
        labels = store.info()["spaces"][0]["name"]
    assert "is for posteriors, and" in refused(home, "index", "build", "--space", labels, "--recipe", RECIPE)
    text = (
        'kind = "projected"\n[parameters]\nproposals = 1\nwidth = 1\n[promise]\nqueries = ["images"]\n'
        "recall_at_10 = 1.0\nrecall_at_100 = 1.0\n"
    )
    before = sorted(path.name for path in folder.iterdir())
    (tmp_path / "kl-blind.toml").write_text(text)
    line = refused(home, "index", "build", "--recipe", tmp_path / "kl-blind.toml")
    assert "kl-blind finds 0." in line
    assert "promised are 1.0 and 1.0" in line
    assert sorted(path.name for path in folder.iterdir()) == before
    assert "kl-blind" not in good(home, "index", "info", "--space", space).out
    (tmp_path / "words.toml").write_text(text)
    line = refused(home, "index", "build", "--space", space, "--recipe", tmp_path / "words.toml")
    assert "a recipe cannot be called 'words'" in line
    (tmp_path / "own.toml").write_text(text.replace("1.0", "0.0"))
    copy = shutil.copytree(home, tmp_path / "store")
    good(copy, "index", "build", "--space", space, "--recipe", tmp_path / "own.toml")
    with Store.open(copy, read_only=True) as store:
        ranking = store.words(["bright"], k=1, mode="match", recipe="own")
    truth = good(home, "words", "bright", *MATCH, "-k", 120, "--json").rows
    distances = {row["key"]: row["distance"] for row in truth}
    np.testing.assert_allclose(ranking.hits[0].distance, distances[ranking.hits[0].key], rtol=1e-12)
