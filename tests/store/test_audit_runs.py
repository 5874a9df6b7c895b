"""Folders of audit runs: whole or not there, and every array held against its checksum."""

import json

import numpy as np
import pytest

from olrsearch.core import files
from olrsearch.core.errors import AuditError, StoreCorruptError, StoreVersionError
from olrsearch.store.audit_runs import RunFolder, audit_folders

IDS = np.arange(5)


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path / "runs" / "audit-1", {"ids": IDS}, {"status": "running"})


def test_a_new_run_is_whole(folder):
    again = RunFolder.open(folder.path)
    assert (again.name, again.record["kind"], again.record["status"]) == ("audit-1", "audit", "running")
    assert again.load("ids").tolist() == IDS.tolist()
    assert not again.load("ids").flags.writeable
    assert again.whole("ids")
    assert [path.name for path in audit_folders(folder.path.parent)] == ["audit-1"]
    assert audit_folders(folder.path / "nothing") == []


def test_a_run_that_could_not_begin_leaves_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "sync", full)
    with pytest.raises(OSError, match="No space left"):
        RunFolder.create(tmp_path / "runs" / "audit-1", {"ids": IDS}, {})
    assert list((tmp_path / "runs").iterdir()) == []


def test_arrays_are_kept_replaced_and_dropped(folder):
    folder.keep("injected/evidence-a", np.zeros((2, 3), np.float32))
    folder.keep("ids", IDS * 2)
    folder.note(status="finished")
    again = RunFolder.open(folder.path)
    assert again.record["status"] == "finished"
    assert again.load("injected/evidence-a").shape == (2, 3)
    assert again.load("ids").tolist() == (IDS * 2).tolist()
    again.drop("injected/evidence-a")
    assert not RunFolder.open(folder.path).has("injected/evidence-a")
    assert not (folder.path / "injected" / "evidence-a.npy").exists()
    with pytest.raises(StoreCorruptError, match=r"names no injected/evidence-a|names no evidence-a"):
        again.load("injected/evidence-a")


def test_an_array_without_a_record_is_not_there(folder):
    """What a kill left between the file and its record."""
    np.save(folder.path / "present-1.npy", np.zeros(3))
    (folder.path / ".tmp-0").write_bytes(b"half")
    again = RunFolder.open(folder.path)
    assert not again.has("present-1")
    assert not again.whole("present-1")
    assert list(again.damaged()) == []
    again.clean()
    assert not (folder.path / ".tmp-0").exists()


def test_damage_is_found(folder):
    file = folder.path / "ids.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\x07")
    assert list(folder.damaged()) == [file]
    with pytest.raises(StoreCorruptError, match="does not match its checksum"):
        folder.load("ids")
    file.write_bytes(whole[:-8])
    with pytest.raises(StoreCorruptError, match=r"ids.npy has \d+ bytes, expected .* audit delete audit-1`"):
        folder.load("ids")
    np.save(file, IDS.astype(np.float64))
    with pytest.raises(StoreCorruptError, match="holds float64 of shape"):
        folder.load("ids")
    file.write_bytes(b"x" * len(whole))
    with pytest.raises(StoreCorruptError, match="cannot be read"):
        folder.load("ids")
    file.unlink()
    assert list(folder.damaged()) == [file]
    with pytest.raises(StoreCorruptError, match="cannot be read"):
        folder.load("ids")


def test_records_that_are_none(folder):
    record = folder.path / "run.json"
    good = json.loads(record.read_text())
    record.write_text(json.dumps({**good, "label_revision": 7}))
    with pytest.raises(StoreCorruptError, match="its own checksum"):
        RunFolder.open(folder.path)
    del good["checksum"]  # as older programs wrote it
    for text, said in (
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps({**good, "kind": "olr"}), "no record of an audit"),
        (json.dumps({**good, "arrays": None}), "no record of an audit"),
    ):
        record.write_text(text)
        with pytest.raises(StoreCorruptError, match=said):
            RunFolder.open(folder.path)
    record.write_text(json.dumps({**good, "format_version": 2, "written_by": "9.8"}))
    with pytest.raises(StoreVersionError, match=r"has format 2, written by olrsearch 9\.8"):
        RunFolder.open(folder.path)
    record.unlink()
    with pytest.raises(StoreCorruptError, match="cannot be read"):
        RunFolder.open(folder.path)


def test_one_process_at_a_time(folder):
    with (
        folder.locked(),
        pytest.raises(AuditError, match="another process works on audit-1"),
        folder.locked(),
    ):
        pass
    with folder.locked():
        pass
