"""`olrsearch import` with tables as people have them."""

import pytest
from command import call, good, refused
from pictures import jpeg

from olrsearch import Store


@pytest.fixture
def photos(tmp_path):
    for key in ("cats/1.jpg", "dogs/2.jpg", "dogs/3.jpg"):
        path = tmp_path / "photos" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg())
    return tmp_path / "photos"


@pytest.fixture
def table(tmp_path):
    def write(text):
        path = tmp_path / "labels.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def labels(store):
    return {row["label"]: row["present"] for row in good(store, "label", "list", "--json").rows}


def test_options_say_what_a_table_cannot(photos, table, tmp_path):
    path = table(
        "photo,split,who,breed,Old,note\n"
        f"{photos}/cats/1.jpg,training,ann,Siam,0,x\n"
        f"{photos}/dogs/2.jpg,testing,bob,Pug,1,y\n"
        f"{photos}/dogs/3.jpg,valid,ann,Pug,-1,z\n"
    )
    store = tmp_path / "store"
    done = good(
        store,
        *("import", "folder", photos, "--labels", path, "--key-column", "photo"),
        *("--partition-column", "split", "--identity-column", "who", "--class-columns", "breed"),
        *("--exclude-columns", "note", "--zero", "absent"),
    )
    assert "note: 3 images have other names in labels.csv, such as '" in done.err
    assert labels(store) == {"Old": 1, "Pug": 2, "Siam": 1}
    assert len(good(store, "list", "--where", "identity = 'ann' and partition = 'val'", "--json").rows) == 1
    done = good(store, "import", "folder", photos, "--labels", path, "--columns", "Old")
    assert "1 zeros of labels.csv were read as unknown, because −1 stands in 1 cells of Old" in done.err


def test_what_no_header_and_folders_do(photos, table, tmp_path):
    path = table("cats/1.jpg,1\ndogs/2.jpg,0\n")
    said = refused(tmp_path / "store", "import", "folder", photos, "--labels", path)
    assert "found 'cats/1.jpg' where the names of columns should be" in said
    assert not (tmp_path / "store").exists()
    good(tmp_path / "store", "import", "folder", photos, "--labels", path, "--no-header")
    assert labels(tmp_path / "store") == {"Column_2": 1}
    good(tmp_path / "other", "import", "folder", photos, "--labels-from", "folders")
    assert labels(tmp_path / "other") == {"cats": 1, "dogs": 2}
    both = call(tmp_path / "other", "import", "folder", photos, "--columns", "cats")
    assert "error: columns says how to read a table of labels: name the table" in both.err


def test_an_option_that_nobody_knows_is_no_option(photos, tmp_path):
    with Store.create(tmp_path / "store") as store, pytest.raises(TypeError, match="colums"):
        store.import_folder(photos, colums=["cats"])


def test_plain_photos_are_told_where_to_go(photos, tmp_path):
    said = refused(tmp_path / "store", "import", "celeba", photos)
    assert f"run `olrsearch import folder {photos}` for plain photos" in said


def test_a_table_of_other_images_is_refused_with_both_sides(photos, table, tmp_path):
    said = refused(tmp_path / "store", "import", "folder", photos, "--labels", table("image,Old\nx.jpg,1\n"))
    assert (
        "none of the 1 rows of labels.csv names an image: the first row names 'x.jpg', the first image is"
        in said
    )


def test_leave_to_remove_without_a_sync_is_refused(photos, tmp_path):
    called = call(tmp_path / "store", "import", "folder", photos, "--remove-most")
    assert called.code == 2
    assert "--remove-most lets --sync remove more: add --sync" in called.err
    assert not (tmp_path / "store").exists()
