"""Whole files and folders or none: a kill or a full disk at every step leaves the old one or the new one."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from olrsearch.core import files
from olrsearch.core.errors import StoreCorruptError
from olrsearch.core.files import (
    checked_json,
    discard_folder,
    file_sha256,
    free_bytes,
    is_free,
    is_leftover,
    leftovers,
    parse_json,
    put_folder,
    remove_leftovers,
    sha256_hex,
    what_system_said,
    whole_file,
    whole_folder,
    write_whole,
)

OLD, NEW = b"old" * 1000, b"new" * 1000

CODE = """
    import errno, os, sys
    from pathlib import Path
    from olrsearch.core import files

    what, how, base = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    STEPS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "fsync", "end")

    def write(path):
        if what == "file":
            files.write_whole(path, b"new" * 1000)
            return
        with files.whole_folder(path, replace=True) as building:
            (building / "inner").mkdir()
            (building / "one").write_bytes(b"new" * 1000)
            (building / "inner" / "two").write_bytes(b"new" * 1000)

    def child(number):
        place, seen = base / str(number) / "made", 0

        def step(event, arguments=()):
            nonlocal seen
            if event not in STEPS or (event != "end" and str(base) not in str(arguments)):
                return
            seen += 1
            if seen == number + 1:
                if how == "kill":
                    os._exit(9)
                raise OSError(errno.ENOSPC, "No space left on device")

        before = files.sync
        files.sync = lambda path: (step("fsync", (path,)), before(path))
        sys.addaudithook(step)
        try:
            write(place)
        except OSError:
            os._exit(8)
        os._exit(0 if seen <= number else 8)  # a fault may be passed over: a folder that is there already

    for number in range(200):
        place = base / str(number) / "made"
        place.parent.mkdir()
        if sys.argv[4] == "replace":
            if what == "file":
                place.write_bytes(b"old" * 1000)
            else:
                (place / "inner").mkdir(parents=True)
                for name in ("one", "inner/two"):
                    (place / name).write_bytes(b"old" * 1000)
        process = os.fork()
        if not process:
            child(number)
        if os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0:
            print(number)
            break
