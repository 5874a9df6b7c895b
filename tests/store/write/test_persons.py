"""People who are named: kept, found, counted as one, and written out again."""

from pathlib import Path

import pytest
from command import good
from made_stores import LABELS, new
from pictures import write_pictures

from olrsearch import Store
from olrsearch.core.errors import DatasetError
from olrsearch.core.groups import told_apart
from olrsearch.datasets.label_table import read_label_table
from olrsearch.store.write.persons import number_of


def bring(store, *images):
    with store.writer() as writer:
        number = writer.gallery.add_dataset("faces", "folder", Path("/faces"))
        return writer.gallery.add_images(number, images, LABELS)


def test_names_are_kept_beside_numbers(stores):
    store = stores.create()
    bring(store, new("a", identity="ann"), new("b", identity=7), new("c"), new("d", identity="ann"))
    snapshot = store.snapshot()
    ids = snapshot.image_ids()
    assert [row.identity for row in snapshot.images(ids)] == ["ann", 7, None, "ann"]
    columns = snapshot.columns(ids, ("identity", "person"))
    assert columns["person"].tolist() == ["ann", "", "", "ann"]
    one, seven, nobody, again = columns["identity"].tolist()
    assert (seven, nobody) == (7, -1)
    assert one == again == number_of("ann") >= 1 << 62
    assert len(set(told_apart(columns["identity"]).tolist())) == 3
    # The same again changes nothing; another name is corrected.
    assert bring(store, new("a", identity="ann")).unchanged == 1
    assert bring(store, new("a", identity="bob")).updated == 1
    assert store.snapshot().images(ids[:1])[0].identity == "bob"


def test_a_number_stays_the_number_beside_names(stores):
    store = stores.create()
    bring(store, new("a", identity=7), new("b", identity=8))
    counts = bring(store, new("c", identity="ann"), new("b", identity="8"), new("d", identity="008"))
    assert (counts.added, counts.unchanged) == (2, 1)
    snapshot = store.snapshot()
    assert [row.identity for row in snapshot.images(snapshot.image_ids())] == [7, 8, "ann", "008"]


@pytest.mark.parametrize(
    ("identity", "words"),
    [
        ("", "holds nothing"),
        ("a\nb", "the line break"),
        (10**18, "a number from 0 to"),
        (-1, "a number from 0"),
    ],
)
def test_what_nobody_is_called(stores, identity, words):
    store = stores.create()
    with pytest.raises(DatasetError, match=words):
        bring(store, new("a", identity=identity))
    assert not len(store.snapshot().image_ids())


def test_named_people_from_a_table_to_a_table(tmp_path):
    data = write_pictures(tmp_path / "pictures", 6).parent
    keys = sorted(path.name for path in data.glob("*.png"))[:6]
    table = tmp_path / "people.csv"
    who = ["ann", "bob", "ann", "Zoë", "", "bob"]
    rows = "".join(f"{key},{name},1\n" for key, name in zip(keys, who, strict=True))
    table.write_text(f"image,identity,Seen\n{rows}", encoding="utf-8")
    path = tmp_path / "store"
    good(path, "import", "folder", data, "--labels", table, "--no-thumbnails")
    with Store.open(path) as store:
        for where, expected in {
            "identity = 'ann'": [0, 2],
            "identity != 'ann'": [1, 3, 4, 5],
            "identity in ('bob', 'Zoë')": [1, 3, 5],
            "identity like 'a%'": [0, 2],
            "not identity like '%b%'": [0, 2, 3, 4],
            "identity is null": [4],
            "person = 'bob'": [1, 5],
            "identity = 7": [],
            "identity = '7'": [],
        }.items():
            chosen = store.select(where)
            assert [row.key for row in store.session.snapshot().images(chosen)] == [
                keys[at] for at in expected
            ], where
        store.labels.export(tmp_path / "out.csv")
    again = read_label_table(tmp_path / "out.csv")
    assert again.identities == {key: name for key, name in zip(keys, who, strict=True) if name}
    listed = good(path, "list", "--where", "identity = 'Zoë'").out
    assert "Zoë" in listed


def test_a_person_is_found_by_number_however_the_table_wrote_it(tmp_path):
    data = write_pictures(tmp_path / "pictures", 3).parent
    keys = sorted(path.name for path in data.glob("*.png"))[:3]
    table = tmp_path / "people.csv"
    path = tmp_path / "store"
    for who in ((7, 8, 7), (7, 8, "ann")):
        rows = "".join(f"{key},{one}\n" for key, one in zip(keys, who, strict=True))
        table.write_text(f"image,identity\n{rows}", encoding="utf-8")
        said = good(path, "import", "folder", data, "--labels", table, "--no-thumbnails").out
    assert "0 relabelled" in said
    assert "1 updated" in said
    with Store.open(path) as store:
        for where in ("identity = 8", "identity = '8'"):
            assert len(store.select(where)) == 1, where
        assert len(store.select("identity != '8'")) == 2
