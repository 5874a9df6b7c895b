"""Texts that no system and no database has, given to the verbs of a store."""

import pytest
from pictures import write_pictures

from olrsearch import OlrsearchError, Store


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    home = tmp_path_factory.mktemp("odd")
    table = write_pictures(home / "pictures", 2)
    with Store.create(home / "store") as store:
        store.import_folder(home / "pictures", labels=table)
        yield store, home / "pictures"


VERBS = {
    "set an image": lambda store, _, odd: store.labels.set([odd], "Red", "absent", who="ann"),
    "set a label": lambda store, _, odd: store.labels.set([1], odd, "absent", who="ann"),
    "delete": lambda store, _, odd: store.delete([odd]),
    "relocate": lambda store, data, odd: store.relocate(odd, data),
    "relocate to": lambda store, data, odd: store.relocate("pictures", data / odd),
    "describe": lambda store, _, odd: store.describe(odd),
    "import as": lambda store, data, odd: store.import_folder(data, name=odd),
    "import": lambda store, _, odd: store.import_folder(odd),
    "import a table": lambda store, data, odd: store.import_folder(data, labels=odd),
    "import a column": lambda store, data, odd: store.import_folder(
        data, labels=data / "labels.csv", columns=[odd]
    ),
    "import idx": lambda store, _, odd: store.import_idx(odd),
    "decide": lambda store, _, odd: store.labels.decide_file(odd, who="ann"),
}


@pytest.mark.parametrize("odd", ["\udce9", "a\0b", "\ud83d.jpg"])
@pytest.mark.parametrize("verb", VERBS)
def test_they_are_named(opened, verb, odd):
    with pytest.raises(OlrsearchError) as caught:
        VERBS[verb](*opened, odd)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("odd", ["a\0b", "\ud83d"])
def test_no_system_has_such_a_file(opened, odd):
    store, data = opened
    with pytest.raises(OlrsearchError, match="cannot be written"):
        store.labels.export(data / f"{odd}.csv")


@pytest.mark.parametrize("odd", ["\udce9", "\ud83d.jpg"])
def test_no_database_can_look_for_half_a_character(opened, odd):
    with pytest.raises(OlrsearchError, match="no database can look for"):
        opened[0].labels.history(odd)
