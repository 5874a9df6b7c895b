"""`olrsearch edit`: removals are no options."""

import pytest
from command import call, good, refused
from made_decoders import add_decoder
from pictures import name


@pytest.fixture(scope="module")
def decoding(gallery, tmp_path_factory):
    home = gallery.copy(tmp_path_factory.mktemp("decoding") / "store")
    add_decoder(home)
    return home


@pytest.mark.parametrize(
    "edits",
    [
        ("+Bright", "-Red", "+Striped^1.5"),
        ("--", "+Bright", "-Red", "+Striped^1.5"),
        ("+Bright", "!red", "+striped^1.5"),
        ("+Bright -Red +Striped^1.5",),
        ("-q", "+Bright", "-Red", "+Striped^1.5", "--way", "directions"),
        ("--way=directions", "+Bright", "--space", "tiny", "-Red", "+Striped^1.5"),
    ],
)
def test_edits_are_written_as_they_are_meant(gallery, edits):
    row = good(gallery.store, "edit", "--json", name(3), *edits).row
    assert row["edits"] == "+Bright -Red +Striped^1.5"
    assert row["made"] is True


def test_a_removal_may_have_letters_that_are_options(gallery):
    assert "unknown label 'qv-vq'" in refused(gallery.store, "edit", name(3), "-qv-vq")
    done = call(gallery.store, "edit", name(3), "+Bright", "-qv")
    assert done.code == 0
    assert "unknown label 'k'" in refused(gallery.store, "edit", name(3), "--", "-k")


def test_lines_say_before_and_after(gallery):
    done = good(gallery.store, "edit", name(3), "+Bright", "-Red", "--way", "paper")
    first, *rest = done.out.splitlines()
    assert first == f"{name(3)} +Bright -Red"
    assert rest[0].split()[0] == "+Bright"
    assert "→" in rest[0]
    assert "olrsearch train decoder" in done.err


def test_real_images_are_found(gallery, tmp_path):
    arguments = ("edit", name(3), "+Bright", "--find", "-k", 4, "--where", "partition = 'test'")
    assert len(good(gallery.store, *arguments, "--json").rows) == 4
    done = good(gallery.store, *arguments, "--by", "Red", "--sheet", tmp_path / "found.html")
    assert "alike" in done.out
    assert (tmp_path / "found.html").exists()


def test_sheets_of_pictures_need_a_decoder(gallery, decoding, tmp_path):
    asked = ("edit", name(3), "+Bright", "-Red", "--sheet", tmp_path / "edited.png")
    assert "olrsearch train decoder" in refused(gallery.store, *asked)
    good(decoding, *asked)
    done = good(decoding, "edit", name(3), "+Bright", "-Red", "--grid", "--sheet", tmp_path / "grid.html")
    assert len(done.out.splitlines()) == 12
    assert "made, not found" in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("+Bright", "-k", "3"), "--count is of --find"),
        (("+Bright", "--where", "id = 1"), "--where is of --find"),
        (("+Bright", "--grid", "--find"), "one of the two"),
        (("+Bright", "--nonsense"), "no such option"),
    ],
)
def test_wrong_usage_is_said(gallery, arguments, said):
    done = call(gallery.store, "edit", name(3), *arguments)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("+Bright^much",), "a number such as 1.5"),
        (("Bright",), "begins with + to add a label or - to remove it"),
        (("+Bright", "-bright"), "both added and removed"),
        (("+Brite",), "did you mean Bright"),
    ],
)
def test_wrong_edits_are_said(gallery, arguments, said):
    assert said in refused(gallery.store, "edit", name(3), *arguments)
