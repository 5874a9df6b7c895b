"""`olrsearch bench foreign`: sets of foreign images are made, read and told from a store's own."""

from __future__ import annotations

import numpy as np
import pytest
from olrsearch_benchmarks.foreign import drawn_sets, folders
from olrsearch_benchmarks.foreign.measured import measure_foreign
from PIL import Image

from olrsearch import Store
from olrsearch.core.errors import BenchmarkError


def scenes():
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (240, 300, 3), dtype=np.uint8)) for _ in range(2)]


def test_sets_are_the_same_for_the_same_seed():
    for make in (
        lambda seed: drawn_sets.charts(7, seed),
        lambda seed: drawn_sets.composed_groups(3, seed, scenes(), scenes()),
        lambda seed: drawn_sets.pieces(scenes(), seed),
    ):
        once, again, other = (list(make(seed)) for seed in (0, 0, 1))
        assert [image.tobytes() for image in once] == [image.tobytes() for image in again]
        assert [image.tobytes() for image in once] != [image.tobytes() for image in other]
        assert {image.mode for image in once} == {"RGB"}


def test_what_cannot_be_made_is_said(tmp_path):
    with pytest.raises(BenchmarkError, match="composed of faces and scenes"):
        next(drawn_sets.composed_groups(1, 0, [], scenes()))
    with pytest.raises(BenchmarkError, match="is no font"):
        next(drawn_sets.drawn_hands(1, 0, tmp_path / "none.ttf", []))


def test_folders_are_read_with_those_below_and_without_what_is_no_image(tmp_path):
    (tmp_path / "below").mkdir()
    scenes()[0].save(tmp_path / "below" / "one.png")
    (tmp_path / "other.txt").write_text("no image")
    assert [image.size for image in folders.images(tmp_path)] == [(300, 240)]


@pytest.mark.slow
def test_noise_and_charts_are_told_from_avatars(world):
    with Store.open(world.store, read_only=True) as store:
        report = measure_foreign(store, {"charts": drawn_sets.charts(6, 0), "noise": scenes()})
        with pytest.raises(BenchmarkError, match="no image that can be read"):
            measure_foreign(store, {"none": []})
    assert [one.name for one in report.sets] == ["charts", "noise"]
    found = {one.name: (one.auroc["fit"], one.marked) for one in report.sets}
    assert all(auroc > 0.8 and marked > 0.5 for auroc, marked in found.values()), found
    assert report.own_marked < 0.2
    assert "AUROC" in report.to_markdown()
