"""What a decision, a correction and a deletion name is looked up while the store's lock is held."""

import pytest
from made_stores import fill

from olrsearch import Store
from olrsearch.store import DecisionRequest
from olrsearch.store.backend import Backend
from olrsearch.store.read.snapshot import Snapshot


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.labels.set(["000.jpg"], "Male", "present", who="ann"),
        lambda store: store.labels.decide([DecisionRequest("000.jpg", "Male", "accept")], who="ann"),
        lambda store: store.labels.undo("000.jpg", "Smiling", who="ann"),
        lambda store: store.delete(["000.jpg"]),
        lambda store: store.delete(where="key = '000.jpg'"),
    ],
)
def test_images_are_resolved_under_the_lock(tmp_path, monkeypatch, change):
    with Backend.create(tmp_path / "store") as backend:
        fill(backend, 3)
    with Store.open(tmp_path / "store") as store:
        store.labels.decide([DecisionRequest("000.jpg", "Smiling", "flip")], who="ann")
        held, read = [], []
        writer, resolve, image_ids = Backend.writer, Snapshot.resolve, Snapshot.image_ids

        def locked(self):
            held.append(True)
            return writer(self)

        def watched(method):
            def looked_up(self, *arguments):
                read.append(bool(held))
                return method(self, *arguments)

            return looked_up

        monkeypatch.setattr(Backend, "writer", locked)
        monkeypatch.setattr(Snapshot, "resolve", watched(resolve))
        monkeypatch.setattr(Snapshot, "image_ids", watched(image_ids))
        change(store)
    assert read
    assert all(read)


def test_an_export_reads_labels_once(tmp_path, monkeypatch):
    with Backend.create(tmp_path / "store") as backend:
        fill(backend, 3)
    with Store.open(tmp_path / "store") as store:
        read, stored = [], Snapshot.stored_labels
        monkeypatch.setattr(
            Snapshot, "stored_labels", lambda self, ids: read.append(len(ids)) or stored(self, ids)
        )
        store.labels.export(tmp_path / "labels.csv")
    assert read == [3]
