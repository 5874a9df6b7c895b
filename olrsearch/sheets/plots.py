"""Plots as PNG: heat maps of correlations, shares of principal components, Gaussians.

matplotlib's Agg canvas through its object API: no window, no global state. The module is imported
when a plot is asked for and never by a query.

Notation: L labels, k numbers a label; of Gaussians W words, d dimensions, m pictures.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from olrsearch.core.files import write_whole
from olrsearch.sheets.write import plot_form

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.image import AxesImage

    from olrsearch.core.arrays import F64, U8

_DPI = 150
_PICTURE = 1.0
"""Inches of a picture's longer edge."""

_CELL = 0.19
"""Inches of a heat map's cell: room for a line of its label."""

_FONT = 8.0
_LONGEST = 26
"""Letters of a label's name that are shown."""

_WRITTEN = 12
"""Up to so many labels a cell has room for its number."""

_INK, _SOFT, _GRID = "#1c1e22", "#6e737a", "#e1e5ea"
_BAR, _PALE, _AGAINST = "#3e78b2", "#a8c7e4", "#c2563f"
_UNKNOWN = "#d6d6d2"


def plot_correlations(
    path: Path | str, label_names: Sequence[str], norms: F64, labels: F64, *, title: str
) -> Path:
    """Correlations of norms beside those of the labels, on one scale from −1 to 1.

    Args:
        path: A file ending in `.png`.
        label_names: L names, in the order they are to stand in.
        norms: float64 [L, L] in that order.
        labels: float64 [L, L]; NaN is drawn grey, and the whole map left out where nothing else is.
        title: A line above both.

    Returns:
        The path written.

    Raises:
        OlrsearchError: another suffix.

    Source: paper 001, figure 4.
    """
    apart = ~np.eye(len(label_names), dtype=bool)
    maps = [("norms ‖e‖ of the label embeddings", norms)]
    if np.isfinite(labels[apart]).any():
        maps.append(("the labels as they are stored", labels))
    names = [_shown(name) for name in label_names]
    edge = max(2.4, _CELL * len(names) if len(names) > _WRITTEN else 0.46 * len(names))
    margin = 0.075 * max(len(name) for name in names) + 0.3
    figure = _figure(len(maps) * edge + margin + 1.2, edge + margin + 0.9, "compressed")
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for number, (heading, values) in enumerate(maps):
        drawn = _heat_map(axes[number], names, values, heading, left=number == 0)
    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.7, aspect=30, pad=0.015)
    bar.set_label("correlation", color=_SOFT, fontsize=_FONT)
    bar.ax.tick_params(labelsize=_FONT, color=_GRID, labelcolor=_INK)
    bar.outline.set_edgecolor(_GRID)
    _title(figure, title)
    return _write(figure, path)


def plot_components(
    path: Path | str,
    shares: Sequence[float],
    component: int,
    correlations: Sequence[tuple[str, float]],
    *,
    title: str,
) -> Path:
    """Shares of variance of the principal components, and what one of them goes along with.

    Args:
        path: A file ending in `.png`.
        shares: k shares, largest first.
        component: The one that is looked at, from 1.
        correlations: Labels and the correlation of the component with their logits, in the order
            they are to stand in, the first on top.
        title: A line above.

    Returns:
        The path written.

    Raises:
        OlrsearchError: another suffix.

    Source: paper 001, section 4.3.
    """
    figure = _figure(9.6, 3.9, "constrained")
    scree, meaning = figure.subplots(1, 2, width_ratios=(3, 2))
    places = np.arange(1, len(shares) + 1)
    colours = [_BAR if place == component else _PALE for place in places]
    scree.bar(places, shares, color=colours, width=0.8, label="one component")
    scree.plot(places, np.cumsum(shares), color=_SOFT, marker=".", linewidth=1.2, label="all up to it")
    first = ", ".join(f"PC{place} {share:.1%}" for place, share in enumerate(shares[:2], 1))
    scree.set_title(f"share of variance: {first}", fontsize=_FONT + 1, color=_INK, loc="left")
    scree.set_ylim(0, 1.04)
    scree.set_xlim(0.3, len(shares) + 0.7)  # there is no component 0 to have a tick
    scree.xaxis.set_major_locator(MaxNLocator(integer=True))
    scree.yaxis.set_major_formatter(PercentFormatter(1.0))
    scree.set_xlabel("principal component", color=_SOFT, fontsize=_FONT)
    scree.legend(fontsize=_FONT, frameon=False, labelcolor=_INK, loc="center right")
    scree.grid(axis="y", color=_GRID)

    values = [value for _, value in correlations]
    marks = [_BAR if value >= 0 else _AGAINST for value in values]
    meaning.barh(range(len(values)), values, color=marks, height=0.7)
    _label_ticks(meaning.yaxis, [_shown(name) for name, _ in correlations])
    meaning.invert_yaxis()
    meaning.set_xlim(-1, 1)
    meaning.set_xticks([-1, -0.5, 0, 0.5, 1])
    meaning.axvline(0, color=_SOFT, linewidth=0.8)
    meaning.set_title(f"PC{component}: correlation with logits", fontsize=_FONT + 1, color=_INK, loc="left")
    meaning.grid(axis="x", color=_GRID)
    for axes in (scree, meaning):
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=_FONT, color=_GRID, labelcolor=_INK)
        axes.spines[:].set_color(_GRID)
    _title(figure, title)
    return _write(figure, path)