"""


def content(path: Path) -> bytes | dict[str, bytes] | None:
    if path.is_dir():
        inside = {
            str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()
        }
        return inside or None
    return path.read_bytes() if path.exists() else None


@pytest.mark.parametrize("before", ["replace", "new"])
@pytest.mark.parametrize("how", ["kill", "full"])
@pytest.mark.parametrize("what", ["file", "folder"])
def test_every_step(tmp_path, what, how, before):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CODE), what, how, tmp_path, before],
        capture_output=True,
        text=True,
        check=True,
    )
    steps = int(done.stdout)
    assert steps >= (4 if what == "file" else 10)
    whole = {data: data if what == "file" else {"one": data, "inner/two": data} for data in (OLD, NEW)}
    old = whole[OLD] if before == "replace" else None
    found = []
    for number in range(steps + 1):
        folder = tmp_path / str(number)
        here = content(folder / "made")
        others = [path for path in folder.iterdir() if path.name != "made"]
        assert all(is_leftover(path.name) for path in others)
        if here is None and old is not None:  # between the two renames of a folder
            assert how == "kill"
            assert what == "folder"
            assert whole[OLD] in [content(path) for path in others]
        else:
            assert here in (old, whole[NEW])
        if how == "full" and here != whole[NEW]:
            assert others == []  # cleaned up, where there is somebody to do so
        found.append(here)
    assert old in found
    assert found[-1] == whole[NEW]


def test_a_file_keeps_its_suffix_while_it_is_written(tmp_path):
    with whole_file(tmp_path / "deep" / "array.npy") as temporary:
        assert temporary.suffix == ".npy"
        assert temporary.parent == tmp_path / "deep"
        assert is_leftover(temporary.name)
        temporary.write_bytes(NEW)
    assert (tmp_path / "deep" / "array.npy").read_bytes() == NEW


def test_nothing_is_synced_that_need_not_last(tmp_path, monkeypatch):
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync", synced.append)
    write_whole(tmp_path / "file", NEW, durable=False)
    with whole_folder(tmp_path / "folder", durable=False) as building:
        (building / "file").write_bytes(NEW)
    assert synced == []
    write_whole(tmp_path / "file", NEW)
    assert synced[1:] == [tmp_path]
    assert is_leftover(synced[0].name)


def test_a_folder_is_not_replaced_unless_asked(tmp_path):
    (tmp_path / "mine").mkdir()
    with whole_folder(tmp_path / "mine") as building:  # empty: its place is free
        (building / "a").write_bytes(OLD)
    with pytest.raises(OSError, match=r"."), whole_folder(tmp_path / "mine") as building:
        (building / "a").write_bytes(NEW)
    assert content(tmp_path / "mine") == {"a": OLD}
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_finished_folder_takes_its_place(tmp_path):
    for name, data in (("made", NEW), ("place", OLD)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_bytes(data)
    put_folder(tmp_path / "made", tmp_path / "place", replace=True)
    assert content(tmp_path / "place") == {"a": NEW}
    assert [path.name for path in tmp_path.iterdir()] == ["place"]
    discard_folder(tmp_path / "place")
    assert list(tmp_path.iterdir()) == []


def test_a_replaced_folder_comes_back_when_the_new_one_cannot_come(tmp_path):
    (tmp_path / "place").mkdir()
    (tmp_path / "place" / "a").write_bytes(OLD)
    with pytest.raises(FileNotFoundError):
        put_folder(tmp_path / "nothing", tmp_path / "place", replace=True, durable=False)
    assert content(tmp_path / "place") == {"a": OLD}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(files.temporary_path(Path("a/b.npy")).name, id="today's"),
        ".tmp-1",
        ".exact.building",
        "0123.background.tmp",
        ".gallery-x1",
        "checkpoint.ckpt.partial",
        ".0123.partial",
        "pixels.part",
    ],
)
def test_leftovers_of_today_and_of_earlier_days(tmp_path, name):
    (tmp_path / "deep" / name / ".tmp-inside").mkdir(parents=True)
    (tmp_path / name).write_bytes(b"half")
    (tmp_path / "deep" / "kept").touch()
    assert sorted(leftovers(tmp_path)) == sorted([tmp_path / name, tmp_path / "deep" / name])
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.rglob("*")] == ["deep", "kept"]


@pytest.mark.parametrize("name", ["metadata.db", "run.json", "template", "LOCK.holder", "parts", "a.tmpl"])
def test_other_names_are_none(name):
    assert not is_leftover(name)


def test_a_free_place(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert [is_free(tmp_path / name) for name in ("none", "empty", "file", ".")] == [True, True, False, False]


def test_hashes_and_objects(tmp_path):
    (tmp_path / "a").write_bytes(OLD)
    assert file_sha256(tmp_path / "a") == sha256_hex(OLD)
    assert parse_json(b'{"a": 1}', tmp_path) == {"a": 1}
    for text in (b"[1]", b"{", b"\xff"):
        with pytest.raises(StoreCorruptError, match="is damaged: not"):
            parse_json(text, tmp_path / "a")


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    write_whole(tmp_path / "a", OLD)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(tmp_path / "a", NEW)
    assert content(tmp_path / "a") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_short_write_names_its_file(tmp_path):
    """numpy says only how many numbers it could not write."""

    def write() -> None:
        with whole_file(tmp_path / "array.npy"):
            raise OSError("2500 requested and 0 written")

    with pytest.raises(OSError, match="requested") as caught:
        write()
    assert caught.value.filename == str(tmp_path / "array.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EDQUOT, "the disk is full"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EACCES, "owner"),
        (errno.EROFS, "nothing can be written"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_what_the_system_says_has_advice(number, said):
    assert said in what_system_said(OSError(number, os.strerror(number), "somewhere"))


def test_json_with_a_checksum_of_its_own(tmp_path):
    data = checked_json({"a": 1, "b": ["é", 0.1]})
    assert parse_json(data, tmp_path) == {"a": 1, "b": ["é", 0.1]}
    assert parse_json(b'{"a": 1}', tmp_path) == {"a": 1}  # of older programs
    with pytest.raises(StoreCorruptError, match="its own checksum"):
        parse_json(data.replace(b'"a": 1', b'"a": 2'), tmp_path)
    with pytest.raises(StoreCorruptError, match="not JSON"):
        parse_json(b"[" * 100_000, tmp_path)
    assert free_bytes(tmp_path) > 0
    assert free_bytes(tmp_path / "nothing") == 1
