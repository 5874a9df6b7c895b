"""`olrsearch list`: what is there before anything is encoded."""

import csv
import io

import pytest
from command import call, good, refused
from pictures import LABELS, name, picture, write_pictures

from olrsearch import Store


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A store of pictures of which nothing is encoded."""
    folder = tmp_path_factory.mktemp("listing")
    table = write_pictures(folder / "pictures", 30)
    good(folder / "store", "import", "folder", folder / "pictures", "--labels", table)
    return folder


def test_images_are_listed_with_what_is_stored(home):
    done = good(home / "store", "list", "-k", 4)
    head, *lines = done.out.splitlines()
    assert head.split()[:2] == ["image", "id"]
    assert [line.split()[0] for line in lines] == [name(number) for number in range(4)]
    assert "1 to 4 of 30 images; --offset 4 shows the next" in done.err
    for number, line in enumerate(lines):
        shown = {part.strip() for part in line.split("  ")[-1].split(",")}
        there = {label for label, value in zip(LABELS, picture(number)[1], strict=True) if value == 1}
        assert shown == (there or {"none"})


def test_pages_and_conditions(home):
    assert [row["key"] for row in good(home / "store", "list", "-k", 2, "--offset", 28, "--json").rows] == [
        name(28),
        name(29),
    ]
    rows = good(home / "store", "list", "--limit", 30, "--where", "Red = present", "--json").rows
    assert [row["key"] for row in rows] == [
        name(number) for number in range(30) if picture(number)[1][LABELS.index("Red")] == 1
    ]
    assert {row["labels"]["Red"] for row in rows} == {"present"}
    none = good(home / "store", "list", "--where", "key = 'x'")
    assert not none.out
    assert none.err.startswith("note: no image 'x' in ")
    assert none.err.endswith("\nno image is selected\n")
    after = good(home / "store", "list", "--offset", 99)
    assert (after.out, after.err) == ("", "there are 30 images, no more\n")
    assert "colour" in refused(home / "store", "list", "--where", "colour = 1")
    assert call(home / "store", "list", "-k", 0).code == 2


def test_tables_and_sheets(home, tmp_path):
    done = good(
        home / "store", "list", "-k", 6, "--csv", tmp_path / "x.csv", "--sheet", tmp_path / "x.html",
        "--sheet", tmp_path / "x.png",
    )  # fmt: skip
    assert f"table: {tmp_path / 'x.csv'}" in done.err
    data = (tmp_path / "x.csv").read_bytes()
    assert b"\r" not in data
    rows = list(csv.DictReader(io.StringIO(data.decode())))
    assert [row["image"] for row in rows] == [name(number) for number in range(6)]
    assert {row["Red"] for row in rows} <= {"present", "absent", "unknown"}
    page = (tmp_path / "x.html").read_text("utf-8")
    assert page.count("<img ") == 6
    assert "1 to 6 of 30 images" in page
    assert (tmp_path / "x.png").stat().st_size > 1000


def test_a_store_without_labels_says_nothing_of_them(home, tmp_path):
    store = tmp_path / "store"
    assert "run olrsearch import" in refused(_created(store), "list")
    good(store, "import", "folder", home / "pictures")
    lines = good(store, "list", "-k", 2).out.splitlines()
    assert "labels" not in lines[0]
    assert good(store, "list", "-k", 1, "--json").row["labels"] == {}


def _created(store):
    good(store, "store", "create")
    return store


def test_images_of_several_data_sets_are_called_as_questions_take_them(home, tmp_path):
    store = tmp_path / "store"
    for called in ("one", "two"):
        good(store, "import", "folder", home / "pictures", "--name", called, "--limit", 2)
    lines = good(store, "list").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [
        f"{called}/{name(number)}" for called in ("one", "two") for number in range(2)
    ]


def test_on_a_terminal_lines_are_cut_to_its_width(home, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    seen = Terminal()
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setattr("click.echo", lambda text, err=False: None if err else seen.write(f"{text}\n"))
    monkeypatch.setattr("olrsearch.apps.cli.listing.sys", type("Sys", (), {"stdout": seen}))
    good(home / "store", "list", "-k", 3)
    assert max(map(len, seen.getvalue().splitlines())) <= 60


def test_python_lists_them_too(home):
    with Store.open(home / "store") as store:
        found = store.images("Red = present", 3)
        assert len(found) == 3
        assert all("Red" in image.present for image in found)
        assert found.total > 3
        assert [image["image_id"] for image in found.to_dicts()] == [image.image_id for image in found]
