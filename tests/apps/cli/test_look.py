"""`olrsearch look` and `olrsearch bench papers olr` by the command line."""

import json

import pytest
from command import PROGRAM, assert_loads_none, call, good, process, refused
from command_reference import json_keys
from pictures import LABELS
from PIL import Image

HEAVY = {"torch", "lightning", "faiss", "matplotlib", "onnx", "onnxruntime"}


def picture_of(path):
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert len(image.convert("RGB").getcolors(1 << 24)) > 50
        return image.size


def test_norms_for_people(gallery):
    lines = good(gallery.store, "look", "norms").out.splitlines()
    row = good(gallery.store, "look", "norms", "--json").row
    assert lines[0] == "norms of 4 labels over 120 images"
    assert any(line.startswith("go together") for line in lines)
    first = row["together"][0]
    assert f"{first['first']} / {first['second']}" in lines[3]
    assert lines[3].split()[-2:] == [f"{first['norms']:+.3f}", f"{first['labels']:+.3f}"]
    assert len(row["together"]) + len(row["apart"]) == 6
    assert not any("the paper names" in line for line in lines)


def test_norms_options(gallery, tmp_path):
    called = good(
        gallery.store,
        "look",
        "norms",
        "--labels",
        "red, bright,framed",
        "--where",
        "partition = 'test'",
        "--out",
        tmp_path / "deep" / "norms.png",
        "--json",
    )
    assert called.row["label_names"] == ["Red", "Bright", "Framed"]
    assert called.row["images"] == 24
    assert called.err == f"plot: {tmp_path / 'deep' / 'norms.png'}\n"
    assert picture_of(tmp_path / "deep" / "norms.png")[0] > 700


@pytest.mark.slow
def test_components_for_people_and_as_json(gallery, tmp_path):
    sheets = [tmp_path / "red.html", tmp_path / "red.png"]
    options = [option for path in sheets for option in ("--sheet", path)]
    arguments = ("look", "components", "red", "--count", 6, *options, "--out", tmp_path / "shares.png")
    called = good(gallery.store, *arguments)
    row = good(gallery.store, "look", "components", "red", "--count", 6, "--json").row
    lines = called.out.splitlines()
    assert lines[0] == "Red: 6 components over 120 images"
    assert f"1 {row['shares'][0]:.1%}, 2 {row['shares'][1]:.1%}" in lines[1]
    assert lines[3].split() == ["Red", f"{row['own']:+.3f}", "(its", "own)"]
    assert [line.split()[0] for line in lines[4:7]] == [item["label"] for item in row["others"]]
    assert [line.split()[1] for line in lines[-6:]] == [item["key"] for item in row["shown"]]
    assert [line.split()[0] for line in lines[-6:]] == [str(item["rank"]) for item in row["shown"]]
    assert sheets[0].read_text("utf-8").count("<figure") == 6
    assert picture_of(sheets[1])[0] == 12 + 6 * 172
    assert picture_of(tmp_path / "shares.png")[0] > 1200
    assert called.err.count("sheet: ") == 2
    assert called.err.count("plot: ") == 1


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("norms", "--labels", "red,stripd"), ("unknown label 'stripd'", "did you mean Striped")),
        (("norms", "--labels", "red"), ("1 label, expected at least two",)),
        (("norms", "--where", "colour = 1"), ("colour",)),
        (("norms", "--where", "key = 'x'"), ("0 images, expected at least 3",)),
        (("norms", "--out", "norms.svg"), ("ends in .png, found '.svg'",)),
        (("norms", "--space", "nothing"), ("nothing",)),
        (("components", "brigt"), ("did you mean Bright",)),
        (("components", "red", "--component", "9"), ("no component 9", "from 1 to 6")),
        (("components", "red", "--sheet", "red.gif"), ("ends in .html or .png",)),
        (("components", "red", "--out", "red"), ("found no suffix in 'red'",)),
        (("disagreements",), ("the teacher of", "is gone", "run", "olrsearch train olr")),
        (("disagreements", "--label", "brigt"), ("did you mean Bright",)),
    ],
)
def test_errors_are_one_line(gallery, arguments, parts):
    line = refused(gallery.store, "look", *arguments)
    for part in parts:
        assert part in line


def test_misspelt_looks_exit_with_2(gallery):
    for arguments in (("look", "nums"), ("look", "components"), ("bench", "papers", "orl")):
        assert call(gallery.store, *arguments).code == 2
    assert call(gallery.store, "look", "components", "red", "--component", 0).code == 2


