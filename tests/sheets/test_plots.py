"""Plots: whole PNGs that show what they are given."""

import numpy as np
import pytest
from pictures import read_png, share

from olrsearch import OlrsearchError
from olrsearch.sheets import check_plot
from olrsearch.sheets.plots import _number, plot_components, plot_correlations


def matrix(count, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, 50))
    return np.corrcoef(rows)


@pytest.mark.slow
def test_two_heat_maps_of_forty_labels(tmp_path):
    names = [f"A_long_label_name_{number:02}" for number in range(40)]
    path = plot_correlations(tmp_path / "deep" / "norms.png", names, matrix(40), matrix(40, 1), title="title")
    found = read_png(path)
    height, width = found.shape[:2]
    assert 2300 < width < 4000
    assert 1200 < height < 2000
    assert width > 1.5 * height  # two maps, side by side
    assert share(found, (103, 0, 31)) > 0.008  # both diagonals: 1 is the dark end of the scale
    assert len(np.unique(found @ (65536, 256, 1))) > 200


@pytest.mark.slow
def test_rows_of_labels_do_not_overlap(tmp_path):
    names = [f"{number:02}" * 8 for number in range(40)]
    path = plot_correlations(tmp_path / "norms.png", names, matrix(40), np.full((40, 40), np.nan), title="")
    found = read_png(path)
    dark = (found.sum(axis=2) < 300)[:, :150].any(axis=1)  # the names left of the map
    lines = int((np.diff(dark.astype(int)) == 1).sum())
    assert lines == 40


@pytest.mark.slow
def test_what_is_unknown_is_grey_and_a_map_of_nothing_is_left_out(tmp_path):
    norms, labels = matrix(5), matrix(5, 1)
    labels[2] = labels[:, 2] = np.nan
    both = read_png(plot_correlations(tmp_path / "both.png", "abcde", norms, labels, title="t"))
    assert share(both, (214, 214, 210), 5) > 0.05
    nothing = np.full((5, 5), np.nan)
    np.fill_diagonal(nothing, 1.0)
    one = read_png(plot_correlations(tmp_path / "one.png", "abcde", norms, nothing, title="t"))
    assert share(one, (214, 214, 210), 5) < 0.01
    assert one.shape[1] < 0.7 * both.shape[1]


@pytest.mark.slow
def test_names_of_any_kind_are_drawn_as_they_are(tmp_path):
    odd = ["$x^2$ and $", "a\nb", "顔", "x" * 4000, ""]
    found = read_png(plot_correlations(tmp_path / "odd.png", odd, matrix(5), matrix(5), title="$t$"))
    assert found.shape[1] < 2500
    read_png(plot_components(tmp_path / "c.png", [0.7, 0.3], 1, [(name, 0.5) for name in odd], title="$a$"))


@pytest.mark.slow
def test_bars_follow_the_shares_and_the_component(tmp_path):
    labels = [("Smiling", 0.9), ("Young", -0.5)]
    first = read_png(plot_components(tmp_path / "a.png", [0.8, 0.15, 0.05], 1, labels[:1], title="t"))
    second = read_png(plot_components(tmp_path / "b.png", [0.8, 0.15, 0.05], 2, labels[:1], title="t"))
    against = read_png(plot_components(tmp_path / "c.png", [0.8, 0.15, 0.05], 2, labels[1:], title="t"))
    blue, red = (62, 120, 178), (194, 86, 63)
    assert first.shape[1] > 1200
    assert share(first, blue) > share(second, blue) > share(against, blue) > 0
    assert share(first, red) == 0 < share(against, red)


@pytest.mark.slow
def test_the_same_plot_is_the_same_file(tmp_path):
    for name in ("a.png", "b.png"):
        plot_correlations(tmp_path / name, "abc", matrix(3), matrix(3, 1), title="t")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


@pytest.mark.parametrize("name", ["plot.svg", "plot"])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(OlrsearchError, match=r"a plot ends in \.png"):
        check_plot(tmp_path / name)
    with pytest.raises(OlrsearchError, match=r"a plot ends in \.png"):
        plot_components(tmp_path / name, [1.0], 1, [("a", 1.0)], title="t")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("value", "text"), [(0.823, ".82"), (-0.3, "−.30"), (1.0, "1"), (-0.999, "−1"), (-0.001, ".00")]
)
def test_numbers_in_cells_are_short(value, text):
    assert _number(value) == text
