"""Plots as the informed-prior paper has them: pictures in a grid, and images beside their posteriors.

Notation: n pictures, d dimensions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from olrsearch.sheets.plots import (
    BAR,
    FONT,
    GRID,
    INK,
    SOFT,
    WRITTEN,
    label_ticks,
    new_figure,
    shortened,
    show_covariance,
    style_ticks,
    write_plot,
    write_title,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from olrsearch.core.arrays import F64, U8

_PICTURE: Final = 1.0
"""Inches of a picture's longer edge."""


def plot_pictures(
    path: Path | str, pictures: U8, captions: Sequence[str], *, title: str, columns: int = 10
) -> Path:
    """Pictures in a grid, each under its caption.

    Args:
        path: A file ending in `.png`.
        pictures: uint8 [n, H, W, 3], one or more.
        captions: One each, may be empty.
        title: A line above all.
        columns: Pictures in a row.

    Returns:
        The path written.

    Raises:
        OlrsearchError: another suffix.

    Source: paper 004, figures 2 to 4.
    """
    across = min(columns, len(pictures))
    down = -(-len(pictures) // across)
    width, height = _edges(pictures)
    figure = new_figure(across * (width + 0.08) + 0.2, down * (height + 0.24) + 0.5, "compressed")
    grid = figure.subplots(down, across, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.axis("off")
        if number < len(pictures):
            axes.imshow(pictures[number], interpolation="nearest")
            axes.set_title(captions[number], fontsize=FONT, color=INK, pad=2, parse_math=False)
    write_title(figure, title)
    return write_plot(figure, path)


def plot_posteriors(
    path: Path | str,
    pictures: U8,
    samples: U8 | None,
    means: F64,
    covariances: F64,
    names: Sequence[str],
    *,
    captions: Sequence[str],
    title: str,
) -> Path:
    """Images beside their posteriors: a decoded sample, the mean, and the covariance as a heat map.

    Args:
        path: A file ending in `.png`.
        pictures: uint8 [n, H, W, 3], one or more.
        samples: uint8 [n, H', W', 3]; None where nothing decodes them.
        means: float64 [n, d].
        covariances: float64 [n, d, d].
        names: d names, of the coordinates.
        captions: One each.
        title: A line above all.

    Returns:
        The path written.

    Raises:
        OlrsearchError: another suffix.

    Source: paper 004, figure 1.
    """
    width, height = _edges(pictures)
    shown = 1 if samples is None else 2
    row = max(1.7, height + 0.3)
    figure = new_figure(shown * (width + 0.2) + 5.2, len(pictures) * row + 0.6, "constrained")
    grid = figure.subplots(
        len(pictures), shown + 2, squeeze=False, width_ratios=[*([width] * shown), 2.4, 1.9]
    )
    ticks = [shortened(name) for name in names] if len(names) <= WRITTEN else []
    for number, axes in enumerate(grid):
        for place, (heading, array) in enumerate((("image", pictures), ("decoded sample", samples))):
            if array is not None:
                axes[place].imshow(array[number], interpolation="nearest")
                axes[place].axis("off")
                axes[place].set_title(
                    captions[number] if place == 0 else heading,
                    fontsize=FONT,
                    color=INK,
                    parse_math=False,
                )
        bars, heat = axes[shown], axes[shown + 1]
        bars.bar(range(means.shape[1]), means[number], color=BAR, width=0.8)
        bars.axhline(0, color=SOFT, linewidth=0.8)
        bars.set_title("mean", fontsize=FONT, color=INK)
        drawn = show_covariance(heat, covariances[number])
        heat.set_title("covariance", fontsize=FONT, color=INK)
        figure.colorbar(drawn, ax=heat, shrink=0.8).ax.tick_params(labelsize=FONT - 2, labelcolor=INK)
        for axis in (bars.xaxis, heat.xaxis, heat.yaxis):
            label_ticks(axis, ticks)
        for one in (bars, heat):
            style_ticks(one, smaller=1)
            one.xaxis.set_tick_params(rotation=90)
            one.spines[:].set_color(GRID)
    write_title(figure, title)
    return write_plot(figure, path)


def _edges(pictures: U8) -> tuple[float, float]:
    """Width and height of a picture in inches."""
    height, width = pictures.shape[1:3]
    longer = max(height, width)
    return _PICTURE * width / longer, _PICTURE * height / longer
