"""Records of training runs, and which run is behind an encoder."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from olrsearch.store.training_runs import (
    read_run,
    run_behind,
    run_of,
    selection_ids,
    unfinished_run,
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