@dataclass(frozen=True, slots=True, eq=False)
class GaussianPanels:
    """One Gaussian to draw.

    Attributes:
        title: A line above its panels.
        covariance: float64 [d, d].
        words: W names.
        correlations: float64 [W, W], of the words' directions.
        pictures: uint8 [m, H, W, 3], what is decoded from the mean and from samples; None without.
    """

    title: str
    covariance: F64
    words: Sequence[str]
    correlations: F64
    pictures: U8 | None = None


def draw_gaussians(rows: Sequence[GaussianPanels]) -> bytes:
    """Covariances, what they say of words, and decoded pictures, a row a Gaussian: the bytes of a PNG.

    Args:
        rows: One or more.

    Source: paper 004, figures 2 to 4.
    """
    words = max(len(row.words) for row in rows)
    edge = max(2.6, _CELL * words if words > _WRITTEN else 0.46 * words)
    with_pictures = any(row.pictures is not None and len(row.pictures) for row in rows)
    widths = [2.6, edge + 0.8, *([2.6] if with_pictures else [])]
    figure = _figure(sum(widths) + 2.0, len(rows) * (edge + 1.6), "constrained")
    parts = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    for part, row in zip(parts, rows, strict=True):
        axes = part.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        part.suptitle(_shown(row.title), fontsize=_FONT + 3, color=_INK, x=0.01, ha="left", parse_math=False)
        largest = float(np.abs(row.covariance).max())
        drawn = axes[0].imshow(
            row.covariance, cmap=colormaps["RdBu_r"], vmin=-largest, vmax=largest, interpolation="nearest"
        )
        axes[0].set_title("covariance Σ", fontsize=_FONT + 1, color=_INK, loc="left")
        axes[0].tick_params(labelsize=_FONT, color=_GRID, labelcolor=_INK)
        for axis in (axes[0].xaxis, axes[0].yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        part.colorbar(drawn, ax=axes[0], shrink=0.6).ax.tick_params(labelsize=_FONT, labelcolor=_INK)
        names = [_shown(name) for name in row.words]
        _heat_map(axes[1], names, row.correlations, "correlation of the words' directions", left=True)
        if with_pictures:
            axes[2].set_axis_off()
            if row.pictures is not None and len(row.pictures):
                axes[2].imshow(_mosaic(row.pictures), interpolation="nearest")
                axes[2].set_title("decoded: mean, samples", fontsize=_FONT + 1, color=_INK, loc="left")
    return _png(figure)


def _mosaic(pictures: U8) -> U8:
    """Pictures uint8 [m, H, W, 3] beside and below each other, with white between."""
    count, height, width, _ = pictures.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    gap = max(1, min(height, width) // 16)
    out = np.full((rows * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        out[top : top + height, left : left + width] = picture
    return out


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
    figure = _figure(across * (width + 0.08) + 0.2, down * (height + 0.24) + 0.5, "compressed")
    grid = figure.subplots(down, across, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.axis("off")
        if number < len(pictures):
            axes.imshow(pictures[number], interpolation="nearest")
            axes.set_title(captions[number], fontsize=_FONT, color=_INK, pad=2, parse_math=False)
    _title(figure, title)
    return _write(figure, path)


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
    figure = _figure(shown * (width + 0.2) + 5.2, len(pictures) * row + 0.6, "constrained")
    grid = figure.subplots(
        len(pictures), shown + 2, squeeze=False, width_ratios=[*([width] * shown), 2.4, 1.9]
    )
    ticks = [_shown(name) for name in names] if len(names) <= _WRITTEN else []
    for number, axes in enumerate(grid):
        for place, (heading, array) in enumerate((("image", pictures), ("decoded sample", samples))):
            if array is not None:
                axes[place].imshow(array[number], interpolation="nearest")
                axes[place].axis("off")
                axes[place].set_title(
                    captions[number] if place == 0 else heading,
                    fontsize=_FONT,
                    color=_INK,
                    parse_math=False,
                )
        bars, heat = axes[shown], axes[shown + 1]
        bars.bar(range(means.shape[1]), means[number], color=_BAR, width=0.8)
        bars.axhline(0, color=_SOFT, linewidth=0.8)
        bars.set_title("mean", fontsize=_FONT, color=_INK)
        largest = float(np.abs(covariances[number]).max())
        drawn = heat.imshow(
            covariances[number], cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest"
        )
        heat.set_title("covariance", fontsize=_FONT, color=_INK)
        figure.colorbar(drawn, ax=heat, shrink=0.8).ax.tick_params(labelsize=_FONT - 2, labelcolor=_INK)
        for axis in (bars.xaxis, heat.xaxis, heat.yaxis):
            _label_ticks(axis, ticks)
        for one in (bars, heat):
            one.tick_params(labelsize=_FONT - 1, color=_GRID, labelcolor=_INK)
            one.xaxis.set_tick_params(rotation=90)
            one.spines[:].set_color(_GRID)
    _title(figure, title)
    return _write(figure, path)


def _edges(pictures: U8) -> tuple[float, float]:
    """Width and height of a picture in inches."""
    height, width = pictures.shape[1:3]
    longer = max(height, width)
    return _PICTURE * width / longer, _PICTURE * height / longer


def _figure(width: float, height: float, layout: Literal["constrained", "compressed"]) -> Figure:
    """A white figure of this size in inches; `compressed` is for axes of a fixed shape."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _heat_map(axes: Axes, names: list[str], values: F64, heading: str, *, left: bool) -> AxesImage:
    colours = colormaps["RdBu_r"].with_extremes(bad=_UNKNOWN)
    drawn = axes.imshow(values, cmap=colours, vmin=-1.0, vmax=1.0, interpolation="nearest")
    _label_ticks(axes.xaxis, names)
    axes.xaxis.set_tick_params(rotation=90)
    _label_ticks(axes.yaxis, names if left else [""] * len(names))
    axes.tick_params(length=0, labelcolor=_INK)
    axes.set_title(heading, fontsize=_FONT + 1, color=_INK, loc="left")
    axes.spines[:].set_color(_GRID)
    # White lines between the cells: one can follow a row from its name.
    axes.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    if len(names) <= _WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 else _INK
                axes.text(
                    column, row, _number(value), ha="center", va="center", fontsize=_FONT - 1, color=ink
                )
    return drawn


def _number(value: float) -> str:
    """`.82`, `−.30`, `1`: a heat map has no room for zeros that say nothing."""
    if abs(value) >= 0.995:
        return "1" if value > 0 else "−1"
    return f"{value:z.2f}".replace("0.", ".", 1).replace("-", "−")


def _label_ticks(axis: Axis, names: list[str]) -> None:
    # A name may hold a $, which must not be read as mathematics.
    axis.set_ticks(range(len(names)))
    axis.set_ticklabels(names, fontsize=_FONT, parse_math=False)


def _title(figure: Figure, title: str) -> None:
    figure.suptitle(title, fontsize=_FONT + 3, color=_INK, x=0.01, ha="left", parse_math=False)


def _shown(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def _write(figure: Figure, path: Path | str) -> Path:
    target = Path(path)
    plot_form(target)
    write_whole(target, _png(figure))
    return target


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that the built-in font lacks are drawn as boxes; the plot is right all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(
            buffer, format="png", bbox_inches="tight", pad_inches=0.15, metadata={"Software": None}
        )
    return buffer.getvalue()
