"""Plots of the informed-prior paper: whole PNGs that show what they are given."""

import numpy as np
import pytest
from olrsearch_benchmarks.papers.plots import plot_pictures, plot_posteriors
from pictures import read_png, share

pytestmark = pytest.mark.slow


def test_pictures_stand_in_a_grid(tmp_path):
    red = np.zeros((3, 8, 16, 3), np.uint8)
    red[..., 0] = 255
    one = read_png(plot_pictures(tmp_path / "one.png", red[:1], ["$1$"], title="t"))
    three = read_png(plot_pictures(tmp_path / "three.png", red, ["1.0", "", "2.0"], title="t", columns=2))
    colour = (255, 0, 0)
    counts = [share(found, colour, 5) * found.shape[0] * found.shape[1] for found in (one, three)]
    assert counts[1] == pytest.approx(3 * counts[0], rel=0.25)  # the layout scales pictures a little
    assert three.shape[0] > 1.3 * one.shape[0]  # two rows


def test_posteriors_are_drawn_with_and_without_samples(tmp_path):
    green = np.zeros((2, 8, 8, 3), np.uint8)
    green[..., 1] = 255
    means, covariances = np.array([[1.0, 0.5], [0.2, -0.1]]), np.stack([np.eye(2), np.eye(2) - 0.5])
    names, captions = ["a", "$b$"], ["x", "y"]
    drawn = {
        name: read_png(
            plot_posteriors(
                tmp_path / f"{name}.png",
                green,
                samples,
                means,
                covariances,
                names,
                captions=captions,
                title="t",
            )
        )
        for name, samples in (("without", None), ("with", green))
    }
    counts = {name: share(found, (0, 255, 0), 5) * found[..., 0].size for name, found in drawn.items()}
    assert counts["with"] == pytest.approx(2 * counts["without"], rel=0.1)
    assert share(drawn["with"], (103, 0, 31)) > 0.005  # the variances, at the dark end of the scale
