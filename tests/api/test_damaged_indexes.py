"""What the metadata say of built indexes is refused where it is damaged, and nothing else is."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest

from olrsearch import Store
from olrsearch.core.errors import IndexBuildError


@pytest.fixture(scope="module")
def built(gallery, tmp_path_factory):
    path = gallery.copy(tmp_path_factory.mktemp("built") / "store")
    with Store.open(path) as store:
        store.indexes.build("exact")
    return path


def registered_as(path, change) -> None:
    """Changes what is registered of an index behind the program's back, as a change that is meant."""
    with closing(sqlite3.connect(path / "metadata.db")) as connection, connection:
        where = "WHERE kind = 'index' AND removed_in IS NULL"
        ((text,),) = connection.execute(f"SELECT payload FROM artefact {where}").fetchall()
        changed = change(json.loads(text))
        written = str(changed) if isinstance(changed, Raw) else json.dumps(changed)
        connection.execute(f"UPDATE artefact SET payload = ? {where}", (written,))
    (path / "metadata.sums").unlink()


class Raw(str):
    """A text that is written as it is, though it is no JSON."""

    __slots__ = ()


CHANGES = {
    "empty": lambda _: {},
    "no object": lambda _: [],
    "no JSON": lambda _: Raw("{"),
    "no count": lambda kept: {name: value for name, value in kept.items() if name != "count"},
    "no version": lambda kept: {name: value for name, value in kept.items() if name != "format_version"},
    "recipe": lambda kept: kept | {"recipe": {}},
    "another count": lambda kept: kept | {"count": 7},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_damaged_index_is_refused_where_it_is_read(change, built, tmp_path):
    path = shutil.copytree(built, tmp_path / "store")
    registered_as(path, change)
    with Store.open(path) as store:
        with pytest.raises(IndexBuildError, match=r"exact.*run index build again"):
            store.indexes.info()
        with pytest.raises(IndexBuildError, match="run index build again"):
            store.similar(3, recipe="exact", k=5)
        assert len(store.similar(3, k=5)) == 5  # reads no index
        assert not store.verify().ok
        report = store.encoders.calibrate(where="id > 0")
        assert set(report.outdated) <= {"exact"}
        store.indexes.build("exact")
        assert store.indexes.info()["indexes"]["exact"]["count"] == 120
