"""From a store to the arrays of the protocols: what is asked of the teacher, and what is kept."""

import numpy as np

from olrsearch import Store
from olrsearch.encoders.olr import training


def files_of(folder):
    return {path.relative_to(folder): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_the_teacher_is_asked_once_and_its_answers_are_kept(world, tmp_path, monkeypatch):
    home = world.copy(tmp_path / "store")
    before = files_of(home / "runs")
    with Store.open(home, read_only=True) as store:
        data = store.bench.data()
    assert data.teacher_p.shape == data.log_p.shape
    assert files_of(home / "runs") == before  # read-only is read-only
    with Store.open(home) as store:
        store.bench.data()
        new = set(files_of(home / "runs")) - set(before)
        assert [path.name for path in new] == ["teacher_p.npz"]
        with monkeypatch.context() as patched:
            patched.setattr(training, "teacher_probabilities", None)
            kept = store.bench.data()
        np.testing.assert_array_equal(kept.teacher_p, data.teacher_p)
        store.delete([1])
        assert store.bench.data().teacher_p.shape[1] == data.teacher_p.shape[1] - 1
    with Store.open(home, read_only=True) as store:
        np.testing.assert_array_equal(store.bench.data().teacher_p, data.teacher_p[:, 1:])


def test_what_calibration_was_fitted_on_is_known(world, gallery):
    with Store.open(world.store, read_only=True) as store:
        assert store.bench.data().caveats() == ()
    with Store.open(gallery.store, read_only=True) as store:  # its encoder comes from elsewhere
        assert "labelled images outside test" in store.bench.data().caveats()[0]


def test_without_the_teacher_there_is_none(world, tmp_path):
    home = world.copy(tmp_path / "store")
    for path in (home / "runs").glob("*/teacher*.safetensors"):
        path.unlink()
    with Store.open(home, read_only=True) as store:
        assert store.bench.data().teacher_p is None
