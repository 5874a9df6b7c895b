"""Plots as PNG: heat maps of correlations, shares of principal components, Gaussians.

matplotlib's Agg canvas through its object API: no window, no global state. The module is imported
when a plot is asked for and never by a query.

Notation: L labels, k numbers a label; of Gaussians W words, d dimensions, m pictures.

What every plot shares has no underscore: programs that draw plots of their own take it from here.
"""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from olrsearch.core.files import write_whole
from olrsearch.sheets.drawing import check_plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import FigureBase
    from matplotlib.image import AxesImage

    from olrsearch.core.arrays import F64, U8
    from olrsearch.evaluation.looks.gaussians import GaussianLook

_DPI = 150
_CELL = 0.19
"""Inches of a heat map's cell: room for a line of its label."""

FONT = 8.0
_LONGEST = 26
"""Letters of a label's name that are shown."""

WRITTEN = 12
"""Up to so many labels a cell has room for its number."""

INK, SOFT, GRID = "#1c1e22", "#6e737a", "#e1e5ea"
BAR, _PALE, _AGAINST = "#3e78b2", "#a8c7e4", "#c2563f"
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
    names = [shortened(name) for name in label_names]
    edge = max(2.4, _CELL * len(names) if len(names) > WRITTEN else 0.46 * len(names))
    margin = 0.075 * max(len(name) for name in names) + 0.3
    figure = new_figure(len(maps) * edge + margin + 1.2, edge + margin + 0.9, "compressed")
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for number, (heading, values) in enumerate(maps):
        drawn = _heat_map(axes[number], names, values, heading, left=number == 0)
    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.7, aspect=30, pad=0.015)
    bar.set_label("correlation", color=SOFT, fontsize=FONT)
    style_ticks(bar.ax)
    bar.outline.set_edgecolor(GRID)
    write_title(figure, title)
    return write_plot(figure, path)


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
    figure = new_figure(9.6, 3.9, "constrained")
    scree, meaning = figure.subplots(1, 2, width_ratios=(3, 2))
    places = np.arange(1, len(shares) + 1)
    colours = [BAR if place == component else _PALE for place in places]
    scree.bar(places, shares, color=colours, width=0.8, label="one component")
    scree.plot(places, np.cumsum(shares), color=SOFT, marker=".", linewidth=1.2, label="all up to it")
    first = ", ".join(f"PC{place} {share:.1%}" for place, share in enumerate(shares[:2], 1))
    _heading(scree, f"share of variance: {first}")
    scree.set_ylim(0, 1.04)
    scree.set_xlim(0.3, len(shares) + 0.7)  # there is no component 0 to have a tick
    scree.xaxis.set_major_locator(MaxNLocator(integer=True))
    scree.yaxis.set_major_formatter(PercentFormatter(1.0))
    scree.set_xlabel("principal component", color=SOFT, fontsize=FONT)
    scree.legend(fontsize=FONT, frameon=False, labelcolor=INK, loc="center right")
    scree.grid(axis="y", color=GRID)

    values = [value for _, value in correlations]
    marks = [BAR if value >= 0 else _AGAINST for value in values]
    meaning.barh(range(len(values)), values, color=marks, height=0.7)
    label_ticks(meaning.yaxis, [shortened(name) for name, _ in correlations])
    meaning.invert_yaxis()
    meaning.set_xlim(-1, 1)
    meaning.set_xticks([-1, -0.5, 0, 0.5, 1])
    meaning.axvline(0, color=SOFT, linewidth=0.8)
    _heading(meaning, f"PC{component}: correlation with logits")
    meaning.grid(axis="x", color=GRID)
    for axes in (scree, meaning):
        axes.set_axisbelow(True)
        style_ticks(axes)
        axes.spines[:].set_color(GRID)
    write_title(figure, title)
    return write_plot(figure, path)


