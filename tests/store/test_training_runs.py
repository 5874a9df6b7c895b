"""Records of training runs, and which run is behind an encoder."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from olrsearch.core.errors import StoreCorruptError
from olrsearch.store.training_runs import (
    damaged_runs,
    keep_arrays,
    read_run,
    run_array,
    run_behind,
    run_of,
    selection_ids,
    unfinished_run,
    waiting_run,
    write_run,
)


@pytest.fixture
def run(tmp_path):
    run = tmp_path / "runs" / "olr-1"
    write_run(run, {"kind": "olr", "fingerprint": "ab"})
    np.save(run / "ids.npy", np.array([3, 5, 8]))
    np.save(run / "selection.npy", np.array([True, False, True]))
    return run


def test_a_record_is_replaced_whole_or_not_at_all(tmp_path, run, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    before = sorted(path.name for path in run.iterdir())
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            write_run(run, {"fingerprint": "cd", "seconds": {}})
    assert read_run(run) == {"kind": "olr", "fingerprint": "ab"}
    assert run_of(tmp_path, "ab") == run
    assert sorted(path.name for path in run.iterdir()) == before


def test_the_newest_unfinished_run_of_a_kind(tmp_path, run):
    assert unfinished_run(tmp_path, "olr") is None
    assert unfinished_run(tmp_path / "nothing", "olr") is None
    for name in ("olr-2", "olr-3", "informed-prior-4"):
        write_run(run.with_name(name), {"kind": name[:-2]})
    assert unfinished_run(tmp_path, "olr") == run.with_name("olr-3")
    assert unfinished_run(tmp_path, "informed-prior") == run.with_name("informed-prior-4")


@pytest.mark.parametrize(
    ("fingerprint", "config", "found"),
    [
        ("ab", {}, True),
        ("cd", {"rounded_from": "ab"}, True),
        ("cd", {"rounded_from": "ef"}, False),
        ("cd", {}, False),
    ],
)
def test_the_run_behind_a_space_is_found_through_rounding(tmp_path, run, fingerprint, config, found):
    info = SimpleNamespace(fingerprint=fingerprint, config=config)
    assert run_behind(tmp_path, info) == (run if found else None)
    ids = selection_ids(tmp_path, info)
    assert (None if ids is None else ids.tolist()) == ([3, 8] if found else None)


def test_arrays_and_records_that_are_damaged_are_named(tmp_path):
    store, run = tmp_path, tmp_path / "runs" / "olr-1"
    held_back = np.array([True, False, True])
    arrays = {"ids": np.array([3, 5, 8]), "labels": np.zeros((3, 2), np.int8), "selection": held_back}
    write_run(run, {"kind": "olr", "arrays": keep_arrays(run, arrays)})
    assert list(damaged_runs(store)) == []
    assert np.array_equal(run_array(run, "ids"), arrays["ids"])
    whole = (run / "ids.npy").read_bytes()
    for bad in (whole[:-1] + b"\x01", whole[:60], b"", whole.replace(b"fortran_order", b"fortran(order")):
        (run / "ids.npy").write_bytes(bad)
        with pytest.raises(StoreCorruptError, match=r"ids\.npy is damaged .* train again"):
            run_array(run, "ids")
        (said,) = damaged_runs(store)
        assert "ids.npy" in said
    (run / "ids.npy").unlink()
    with pytest.raises(StoreCorruptError, match="damaged"):
        run_array(run, "ids")
    write_run(run, {"kind": "olr", "arrays": {"ids": {"sha256": "ab"}}})  # the record of an audit
    assert "no checksums of ids" in next(damaged_runs(store))
    for text, named in (("{", "not JSON"), ("{}", "no record"), ("\xff", "not JSON")):
        (run / "run.json").write_text(text, encoding="latin-1")
        with pytest.raises(StoreCorruptError, match=named):
            run_of(store, "ab")
        assert "run.json" in next(damaged_runs(store))


def test_runs_of_older_programs_have_no_checksums(run, tmp_path):
    assert run_array(run, "ids").tolist() == [3, 5, 8]
    np.save(run / "labels.npy", np.zeros((3, 2), np.int8))
    assert list(damaged_runs(tmp_path)) == []


def test_a_kind_whose_name_begins_anothers_has_runs_of_its_own(tmp_path):
    for name, kind in (("vae-1", "vae"), ("vae-tl-2", "vae-tl")):
        write_run(tmp_path / "runs" / name, {"kind": kind})
    assert unfinished_run(tmp_path, "vae") == waiting_run(tmp_path, "vae") == tmp_path / "runs" / "vae-1"
    write_run(tmp_path / "runs" / "vae-1", {"kind": "vae", "fingerprint": "ab"})
    assert unfinished_run(tmp_path, "vae") is None is waiting_run(tmp_path, "vae")
    assert unfinished_run(tmp_path, "vae-tl") == tmp_path / "runs" / "vae-tl-2"
