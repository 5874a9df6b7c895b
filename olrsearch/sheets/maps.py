"""Maps of latent spaces as PNG: images as points, words as ellipses.

Source: paper 003, figures 2 and 7 to 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from olrsearch.sheets.plots import (
    FONT,
    GRID,
    INK,
    SOFT,
    new_figure,
    shortened,
    style_ticks,
    write_plot,
    write_title,
)

if TYPE_CHECKING:
    from pathlib import Path

    from olrsearch.core.arrays import F64
    from olrsearch.evaluation.looks.latent_map import LatentMap

_DEVIATIONS: Final = (1.0, 2.0)
"""An ellipse for each; the outer one holds 86 % of the Gaussian."""

_NAME: Final = (0.09, 0.03)
"""Width and height of a name, as shares of the plot's."""

_TURN: Final = np.linspace(0, 2 * np.pi, 121)


def plot_map(found: LatentMap, path: Path | str, *, title: str) -> Path:
    """Draw a map.

    Args:
        found: What to draw.
        path: A file ending in `.png`.
        title: A line above.

    Returns:
        The path written.

    Raises:
        OlrsearchError: another suffix.
    """
    figure = new_figure(8.4, 7.4, "constrained")
    axes = figure.subplots()
    palette = "tab10" if len(found.words) <= 10 else "tab20"
    most = 10 if palette == "tab10" else 20
    other = found.word < 0
    axes.scatter(found.points[other, 0], found.points[other, 1], s=5, c=GRID, linewidths=0)
    shades = found.word[~other] % most
    axes.scatter(
        found.points[~other, 0],
        found.points[~other, 1],
        s=7,
        c=shades,
        cmap=palette,
        vmin=-0.5,
        vmax=most - 0.5,
        alpha=0.55,
        linewidths=0,
    )
    if found.centres is not None and found.covariances is not None:
        named = list(zip(found.words, found.centres, strict=True))
        for number, (centre, covariance) in enumerate(zip(found.centres, found.covariances, strict=True)):
            colour = f"C{number}" if palette == "tab10" else INK
            for deviations in _DEVIATIONS:
                axes.plot(*ellipse(centre, covariance, deviations).T, color=colour, linewidth=1.1)
    else:
        groups = [(word, found.points[found.word == number]) for number, word in enumerate(found.words)]
        named = [(word, np.median(points, axis=0)) for word, points in groups if len(points)]
    places = spread(np.array([place for _, place in named]), np.ptp(found.points, axis=0))
    for (word, _), place in zip(named, places, strict=True):
        axes.text(
            float(place[0]),
            float(place[1]),
            shortened(word),
            ha="center",
            va="center",
            fontsize=FONT + 1,
            color=INK,
            parse_math=False,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )
    axes.set_aspect("equal", adjustable="datalim")
    axes.spines[:].set_color(GRID)
    style_ticks(axes)
    said = "; ".join(found.notes)
    axes.set_xlabel(f"{len(found.points):,} images; {said}", color=SOFT, fontsize=FONT)
    write_title(figure, title)
    return write_plot(figure, path)


def spread(places: F64, extent: F64) -> F64:
    """Places of names, moved up or down until none covers another: float64 [m, 2].

    Args:
        places: float64 [m, 2], where the names belong; not changed.
        extent: float64 [2], width and height of the plot.
    """
    near = np.asarray(extent) * _NAME
    found: F64 = places.copy()
    order = np.argsort(places.reshape(-1, 2)[:, 1], kind="stable")
    for row, name in enumerate(order):
        for other in order[:row]:
            if abs(found[name, 0] - found[other, 0]) < near[0]:
                found[name, 1] = max(found[name, 1], found[other, 1] + near[1])
    return found


def ellipse(centre: F64, covariance: F64, deviations: float) -> F64:
    """Points of the ellipse so many standard deviations out, float64 [m, 2]."""
    values, vectors = np.linalg.eigh(covariance)
    circle = np.stack([np.cos(_TURN), np.sin(_TURN)], axis=1)
    found: F64 = centre + deviations * (circle * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return found