def draw_gaussians(looks: Sequence[GaussianLook]) -> bytes:
    """Covariances, what they say of words, and decoded pictures, a row a Gaussian: the bytes of a PNG.

    Args:
        looks: One or more.

    Source: paper 004, figures 2 to 4.
    """
    words = max(len(look.words) for look in looks)
    edge = max(2.6, _CELL * words if words > WRITTEN else 0.46 * words)
    with_pictures = any(look.decoded is not None and len(look.decoded) for look in looks)
    widths = [2.6, edge + 0.8, *([2.6] if with_pictures else [])]
    figure = new_figure(sum(widths) + 2.0, len(looks) * (edge + 1.6), "constrained")
    parts = figure.subfigures(len(looks), 1, squeeze=False)[:, 0]
    for part, look in zip(parts, looks, strict=True):
        axes = part.subplots(1, len(widths), width_ratios=widths, squeeze=False)[0]
        write_title(part, shortened(look.name))
        drawn = show_covariance(axes[0], look.gaussian.covariance[0])
        _heading(axes[0], "covariance Σ")
        style_ticks(axes[0])
        for axis in (axes[0].xaxis, axes[0].yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
        part.colorbar(drawn, ax=axes[0], shrink=0.6).ax.tick_params(labelsize=FONT, labelcolor=INK)
        names = [shortened(name) for name in look.words]
        _heat_map(axes[1], names, look.correlations, "correlation of the words' directions", left=True)
        if with_pictures:
            axes[2].set_axis_off()
            if look.decoded is not None and len(look.decoded):
                axes[2].imshow(_mosaic(look.decoded), interpolation="nearest")
                _heading(axes[2], "decoded: mean, samples")
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


def new_figure(width: float, height: float, layout: Literal["constrained", "compressed"]) -> Figure:
    """A white figure of this size in inches; `compressed` is for axes of a fixed shape."""
    figure = Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _heat_map(axes: Axes, names: list[str], values: F64, heading: str, *, left: bool) -> AxesImage:
    colours = colormaps["RdBu_r"].with_extremes(bad=_UNKNOWN)
    drawn = axes.imshow(values, cmap=colours, vmin=-1.0, vmax=1.0, interpolation="nearest")
    label_ticks(axes.xaxis, names)
    axes.xaxis.set_tick_params(rotation=90)
    label_ticks(axes.yaxis, names if left else [""] * len(names))
    axes.tick_params(length=0, labelcolor=INK)
    _heading(axes, heading)
    axes.spines[:].set_color(GRID)
    # White lines between the cells: one can follow a row from its name.
    axes.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    if len(names) <= WRITTEN:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                ink = "white" if abs(value) > 0.6 else INK
                axes.text(column, row, _number(value), ha="center", va="center", fontsize=FONT - 1, color=ink)
    return drawn


def _number(value: float) -> str:
    """`.82`, `−.30`, `1`: a heat map has no room for zeros that say nothing."""
    if abs(value) >= 0.995:
        return "1" if value > 0 else "−1"
    return f"{value:z.2f}".replace("0.", ".", 1).replace("-", "−")


def label_ticks(axis: Axis, names: list[str]) -> None:
    """A tick for every name."""
    # A name may hold a $, which must not be read as mathematics.
    axis.set_ticks(range(len(names)))
    axis.set_ticklabels(names, fontsize=FONT, parse_math=False)


def write_title(figure: FigureBase, title: str) -> None:
    """A line above everything."""
    figure.suptitle(title, fontsize=FONT + 3, color=INK, x=0.01, ha="left", parse_math=False)


def _heading(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=FONT + 1, color=INK, loc="left")


def style_ticks(axes: Axes, *, smaller: int = 0) -> None:
    """Ticks that stay in the background, their labels so many points smaller than other text."""
    axes.tick_params(labelsize=FONT - smaller, color=GRID, labelcolor=INK)


def show_covariance(axes: Axes, covariance: F64) -> AxesImage:
    """A matrix as colours that are the stronger the farther a number is from 0."""
    largest = float(np.abs(covariance).max())
    return axes.imshow(covariance, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")


def shortened(name: str) -> str:
    """A name on one line, cut with an ellipsis where it is long."""
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"


def write_plot(figure: Figure, path: Path | str) -> Path:
    """Write a figure as a PNG, whole or not at all.

    Raises:
        OlrsearchError: the path does not end in `.png`.
    """
    target = Path(path)
    check_plot(target)
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
