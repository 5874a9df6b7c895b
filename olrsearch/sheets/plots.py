"""Plots as PNG: heat maps of correlations, shares of principal components.

matplotlib's Agg canvas through its object API: no window, no global state. The module is imported
when a plot is asked for and never by a query.

Notation: L labels, k numbers a label.
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

from olrsearch.sheets.write import plot_form, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.image import AxesImage

    from olrsearch.arrays import F64

_DPI = 150
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
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # Letters that the built-in font lacks are drawn as boxes; the plot is right all the same.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(
            buffer, format="png", bbox_inches="tight", pad_inches=0.15, metadata={"Software": None}
        )
    write_whole(target, buffer.getvalue())
    return target