@pytest.mark.slow
def test_looks_need_neither_torch_nor_matplotlib(gallery):
    looks = [("look", "norms", "--json"), ("look", "components", "red", "--json")]
    others = [("look", "--help"), ("search", "bright", "--json"), ("bench", "papers", "--help")]
    assert_loads_none(gallery.store, looks + others, HEAVY)
    assert "Agg" not in process(gallery.store, "--help", program=PROGRAM).out


@pytest.mark.slow
def test_looks_do_not_change_a_store(gallery, tmp_path):
    def files():
        return {path: path.stat().st_mtime_ns for path in gallery.store.rglob("*") if path.is_file()}

    before = files()
    good(gallery.store, "look", "norms", "--out", tmp_path / "norms.png")
    good(gallery.store, "look", "components", "red", "--sheet", tmp_path / "red.html")
    assert files() == before


@pytest.mark.parametrize(
    ("command", "arguments"), [("look norms", ()), ("look components", ("red",))], ids=["norms", "components"]
)
def test_json_keys_are_the_documented_ones(gallery, command, arguments):
    row = good(gallery.store, *command.split(), *arguments, "--json").row
    assert list(row) == list(json_keys()[command][1])


@pytest.mark.slow
def test_an_encoder_without_stored_labels_has_norms_all_the_same(gallery, tmp_path):
    home = tmp_path / "store"
    good(home, "import", "folder", gallery.data, "--limit", 12)
    good(home, "encode", "--encoder", gallery.model)
    row = good(home, "look", "norms", "--out", tmp_path / "norms.png", "--json").row
    assert row["label_names"] == list(LABELS)
    assert {value for line in row["labels"] for value in line} == {None}
    assert row["agreement"] is None
    assert "–" in good(home, "look", "norms").out
    assert picture_of(tmp_path / "norms.png")[0] < picture_of_two(gallery, tmp_path)


def picture_of_two(gallery, folder):
    good(gallery.store, "look", "norms", "--out", folder / "two.png")
    return picture_of(folder / "two.png")[0]


# -- with a teacher: avatars, trained ------------------------------------------------------


@pytest.fixture(scope="module")
def taught(world, tmp_path_factory):
    """The avatars' store; its teacher is asked once for all tests here."""
    return world.copy(tmp_path_factory.mktemp("taught") / "store")


def test_disagreements_with_the_teacher(taught, tmp_path):
    row = good(taught, "look", "disagreements", "--count", 7, "--json").row
    assert list(row) == list(json_keys()["look disagreements"][1])
    assert 0 < len(row["shown"]) <= 7
    total = row["total"]
    assert total["disagreements"] == total["with_probe"] + total["with_teacher"] + total["unknown"]
    assert total["disagreements"] == sum(item["disagreements"] for item in row["labels"])
    for item in row["shown"]:
        assert (item["probe"] >= 0.5) != (item["teacher"] >= 0.5)
    called = good(taught, "look", "disagreements", "--count", 7, "--sheet", tmp_path / "differ.html")
    lines = called.out.splitlines()
    assert f"about {total['disagreements']:,} of {total['entries']:,} entries" in lines[0]
    assert [line.split()[0] for line in lines[-len(row["shown"]) :]] == [item["key"] for item in row["shown"]]
    assert (tmp_path / "differ.html").read_text("utf-8").count("<figure") == len(row["shown"])
    label = row["shown"][0]["label"]
    one = good(taught, "look", "disagreements", "--label", label, "--json").row
    assert {item["label"] for item in one["shown"]} == {label}


def test_the_papers_figures(taught, tmp_path):
    called = good(taught, "bench", "papers", "olr", "--out", tmp_path / "reports" / "p5")
    assert "### P5: the OLR paper's looks into its embedding" in called.out
    written = {path.name for path in (tmp_path / "reports").iterdir()}
    assert written == {"p5.json", "p5.md", "p5-norms.png", "p5-components.png"}
    report = json.loads((tmp_path / "reports" / "p5.json").read_text())
    metrics = {row["metric"]: row for row in report["results"]["figures"]}
    assert metrics["gap teacher − probe, points"]["paper"] == 2.6
    assert (tmp_path / "reports" / "p5.md").read_text() in called.out
    assert picture_of(tmp_path / "reports" / "p5-norms.png")[0] > 1500
    assert picture_of(tmp_path / "reports" / "p5-components.png")[0] > 1200
    assert good(taught, "bench", "papers", "olr", "--json").row == report
